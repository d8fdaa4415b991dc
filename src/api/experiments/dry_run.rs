//! What an experiment would be and take, before anything is queued.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::members::members;
use super::needs::{Needs, Reckoned};
use crate::api::ApiState;
use crate::api::error::Answer;
use crate::domain::experiment::{ExperimentArm, ExperimentSpec, JobRole, Plan, PlannedJob};
use crate::domain::ids::JobId;
use crate::domain::job::JobState;
use crate::storage::experiments::{MemberJob, NewMember};
use crate::storage::jobs;

/// A job that would be.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct DryJob {
    #[serde(flatten)]
    planned: PlannedJob,
    /// Whether the work is there already, or is another job's of this plan.
    reused: bool,
    /// The job that does the work, where there is one.
    job: Option<JobId>,
    /// Where that one is.
    state: Option<JobState>,
    #[serde(flatten)]
    needs: Needs,
}

/// Sums over the jobs that would be new.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(super) struct Totals {
    /// Jobs in all.
    jobs: u64,
    /// Jobs whose work is there already.
    reused: u64,
    /// Fine-tunes that would run.
    finetunes: u64,
    /// Evaluations that would run.
    evaluations: u64,
    /// *Units* hours of one device, of the jobs whose time is known.
    device_hours: f64,
    /// New jobs whose time is not known: nothing like them has run yet, or their base is not ready.
    untimed: u64,
    /// What the largest of them takes.
    memory_bytes: Option<u64>,
    /// Files of all new runs together.
    disk_bytes: u64,
    /// Answers that would be drawn.
    answers: u64,
    /// Questions to judges at most.
    judge_calls: u64,
}

/// A plan.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct DryRun {
    /// The body with defaults filled in.
    #[schema(value_type = Object)]
    spec: Value,
    /// Grids expanded, controls among them.
    arms: Vec<ExperimentArm>,
    /// Every job behind those that it needs.
    jobs: Vec<DryJob>,
    /// Sums.
    totals: Totals,
}

/// What `plan` would do.
///
/// *Errors*: as a submission.
pub(super) async fn of(state: &ApiState, spec: &ExperimentSpec, plan: &Plan) -> Answer<DryRun> {
    let (found, beside) = members(state, spec, plan).await?;
    let mut reckoned = Reckoned::new(&beside);
    let states = states(state, &found).await?;
    let new: BTreeSet<&JobId> = found.iter().filter_map(fresh).collect();
    let mut jobs = Vec::new();
    for planned in &plan.jobs {
        let member = found.iter().find(|one| one.key == planned.key);
        let id = member.map(|one| one.job.id());
        let there = id.filter(|id| !new.contains(id));
        let needs = match member.map(|one| &one.job) {
            Some(MemberJob::New(job)) => reckoned.needs(state, planned, job).await?,
            _ => Needs::default(),
        };
        jobs.push(DryJob {
            needs,
            planned: planned.clone(),
            reused: member.is_some_and(|one| matches!(one.job, MemberJob::Existing(_))),
            state: there
                .and_then(|id| states.iter().find(|(known, _)| known == id))
                .map(|(_, state)| *state),
            job: there.cloned(),
        });
    }
    Ok(DryRun {
        spec: serde_json::to_value(spec).unwrap_or(Value::Null),
        arms: plan.arms.clone(),
        totals: totals(&jobs),
        jobs,
    })
}

fn fresh(member: &NewMember) -> Option<&JobId> {
    matches!(member.job, MemberJob::New(_)).then(|| member.job.id())
}

async fn states(state: &ApiState, found: &[NewMember]) -> Answer<Vec<(JobId, JobState)>> {
    let ids = found.iter().filter(|one| fresh(one).is_none());
    let ids: Vec<&str> = ids.map(|one| one.job.id().as_str()).collect();
    let jobs = jobs::several(&state.storage, &ids).await?;
    Ok(jobs.into_iter().map(|job| (job.id, job.state)).collect())
}

fn totals(jobs: &[DryJob]) -> Totals {
    let new = |role: fn(JobRole) -> bool| {
        let jobs = jobs
            .iter()
            .filter(|job| !job.reused && role(job.planned.role));
        jobs.count() as u64
    };
    let fresh = jobs
        .iter()
        .filter(|job| !job.reused && job.planned.role != JobRole::Analyze);
    let fresh: Vec<&Needs> = fresh.map(|job| &job.needs).collect();
    let sum = |of: fn(&Needs) -> Option<u64>| fresh.iter().filter_map(|needs| of(needs)).sum();
    Totals {
        jobs: jobs.len() as u64,
        reused: jobs.iter().filter(|job| job.reused).count() as u64,
        finetunes: new(|role| role == JobRole::Train),
        evaluations: new(|role| matches!(role, JobRole::Evaluate | JobRole::EvaluateInDomain)),
        device_hours: fresh.iter().filter_map(|needs| needs.seconds).sum::<f64>() / 3600.0,
        untimed: fresh.iter().filter(|needs| needs.seconds.is_none()).count() as u64,
        memory_bytes: fresh.iter().filter_map(|needs| needs.memory_bytes).max(),
        disk_bytes: sum(|needs| needs.disk_bytes),
        answers: sum(|needs| needs.answers),
        judge_calls: sum(|needs| needs.judge_calls),
    }
}
