//! The plain facts that a report and its figures are made from, in the order of the plan.

use serde_json::Value;
use time::OffsetDateTime;

use super::value::{ArmReport, LagLine, Questions, Sources, TransitionLine};
use crate::domain::evaluation::Evaluation;
use crate::domain::rates::{Cut, MarkedAnswer};

/// Everything that is read to answer what became of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// Its name and state.
    pub head: Head,
    /// What was asked, defaults filled in.
    pub spec: Value,
    /// As planned, grids expanded, controls among them.
    pub arms: Vec<ArmReport>,
    /// In the order of the plan.
    pub jobs: Vec<JobFacts>,
    /// Those whose jobs began, in the order of the plan.
    pub evaluations: Vec<EvaluationFacts>,
    /// Fine-tunes that began, in the order of the plan.
    pub runs: Vec<RunFacts>,
    /// What the analysis left; none before its end.
    pub analysis: Option<AnalysisFacts>,
    /// What the preset promises.
    pub preset: Option<PresetFacts>,
    /// Data, models, questions, judges, program.
    pub sources: Sources,
}

/// An experiment's name and state.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
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
    pub created_at: OffsetDateTime,
    /// When the last of its jobs ended.
    pub finished_at: Option<OffsetDateTime>,
}

/// One job of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFacts {
    /// Place in the plan.
    pub key: String,
    /// `train`, `evaluate`, `evaluate_in_domain` or `analyze`.
    pub role: String,
    /// None of the analysis.
    pub arm: Option<String>,
    /// None of a base alone.
    pub seed: Option<u64>,
    /// Its id.
    pub job: String,
    /// Such as `succeeded`.
    pub state: String,
    /// Whether it was there before the experiment was.
    pub reused: bool,
    /// Why it ended badly.
    pub error: Option<String>,
    /// What it was asked.
    pub spec: Value,
    /// Of all that changes numbers or asks for outputs.
    pub spec_hash: String,
    /// Of all that changes numbers.
    pub numerics_hash: String,
    /// First claim.
    pub started_at: Option<OffsetDateTime>,
    /// End.
    pub finished_at: Option<OffsetDateTime>,
}

/// One evaluation of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationFacts {
    /// Whose answers.
    pub arm: String,
    /// None of a base alone.
    pub seed: Option<u64>,
    /// What was asked.
    pub questions: Questions,
    /// Name of the question set.
    pub question_set: String,
    /// Its head.
    pub evaluation: Evaluation,
    /// Every judged answer.
    pub answers: Vec<MarkedAnswer>,
}

/// One fine-tune from within.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunFacts {
    /// Its arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// Its job's id.
    pub job: String,
    /// Norm to which gradients were clipped.
    pub clip: Option<f64>,
    /// Steps of the three series.
    pub steps: Vec<u64>,
    /// Mean over target tokens.
    pub loss: Vec<Option<f64>>,
    /// Before clipping.
    pub grad_norm: Vec<Option<f64>>,
    /// Learning rate.
    pub learning_rate: Vec<Option<f64>>,
    /// What was trained.
    pub modules: Vec<ModuleFacts>,
    /// The last checkpoint's step and id.
    pub last: Option<(u64, String)>,
}

/// Norms of one trained module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModuleFacts {
    /// As in the base.
    pub name: String,
    /// Its layer.
    pub layer: Option<u64>,
    /// Its projection.
    pub projection: String,
    /// Rank of its pair.
    pub rank: u64,
    /// Steps of the three norms.
    pub steps: Vec<u64>,
    /// ‖A‖.
    pub a: Vec<Option<f64>>,
    /// ‖B‖.
    pub b: Vec<Option<f64>>,
    /// ‖BA‖ with its scaling.
    pub ba: Vec<Option<f64>>,
}

/// What an analysis left behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnalysisFacts {
    /// Its id.
    pub id: String,
    /// As it was asked.
    pub settings: Value,
    /// Which answers it counted.
    pub cuts: Option<(Cut, Cut)>,
    /// Which steps have no local cosine, in words.
    pub masked: String,
    /// Rank-1 vectors, run by run.
    pub vectors: Vec<VectorFacts>,
    /// Every detector's verdict.
    pub transitions: Vec<TransitionLine>,
    /// Between the weights' turn and the behaviour's.
    pub lags: Vec<LagLine>,
}

/// The path of one rank-1 vector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VectorFacts {
    /// Its arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// The module.
    pub module: String,
    /// `A` or `B`.
    pub vector: String,
    /// Local cosine by gap.
    pub turns: Vec<TurnFacts>,
    /// Its first two principal components.
    pub path: PathFacts,
}

/// Local cosine at one gap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnFacts {
    /// In true steps.
    pub gap: u64,
    /// Rising.
    pub steps: Vec<u64>,
    /// None where it is masked.
    pub values: Vec<Option<f64>>,
}

/// Scores on the first two principal components.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PathFacts {
    /// Rising.
    pub steps: Vec<u64>,
    /// On the first and the second.
    pub scores: Vec<[f64; 2]>,
    /// Shares of the variance.
    pub explained: [Option<f64>; 2],
}

/// What a preset says of its outcome.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PresetFacts {
    /// Its name.
    pub name: String,
    /// Published numbers.
    pub expected: Vec<Expectation>,
    /// What else is printed, in words.
    pub printed: Vec<String>,
    /// Where it, the paper and its artefacts differ.
    pub discrepancies: Vec<String>,
}

/// What of ours stands beside a published number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Share of misaligned answers of the last checkpoint, in percent.
    Misaligned,
    /// Share of coherent answers of the last checkpoint, in percent.
    Coherent,
    /// Step of the weights' turn.
    Rotation,
    /// Step of the behaviour's turn.
    Behaviour,
    /// Nothing that this report measures.
    Other,
}

/// One published number.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// What it is of, in words.
    pub what: String,
    /// What of ours stands beside it.
    pub measure: Measure,
    /// Of which arm; every treatment where none.
    pub arm: Option<String>,
    /// At which factor on the adapter.
    pub scale: f64,
    /// The number, or both ends.
    pub value: [f64; 2],
    /// `%` or `step`.
    pub unit: String,
    /// Where it is published.
    pub source: String,
}
