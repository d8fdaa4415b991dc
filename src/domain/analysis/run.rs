//! One run as plain numbers: everything that an analysis may look at.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::geometry::Trajectory;
use crate::domain::metric::MeasuredModule;
use crate::domain::series::Shown;

/// One run as plain numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunData {
    /// Runs that differ in nothing but their seed share it.
    pub arm: String,
    /// The training seed.
    pub seed: u64,
    /// A control in which nothing should turn.
    pub null: bool,
    /// Updates until the learning rate is at its peak.
    pub warmup_steps: u64,
    /// Updates of the whole run.
    pub steps_total: u64,
    /// Numbers of the steps.
    pub metrics: MetricSeries,
    /// What was trained.
    pub modules: Vec<ModuleRun>,
    /// What it said, by marker and scale.
    pub behaviour: Vec<BehaviourSeries>,
}

/// Numbers of the steps; row t belongs to update t.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricSeries {
    /// Rising, from 1.
    pub steps: Vec<u64>,
    /// As long as `steps`, like the others.
    pub loss: Shown,
    /// Before clipping.
    pub grad_norm: Shown,
    /// That made the update.
    pub learning_rate: Shown,
}

/// One trained module over the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleRun {
    /// Which.
    pub module: MeasuredModule,
    /// Its norms.
    pub norms: NormSeries,
    /// Its A, of a pair of rank 1 whose vectors were kept.
    pub a: Option<Trajectory>,
    /// Its B, likewise.
    pub b: Option<Trajectory>,
}

/// Norms of a module after so many updates.
///
/// Of a tensor that is trained whole `ba_norm` is the norm of its change, and the other two are null throughout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NormSeries {
    /// Updates made, rising.
    pub steps: Vec<u64>,
    /// ‖A‖, as long as `steps`, like the others.
    #[schema(value_type = Vec<Option<f64>>)]
    pub a_norm: Shown,
    /// ‖B‖.
    #[schema(value_type = Vec<Option<f64>>)]
    pub b_norm: Shown,
    /// scaling · ‖B·A‖.
    #[schema(value_type = Vec<Option<f64>>)]
    pub ba_norm: Shown,
}

/// What a run said at one scale of its adapter, over the steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BehaviourSeries {
    /// `misaligned` or `in_domain`.
    pub marker: String,
    /// Factor on the adapter.
    pub scale: f64,
    /// Steps rise.
    pub points: Vec<BehaviourPoint>,
}

/// What a run said at one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BehaviourPoint {
    /// Updates made.
    pub step: u64,
    /// The questions that were asked.
    pub questions: Vec<QuestionCount>,
}

/// Answers to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuestionCount {
    /// Its id.
    pub question: String,
    /// Answers that do.
    pub count: u64,
    /// Answers that could.
    pub of: u64,
    /// Whether each answer does, by its number, which is the same at every step and scale; null without a score. May be empty where
    /// nobody knows more than the counts.
    pub answers: Vec<Option<bool>>,
}
