//! What is said about where a run turns, in its weights and in what it says: words and shapes. The rules that find them are below.

pub mod behavioural;
pub mod mechanistic;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Marker of a turn in the path of a vector.
pub const LOCAL_COSINE: &str = "local_cosine";
/// Marker of a peak in the gradient's norm.
pub const GRAD_NORM: &str = "grad_norm";
/// Marker of a burst in the growth of the adapter's norm.
pub const NORM_GROWTH: &str = "norm_growth";
/// Marker of a rise in answers to unrelated questions that are misaligned.
pub const MISALIGNED: &str = "misaligned";
/// Marker of a rise in answers to questions of the trained domain that are misaligned.
pub const IN_DOMAIN: &str = "in_domain";

/// Where the runs of an analysis turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Transitions {
    /// One for each run, marker and scale; and one for each arm, marker and scale over its seeds.
    pub rows: Vec<TransitionRow>,
    /// How much later what a run says turns than its weights.
    pub lags: Vec<Lag>,
}

/// What is said about a marker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It turns at a step.
    Transition,
    /// It changes, but at no step.
    Gradual,
    /// It does not change.
    #[default]
    None,
    /// It turns, and so it does in a run in which nothing should.
    #[serde(rename = "also in the null")]
    AlsoInTheNull,
}

/// How finely a step can be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resolution {
    /// Steps between kept ones around it.
    pub grid: Option<u64>,
    /// The gap at which it was found.
    pub gap: Option<u64>,
    /// Largest less smallest step over the gaps that saw it.
    pub spread: Option<f64>,
}

/// One marker of a run, or of an arm over its seeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransitionRow {
    /// The arm.
    pub arm: String,
    /// The run's seed; null for the arm over its seeds.
    pub seed: Option<u64>,
    /// `local_cosine`, `grad_norm`, `norm_growth`, `misaligned` or `in_domain`.
    pub marker: String,
    /// Factor on the adapter; null where there is none.
    pub scale: Option<f64>,
    /// What is said.
    pub verdict: Verdict,
    /// At which step.
    pub step: Option<f64>,
    /// Where it may lie.
    pub interval: Option<[f64; 2]>,
    /// What the interval is over.
    pub source: Option<String>,
    /// How finely the step can be told where there is no interval.
    pub resolution: Option<Resolution>,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// How much later what a run says turns than its weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lag {
    /// The arm.
    pub arm: String,
    /// The run's seed; null for the arm over its seeds.
    pub seed: Option<u64>,
    /// Factor on the adapter.
    pub scale: Option<f64>,
    /// Marker of the weights.
    pub mechanistic: String,
    /// Marker of the answers.
    pub behavioural: String,
    /// Steps; negative where the answers turn first.
    pub lag: Option<f64>,
    /// Where it may lie.
    pub interval: Option<[f64; 2]>,
    /// What the interval is over.
    pub source: Option<String>,
}
