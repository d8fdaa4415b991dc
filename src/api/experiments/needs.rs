//! What the planned jobs of an experiment would take, each as `/v1/jobs/estimate` tells it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::api::jobs::estimate::{evaluation, finetune};
use crate::domain::experiment::PlannedJob;
use crate::domain::forecast::estimate::Assume;
use crate::domain::job::JobSpec;
use crate::domain::requests::fit::Jobs;
use crate::domain::requests::read_stored;
use crate::storage::jobs::NewJob;

/// What a job takes; null is not known or does not apply.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct Needs {
    /// *Units* seconds on one device.
    pub(super) seconds: Option<f64>,
    /// At its largest.
    pub(super) memory_bytes: Option<u64>,
    /// Files on the server's disk when it has most of them.
    pub(super) disk_bytes: Option<u64>,
    /// Answers of an evaluation.
    pub(super) answers: Option<u64>,
    /// Questions to its judge at most.
    pub(super) judge_calls: Option<u64>,
}

/// Needs by arm: seeds differ in nothing that counts here.
pub(super) struct Reckoned<'a> {
    planned: &'a Jobs,
    known: BTreeMap<String, Needs>,
}

impl<'a> Reckoned<'a> {
    /// Nothing so far; fine-tunes that are not there yet are `planned`.
    pub(super) fn new(planned: &'a Jobs) -> Self {
        Self {
            planned,
            known: BTreeMap::new(),
        }
    }

    /// What `job` takes.
    ///
    /// *Errors*: storage's; a base that is not ready yet only leaves its needs unknown.
    pub(super) async fn needs(
        &mut self,
        state: &ApiState,
        planned: &PlannedJob,
        job: &NewJob,
    ) -> Answer<Needs> {
        let arm = planned.arm.as_deref().unwrap_or_default();
        let tail = planned
            .key
            .rsplit_once("/added-")
            .map_or("", |(_, tail)| tail);
        let kind = format!("{} {arm} {tail}", planned.role.name());
        if let Some(known) = self.known.get(&kind) {
            return Ok(known.clone());
        }
        let needs = match self.reckon(state, job).await {
            Ok(needs) => needs,
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(_) => Needs::default(),
        };
        self.known.insert(kind, needs.clone());
        Ok(needs)
    }

    async fn reckon(&self, state: &ApiState, job: &NewJob) -> Answer<Needs> {
        let assume = Assume::default();
        match read_stored(job.spec.clone()).map_err(Problem::internal)? {
            JobSpec::Finetune(spec) => {
                let found = finetune(state, &spec, &assume).await?;
                Ok(Needs {
                    seconds: Some(found.time.seconds),
                    memory_bytes: Some(found.memory.bytes),
                    disk_bytes: Some(found.disk.total_bytes),
                    ..Needs::default()
                })
            }
            JobSpec::Evaluate(spec) => {
                let found = evaluation::estimate(state, &spec, &assume, self.planned).await?;
                Ok(Needs {
                    seconds: found.time.map(|time| time.seconds),
                    memory_bytes: Some(found.memory.bytes),
                    disk_bytes: None,
                    answers: Some(found.answers),
                    judge_calls: Some(found.judge.calls),
                })
            }
            _ => Ok(Needs::default()),
        }
    }
}
