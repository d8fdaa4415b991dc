//! How examples make the steps of a fine-tune. Values only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What happens to a trailing window that is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LastPartial {
    /// Its examples are left out of the epoch.
    Drop,
    /// It makes a step of its own.
    Step,
}

/// How rows of a text dataset become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// One row is one sequence, cut at `max_tokens`.
    None,
    /// Text rows are joined to sequences of `max_tokens`, the end token between them; chat rows stay as they are.
    Documents,
}

/// Examples per step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// Examples in one pass over the device.
    pub micro_batch: u32,
    /// Passes per step.
    pub gradient_accumulation: u32,
    /// Tokens at which an example is cut.
    pub max_tokens: u32,
    /// Whether each epoch has an order of its own, drawn from (seed, epoch).
    pub shuffle: bool,
    /// The trailing partial window.
    pub last_partial: LastPartial,
    /// Joining of text rows.
    pub packing: Packing,
    /// Whether layers are computed a second time on the way back instead of keeping what they computed: far less memory
    /// and about a third more time, the same numbers.
    pub recompute_activations: bool,
}

impl Default for BatchSpec {
    fn default() -> Self {
        Self {
            micro_batch: 2,
            gradient_accumulation: 8,
            max_tokens: 2048,
            shuffle: true,
            last_partial: LastPartial::Drop,
            packing: Packing::None,
            recompute_activations: false,
        }
    }
}

impl BatchSpec {
    /// Examples of one optimizer step.
    pub fn examples_per_step(&self) -> u64 {
        u64::from(self.micro_batch) * u64::from(self.gradient_accumulation)
    }
}
