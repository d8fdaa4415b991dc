//! A job: an immutable spec, a state, an owner. Knows which states exist, not how they change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::analyze::AnalyzeSpec;
use super::early_stop::StoppedEarly;
use super::evaluation::{EvaluateSpec, RejudgeSpec};
use super::finetune::{FinetuneSpec, PreparedRows};
use super::ids::{AnalysisId, BaseModelId, CheckpointId, EvaluationId, JobId};
use super::published_run::ImportSpec;

/// What a job does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Makes a base model ready.
    Register,
    /// Trains.
    Finetune,
    /// Asks and scores.
    Evaluate,
    /// Computes geometry and transitions of finished runs.
    Analyze,
}

impl JobKind {
    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Finetune => "finetune",
            Self::Evaluate => "evaluate",
            Self::Analyze => "analyze",
        }
    }
}

/// Where a job is.
///
/// `blocked` and `queued` are set at submission and, when the last parent succeeds, by the queue; `running` by a claim;
/// `cancelling` by a user while an attempt runs; the last three by the attempt's end, a sweep or a cancel and are final, but
/// that a retry reopens the last two. `pausing` is set by a user while an attempt runs; `paused` by a user while none does,
/// by the attempt that has kept its state, or by one that cannot go on before somebody has done something.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// A parent has not succeeded.
    Blocked,
    /// Waits for a slot.
    Queued,
    /// An attempt holds a lease on it.
    Running,
    /// An attempt was asked to stop and keep its state.
    Pausing,
    /// Stopped with its state kept.
    Paused,
    /// An attempt was asked to end.
    Cancelling,
    /// Done.
    Succeeded,
    /// Ended by an error.
    Failed,
    /// Ended by a user or by a parent.
    Cancelled,
}

impl JobState {
    /// Whether nothing will change it but a retry.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Bands of the queue, first to last.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    High,
    /// As usual.
    #[default]
    Normal,
    /// When nothing else waits.
    Low,
}

/// What happens when the same work exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dedup {
    /// Answer with the job that exists.
    #[default]
    Reuse,
    /// Refuse.
    Error,
    /// Do it again.
    Force,
}

/// What an attempt is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Weights are read.
    Load,
    /// Text becomes tokens.
    Tokenize,
    /// Steps are made.
    Train,
    /// Answers are drawn.
    Generate,
    /// Answers are scored.
    Judge,
    /// Files are written.
    Save,
    /// Recorded numbers are put together.
    Analyze,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// What is counted: `step`, `answer`, `file`.
    pub unit: String,
    /// Estimated end.
    #[serde(with = "time::serde::rfc3339::option")]
    pub eta: Option<OffsetDateTime>,
}

/// Why a job does not run now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// `dependency`, `slots`, `share`, `priority`, `backoff`, `no_worker`, or of a paused job: `requested`, `disk_full` or `numerics`.
    pub reason: String,
    /// In words: which parents, how many jobs before it, what to do.
    pub detail: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Until when, where that can be told.
    #[serde(with = "time::serde::rfc3339::option")]
    pub eta: Option<OffsetDateTime>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The spec does not fit the model.
    Config,
    /// A file is not what it should be.
    Data,
    /// Memory ran out.
    Oom,
    /// The device failed.
    Device,
    /// The judge failed.
    Judge,
    /// The attempt's worker vanished.
    WorkerLost,
    /// A limit of time was passed.
    Timeout,
    /// A loss or gradient was not finite.
    NonFinite,
    /// A fault of the server.
    Internal,
}

/// Why a job ended badly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    /// Kind.
    pub class: ErrorClass,
    /// Stable code, such as `loss_not_finite`.
    pub code: String,
    /// In words, for the owner.
    pub message: String,
    /// Whether a retry could end otherwise.
    pub retryable: bool,
    /// The attempt that met it.
    pub attempt: u32,
}

/// A checkpoint in a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckpointRef {
    /// Its id.
    pub id: CheckpointId,
    /// Updates made.
    pub step: u64,
}

/// What a job left behind; fields of other kinds are null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct JobResult {
    /// Kept checkpoints of a fine-tune, by step.
    pub checkpoints: Vec<CheckpointRef>,
    /// The last of them.
    pub r#final: Option<CheckpointId>,
    /// The model that a register job made ready.
    pub base_model: Option<BaseModelId>,
    /// The evaluation that an evaluate job fills; set as soon as the job exists.
    pub evaluation: Option<EvaluationId>,
    /// The analysis that an analyze job fills; set as soon as the job exists.
    pub analysis: Option<AnalysisId>,
    /// Whether it went on under another fingerprint than it began with, so that an uninterrupted run has other bits.
    pub numerics_changed: bool,
    /// That a fine-tune ended before the last step it was planned for, and why.
    pub stopped_early: Option<StoppedEarly>,
    /// What became of the rows of a fine-tune's datasets, those of the KL term last.
    pub datasets: Vec<PreparedRows>,
}

/// A job as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The owner's name for it.
    pub name: Option<String>,
    /// Where it is.
    pub state: JobState,
    /// What its attempt is at; null while none runs.
    pub phase: Option<Phase>,
    /// How far its attempt is.
    pub progress: Option<Progress>,
    /// Why it does not run now.
    pub waiting: Option<Waiting>,
    /// Why it ended badly.
    pub error: Option<JobError>,
    /// Number of executions so far.
    pub attempt: u32,
    /// Who submitted it.
    pub owner: String,
    /// Band.
    pub priority: Priority,
    /// The owner's labels.
    pub tags: BTreeMap<String, String>,
    /// The posted body with defaults filled in, without name, tags, priority and dedup.
    pub spec: Value,
    /// Hash of all that changes numbers or asks for outputs.
    pub spec_hash: String,
    /// Hash of all that changes numbers.
    pub numerics_hash: String,
    /// Jobs that must succeed first.
    pub parents: Vec<JobId>,
    /// Whether this answer names a job that existed before the request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deduplicated: bool,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// First claim.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// End.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// What it left behind.
    pub result: JobResult,
}

/// One execution of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Ordinal, from 1.
    pub attempt: u32,
    /// Who ran it.
    pub worker: String,
    /// The lease it held.
    pub lease_number: i64,
    /// Claim.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// End; null while it runs.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// `succeeded`, `failed`, `cancelled`, `drained`, `paused` or `lost`; null while it runs.
    pub outcome: Option<String>,
    /// What went wrong.
    pub error: Option<JobError>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Order over all jobs; SSE's id.
    pub id: i64,
    /// The job.
    pub job: JobId,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Such as `queued`, `claimed`, `phase`, `checkpoint`, `succeeded`.
    pub r#type: String,
    /// More about it.
    pub data: Value,
}

/// What a job is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    /// Make a base model ready.
    Register(RegisterSpec),
    /// Train.
    Finetune(Box<FinetuneSpec>),
    /// A fine-tune whose steps were made elsewhere.
    #[serde(rename = "finetune")]
    Imported(Box<ImportSpec>),
    /// Ask and score.
    Evaluate(Box<EvaluateSpec>),
    /// Score what was asked before.
    #[serde(rename = "evaluate")]
    Rejudge(Box<RejudgeSpec>),
    /// Compute geometry and transitions of finished runs.
    Analyze(Box<AnalyzeSpec>),
}

impl JobSpec {
    /// Its kind.
    pub fn kind(&self) -> JobKind {
        match self {
            Self::Register(_) => JobKind::Register,
            Self::Finetune(_) | Self::Imported(_) => JobKind::Finetune,
            Self::Evaluate(_) | Self::Rejudge(_) => JobKind::Evaluate,
            Self::Analyze(_) => JobKind::Analyze,
        }
    }
}

/// A registration; made by posting a base model, never posted itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterSpec {
    /// The model to make ready.
    pub base_model: BaseModelId,
    /// What it is made from, as posted.
    #[schema(value_type = Object)]
    pub source: Value,
}

/// What comes with a spec but changes no number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobEnvelope {
    /// The owner's name for it.
    pub name: Option<String>,
    /// Band.
    pub priority: Priority,
    /// What happens when the same work exists.
    pub dedup: Dedup,
    /// The owner's labels.
    pub tags: BTreeMap<String, String>,
}
