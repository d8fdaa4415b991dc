//! Time of a fine-tune: what past runs made of tokens in a second, or arithmetic where there is none.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::memory::{lowest_layer, trained_numbers};
use super::{DataShape, ModelShape};
use crate::domain::finetune::{FinetuneSpec, Method};

/// Where a speed comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The median of finished runs like it.
    PastRuns,
    /// Operations, and an assumed rate of the device.
    Arithmetic,
}

/// Operations of a multiplication that was added, for a token of training, forward and backward.
///
/// Twice the multiplied weights forward; as much again for the gradients of activations, down to the lowest trained layer; as
/// much again for those of trained weights. The head meets target tokens only. Attention adds 4·T·H·E a layer and pass.
pub fn operations_per_token(spec: &FinetuneSpec, shape: &ModelShape, data: &DataShape) -> f64 {
    let head = (shape.vocab_size * shape.hidden_size) as f64;
    let body = shape.multiplied() as f64 - head;
    let layers = shape.num_hidden_layers.max(1) as f64;
    let above = (layers - lowest_layer(&spec.method, shape) as f64) / layers;
    let targets = data.targets_per_example / data.tokens_per_example.max(1.0);
    let width = (shape.num_attention_heads * shape.head_dim) as f64;
    let attention = 2.0 * data.tokens_per_example * width * layers;
    let trained = trained_numbers(&spec.method, shape) as f64;
    let own = match spec.method {
        Method::Full(_) => 2.0 * (body + head * targets),
        _ => 6.0 * trained,
    };
    2.0 * (body + head * targets) * (1.0 + above) + attention * (1.0 + 2.0 * above) + own
}

/// Tokens of the whole run.
pub fn tokens(spec: &FinetuneSpec, data: &DataShape, steps: u64) -> f64 {
    steps as f64 * spec.batch.examples_per_step() as f64 * data.tokens_per_example
}
