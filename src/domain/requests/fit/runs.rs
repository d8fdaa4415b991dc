//! Whether the runs of an analysis have what it is about: vectors on a grid that the gaps fit, and answers of their own checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{JobFacts, check_job, listed, missing};
use crate::domain::analyze::{AnalyzeSpec, AnalyzedRun, RunSteps};
use crate::domain::finetune::{Length, LoraMethod, Method};
use crate::domain::geometry::has_gap;
use crate::domain::ids::{EvaluationId, JobId};
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::job::JobState;

/// A fine-tune that an analysis names.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFacts {
    /// The job.
    pub job: JobFacts,
    /// Whether it has left files of vectors.
    pub vectors: bool,
    /// Whether a module that it has measured has rank 1.
    pub rank_one: bool,
    /// Every so manyth step has vectors, where a run with many keeps not all.
    pub every: u64,
}

/// An evaluation that an analysis names.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationFacts {
    /// Its id.
    pub id: EvaluationId,
    /// The job that fills it, and where it is.
    pub job: Option<(JobId, JobState)>,
    /// Whether somebody accepted that its judge failed on some answers.
    pub accepted: bool,
    /// What makes its scores the same as others.
    pub identity: Value,
    /// What its judge scores.
    pub metrics: Vec<String>,
    /// The fine-tunes among its targets.
    pub jobs: BTreeSet<JobId>,
}

/// What an analysis names, as it was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Analysed {
    /// Fine-tunes by id.
    pub runs: BTreeMap<JobId, RunFacts>,
    /// Evaluations by what the spec calls them.
    pub evaluations: BTreeMap<String, EvaluationFacts>,
}

/// Checks that every run is a fine-tune that has or will have what is computed of it, and every evaluation one of its checkpoints.
pub fn analysis(spec: &AnalyzeSpec, found: &Analysed) -> Checked<()> {
    let mut findings = Findings::default();
    for (index, run) in spec.runs.iter().enumerate() {
        let place = format!("/runs/{index}/job");
        match found.runs.get(&run.job) {
            Some(facts) => check_job(&mut findings, &place, &facts.job),
            None => findings.push(missing(
                &place,
                "job",
                run.job.as_str(),
                "/v1/jobs?kind=finetune",
            )),
        }
        for (key, reference) in [
            ("evaluation", &run.evaluation),
            ("in_domain", &run.in_domain),
        ] {
            let place = format!("/runs/{index}/{key}");
            for name in &reference.0 {
                match found.evaluations.get(name) {
                    Some(facts) => check_evaluation(&mut findings, &place, run, facts),
                    None => findings.push(missing(&place, "evaluation", name, "/v1/evaluations")),
                }
            }
        }
    }
    findings.finish()?;
    let mut findings = Findings::default();
    check_vectors(&mut findings, spec, found);
    findings.finish()
}

fn check_evaluation(
    findings: &mut Findings,
    place: &str,
    run: &AnalyzedRun,
    facts: &EvaluationFacts,
) {
    let id = &facts.id;
    let scores = |metric: &str| facts.metrics.iter().any(|one| one == metric);
    if !facts.jobs.contains(&run.job) {
        let detail = format!("{id} asked no checkpoint of {}", run.job);
        let hint = "name an evaluation with {\"job\":\"…\",\"steps\":\"all\"} of this run among its targets";
        findings.push(FieldError::at(place, detail).hint(hint));
    } else if !(scores("aligned") && scores("coherent")) {
        let detail = format!("{id} has no scores of aligned and coherent");
        let hint = "rates of misalignment need both; judge its answers again with them";
        findings.push(FieldError::at(place, detail).hint(hint));
    } else if let Some((job, state @ (JobState::Failed | JobState::Cancelled))) = &facts.job
        && !facts.accepted
    {
        let detail = format!("{job}, which fills {id}, is {}", state.name());
        let hint = format!(
            "POST /v1/jobs/{job}/retry, or accept what its judge failed on with POST /v1/evaluations/{id}/accept-errors"
        );
        findings.push(FieldError::at(place, detail).hint(hint));
    }
}

/// A run without vectors beside runs that have them is analysed by its norms; where none has, gaps are about nothing.
fn check_vectors(findings: &mut Findings, spec: &AnalyzeSpec, found: &Analysed) {
    if spec.settings.gaps.is_empty() {
        return;
    }
    let facts: Vec<&RunFacts> = spec
        .runs
        .iter()
        .filter_map(|run| found.runs.get(&run.job))
        .collect();
    if facts.iter().all(|run| run.has_vectors() == Some(false)) {
        for (index, run) in facts.iter().enumerate() {
            let detail = format!("{} has no vectors: {}", run.job.id, run.why_none());
            let hint = "\"settings\":{\"gaps\":[]} asks for norms and rates alone";
            findings.push(FieldError::at(format!("/runs/{index}/job"), detail).hint(hint));
        }
        return;
    }
    for (place, gap) in spec.settings.gaps.iter().enumerate() {
        let off = spec.runs.iter().find_map(|run| {
            let facts = found.runs.get(&run.job)?;
            let grid = facts.grid(run.steps)?;
            (!grid.has(*gap)).then_some((facts, grid))
        });
        if let Some((run, grid)) = off {
            let id = &run.job.id;
            let detail =
                format!("{gap}: no step of {id} has vectors {gap} steps before and behind it");
            let error = FieldError::at(format!("/settings/gaps/{place}"), detail);
            findings.push(error.hint(format!("its vectors are of {}", grid.told())));
        }
    }
}

/// The steps of which there are vectors.
enum Grid {
    /// The multiples of `every` up to the last step.
    Even { every: u64, last: u64 },
    /// These, ascending.
    Listed(Vec<u64>),
}

impl Grid {
    /// Whether some step has one `gap` before and one `gap` behind it.
    fn has(&self, gap: u64) -> bool {
        match self {
            Self::Even { every, last } => {
                gap.is_multiple_of(*every) && gap.saturating_mul(2) <= *last
            }
            Self::Listed(steps) => has_gap(steps, gap),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Even { every: 1, last } => format!("every step from 0 to {last}"),
            Self::Even { every, last } => format!("every {every}th step from 0 to {last}"),
            Self::Listed(steps) => format!("the steps {}", listed(steps)),
        }
    }
}

impl RunFacts {
    /// Whether there are vectors, or will be; none where only the run's end will tell.
    fn has_vectors(&self) -> Option<bool> {
        match &self.job.method {
            Some(Method::Lora(lora)) => Some(has_rank_one(lora)),
            Some(Method::Full(_) | Method::SteeringVector(_)) => Some(false),
            None if self.job.state != JobState::Succeeded => None,
            None => Some(self.vectors || self.rank_one),
        }
    }

    fn why_none(&self) -> String {
        match &self.job.method {
            Some(Method::Lora(lora)) => {
                format!(
                    "only pairs of rank 1 leave them, and its have rank {}",
                    lora.rank
                )
            }
            Some(other) => format!(
                "only pairs of rank 1 leave them, and its method is {}",
                other.name()
            ),
            None => "only pairs of rank 1 leave them, and it has none".into(),
        }
    }

    /// Where its vectors are; none where it has none, or where that depends on its data.
    fn grid(&self, wanted: RunSteps) -> Option<Grid> {
        let job = &self.job;
        if self.has_vectors() != Some(true) {
            return None;
        }
        let done = job.state == JobState::Succeeded;
        if done && (job.method.is_none() || !self.vectors || wanted == RunSteps::Checkpoints) {
            return Some(Grid::Listed(job.steps.clone()));
        }
        let planned = job.keeps.as_ref();
        let planned = planned.and_then(|(kept, Length { steps, .. })| Some((kept, (*steps)?)));
        match (planned, wanted) {
            (Some((kept, total)), RunSteps::Checkpoints) if !done => {
                let steps = (1..=total).filter(|step| kept.stays(*step, total));
                Some(Grid::Listed(steps.collect()))
            }
            (planned, _) => {
                let last = match done {
                    true => job.steps.last().copied(),
                    false => planned.map(|(_, total)| total),
                };
                let every = self.every.max(1);
                last.map(|last| Grid::Even { every, last })
            }
        }
    }
}

fn has_rank_one(lora: &LoraMethod) -> bool {
    lora.rank == 1 || lora.rank_pattern.values().any(|rank| *rank == 1)
}
