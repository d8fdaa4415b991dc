//! Fine-tuning: load, tokenize, resume, then one optimizer step after another until the last one is kept.
//!
//! A state is what the last whole step left; a step that is interrupted is forgotten, so that resuming gives the numbers
//! of no interruption.

mod card;
mod data;
mod diverged;
mod early;
mod forecast;
mod keep;
mod passes;
mod vectors;

use serde_json::json;

use self::data::Data;
use self::early::Early;
use self::keep::Keeper;
use self::passes::Part;
use self::vectors::Vectors;
use super::{base, refused, verified};
use crate::domain::early_stop::StoppedEarly;
use crate::domain::finetune::{FinetuneSpec, KlSpec, LoraMethod, Method, SteeringMethod};
use crate::domain::job::{JobResult, Phase};
use crate::domain::metric::StepPoint;
use crate::domain::order::{Beside, Order, Plan};
use crate::engine::adapter::Adapter;
use crate::engine::device::{Device, set_threads};
use crate::engine::model::config::ModelConfig;
use crate::engine::residents::{Lent, Residents};
use crate::engine::steering::Steering;
use crate::engine::train::batch::{Example, size_of};
use crate::engine::train::schedule::share;
use crate::engine::train::{Measured, Setup, Trainer};
use crate::execution::{Context, FinetuneWork, Report, Settings, Stop};

/// Trains what `work` asks for; checkpoints, metrics and norms leave through the context.
pub fn run(
    work: &FinetuneWork,
    context: &dyn Context,
    residents: &Residents,
) -> Result<JobResult, Stop> {
    set_threads(context.settings().threads_per_attempt);
    context.report(Report::Phase(Phase::Tokenize))?;
    let data = Data::read(work, context)?;
    context.report(Report::Phase(Phase::Load))?;
    let (trainer, base) = trainer(work, context, residents, &data)?;
    let order = order(&work.spec, &data)?;
    let compared = compared(&work.spec, &data);
    let total = order.total_steps();
    let vectors = Vectors::new(context, &trainer, total)?;
    let mut run = Run {
        keeper: Keeper::new(work, context, total, vectors),
        early: Early::new(&work.spec, total),
        spec: &work.spec,
        context,
        data,
        order,
        compared,
        trainer,
        _base: base,
    };
    run.begin()?;
    context.report(Report::Phase(Phase::Train))?;
    run.steps()?;
    Ok(JobResult::default())
}

fn trainer(
    work: &FinetuneWork,
    context: &dyn Context,
    residents: &Residents,
    data: &Data,
) -> Result<(Trainer, Lent), Stop> {
    let spec = &work.spec;
    let device = context.settings().device.parse::<Device>()?.available()?;
    let files = verified(&work.base, context)?;
    let base = base::lend(&work.base, files, spec.dtype, residents, context)?;
    let lanes = lanes(device, context.settings());
    let size = (&base.config.shape(), base.dtype()?);
    forecast::tell(spec, size, data, (lanes, device != Device::Cpu), context)?;
    let setup = Setup {
        lanes,
        positions: data.longest(),
        micro_batch: spec.batch.micro_batch as usize,
        recompute: spec.batch.recompute_activations,
        norms: true,
        seed: spec.seed,
    };
    let mut trainer = match &spec.method {
        Method::Lora(method) => {
            let adapter = beginning(work, context, &base.config, method, device)?;
            Trainer::lora(&base, &adapter, &spec.optimizer, setup)?
        }
        Method::SteeringVector(method) => {
            let steering = steering_at_first(work, context, &base.config, method, device)?;
            Trainer::steering(&base, &steering, &spec.optimizer, setup)?
        }
        Method::Full(_) => Trainer::full(&base, &spec.optimizer, setup)?,
    };
    if spec.loss.kl.is_some() {
        trainer.hold_to(&base)?;
    }
    Ok((trainer, base))
}

/// What training begins with: the pairs of another adapter, or fresh ones.
fn beginning(
    work: &FinetuneWork,
    context: &dyn Context,
    config: &ModelConfig,
    method: &LoraMethod,
    device: Device,
) -> Result<Adapter, Stop> {
    let Some(start) = &work.start else {
        let fresh = Adapter::init(config, method, work.spec.seed, device)?;
        return match fresh.rank_above() {
            None => Ok(fresh),
            Some(detail) => Err(refused(
                "rank_above_matrix",
                format!("method.rank: {detail}"),
            )),
        };
    };
    let trained = Adapter::load(&verified(start, context)?, config, device)?;
    Ok(Adapter::begin(config, method, trained)?)
}

/// What training begins with: another vector, or zero.
fn steering_at_first(
    work: &FinetuneWork,
    context: &dyn Context,
    config: &ModelConfig,
    method: &SteeringMethod,
    device: Device,
) -> Result<Steering, Stop> {
    let Some(start) = &work.start else {
        return Ok(Steering::init(config, method, device)?);
    };
    let trained = Steering::load(&verified(start, context)?, config, device)?;
    Ok(Steering::begin(method, trained)?)
}

/// A second pass beside the first uses a CPU far better than a second thread inside it.
fn lanes(device: Device, settings: &Settings) -> usize {
    match device {
        Device::Cpu => settings.threads_per_attempt.max(1) as usize,
        Device::Cuda(_) => 1,
    }
}

fn order(spec: &FinetuneSpec, data: &Data) -> Result<Order, Stop> {
    let weights = spec.datasets.iter().map(|used| used.weight).collect();
    let plan = Plan::new(spec.seed, data.sizes(), weights, &spec.batch, &spec.length);
    Order::new(plan).map_err(|invalid| refused("order", invalid.to_string()))
}

fn compared<'a>(spec: &'a FinetuneSpec, data: &Data) -> Option<(&'a KlSpec, Beside)> {
    let kl = spec.loss.kl.as_ref()?;
    let beside = Beside {
        seed: spec.seed,
        size: data.kl().len() as u32,
        per_step: kl.batch,
        shuffle: spec.batch.shuffle,
    };
    Some((kl, beside))
}

/// The rows of a step's KL term; none where there is no such term.
fn beside<'a>(compared: Option<&(&KlSpec, Beside)>, data: &'a Data, step: u64) -> Vec<&'a Example> {
    let rows = compared.map_or(Vec::new(), |(_, beside)| beside.step(step));
    let rows = rows.into_iter();
    rows.map(|row| &data.kl()[row as usize]).collect()
}

struct Run<'a> {
    spec: &'a FinetuneSpec,
    context: &'a dyn Context,
    data: Data,
    order: Order,
    /// The KL term and which rows make it at each step.
    compared: Option<(&'a KlSpec, Beside)>,
    trainer: Trainer,
    keeper: Keeper<'a>,
    early: Early<'a>,
    /// Held so that the weights under the adapter, or those that a change is measured from, stay counted.
    _base: Lent,
}

impl Run<'_> {
    /// Goes on from the newest state, or reports the state before the first update.
    fn begin(&mut self) -> Result<(), Stop> {
        if let Some(state) = self.context.resume()?.state {
            return self
                .keeper
                .restore(&mut self.trainer, &mut self.early, &state);
        }
        self.keeper.forecast(&self.trainer)?;
        let modules = self.trainer.measured_modules();
        self.context.report(Report::Modules(modules))?;
        if let Some(change) = self.trainer.change()? {
            self.context.report(Report::Changes(change))?;
        }
        if let Some(norms) = self.trainer.norms()? {
            self.context.report(Report::Norms(norms))?;
        }
        self.keeper.begin(&self.trainer)
    }

    fn steps(&mut self) -> Result<(), Stop> {
        let total = self.order.total_steps();
        self.progress(total)?;
        while self.trainer.updates() < total && self.ended().is_none() {
            if let Err(reason) = self.step(total) {
                return Err(self.stopped(reason));
            }
            self.hold_out(total)?;
            self.tell_ended()?;
            self.keeper.keep(&self.trainer, &self.early)?;
            self.progress(total)?;
        }
        Ok(())
    }

    /// Why the step just made is the last one although more were planned.
    fn ended(&self) -> Option<StoppedEarly> {
        self.early.stopped(self.trainer.updates())
    }

    /// Comes before the last checkpoint is committed, so a resumed attempt that finds it has nothing to tell.
    fn tell_ended(&self) -> Result<(), Stop> {
        let Some(ended) = self.ended() else {
            return Ok(());
        };
        self.context.report(Report::Event {
            r#type: "stopped_early",
            data: json!(ended),
        })
    }

    fn step(&mut self, total: u64) -> Result<(), Stop> {
        let (step, began) = (self.trainer.updates(), self.context.seconds());
        let draws = self.order.step(step);
        let examples: Vec<&Example> = draws.iter().map(|draw| self.data.example(*draw)).collect();
        let size = size_of(&examples);
        let beside = beside(self.compared.as_ref(), &self.data, step);
        let (weight, denominator) = self.weighed(&beside);
        let learn = Part {
            examples: &examples,
            round: &|trainer, round| trainer.accumulate(round, size.weight).map(|()| 0.0),
        };
        let compare = Part {
            examples: &beside,
            round: &|trainer, round| trainer.compare(round, denominator, weight).map(|()| 0.0),
        };
        passes::run(&mut self.trainer, self.context, &[learn, compare])?;
        let rate = self.spec.optimizer.learning_rate * share(&self.spec.schedule, step, total);
        let measured = self.trainer.update(rate);
        let kept = &self.spec.checkpoints;
        let diverged = |error| diverged::stop(error, kept, total, self.context);
        let Measured {
            loss,
            kl_loss,
            grad_norm,
            norms,
            changes,
        } = measured.map_err(diverged)?;
        let seconds = self.context.seconds() - began;
        self.context.report(Report::Step(StepPoint {
            step: step + 1,
            loss,
            kl_loss,
            learning_rate: rate,
            grad_norm,
            target_tokens: size.targets,
            tokens_per_second: size.tokens as f64 / seconds.max(1e-9),
            peak_memory_bytes: peak_memory_bytes(),
        }))?;
        self.early.step(loss);
        if let Some(changes) = changes {
            self.context.report(Report::Changes(changes))?;
        }
        norms.map_or(Ok(()), |norms| self.context.report(Report::Norms(norms)))
    }

    /// The KL term's weight, and what its sum over the step's rows is divided by.
    fn weighed(&self, rows: &[&Example]) -> (f64, f64) {
        let Some((kl, _)) = &self.compared else {
            return (0.0, 1.0);
        };
        let tokens = size_of(rows).targets;
        (kl.weight, kl.denominator(tokens, self.trainer.vocabulary()))
    }

    /// What is left to do when a step was not finished: a drain or a pause keeps the state that the step before it left.
    fn stopped(&mut self, reason: Stop) -> Stop {
        if !matches!(reason, Stop::Interrupted(why) if why.keeps_state()) {
            return reason;
        }
        let kept = self.trainer.forget().map_err(Stop::from);
        match kept.and_then(|()| self.keeper.save_state(&self.trainer, &self.early)) {
            Ok(()) => reason,
            Err(failed) => failed,
        }
    }

    /// The loss on the rows kept out, where this step asks for it.
    ///
    /// An interruption here keeps no state: resuming then makes the step again and with it this number.
    fn hold_out(&mut self, total: u64) -> Result<(), Stop> {
        let step = self.trainer.updates();
        let last = step == total || self.ended().is_some();
        let due = |every: u64| last || (every > 0 && step.is_multiple_of(every));
        let held = self.data.held();
        if held.is_empty()
            || !self
                .spec
                .hold_out
                .as_ref()
                .is_some_and(|asked| due(asked.every))
        {
            return Ok(());
        }
        let weight = size_of(&held).weight;
        let measure = Part {
            examples: &held,
            round: &|trainer, round| trainer.measure(round, weight),
        };
        let loss = passes::run(&mut self.trainer, self.context, &[measure])?;
        self.early.hold_out(loss);
        self.context.report(Report::HoldOut { step, loss })
    }

    /// Steps made of those planned, or of those made where no more are to come.
    fn progress(&self, total: u64) -> Result<(), Stop> {
        let done = self.trainer.updates();
        self.context.report(Report::Progress {
            done,
            total: if self.ended().is_some() { done } else { total },
            unit: "step",
        })
    }
}

/// Largest memory of this process so far, as the kernel counts it; 0 where it does not tell.
fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    kibibytes
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests;
