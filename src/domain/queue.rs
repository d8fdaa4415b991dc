//! The queue as the API shows it: who runs, who waits, in which order, why, and until when.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::ids::JobId;
use super::job::{JobKind, Priority};

/// The queue at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// The moment.
    #[serde(with = "time::serde::rfc3339")]
    pub now: OffsetDateTime,
    /// Jobs that run.
    pub running: Vec<RunningJob>,
    /// Jobs that could start, in the order in which they will, as far as they are shown.
    pub waiting: Vec<QueuedJob>,
    /// Queued jobs that are not shown: those that wait before another attempt, and those behind very many of their owner's own.
    pub not_shown: u64,
    /// Jobs whose parents have not succeeded yet.
    pub blocked: u64,
    /// What the order goes by.
    pub users: Vec<UserShare>,
}

/// What one user had of the devices, as the order counts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UserShare {
    /// The user.
    pub owner: String,
    /// Device seconds times the part of the device, halved with every half-life, running jobs included.
    pub used_seconds: f64,
    /// What he is entitled to beside others.
    pub weight: f64,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunningJob {
    /// The job.
    pub job: JobId,
    /// Who asked for it.
    pub owner: String,
    /// Its band.
    pub priority: Priority,
    /// Who runs it.
    pub worker: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Until when, at its pace or, before it has one, as long as its kind usually takes; null where neither is known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
    /// The part of the device that it is counted with.
    pub share: f64,
}

/// A job that waits for its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QueuedJob {
    /// From 1, the next.
    pub position: u64,
    /// The job; null for one that was only asked about.
    pub job: Option<JobId>,
    /// Its label.
    pub name: Option<String>,
    /// What it does.
    pub kind: Option<JobKind>,
    /// Who asked for it.
    pub owner: String,
    /// The band that it was sent with.
    pub priority: Priority,
    /// The band that it counts as after its wait.
    pub counts_as: Priority,
    /// Why it waits: `slots`, `share`, `priority` or `no_worker`.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// When it is expected to start; null where that cannot be told.
    #[serde(with = "time::serde::rfc3339::option")]
    pub start: Option<OffsetDateTime>,
    /// When it is expected to end.
    #[serde(with = "time::serde::rfc3339::option")]
    pub end: Option<OffsetDateTime>,
}
