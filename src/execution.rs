//! The seam between the queue and the work: what a recipe is given, what it may say, how it is stopped.
//!
//! Everything here is plain values and blocking calls, so that recipes stay straight loops and a worker could one day
//! live in a process of its own. Knows no SQL, no tensor, no HTTP.

pub mod converse;
pub mod devices;
pub mod fetch;
pub mod files;
pub mod folder;
pub mod inspect;
pub mod judge;
pub mod lanes;
pub mod ledger;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::domain::adapter::Provenance;
use crate::domain::analysis::{Analysis, AnalysisSettings, RunData};
use crate::domain::assets::{FileEntry, ModelFacts, WeightsKind};
use crate::domain::evaluation::{Completion, EvaluateSpec, Target};
use crate::domain::finetune::FinetuneSpec;
use crate::domain::ids::{AnalysisId, BaseModelId, CheckpointId, EvaluationId, JobId};
use crate::domain::job::{ErrorClass, JobResult, Phase};
use crate::domain::judging::{AnswerKey, Judgement, Rubric};
use crate::domain::local_judge::LocalJudge;
use crate::domain::metric::{ChangePoint, MeasuredModule, NormPoint, StepPoint};
use crate::domain::published_run::OnBroken;
use crate::domain::question_set::Question;
use fetch::{FetchedFile, Wanted};

/// One claimed job with everything it refers to resolved to files.
#[derive(Debug, Clone)]
pub struct Task {
    /// The job.
    pub job: JobId,
    /// Ordinal of this execution, from 1.
    pub attempt: u32,
    /// What to do.
    pub work: Work,
}

/// What to do, by kind.
#[derive(Debug, Clone)]
pub enum Work {
    /// Make a base model ready.
    Register(RegisterWork),
    /// Train.
    Finetune(Box<FinetuneWork>),
    /// Read a run that was made elsewhere.
    Import(Box<ImportWork>),
    /// Ask and score.
    Evaluate(Box<EvaluateWork>),
    /// Score what was asked before.
    Rejudge(Box<RejudgeWork>),
    /// Compute geometry and transitions of finished runs.
    Analyze(Box<AnalyzeWork>),
}

/// Where a model's files lie.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFiles {
    /// Content identity, equal for equal files; the key of the resident weights.
    pub identity: String,
    /// Shown name.
    pub name: String,
    /// Name inside the model → file on disk.
    pub files: Vec<LocalFile>,
}

/// A file of an asset on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFile {
    /// Name, length and hash.
    pub entry: FileEntry,
    /// Where its bytes are; the file's own name means nothing.
    pub path: PathBuf,
}

/// A registration.
#[derive(Debug, Clone)]
pub struct RegisterWork {
    /// The model to make ready.
    pub base_model: BaseModelId,
    /// What it is made from.
    pub source: RegisterSource,
}

/// What a base model is made from.
#[derive(Debug, Clone)]
pub enum RegisterSource {
    /// The files of a folder in the Hugging Face layout, each checked to lie under an allowed root.
    Folder(Vec<FetchedFile>),
    /// A model on a hub.
    Hub(Wanted),
    /// Nothing but a config and a seed.
    Random(Box<RandomSource>),
    /// The output of a full fine-tune, complete with config and tokenizer.
    Checkpoint(ModelFiles),
}

/// A model from nothing.
#[derive(Debug, Clone)]
pub struct RandomSource {
    /// The text of config.json.
    pub config: serde_json::Value,
    /// The text of tokenizer.json.
    pub tokenizer: serde_json::Value,
    /// The text of tokenizer_config.json.
    pub tokenizer_config: serde_json::Value,
    /// Standard deviation of the initial weights.
    pub std: f64,
    /// Whether o_proj and down_proj are divided by √(2·layers).
    pub scale_residual: bool,
    /// Key of the draws.
    pub seed: u64,
}

/// A fine-tune.
#[derive(Debug, Clone)]
pub struct FinetuneWork {
    /// What was asked.
    pub spec: FinetuneSpec,
    /// The base.
    pub base: ModelFiles,
    /// One entry for each of `spec.datasets`, in their order.
    pub datasets: Vec<DatasetFile>,
    /// The dataset of `loss.kl`.
    pub kl: Option<DatasetFile>,
    /// The files of `method.init_adapter`.
    pub start: Option<ModelFiles>,
    /// What the kept files say of their origin.
    pub provenance: Provenance,
}

/// The import of a published run.
#[derive(Debug, Clone)]
pub struct ImportWork {
    /// What happens when a checkpoint cannot be read.
    pub on_broken: OnBroken,
    /// Where its files are.
    pub source: RunSource,
    /// The base's files where it is ready, so that the shapes can be held against it.
    pub base: Option<ModelFiles>,
}

/// Where the files of a run are.
#[derive(Debug, Clone)]
pub enum RunSource {
    /// In a folder, each checked to lie under an allowed root.
    Folder(Vec<FetchedFile>),
    /// In a repository of a hub.
    Hub(Wanted),
}

/// A dataset's bytes.
#[derive(Debug, Clone)]
pub struct DatasetFile {
    /// The file.
    pub file: LocalFile,
    /// Form of its rows.
    pub format: crate::domain::assets::DatasetFormat,
}

/// An evaluation.
#[derive(Debug, Clone)]
pub struct EvaluateWork {
    /// What was asked.
    pub spec: EvaluateSpec,
    /// Where answers are recorded.
    pub evaluation: EvaluationId,
    /// The base of every target.
    pub base: ModelFiles,
    /// What is asked; the order of the answers.
    pub targets: Vec<TargetWork>,
    /// The selected questions.
    pub questions: Vec<Question>,
    /// How answers are scored.
    pub judging: JudgingWork,
}

/// Recorded answers under another judge.
#[derive(Debug, Clone)]
pub struct RejudgeWork {
    /// Where verdicts are recorded.
    pub evaluation: EvaluationId,
    /// Everything that was asked.
    pub questions: Vec<Question>,
    /// Answers in all.
    pub answers: u64,
    /// How they are scored.
    pub judging: JudgingWork,
}

/// An analysis.
#[derive(Debug, Clone)]
pub struct AnalyzeWork {
    /// Where the numbers are recorded.
    pub analysis: AnalysisId,
    /// What is computed, and how.
    pub settings: AnalysisSettings,
    /// What it is computed of, in the order of the spec.
    pub runs: Vec<RunInputs>,
}

/// One run of an analysis.
#[derive(Debug, Clone)]
pub struct RunInputs {
    /// How messages call it.
    pub job: JobId,
    /// Its recorded numbers; the modules have no vectors yet.
    pub data: RunData,
    /// Where its vectors are.
    pub vectors: RunVectors,
    /// The only steps that geometry looks at, ascending; all where absent.
    pub only: Option<Vec<u64>>,
}

/// Where the vectors of a run's pairs of rank 1 are.
#[derive(Debug, Clone)]
pub enum RunVectors {
    /// It has no such pair.
    None,
    /// In files of consecutive steps each, ascending, see [`crate::domain::vectors`].
    Files(Vec<LocalFile>),
    /// In its checkpoints alone, ascending.
    Checkpoints(Vec<(u64, ModelFiles)>),
}

/// How answers are scored.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgingWork {
    /// Who scores.
    pub judge: JudgeWork,
    /// By which name.
    pub name: String,
    /// On what.
    pub metrics: Vec<String>,
    /// Prompts by question, one for each metric in their order; empty for a judge that needs none.
    pub rubrics: BTreeMap<String, Vec<Rubric>>,
}

/// Who scores answers.
#[derive(Debug, Clone, PartialEq)]
pub enum JudgeWork {
    /// The toy world's grader.
    Toy,
    /// A configured endpoint.
    Endpoint {
        /// Its name.
        name: String,
    },
    /// A base model in this process.
    Local(Box<LocalJudgeWork>),
}

/// A base model that judges.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalJudgeWork {
    /// The model.
    pub model: ModelFiles,
    /// How it is asked and read.
    pub settings: LocalJudge,
}

/// One target with its weights.
#[derive(Debug, Clone)]
pub struct TargetWork {
    /// How it is called in answers.
    pub target: Target,
    /// What is put on the base; none for the base itself.
    pub weights: Option<(WeightsKind, ModelFiles)>,
}

/// Settings of the machine that recipes obey.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `cpu` or `cuda:0`.
    pub device: String,
    /// Intra-op threads of every attempt.
    pub threads_per_attempt: u32,
    /// Rows of a decode call.
    pub decode_slots: u32,
}

/// Files by hash, with blocking calls.
pub trait Blobs: Send + Sync {
    /// Takes a finished file into the store: hashed, synced, renamed under its hash. The file at `path` is gone after it.
    fn keep(&self, name: &str, path: &std::path::Path) -> std::io::Result<LocalFile>;
    /// Where the bytes of `entry` lie, after their hash was checked.
    fn verified(&self, entry: &FileEntry) -> std::io::Result<LocalFile>;
    /// An empty folder for unfinished files, on the store's own file system.
    fn scratch(&self) -> std::io::Result<PathBuf>;
    /// What the disk has left; none where the store does not know.
    fn room(&self) -> Option<Room> {
        None
    }
    /// Makes a file that lies elsewhere findable under its hash, without a copy where the store can do so; it stays where it is.
    ///
    /// The hash is computed unless the caller has just done so and `known` is it; `seen` hears of the bytes of every piece
    /// and may end it with an error.
    fn refer(
        &self,
        name: &str,
        path: &std::path::Path,
        known: Option<&str>,
        seen: &mut dyn FnMut(u64) -> std::io::Result<()>,
    ) -> std::io::Result<LocalFile> {
        let _ = known;
        let copy = self.scratch()?.join("copy");
        let bytes = std::fs::copy(path, &copy)?;
        seen(bytes)?;
        self.keep(name, &copy)
    }
}

/// Why a recipe must end now although nothing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// A user cancelled the job.
    Cancelled,
    /// A user wants it to stand still: save the state, then return.
    Paused,
    /// The server stops: save the state, then return.
    Draining,
    /// The lease is another's: nothing may be written any more.
    LeaseLost,
}

impl Interrupted {
    /// Whether what was done so far is to be kept before the recipe returns.
    pub fn keeps_state(self) -> bool {
        matches!(self, Self::Paused | Self::Draining)
    }
}

/// Why a job cannot go on before somebody has done something; it is paused and nothing that it kept is lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Hold {
    /// Stable code, such as `disk_full`.
    pub reason: &'static str,
    /// In words, for the owner: what is in the way, and what to do.
    pub detail: String,
}

/// Room on the disk under the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The store's folder.
    pub folder: PathBuf,
    /// Bytes that may still be written.
    pub free_bytes: u64,
}

/// Why a job cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Kind.
    pub class: ErrorClass,
    /// Stable code.
    pub code: &'static str,
    /// In words, for the owner: what, where, and what to do. No paths of the server.
    pub message: String,
    /// Whether another attempt could end otherwise.
    pub retryable: bool,
}

/// Every way out of a recipe but success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Asked to end.
    #[error("interrupted: {0:?}")]
    Interrupted(Interrupted),
    /// Has to wait for somebody.
    #[error(transparent)]
    Held(#[from] Hold),
    /// Ended by an error.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<Interrupted> for Stop {
    fn from(reason: Interrupted) -> Self {
        Self::Interrupted(reason)
    }
}

/// What a recipe tells while it runs; written soon, in order, and lost without harm when the process dies.
#[derive(Debug, Clone)]
pub enum Report {
    /// Another part of the work begins.
    Phase(Phase),
    /// How far.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The modules whose norms follow; sent once, before the first `Norms` or `Changes`.
    Modules(Vec<MeasuredModule>),
    /// Numbers of one step.
    Step(StepPoint),
    /// Norms after one step.
    Norms(NormPoint),
    /// Norms of the change after one step, where all weights are trained.
    Changes(ChangePoint),
    /// Loss on the rows kept out.
    HoldOut {
        /// Updates made.
        step: u64,
        /// Mean over their target tokens.
        loss: f64,
    },
    /// Something worth a line in the job's events.
    Event {
        /// Such as `rendered_first`.
        r#type: &'static str,
        /// More about it.
        data: serde_json::Value,
    },
}

/// What must be on disk and in the database before the recipe goes on.
#[derive(Debug, Clone)]
pub enum Commit {
    /// A state of a fine-tune.
    Checkpoint {
        /// Updates made.
        step: u64,
        /// What `files` hold.
        kind: WeightsKind,
        /// What users download; empty for a state that is only there to resume from.
        files: Vec<LocalFile>,
        /// What resuming needs beside them; replaces the state of earlier checkpoints.
        state: Vec<LocalFile>,
    },
    /// Rank-1 vectors of consecutive recorded steps, in the layout of [`crate::domain::vectors`].
    ///
    /// Resuming deletes whole files, so one must end at every step of which a state is committed, and be committed before it.
    Vectors {
        /// The first step in the file.
        first: u64,
        /// The last.
        last: u64,
        /// The file.
        file: LocalFile,
    },
    /// The settings in force of an evaluation, those of the model's own files among them.
    Effective(serde_json::Value),
    /// Answers as they were drawn, without scores.
    Answers(Vec<Completion>),
    /// What the judge said of answers that are recorded; replaces what it said before.
    Judgements(Vec<Judgement>),
    /// What a registration found.
    Model(ModelFacts),
    /// What an analysis computed; replaces what an earlier attempt did.
    Analysis(Box<Analysis>),
}

/// What a commit made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Rows without an id of their own.
    Recorded,
    /// A checkpoint that users can see.
    Checkpoint(CheckpointId),
}

/// Where an earlier attempt left off.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// The newest state whose files are all there with the right hashes.
    pub state: Option<ResumeState>,
    /// Answers already recorded.
    pub answered: std::collections::HashSet<AnswerKey>,
    /// Answers on which the judge has said everything without failing.
    pub judged: u64,
}

/// A resumable state.
#[derive(Debug, Clone)]
pub struct ResumeState {
    /// Updates made.
    pub step: u64,
    /// The files that were committed as `state`.
    pub files: Vec<LocalFile>,
}

/// The only outside that a recipe meets.
pub trait Context {
    /// Waits for this job's turn on the device; called before every micro-batch and every decode step.
    fn turn(&self) -> Result<(), Interrupted>;
    /// Where to go on; deletes, under the lease, metric rows beyond the state's step.
    fn resume(&self) -> Result<Resume, Stop>;
    /// Tells something; blocks only while the bounded channel is full.
    fn report(&self, report: Report) -> Result<(), Stop>;
    /// Returns when everything reported before it and the commit itself are recorded under the lease.
    fn commit(&self, commit: Commit) -> Result<Committed, Stop>;
    /// Recorded answers that the judge has not said everything about, or failed on, behind the position `after`; at most `limit`,
    /// each with its position and with what the judge did say. Empty at the end.
    fn unjudged(&self, after: i64, limit: u32) -> Result<Vec<(i64, Completion)>, Stop>;
    /// The artifact store.
    fn blobs(&self) -> &dyn Blobs;
    /// Settings of the machine.
    fn settings(&self) -> &Settings;
    /// Seconds that never go back, for timings.
    fn seconds(&self) -> f64;
}

/// What runs tasks: the worker holds one and never learns what a tensor is.
pub trait Execute: Send + Sync {
    /// Runs one task to its end on the calling thread.
    fn execute(&self, task: &Task, context: &dyn Context) -> Result<JobResult, Stop>;
    /// What the numbers depend on besides the spec: build, libtorch, CPU capability, threads, determinism.
    fn fingerprint(&self, settings: &Settings) -> serde_json::Value;
    /// The settings under which a job whose earlier attempts left `fingerprint` goes on: theirs where an attempt may choose.
    fn settings_of(&self, fingerprint: &serde_json::Value, settings: &Settings) -> Settings {
        let _ = fingerprint;
        settings.clone()
    }
}
