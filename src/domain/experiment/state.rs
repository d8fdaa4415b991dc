//! An experiment as the API shows it, and how the states of its jobs become its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{JobRole, Role};
use crate::domain::ids::{EvaluationId, ExperimentId, JobId};
use crate::domain::job::{JobError, JobKind, JobState, Phase, Priority, Progress};

/// Where an experiment is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    /// Nothing has begun.
    Queued,
    /// Something has, or what remains waits.
    Running,
    /// It was asked to stand still, and something has not stopped yet.
    Pausing,
    /// What is not done stands still.
    Paused,
    /// It was cancelled, and something has not ended yet.
    Cancelling,
    /// Every job succeeded.
    Succeeded,
    /// Some jobs succeeded; the others failed or were cancelled.
    Partial,
    /// No job succeeded.
    Failed,
    /// Its owner ended it.
    Cancelled,
}

impl ExperimentState {
    /// Whether nothing will change it but a retry or a new arm.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled
        )
    }

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What the state of an experiment is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Jobs by state.
    pub counts: BTreeMap<JobState, u64>,
    /// Whether an analysis will be asked for once these have ended.
    pub awaits_analysis: bool,
    /// Whether its owner cancelled it.
    pub cancelled: bool,
    /// Whether its owner wants it to stand still.
    pub paused: bool,
}

impl Members {
    fn count(&self, states: &[JobState]) -> u64 {
        let counts = states.iter().filter_map(|state| self.counts.get(state));
        counts.sum()
    }

    /// Jobs in all.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Jobs that have ended.
    pub fn done(&self) -> u64 {
        let ended = self.counts.iter().filter(|(state, _)| state.is_final());
        ended.map(|(_, count)| count).sum()
    }

    /// The state of the whole.
    pub fn state(&self) -> ExperimentState {
        use JobState::{Blocked, Cancelled, Failed, Paused, Queued, Running, Succeeded};
        let moving = self.count(&[Running, JobState::Pausing, JobState::Cancelling]) > 0;
        let waiting = self.count(&[Queued, Blocked]) > 0;
        let still = self.count(&[Paused]) > 0;
        let succeeded = self.count(&[Succeeded]);
        let lost = self.count(&[Failed, Cancelled]);
        match () {
            () if moving && self.cancelled => ExperimentState::Cancelling,
            () if moving && self.paused => ExperimentState::Pausing,
            () if moving => ExperimentState::Running,
            () if still && (self.paused || self.count(&[Queued]) == 0) => ExperimentState::Paused,
            () if (waiting || still) && succeeded + lost == 0 => ExperimentState::Queued,
            () if waiting || still => ExperimentState::Running,
            () if self.cancelled && lost > 0 => ExperimentState::Cancelled,
            () if succeeded == 0 => ExperimentState::Failed,
            () if self.awaits_analysis => ExperimentState::Running,
            () if lost == 0 => ExperimentState::Succeeded,
            () => ExperimentState::Partial,
        }
    }
}

/// An experiment as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Experiment {
    /// Its id.
    pub id: ExperimentId,
    /// What people call it.
    pub name: String,
    /// Who submitted it.
    pub owner: String,
    /// Where it is.
    pub state: ExperimentState,
    /// Jobs by state.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    pub counts: BTreeMap<JobState, u64>,
    /// Jobs that have ended.
    pub done: u64,
    /// Jobs in all, the analysis among them once it is asked for.
    pub total: u64,
    /// Jobs that were there before the experiment was.
    pub reused: u64,
    /// The preset that it began as.
    pub preset: Option<String>,
    /// Arms as planned: grids expanded, controls among them.
    pub arms: Vec<ExperimentArm>,
    /// What became of its analysis; null where none is asked for.
    pub analysis: Option<ExperimentAnalysis>,
    /// Band of every job.
    pub priority: Priority,
    /// The owner's labels.
    pub tags: BTreeMap<String, String>,
    /// The posted body with defaults filled in; may be posted again.
    pub spec: Value,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the last of its jobs ended; null while it has not ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// A planned arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentArm {
    /// Its name, such as `bad/method.rank=8/good-twin`.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Id or name of its base.
    pub base_model: String,
    /// Names of its datasets; none of a base alone.
    pub datasets: Vec<String>,
    /// Its seeds; none of a base alone.
    pub seeds: Vec<u64>,
}

/// What became of an experiment's analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentAnalysis {
    /// The `analyze` job; null until all others have ended.
    pub job: Option<JobId>,
    /// State of that job.
    pub state: Option<JobState>,
    /// What it left behind, an `an_…`.
    pub analysis: Option<String>,
    /// Why it could not be asked for.
    pub problem: Option<String>,
}

/// One job of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentJob {
    /// Place in the plan, such as `train/bad/0`.
    pub key: String,
    /// What it does for the experiment.
    pub role: JobRole,
    /// The arm; null of the analysis.
    pub arm: Option<String>,
    /// The training seed; null of a base alone and of the analysis.
    pub seed: Option<u64>,
    /// The job.
    pub job: JobId,
    /// Its kind.
    pub kind: JobKind,
    /// Its name.
    pub name: Option<String>,
    /// Whether it was there before the experiment was.
    pub reused: bool,
    /// Where it is.
    pub state: JobState,
    /// What its attempt is at; null while none runs.
    pub phase: Option<Phase>,
    /// How far its attempt is.
    pub progress: Option<Progress>,
    /// Why it ended badly.
    pub error: Option<JobError>,
    /// Jobs that must succeed first.
    pub parents: Vec<JobId>,
    /// The evaluation that it fills.
    pub evaluation: Option<EvaluationId>,
    /// The analysis that it leaves behind.
    pub analysis: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(counts: &[(JobState, u64)]) -> Members {
        Members {
            counts: counts.iter().copied().collect(),
            ..Members::default()
        }
    }

    #[test]
    fn the_states_of_jobs_become_one() {
        use ExperimentState as Of;
        use JobState::*;
        for (counts, expected) in [
            (vec![(Queued, 2), (Blocked, 3)], Of::Queued),
            (vec![(Running, 1), (Blocked, 3)], Of::Running),
            (vec![(Succeeded, 1), (Queued, 1)], Of::Running),
            (vec![(Failed, 1), (Queued, 1)], Of::Running),
            (vec![(Paused, 1), (Blocked, 2)], Of::Paused),
            (vec![(Succeeded, 4)], Of::Succeeded),
            (
                vec![(Succeeded, 4), (Failed, 1), (Cancelled, 1)],
                Of::Partial,
            ),
            (vec![(Failed, 1), (Cancelled, 1)], Of::Failed),
        ] {
            assert_eq!(members(&counts).state(), expected, "{counts:?}");
        }
    }

    #[test]
    fn an_owners_wish_shows_and_an_analysis_that_is_to_come_keeps_the_whole_from_its_end() {
        use JobState::*;
        let of = |counts: &[_], change: fn(&mut Members)| {
            let mut members = members(counts);
            change(&mut members);
            members.state()
        };
        let awaits = of(&[(Succeeded, 3), (Failed, 1)], |it| {
            it.awaits_analysis = true
        });
        assert_eq!(awaits, ExperimentState::Running);
        let ended = of(&[(Succeeded, 1), (Cancelled, 1)], |it| it.cancelled = true);
        assert_eq!(ended, ExperimentState::Cancelled);
        let ending = of(&[(JobState::Cancelling, 1)], |it| it.cancelled = true);
        assert_eq!(ending, ExperimentState::Cancelling);
        let stopping = of(&[(Running, 1), (Paused, 1)], |it| it.paused = true);
        assert_eq!(stopping, ExperimentState::Pausing);
        let done = of(&[(Succeeded, 2)], |it| it.cancelled = true);
        assert_eq!(done, ExperimentState::Succeeded);
    }
}
