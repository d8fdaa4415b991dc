//! From the spec of an analysis to a job: whose runs and scores they are, what it waits for, what makes it the same as another.

use std::collections::BTreeSet;

use serde_json::Value;
use uuid::Uuid;

use super::Plan;
use crate::api::error::{Answer, Problem};
use crate::domain::analyze::{AnalyzeSpec, AnalyzedRun, Evaluations};
use crate::domain::ids::{AnalysisId, JobId};
use crate::domain::job::JobState;
use crate::domain::requests::fit::{self, Analysed, EvaluationFacts};
use crate::domain::requests::identity::{self, RunIdentity};
use crate::storage::Storage;
use crate::storage::jobs::{self, NewAnalysis};

/// Puts the evaluations' ids in place of whatever the spec calls them; what is not there stays.
pub async fn settle(storage: &Storage, spec: &mut AnalyzeSpec) -> Answer<()> {
    let found = found(storage, spec).await?;
    for run in &mut spec.runs {
        let both = [&mut run.evaluation, &mut run.in_domain];
        for name in both.into_iter().flat_map(|one| &mut one.0) {
            if let Some(facts) = found.evaluations.get(name) {
                *name = facts.id.to_string();
            }
        }
    }
    Ok(())
}

async fn found(storage: &Storage, spec: &AnalyzeSpec) -> Answer<Analysed> {
    let jobs: BTreeSet<&JobId> = spec.runs.iter().map(|run| &run.job).collect();
    let jobs: Vec<JobId> = jobs.into_iter().cloned().collect();
    let names: BTreeSet<&String> = spec.runs.iter().flat_map(named).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    Ok(jobs::analysed(storage, &jobs, &names).await?)
}

fn named(run: &AnalyzedRun) -> impl Iterator<Item = &String> {
    let both = [&run.evaluation, &run.in_domain];
    both.into_iter().flat_map(|one| &one.0)
}

/// What the analysis needs and is.
///
/// *Errors*: 422 where a run or an evaluation is not there, or does not have what is to be computed of it.
pub(super) async fn plan(storage: &Storage, spec: &AnalyzeSpec) -> Answer<Plan> {
    let found = found(storage, spec).await?;
    fit::analysis(spec, &found)?;
    let identities: Answer<Vec<RunIdentity>> =
        spec.runs.iter().map(|run| identity(run, &found)).collect();
    Ok(Plan {
        hashes: identity::of_analysis(spec, &identities?),
        parents: parents(spec, &found),
        evaluation: None,
        analysis: Some(NewAnalysis {
            id: AnalysisId::from_uuid(Uuid::now_v7()),
            settings: spec.settings.clone(),
        }),
    })
}

fn identity(run: &AnalyzedRun, found: &Analysed) -> Answer<RunIdentity> {
    let facts = found.runs.get(&run.job);
    let facts = facts.ok_or_else(|| Problem::internal("a run went missing"))?;
    let scores = |names: &Evaluations| -> Vec<Value> {
        let facts = names
            .0
            .iter()
            .filter_map(|name| found.evaluations.get(name));
        facts.map(|facts| facts.identity.clone()).collect()
    };
    Ok(RunIdentity {
        job: facts.job.identity.clone(),
        evaluation: scores(&run.evaluation),
        in_domain: scores(&run.in_domain),
    })
}

/// Every job named, but those that ended badly and whose scores somebody accepted as they are.
fn parents(spec: &AnalyzeSpec, found: &Analysed) -> Vec<JobId> {
    let fills = |name: &String| {
        let facts: &EvaluationFacts = found.evaluations.get(name)?;
        let (job, state) = facts.job.as_ref()?;
        let ended = matches!(state, JobState::Failed | JobState::Cancelled);
        (!ended).then(|| job.clone())
    };
    let runs = spec.runs.iter().map(|run| run.job.clone());
    let evaluations = spec.runs.iter().flat_map(named).filter_map(fills);
    let all: BTreeSet<JobId> = runs.chain(evaluations).collect();
    all.into_iter().collect()
}
