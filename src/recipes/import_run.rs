//! A published run becomes a finished fine-tune: every checkpoint's adapter is checked, measured and kept, and the logs of all
//! become one history.
//!
//! Needs no base weights. Where the base is ready its shapes are held against every adapter; where it is not, the adapters
//! only have to agree with each other. Norms are those of the kept steps; the cosine of B is to the step before, so it exists only
//! where that step was kept too.

mod parts;
mod rows;

use serde_json::{Value, json};

use self::parts::{Part, parts};
use self::rows::Rows;
use super::register::{keep_or_refer, pace::Pace};
use super::{failure, verified};
use crate::domain::adapter::{CONFIG, MODEL};
use crate::domain::assets::WeightsKind;
use crate::domain::job::{ErrorClass, JobResult, Phase};
use crate::domain::metric::{NormModule, StepPoint};
use crate::domain::published_run::{History, LARGEST_STATE, Logged, OnBroken, STATE, refusal};
use crate::engine::adapter::Adapter;
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::model::config::ModelConfig;
use crate::execution::fetch::Fetch;
use crate::execution::{Commit, Context, Failure, ImportWork, Report, RunSource, Stop};

/// Reads every checkpoint of a run.
pub(super) fn run(
    work: &ImportWork,
    context: &dyn Context,
    hub: &dyn Fetch,
) -> Result<JobResult, Stop> {
    context.report(Report::Phase(Phase::Load))?;
    // what an earlier attempt reported is reported again
    context.resume()?;
    let files = match &work.source {
        RunSource::Folder(files) => files.clone(),
        RunSource::Hub(wanted) => hub.fetch_run(wanted, &mut Pace::new(context))?,
    };
    let (top, checkpoints) = parts(files).map_err(broken)?;
    let mut import = Import {
        work,
        context,
        config: base_config(work, context)?,
        modules: Vec::new(),
        newest: None,
        rows: Rows::default(),
        history: History::default(),
        kept: Vec::new(),
        skipped: 0,
    };
    context.report(Report::Phase(Phase::Save))?;
    for (done, part) in checkpoints.iter().enumerate() {
        context.turn()?;
        import.take(part)?;
        progress(context, done + 1, checkpoints.len())?;
    }
    import.finish(top.as_ref())
}

fn base_config(work: &ImportWork, context: &dyn Context) -> Result<Option<ModelConfig>, Stop> {
    let Some(base) = &work.base else {
        return Ok(None);
    };
    let files = verified(&base.only("config.json"), context)?;
    Ok(Some(ModelConfig::from_json(&files.json("config.json")?)?))
}

/// Why a part of the run cannot be read; another attempt would meet it again.
fn broken(message: impl Into<String>) -> Failure {
    failure(ErrorClass::Data, "published_run", message)
}

fn progress(context: &dyn Context, done: usize, total: usize) -> Result<(), Stop> {
    context.report(Report::Progress {
        done: done as u64,
        total: total as u64,
        unit: "checkpoint",
    })
}

struct Import<'a> {
    work: &'a ImportWork,
    context: &'a dyn Context,
    config: Option<ModelConfig>,
    /// Those of the first checkpoint; the others must have the same.
    modules: Vec<NormModule>,
    newest: Option<(u64, Adapter)>,
    rows: Rows,
    history: History,
    kept: Vec<u64>,
    skipped: u64,
}

impl Import<'_> {
    /// Keeps a checkpoint, or leaves it out where that is allowed.
    fn take(&mut self, part: &Part) -> Result<(), Stop> {
        match self.checkpoint(part) {
            Err(Stop::Failed(why)) if self.may_skip(&why) => {
                self.skipped += 1;
                let data = json!({"step": part.step, "detail": why.message});
                self.event("checkpoint_skipped", data)
            }
            other => other,
        }
    }

    fn may_skip(&self, why: &Failure) -> bool {
        let of_the_file = matches!(why.class, ErrorClass::Data | ErrorClass::Config);
        self.work.on_broken == OnBroken::Skip && of_the_file
    }

    fn checkpoint(&mut self, part: &Part) -> Result<(), Stop> {
        let adapter = self.adapter(part)?;
        if self.modules.is_empty() {
            self.modules = modules_of(&adapter);
            let measured = self.modules.iter().cloned().map(Into::into);
            self.context.report(Report::Modules(measured.collect()))?;
            self.rows = Rows::of(&adapter);
        } else if let Some(detail) = difference(&self.modules, &modules_of(&adapter)) {
            return Err(self.at(part, MODEL, detail).into());
        }
        // only what can be read counts, so that a skipped checkpoint leaves nothing
        self.log(part)?;
        let before = self.newest.take();
        let before = before.filter(|(step, _)| step + 1 == part.step);
        let point = adapter.norms(part.step, before.as_ref().map(|(_, adapter)| adapter))?;
        self.context.report(Report::Norms(point))?;
        self.rows.add(part.step, &adapter, self.context)?;
        let mut files = Vec::new();
        for name in [CONFIG, MODEL] {
            let path = part
                .path(name)
                .ok_or_else(|| self.at(part, name, "is missing"))?;
            files.push(keep_or_refer(name, path, self.context)?);
        }
        self.context.commit(Commit::Checkpoint {
            step: part.step,
            kind: WeightsKind::Lora,
            files,
            state: Vec::new(),
        })?;
        self.newest = Some((part.step, adapter));
        self.kept.push(part.step);
        Ok(())
    }

    fn adapter(&self, part: &Part) -> Result<Adapter, Stop> {
        for name in [CONFIG, MODEL] {
            if part.path(name).is_none() {
                let refused = part
                    .names()
                    .find_map(|other| Some((other, refusal(other)?)));
                return Err(match refused {
                    Some((other, why)) => self.at(part, other, why),
                    None => self.at(part, name, "is missing"),
                }
                .into());
            }
        }
        let files: Files = [CONFIG, MODEL]
            .into_iter()
            .filter_map(|name| Some((name.to_string(), part.path(name)?.to_path_buf())))
            .collect();
        let adapter = match &self.config {
            Some(config) => Adapter::load(&files, config, Device::Cpu),
            None => Adapter::load_alone(&files, Device::Cpu),
        };
        adapter.map_err(|error| {
            let why = Failure::from(error);
            Failure {
                message: format!("checkpoint-{}: {}", part.step, why.message),
                ..why
            }
            .into()
        })
    }

    /// Joins the checkpoint's log with those before it; a checkpoint without one is told once at the end.
    fn log(&mut self, part: &Part) -> Result<(), Stop> {
        let Some(path) = part.path(STATE) else {
            return Ok(());
        };
        let state = read_state(path).map_err(|why| self.at(part, STATE, why))?;
        let mut history = self.history.clone();
        history
            .join(part.step, &state)
            .map_err(|why| self.at(part, STATE, why))?;
        self.history = history;
        Ok(())
    }

    fn at(&self, part: &Part, name: &str, why: impl std::fmt::Display) -> Failure {
        broken(format!("checkpoint-{}: {name}: {why}", part.step))
    }

    fn event(&self, r#type: &'static str, data: Value) -> Result<(), Stop> {
        self.context.report(Report::Event { r#type, data })
    }

    fn finish(mut self, top: Option<&Part>) -> Result<JobResult, Stop> {
        if self.kept.is_empty() {
            let message = format!(
                "none of its {} checkpoints can be read; the events say why",
                self.skipped
            );
            return Err(broken(message).into());
        }
        self.rows.flush(self.context)?;
        let rows: Vec<(u64, Logged)> = self.history.steps().collect();
        for (step, row) in &rows {
            self.row(*step, row)?;
        }
        if self.history.conflict_count > 0 {
            let data =
                json!({"count": self.history.conflict_count, "shown": self.history.conflicts});
            self.event("log_conflicts", data)?;
        }
        let last = self.kept.last().copied();
        let data = json!({"checkpoints": self.kept.len(), "skipped": self.skipped, "first": self.kept.first(), "last": last,
            "logged_steps": rows.len(), "modules": self.modules.len(), "base_checked": self.config.is_some(),
            "learning_rate": "as logged; older trainers log the rate of the next step"});
        self.event("imported", data)?;
        if let Some(top) = top {
            self.compare(top)?;
        }
        Ok(JobResult::default())
    }

    fn row(&self, step: u64, row: &Logged) -> Result<(), Stop> {
        if let Some(loss) = row.eval_loss {
            self.context.report(Report::HoldOut { step, loss })?;
        }
        let Some(loss) = row.loss else {
            return Ok(());
        };
        self.context.report(Report::Step(StepPoint {
            step,
            loss,
            kl_loss: None,
            learning_rate: row.learning_rate.unwrap_or(f64::NAN),
            grad_norm: row.grad_norm.unwrap_or(f64::NAN),
            target_tokens: 0,
            tokens_per_second: f64::NAN,
            peak_memory_bytes: 0,
        }))
    }

    /// Holds the adapter at the top against the last checkpoint: it is not always the same, and only the checkpoint is kept.
    fn compare(&mut self, top: &Part) -> Result<(), Stop> {
        let Some((step, last)) = self.newest.take() else {
            return Ok(());
        };
        if top.path(MODEL).is_none() {
            return Ok(());
        }
        let read = self.adapter(top);
        let Ok(adapter) = read else {
            let why = read.err().map_or(String::new(), |why| why.to_string());
            return self.event("top_adapter_unreadable", json!({"detail": why}));
        };
        if difference(&self.modules, &modules_of(&adapter)).is_some() {
            return self.event(
                "top_adapter_differs",
                json!({"last": step, "detail": "it adapts other modules"}),
            );
        }
        let (one, other) = (last.norms(step, None)?, adapter.norms(step, Some(&last))?);
        let same = other
            .b_cosine_previous
            .iter()
            .all(|cosine| *cosine > 0.999_999)
            && one
                .b_norm
                .iter()
                .zip(&other.b_norm)
                .all(|(a, b)| (a - b).abs() <= 1e-6 * a.abs());
        if same {
            return self.event("top_adapter_equal", json!({"last": step}));
        }
        let names: Vec<&str> = self.modules.iter().map(|one| one.name.as_str()).collect();
        let data = json!({"last": step, "modules": names, "b_norm_last": one.b_norm, "b_norm_top": other.b_norm,
            "b_cosine": other.b_cosine_previous, "kept": "the last checkpoint; hand the other in at /v1/adapters to use it"});
        self.event("top_adapter_differs", data)
    }
}

fn modules_of(adapter: &Adapter) -> Vec<NormModule> {
    adapter
        .pairs
        .iter()
        .map(|pair| pair.module.clone())
        .collect()
}

/// The first module that two checkpoints of a run do not share.
fn difference(first: &[NormModule], this: &[NormModule]) -> Option<String> {
    if first == this {
        return None;
    }
    let other = this.iter().find(|module| !first.contains(module));
    let gone = first.iter().find(|module| !this.contains(module));
    let module = other.or(gone)?;
    Some(format!(
        "{} with rank {} and scaling {} is not what the first checkpoint has; all checkpoints of a run adapt the same modules",
        module.name, module.rank, module.scaling
    ))
}

fn read_state(path: &std::path::Path) -> Result<Value, String> {
    let length = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if length > LARGEST_STATE {
        return Err(format!(
            "has {length} bytes; at most {LARGEST_STATE} are read"
        ));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| format!("is not JSON: {error}"))
}

#[cfg(test)]
mod tests;
