//! The recorded numbers of an analysis's runs: metrics, norms, counted answers, and where the vectors lie.

mod behaviour;

use super::{Look, missing, refused};
use crate::domain::analysis::{MetricSeries, ModuleRun, NormSeries, RunData};
use crate::domain::analyze::{AnalyzeSpec, AnalyzedRun, RunSteps};
use crate::domain::finetune::FinetuneSpec;
use crate::domain::ids::JobId;
use crate::domain::job::JobSpec;
use crate::domain::metric::MeasuredModule;
use crate::domain::requests;
use crate::domain::series::{Columns, shown};
use crate::execution::{AnalyzeWork, RunInputs, RunVectors, Stop};
use crate::storage::metrics::Steps;
use crate::storage::{inputs, marks, metrics};

/// All steps.
const ALL: Steps = 0..=u64::MAX;

impl Look<'_> {
    pub(super) fn analyze(&self, spec: &AnalyzeSpec) -> Result<AnalyzeWork, Stop> {
        let job = &self.control.lease.job;
        let analysis = self.ask(|storage| inputs::analysis_of(storage, job))?;
        let analysis = analysis.ok_or_else(|| missing("analysis of", job.as_str()))?;
        let runs = spec.runs.iter().map(|run| self.run_inputs(run, spec));
        Ok(AnalyzeWork {
            analysis,
            settings: spec.settings.clone(),
            runs: runs.collect::<Result<_, Stop>>()?,
        })
    }

    fn run_inputs(&self, run: &AnalyzedRun, spec: &AnalyzeSpec) -> Result<RunInputs, Stop> {
        self.control.turn()?;
        let job = &run.job;
        let modules = self.ask(|storage| metrics::norm_modules(storage, job))?;
        let steps = self.ask(|storage| metrics::steps(storage, job, &ALL))?;
        let planned = self.planned(job)?;
        let recorded = metric_series(steps);
        let only = self.only(run)?;
        let data = RunData {
            arm: run.arm.clone(),
            seed: run.seed,
            null: run.null,
            warmup_steps: match &planned {
                Some(spec) => spec.schedule.warmup_steps,
                None => warmup_of(&recorded),
            },
            steps_total: recorded.steps.last().copied().unwrap_or(0),
            metrics: recorded,
            modules: self.module_runs(job, &modules, only.as_deref())?,
            behaviour: self.behaviour(run, &spec.settings)?,
        };
        Ok(RunInputs {
            job: job.clone(),
            data,
            vectors: self.run_vectors(job, &modules)?,
            only,
        })
    }

    fn only(&self, run: &AnalyzedRun) -> Result<Option<Vec<u64>>, Stop> {
        if run.steps == RunSteps::All {
            return Ok(None);
        }
        let kept = self.trained(&run.job)?.checkpoints;
        Ok(Some(kept.iter().map(|one| one.step).collect()))
    }

    /// The spec of a run that was made here; none for one that was imported.
    fn planned(&self, job: &JobId) -> Result<Option<FinetuneSpec>, Stop> {
        let ids = [job.to_string()];
        let mut specs = self.ask(|storage| marks::specs(storage, &ids))?;
        let spec = specs
            .remove(job)
            .ok_or_else(|| missing("fine-tune", job.as_str()))?;
        match requests::read_stored(spec) {
            Ok(JobSpec::Finetune(spec)) => Ok(Some(*spec)),
            Ok(JobSpec::Imported(_)) => Ok(None),
            _ => Err(refused("no_finetune", format!("{job} is no fine-tune"))),
        }
    }

    fn module_runs(
        &self,
        job: &JobId,
        modules: &[MeasuredModule],
        only: Option<&[u64]>,
    ) -> Result<Vec<ModuleRun>, Stop> {
        let places: Vec<usize> = (0..modules.len()).collect();
        let whole = modules.first().is_some_and(|module| module.rank.is_none());
        let columns = match whole {
            true => self.ask(|storage| metrics::changes(storage, job, &ALL, &places))?,
            false => self.ask(|storage| metrics::norms(storage, job, &ALL, &places))?,
        };
        let columns = match only {
            Some(only) => picked(columns, only),
            None => columns,
        };
        let one = |(place, module): (usize, &MeasuredModule)| ModuleRun {
            module: module.clone(),
            norms: match whole {
                true => whole_norms(&columns, place),
                false => pair_norms(&columns, place, modules.len()),
            },
            a: None,
            b: None,
        };
        Ok(modules.iter().enumerate().map(one).collect())
    }

    /// Files of vectors, or checkpoints in their place where a pair of rank 1 left none.
    fn run_vectors(&self, job: &JobId, modules: &[MeasuredModule]) -> Result<RunVectors, Stop> {
        let entries = self.ask(|storage| metrics::vector_files(storage, job, &ALL))?;
        if !entries.is_empty() {
            let files = entries.iter().map(|entry| self.file(entry));
            return Ok(RunVectors::Files(files.collect::<Result<_, _>>()?));
        }
        if !modules.iter().any(|module| module.rank == Some(1)) {
            return Ok(RunVectors::None);
        }
        let found = self.trained(job)?;
        let kept = found.checkpoints.iter().map(|one| {
            let name = format!("{job}:step{}", one.step);
            Ok((one.step, self.model_files(name, &one.files)?))
        });
        Ok(RunVectors::Checkpoints(kept.collect::<Result<_, Stop>>()?))
    }
}

/// The rows of some steps.
fn picked(columns: Columns, only: &[u64]) -> Columns {
    let steps = columns.steps.iter().enumerate();
    let places: Vec<usize> = steps
        .filter(|(_, step)| only.binary_search(step).is_ok())
        .map(|(place, _)| place)
        .collect();
    let values = columns.values.iter();
    Columns {
        steps: places.iter().map(|&place| columns.steps[place]).collect(),
        values: values
            .map(|column| places.iter().map(|&place| column[place]).collect())
            .collect(),
    }
}

fn metric_series(columns: Columns) -> MetricSeries {
    // in the order of STEP_SERIES: loss, learning rate, gradient norm
    let series = |place: usize| shown(&columns.values[place]);
    MetricSeries {
        loss: series(0),
        learning_rate: series(1),
        grad_norm: series(2),
        steps: columns.steps,
    }
}

/// Updates before the first one with the largest rate.
fn warmup_of(recorded: &MetricSeries) -> u64 {
    let rates = recorded.steps.iter().zip(&recorded.learning_rate);
    let mut first: Option<(u64, f64)> = None;
    for (step, rate) in rates {
        if let Some(rate) = rate
            && first.is_none_or(|(_, largest)| *rate > largest)
        {
            first = Some((*step, *rate));
        }
    }
    first.map_or(0, |(step, _)| step.saturating_sub(1))
}

/// In the order of [`crate::domain::series::NORM_SERIES`], each with one column a module.
fn pair_norms(columns: &Columns, place: usize, modules: usize) -> NormSeries {
    let series = |number: usize| shown(&columns.values[number * modules + place]);
    NormSeries {
        steps: columns.steps.clone(),
        a_norm: series(0),
        b_norm: series(1),
        ba_norm: series(2),
    }
}

/// What is trained whole has no pair; its change stands for BA.
fn whole_norms(columns: &Columns, place: usize) -> NormSeries {
    let none = vec![None; columns.steps.len()];
    NormSeries {
        steps: columns.steps.clone(),
        a_norm: none.clone(),
        b_norm: none,
        ba_norm: shown(&columns.values[place]),
    }
}
