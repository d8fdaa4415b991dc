//! What is known of an arm's fine-tune beforehand: its steps, what it keeps, whether its vectors are recorded.

use serde_json::{Value, json};

use super::arms::{Arm, Facts};
use super::{Checkpoints, CheckpointsName, EvaluationPlan, ExperimentSpec, Role};
use crate::domain::finetune::{CheckpointSpec, FinetuneSpec, Method};
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::order::{self, Plan as Order};

/// What is known of an arm's fine-tune beforehand.
pub(super) struct Run {
    pub spec: FinetuneSpec,
    /// Optimizer steps, should no row be dropped.
    pub total: u64,
    /// Whether that is certain.
    pub certain: bool,
}

impl Run {
    /// Whether its vectors are recorded at every step.
    pub fn has_vectors(&self) -> bool {
        match &self.spec.method {
            Method::Lora(lora) => {
                lora.rank == 1 || lora.rank_pattern.values().any(|rank| *rank == 1)
            }
            Method::Full(_) | Method::SteeringVector(_) => false,
        }
    }

    fn kept(&self) -> Vec<u64> {
        let kept = &self.spec.checkpoints;
        (1..=self.total)
            .filter(|step| kept.stays(*step, self.total))
            .collect()
    }
}

/// The fine-tune of an arm, with the checkpoints that its questions need; none of a base alone.
pub(super) fn run(spec: &ExperimentSpec, arm: &Arm, facts: &Facts) -> Checked<Option<Run>> {
    if arm.role == Role::Base {
        return Ok(None);
    }
    let mut read = arm.read()?;
    let total = total(&read, arm, facts)?;
    if let Some(plan) = &spec.evaluation {
        keep_what_is_asked(&mut read, arm, plan, total);
    }
    let certain = read.length.steps.is_some() && read.early_stop.is_none();
    Ok(Some(Run {
        spec: read,
        total,
        certain,
    }))
}

fn total(spec: &FinetuneSpec, arm: &Arm, facts: &Facts) -> Checked<u64> {
    let fraction = spec.hold_out.as_ref().map_or(0.0, |held| held.fraction);
    let rows = spec.datasets.iter().map(|used| {
        let rows = facts
            .datasets
            .get(&used.dataset)
            .map_or(0, |facts| facts.examples);
        let held = (rows as f64 * fraction).ceil() as u64;
        u32::try_from(rows.saturating_sub(held)).unwrap_or(u32::MAX)
    });
    let weights = spec.datasets.iter().map(|used| used.weight).collect();
    let plan = Order::new(
        spec.seed,
        rows.collect(),
        weights,
        &spec.batch,
        &spec.length,
    );
    order::total_steps(&plan).map_err(|mut invalid| {
        for error in &mut invalid.errors {
            let own = error.pointer.take().unwrap_or_default();
            error.pointer = Some(arm.place(&own));
        }
        invalid
    })
}

/// A protocol that does not say what it keeps keeps what is asked; steps that were added later are kept in any case.
fn keep_what_is_asked(spec: &mut FinetuneSpec, arm: &Arm, plan: &EvaluationPlan, total: u64) {
    let silent = spec.checkpoints.every.is_none() && spec.checkpoints.at.is_empty();
    let own = arm.in_domain.as_ref().or(plan.in_domain.as_ref());
    let own = own.and_then(|own| own.checkpoints.as_ref());
    for asked in [Some(&plan.checkpoints), own].into_iter().flatten() {
        if silent {
            keep(
                &mut spec.checkpoints,
                asked,
                matches!(spec.method, Method::Full(_)),
                total,
            );
        }
    }
    for step in plan.added_checkpoints.iter().flatten() {
        if *step <= total && !spec.checkpoints.stays(*step, total) {
            spec.checkpoints.at.push(*step);
        }
    }
}

fn keep(kept: &mut CheckpointSpec, asked: &Checkpoints, listed_only: bool, total: u64) {
    let mut more = match asked {
        Checkpoints::Named(_) => Vec::new(),
        Checkpoints::Listed(steps) => steps.clone(),
        Checkpoints::Every { every } if listed_only || kept.every.is_some() => {
            (1..=total / every).map(|n| n * every).collect()
        }
        Checkpoints::Every { every } => {
            kept.every = Some(*every);
            Vec::new()
        }
    };
    more.retain(|step| *step <= total && !kept.keeps(*step, total));
    kept.at.extend(more);
}

/// The steps of `run` that are asked, as a target has them.
///
/// *Errors*: a step beyond the last, or one that is not kept.
pub(super) fn steps(run: &Run, asked: &Checkpoints, arm: &Arm, pointer: &str) -> Checked<Value> {
    let listed = match asked {
        Checkpoints::Named(CheckpointsName::All) => return Ok(json!("all")),
        Checkpoints::Named(CheckpointsName::Final) => return Ok(json!("final")),
        Checkpoints::Every { every } => {
            let last = (!run.total.is_multiple_of(*every)).then_some(run.total);
            let multiples = (1..=run.total / every).map(|n| n * every);
            let steps: Vec<u64> = multiples.chain(last).collect();
            // where rows may be dropped the last step is known to the run alone
            if !run.certain && steps == run.kept() {
                return Ok(json!("all"));
            }
            steps
        }
        Checkpoints::Listed(steps) => steps.clone(),
    };
    let mut findings = Findings::default();
    for (index, step) in listed.iter().enumerate() {
        let place = match asked {
            Checkpoints::Listed(_) => format!("{pointer}/{index}"),
            _ => pointer.to_owned(),
        };
        if *step > run.total {
            let detail = format!(
                "step {step} is beyond the last of arm {}, {}",
                arm.name, run.total
            );
            let hint = "ask earlier steps, or train for longer";
            findings.push(FieldError::at(place, detail).hint(hint));
        } else if !run.spec.checkpoints.stays(*step, run.total) {
            let detail = format!("arm {} keeps no checkpoint at step {step}", arm.name);
            let hint = format!(
                "leave {} out, and what is asked is kept; or list the step there",
                arm.place("/checkpoints")
            );
            findings.push(FieldError::at(place, detail).hint(hint));
        }
    }
    findings.finish()?;
    Ok(json!(listed))
}
