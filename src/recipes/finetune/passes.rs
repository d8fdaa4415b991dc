//! The passes of one step, made again with smaller ones where memory runs out. Knows neither data nor rates.

use serde_json::json;

use crate::domain::job::ErrorClass;
use crate::engine::train::Trainer;
use crate::engine::train::batch::{Example, Pass};
use crate::engine::{self, Error};
use crate::execution::{Context, Report, Stop};
use crate::recipes::failure;

/// What is done with a round; gives its share of whatever is summed.
pub(super) type Round<'a> = dyn Fn(&mut Trainer, &[Pass]) -> engine::Result<f64> + 'a;

/// Some examples of a step and what is done with them.
pub(super) struct Part<'a> {
    pub(super) examples: &'a [&'a Example],
    pub(super) round: &'a Round<'a>,
}

/// How one try ended.
enum Tried {
    Done(f64),
    /// Over the examples of the part of this index.
    OutOfMemory(usize, String),
}

/// All parts of a step, one after another, from the beginning again with half as large passes as often as memory runs
/// out: nothing counts twice, and the sums are those of larger passes up to rounding.
///
/// *Errors* class `oom` where one example alone does not fit.
pub(super) fn run(
    trainer: &mut Trainer,
    context: &dyn Context,
    parts: &[Part],
) -> Result<f64, Stop> {
    loop {
        match once(trainer, context, parts)? {
            Tried::Done(sum) => return Ok(sum),
            Tried::OutOfMemory(part, detail) => {
                shrink(trainer, context, parts[part].examples, &detail)?;
            }
        }
    }
}

fn once(trainer: &mut Trainer, context: &dyn Context, parts: &[Part]) -> Result<Tried, Stop> {
    let mut sum = 0.0;
    for (index, part) in parts.iter().enumerate() {
        for round in trainer.rounds(part.examples) {
            context.turn()?;
            match (part.round)(trainer, &round) {
                Ok(share) => sum += share,
                Err(Error::OutOfMemory(detail)) => return Ok(Tried::OutOfMemory(index, detail)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Tried::Done(sum))
}

fn shrink(
    trainer: &mut Trainer,
    context: &dyn Context,
    examples: &[&Example],
    detail: &str,
) -> Result<(), Stop> {
    let step = trainer.updates() + 1;
    let Some(halved) = trainer.halve(examples)? else {
        let longest = examples.iter().map(|example| example.tokens.len()).max();
        let message = format!(
            "step {step}: a pass of one example does not fit into memory; the longest has {} tokens; set \
             batch.recompute_activations to true, lower batch.max_tokens, set dtype to bfloat16, choose a smaller rank or \
             base, or run it while less else runs ({detail})",
            longest.unwrap_or(0)
        );
        return Err(failure(ErrorClass::Oom, "out_of_memory", message).into());
    };
    context.report(Report::Event {
        r#type: "micro_batch_halved",
        data: json!({"step": step, "from": halved.from, "to": halved.to}),
    })
}
