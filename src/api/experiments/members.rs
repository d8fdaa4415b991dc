//! From planned jobs to jobs that can be inserted: what names a planned one gets its id, and what was done before is found.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::api::jobs::plan::job_beside;
use crate::domain::experiment::{ExperimentSpec, JobRole, Plan, PlannedJob};
use crate::domain::ids::JobId;
use crate::domain::job::{JobEnvelope, JobKind, JobSpec, JobState};
use crate::domain::requests::fit::{JobFacts, Jobs};
use crate::domain::requests::identity::JobIdentity;
use crate::domain::requests::job_request;
use crate::storage::experiments::{MemberJob, NewMember};
use crate::storage::jobs::{self, NewJob};

/// The members that `plan` asks for, and those fine-tunes among them that are not there yet; the analysis comes when all others have ended.
///
/// *Errors*: those of submitting each job, at the places of `spec`.
pub(super) async fn members(
    state: &ApiState,
    spec: &ExperimentSpec,
    plan: &Plan,
) -> Answer<(Vec<NewMember>, Jobs)> {
    let mut known = Known::default();
    let mut members = Vec::new();
    for planned in plan.jobs.iter().filter(|one| one.role != JobRole::Analyze) {
        members.push(known.member(state, spec, planned).await?);
    }
    Ok((members, known.facts))
}

/// What was planned so far.
#[derive(Default)]
struct Known {
    ids: BTreeMap<String, JobId>,
    /// Jobs that are not there yet, as those that need them see them.
    facts: Jobs,
    /// Work that this plan does twice is done once.
    by_hash: BTreeMap<String, JobId>,
}

impl Known {
    async fn member(
        &mut self,
        state: &ApiState,
        spec: &ExperimentSpec,
        planned: &PlannedJob,
    ) -> Answer<NewMember> {
        let placed = |problem: Problem| problem.placed(|pointer| planned.origin.place(pointer));
        let (_, job) = job_request(self.settled(&planned.body))
            .map_err(Problem::from)
            .map_err(placed)?;
        if let JobSpec::Evaluate(job) = &job {
            crate::api::judges::usable(state, "/judge", &job.judge).map_err(placed)?;
        }
        let envelope = JobEnvelope {
            name: Some(name(spec, planned)),
            priority: spec.priority,
            tags: spec.tags.clone(),
            ..JobEnvelope::default()
        };
        let new = job_beside(state, envelope, &job, &self.facts).await;
        let new = new.map_err(placed)?;
        let found = match self.by_hash.get(&new.hashes.spec) {
            Some(id) => Some(id.clone()),
            None => jobs::same_work(&state.storage, &new).await?,
        };
        Ok(self.noted(planned, &job, new, found))
    }

    fn noted(
        &mut self,
        planned: &PlannedJob,
        spec: &JobSpec,
        new: NewJob,
        found: Option<JobId>,
    ) -> NewMember {
        let job = match found {
            Some(id) => MemberJob::Existing(id),
            None => {
                self.facts.extend(facts(&new, spec));
                self.by_hash.insert(new.hashes.spec.clone(), new.id.clone());
                MemberJob::New(Box::new(new))
            }
        };
        self.ids.insert(planned.key.clone(), job.id().clone());
        NewMember {
            key: planned.key.clone(),
            role: planned.role,
            arm: planned.arm.clone(),
            seed: planned.seed,
            job,
        }
    }

    /// `body` with ids in place of the keys of planned jobs.
    fn settled(&self, body: &Value) -> Value {
        match body {
            Value::Object(fields) => match fields.get("planned").and_then(Value::as_str) {
                Some(key) if fields.len() == 1 => self
                    .ids
                    .get(key)
                    .map_or(Value::Null, |id| Value::from(id.as_str())),
                _ => fields
                    .iter()
                    .map(|(key, value)| (key.clone(), self.settled(value)))
                    .collect(),
            },
            Value::Array(items) => items.iter().map(|item| self.settled(item)).collect(),
            other => other.clone(),
        }
    }
}

/// A fine-tune that is not there yet as what needs it sees it.
fn facts(new: &NewJob, spec: &JobSpec) -> Option<(JobId, JobFacts)> {
    let JobSpec::Finetune(spec) = spec else {
        return None;
    };
    let planned = spec.early_stop.is_none();
    let facts = JobFacts {
        id: new.id.clone(),
        kind: JobKind::Finetune,
        state: JobState::Queued,
        identity: JobIdentity {
            numerics_hash: new.hashes.numerics.clone(),
            spec_hash: new.hashes.spec.clone(),
            salt: String::new(),
        },
        base_model: spec.base_model.clone(),
        method: Some(spec.method.clone()),
        keeps: planned.then(|| (spec.checkpoints.clone(), spec.length.clone())),
        steps: Vec::new(),
        stopped_early: None,
    };
    Some((new.id.clone(), facts))
}

/// What people read in lists of jobs.
fn name(spec: &ExperimentSpec, planned: &PlannedJob) -> String {
    let whole = format!("{}: {}", spec.name, planned.key);
    whole
        .chars()
        .take(crate::domain::requests::LONGEST_NAME)
        .collect()
}
