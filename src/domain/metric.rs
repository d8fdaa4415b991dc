//! What a fine-tune reports at every step.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finetune::Projection;

/// An adapted module; norms are listed in the order of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NormModule {
    /// Such as `layers.21.mlp.down_proj`.
    pub name: String,
    /// Layer, counted from 0.
    pub layer: u32,
    /// Which linear map.
    pub projection: Projection,
    /// R.
    pub rank: u32,
    /// Factor on B·A.
    pub scaling: f64,
}

/// Numbers of one optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Counted from 1; row t belongs to update t.
    pub step: u64,
    /// Of the weights after t − 1 updates.
    pub loss: f64,
    /// That made update t.
    pub learning_rate: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Target tokens of the step.
    pub target_tokens: u64,
    /// All tokens of the step by its seconds; a timing, outside every promise of equality.
    pub tokens_per_second: f64,
    /// Largest memory of the process so far; a timing as well.
    pub peak_memory_bytes: u64,
}

/// Norms of every module after one step; step 0 is the state before the first update.
///
/// *Shapes* every vector has one entry a module. *Source* API.md's `lora-norms`: Frobenius norms, `ba_norm` with scaling,
/// gradients before clipping; NaN stands for what does not exist (step 0's gradients, a cosine with a zero vector).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NormPoint {
    /// Updates made.
    pub step: u64,
    /// ‖A‖.
    pub a_norm: Vec<f64>,
    /// ‖B‖.
    pub b_norm: Vec<f64>,
    /// scaling · ‖B·A‖.
    pub ba_norm: Vec<f64>,
    /// ‖∂loss/∂A‖.
    pub a_grad_norm: Vec<f64>,
    /// ‖∂loss/∂B‖.
    pub b_grad_norm: Vec<f64>,
    /// Cosine of B with B one step before.
    pub b_cosine_previous: Vec<f64>,
}
