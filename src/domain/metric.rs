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

/// What a row of per-module series is about: a low-rank pair, or a tensor of a model that is trained whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeasuredModule {
    /// Such as `layers.21.mlp.down_proj`, `embed_tokens` or `layers.0.self_attn.q_proj.bias`.
    pub name: String,
    /// Layer, counted from 0; null outside the layers.
    pub layer: Option<u32>,
    /// Which linear map; null for what is none.
    pub projection: Option<Projection>,
    /// R of a pair; null for a tensor that is trained whole.
    pub rank: Option<u32>,
    /// Factor on B·A of a pair; null for a tensor that is trained whole.
    pub scaling: Option<f64>,
}

impl MeasuredModule {
    /// A tensor that is trained whole.
    pub fn whole(name: String, layer: Option<u32>, projection: Option<Projection>) -> Self {
        Self {
            name,
            layer,
            projection,
            rank: None,
            scaling: None,
        }
    }
}

impl From<NormModule> for MeasuredModule {
    fn from(pair: NormModule) -> Self {
        Self {
            name: pair.name,
            layer: Some(pair.layer),
            projection: Some(pair.projection),
            rank: Some(pair.rank),
            scaling: Some(pair.scaling),
        }
    }
}

/// Numbers of one optimizer step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// Counted from 1; row t belongs to update t.
    pub step: u64,
    /// Of the weights after t − 1 updates; what is learnt from, without the KL term.
    pub loss: f64,
    /// The KL term before its weight, of the same weights; none for a run without one.
    pub kl_loss: Option<f64>,
    /// That made update t.
    pub learning_rate: f64,
    /// Before clipping.
    pub grad_norm: f64,
    /// Target tokens of the step; 0 where nobody counted them, as in an imported run.
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
    /// ‖BA‖² over the square of its largest singular value: 1 at rank 1, NaN where BA is zero.
    pub stable_rank: Vec<f64>,
}

/// How far every tensor of a model that is trained whole is from the base after one step; step 0 is the base itself.
///
/// *Shapes* every vector has one entry a tensor. Frobenius norms, gradients before clipping; NaN stands for what does not
/// exist (step 0's gradients, a cosine with a zero vector).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangePoint {
    /// Updates made.
    pub step: u64,
    /// ‖W − W₀‖.
    pub change_norm: Vec<f64>,
    /// ‖∂loss/∂W‖.
    pub grad_norm: Vec<f64>,
    /// Cosine of W − W₀ with the W − W₀ of one step before.
    pub change_cosine_previous: Vec<f64>,
}
