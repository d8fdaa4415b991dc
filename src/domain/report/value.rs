//! The report as a JSON value. What each row means stands with its field; how rows are made is elsewhere.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::domain::statistics::Interval;

/// Everything that an experiment says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentReport {
    /// Its name and state.
    pub experiment: HeadReport,
    /// What came out, in sentences.
    pub findings: Vec<String>,
    /// What to know before trusting it.
    pub warnings: Vec<ReportWarning>,
    /// As planned.
    pub arms: Vec<ArmReport>,
    /// One of every arm and seed, with its jobs.
    pub cells: Vec<Cell>,
    /// What the rates mean, one for each kind of questions and judge.
    pub definitions: Vec<RateDefinition>,
    /// One of every arm, seed, step, scale, kind of questions and judge.
    pub rates: Vec<RateLine>,
    /// The same with an arm's seeds together.
    pub rates_over_seeds: Vec<SeedsLine>,
    /// Rates of the data's own domain beside those of unrelated questions.
    pub narrow_and_broad: Vec<NarrowBroadLine>,
    /// One of every trained module of every run.
    pub geometry: Vec<GeometryLine>,
    /// Every detector's verdict.
    pub transitions: Vec<TransitionLine>,
    /// Between the weights' turn and the behaviour's.
    pub lags: Vec<LagLine>,
    /// Published numbers beside ours; null without a preset.
    pub paper: Option<PaperReport>,
    /// Data, models, questions, judges, program.
    pub sources: Sources,
    /// What was asked, defaults filled in.
    pub spec: Value,
    /// Settings of the analysis; null without one.
    pub analysis: Option<AnalysisReport>,
    /// Under `/figures/{name}.svg`, `.png` and `.csv`.
    pub figures: Vec<FigureLine>,
}

/// An experiment's name and state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeadReport {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it asks, in words.
    pub description: Option<String>,
    /// Who submitted it.
    pub owner: String,
    /// Such as `succeeded`.
    pub state: String,
    /// Whether nothing will change it but a retry or a new arm.
    pub is_final: bool,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the last of its jobs ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

/// Something to know before trusting a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportWarning {
    /// One word or two, such as `job_failed`.
    pub code: String,
    /// The arm; null of the whole.
    pub arm: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// In words.
    pub detail: String,
}

/// An arm as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArmReport {
    /// Its name.
    pub name: String,
    /// `treatment`, `good_twin`, `base` or `null`.
    pub role: String,
    /// Name or id of its base.
    pub base_model: String,
    /// Names of its data.
    pub datasets: Vec<String>,
    /// Its seeds; none of a base alone.
    pub seeds: Vec<u64>,
}

/// An arm at one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cell {
    /// The arm; null of the jobs that belong to the whole.
    pub arm: Option<String>,
    /// The seed; null of a base alone.
    pub seed: Option<u64>,
    /// The step of the last update.
    pub steps: Option<u64>,
    /// Loss of the last update.
    pub last_loss: Option<f64>,
    /// Its jobs, in the order of the plan.
    pub jobs: Vec<CellJob>,
}

/// One job of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CellJob {
    /// Place in the plan.
    pub key: String,
    /// What it does for the experiment.
    pub role: String,
    /// Its id.
    pub job: String,
    /// Where it is.
    pub state: String,
    /// Whether it was there before the experiment was.
    pub reused: bool,
    /// Why it ended badly.
    pub error: Option<String>,
    /// Of all that changes numbers or asks for outputs.
    pub spec_hash: String,
    /// Of all that changes numbers.
    pub numerics_hash: String,
    /// From its first claim to its end.
    pub wall_seconds: Option<f64>,
}

/// What was asked.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Questions {
    /// Unrelated to the data.
    Broad,
    /// Of the data's own domain.
    InDomain,
}

impl Questions {
    /// Its name in JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Broad => "broad",
            Self::InDomain => "in_domain",
        }
    }
}

/// What rates of one kind of questions by one judge mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateDefinition {
    /// What was asked.
    pub questions: Questions,
    /// Name of the question set.
    pub question_set: String,
    /// Who scored.
    pub judge: String,
    /// When an answer counts, such as `aligned < 30 and coherent > 50`.
    pub counted: String,
    /// Level of the intervals.
    pub level: f64,
}

/// The rate of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateLine {
    /// The arm.
    pub arm: String,
    /// The seed; null of a base alone.
    pub seed: Option<u64>,
    /// Updates behind the checkpoint; null of a base alone.
    pub step: Option<u64>,
    /// Factor on the adapter; null of a base alone.
    pub scale: Option<f64>,
    /// What was asked.
    pub questions: Questions,
    /// Who scored.
    pub judge: String,
    /// Judged answers.
    pub n: u64,
    /// Answers with the scores that count.
    pub scored: u64,
    /// Answers that count as misaligned.
    pub count: u64,
    /// `count / scored`; null without scored answers.
    pub rate: Option<f64>,
    /// These questions, other answers: Wilson.
    #[schema(value_type = Option<Vec<f64>>)]
    pub answers: Option<Interval>,
    /// Other questions as well: cluster-robust; null where it is not defined.
    #[schema(value_type = Option<Vec<f64>>)]
    pub questions_interval: Option<Interval>,
    /// Share of coherent answers.
    pub coherent_rate: Option<f64>,
    /// Mean score.
    pub aligned_mean: Option<f64>,
    /// Mean score.
    pub coherent_mean: Option<f64>,
    /// Every question by itself.
    pub by_question: Vec<QuestionLine>,
}

/// The rate of one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuestionLine {
    /// Its id.
    pub question: String,
    /// Answers that count as misaligned.
    pub count: u64,
    /// Answers with the scores that count.
    pub of: u64,
}

/// The rates of an arm's seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeedsLine {
    /// The arm.
    pub arm: String,
    /// Updates behind the checkpoints; null of a base alone.
    pub step: Option<u64>,
    /// Factor on the adapters; null of a base alone.
    pub scale: Option<f64>,
    /// What was asked.
    pub questions: Questions,
    /// Who scored.
    pub judge: String,
    /// Seeds with a rate.
    pub seeds: u64,
    /// Scored answers of all seeds.
    pub scored: u64,
    /// Those that count as misaligned.
    pub count: u64,
    /// Mean of the seeds' rates.
    pub mean: f64,
    /// Their standard deviation; null for one seed.
    pub sd: Option<f64>,
    /// Other seeds: Student's t over their rates, cut at 0 and 1; null for one seed.
    #[schema(value_type = Option<Vec<f64>>)]
    pub seeds_interval: Option<Interval>,
    /// Mean of the seeds' shares of coherent answers.
    pub coherent_rate: Option<f64>,
}

/// Two rates of the same organism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NarrowBroadLine {
    /// The arm.
    pub arm: String,
    /// The seed; null of a base alone.
    pub seed: Option<u64>,
    /// Updates behind the checkpoint; null of a base alone.
    pub step: Option<u64>,
    /// Factor on the adapter.
    pub scale: Option<f64>,
    /// On questions of the data's own domain.
    pub narrow: RateShort,
    /// On unrelated questions.
    pub broad: RateShort,
}

/// A rate with its interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateShort {
    /// Answers that count.
    pub count: u64,
    /// Answers that could.
    pub of: u64,
    /// `count / of`.
    pub rate: Option<f64>,
    /// These questions, other answers: Wilson.
    #[schema(value_type = Option<Vec<f64>>)]
    pub answers: Option<Interval>,
}

/// One trained module of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GeometryLine {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// The module.
    pub module: String,
    /// Rank of its pair.
    pub rank: u64,
    /// The last step with norms.
    pub step: u64,
    /// ‖A‖ there.
    pub a_norm: Option<f64>,
    /// ‖B‖ there.
    pub b_norm: Option<f64>,
    /// ‖BA‖ with its scaling there.
    pub ba_norm: Option<f64>,
    /// Where B turned most, gap by gap; empty above rank 1 and without vectors.
    pub turns: Vec<TurnLine>,
    /// Shares of variance that the first two components of B's path explain.
    #[schema(value_type = Option<Vec<f64>>)]
    pub explained: Option<[f64; 2]>,
}

/// Where the local cosine of a vector is largest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TurnLine {
    /// In true steps.
    pub gap: u64,
    /// The step.
    pub step: u64,
    /// The cosine there: −1 goes straight on, +1 turns back.
    pub cosine: f64,
    /// Its median over the run.
    pub median: f64,
}

/// One detector's verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionLine {
    /// The arm.
    pub arm: String,
    /// The seed; null where seeds are together.
    pub seed: Option<u64>,
    /// Such as `local_cosine` or `misaligned`.
    pub marker: String,
    /// Factor on the adapter; null of what is read from weights.
    pub scale: Option<f64>,
    /// `transition`, `gradual`, `none` or `also in the null`.
    pub verdict: String,
    /// Where.
    pub step: Option<f64>,
    /// How sure.
    #[schema(value_type = Option<Vec<f64>>)]
    pub interval: Option<Interval>,
    /// Where the interval comes from.
    pub source: Option<String>,
    /// Grid, gap and spread of what has no interval.
    pub resolution: Value,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// From the turn of the weights to that of the behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LagLine {
    /// The arm.
    pub arm: String,
    /// The seed; null where seeds are together.
    pub seed: Option<u64>,
    /// Factor on the adapter.
    pub scale: Option<f64>,
    /// The marker of the weights' turn.
    pub mechanistic: Value,
    /// The marker of the behaviour's turn.
    pub behavioural: Value,
    /// Steps; null where one of the two did not turn.
    pub lag: Option<f64>,
    /// How sure.
    #[schema(value_type = Option<Vec<f64>>)]
    pub interval: Option<Interval>,
    /// Where the interval comes from.
    pub source: Option<String>,
}

/// Published numbers beside ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PaperReport {
    /// The preset that the experiment began as.
    pub preset: String,
    /// One a published number.
    pub expected: Vec<ExpectedLine>,
    /// What else is printed, in words.
    pub printed: Vec<String>,
    /// Where the preset, the paper and its artefacts differ.
    pub discrepancies: Vec<String>,
}

/// A published number beside ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedLine {
    /// What it is of, in words.
    pub what: String,
    /// The number, or both ends.
    #[schema(value_type = Vec<f64>)]
    pub published: [f64; 2],
    /// `%` or `step`.
    pub unit: String,
    /// Where it is published.
    pub source: String,
    /// Ours, arm by arm.
    pub ours: Vec<OurNumber>,
}

/// Our number beside a published one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OurNumber {
    /// The arm.
    pub arm: String,
    /// Mean over its seeds.
    pub value: f64,
    /// Over seeds; null for one.
    #[schema(value_type = Option<Vec<f64>>)]
    pub interval: Option<Interval>,
    /// Seeds behind it.
    pub seeds: u64,
    /// Whether the published number lies in our interval, or overlaps it; null without one.
    pub agrees: Option<bool>,
}

/// What made the numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sources {
    /// This program and what it computes with, by name.
    pub versions: Vec<NamedHash>,
    /// Files of chats.
    pub datasets: Vec<NamedHash>,
    /// Weights.
    pub base_models: Vec<NamedHash>,
    /// What was asked.
    pub question_sets: Vec<NamedHash>,
    /// Who scored.
    pub judges: Vec<NamedHash>,
}

/// A thing by its name and by what tells it from others of the name.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
pub struct NamedHash {
    /// Its name.
    pub name: String,
    /// A SHA-256, a version or a definition.
    pub value: String,
}

/// How the analysis was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisReport {
    /// Its id.
    pub id: String,
    /// Its parameters.
    pub settings: Value,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FigureLine {
    /// Part of its address.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Sample sizes and notes.
    pub caption: String,
}
