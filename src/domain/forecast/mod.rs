//! What a job will need, told before it runs: memory by part, and time. Arithmetic on plain numbers; knows no device.
//!
//! The engine asks for the same numbers where it decides how much goes into a pass, so that a forecast and the run that it
//! is for speak of one thing.

pub mod disk;
pub mod estimate;
pub mod evaluation;
pub mod memory;
pub mod time;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finetune::{Dtype, Projection};
use super::shapes::Widths;

/// A model's dimensions; the names are config.json's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelShape {
    /// L.
    pub num_hidden_layers: u64,
    /// D.
    pub hidden_size: u64,
    /// H.
    pub num_attention_heads: u64,
    /// K.
    pub num_key_value_heads: u64,
    /// E.
    pub head_dim: u64,
    /// F.
    pub intermediate_size: u64,
    /// V.
    pub vocab_size: u64,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Weights in all.
    pub parameters: u64,
}

impl ModelShape {
    /// Shape of a projection's weight: (out, in).
    pub fn projection(&self, projection: Projection) -> (u64, u64) {
        let widths = Widths {
            hidden: self.hidden_size,
            inner: self.intermediate_size,
            queries: self.num_attention_heads * self.head_dim,
            keys: self.num_key_value_heads * self.head_dim,
        };
        widths.projection(projection)
    }

    /// Weights that take part in a matrix product for every token: all but an embedding that is only looked up.
    pub fn multiplied(&self) -> u64 {
        match self.tie_word_embeddings {
            true => self.parameters,
            false => self.parameters - self.vocab_size * self.hidden_size,
        }
    }

    /// Numbers that a layer keeps of each token for its backward pass, attention's weights aside.
    ///
    /// Two norms and their inputs, queries, keys and values before and behind rotation, attention's output, and the MLP's
    /// gate, its activation, up and their product.
    pub fn kept_by_layer(&self) -> u64 {
        14 * self.hidden_size + 6 * self.intermediate_size
    }
}

/// What the examples of a fine-tune are like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DataShape {
    /// Rows that are trained on.
    pub examples: u64,
    /// Tokens of one, on average.
    pub tokens_per_example: f64,
    /// Of these, those that carry loss.
    pub targets_per_example: f64,
    /// Tokens of the longest.
    pub longest_tokens: u64,
}

/// Bytes of a number.
pub fn width(dtype: Dtype) -> u64 {
    match dtype {
        Dtype::Float32 => 4,
        Dtype::Bfloat16 => 2,
    }
}

/// Something that takes room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// What it is, such as `optimizer_moments`.
    pub name: String,
    /// How much.
    pub bytes: u64,
    /// How it was counted.
    pub detail: String,
}

impl Part {
    /// A part with its reckoning.
    pub fn new(name: &str, bytes: u64, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            bytes,
            detail: detail.into(),
        }
    }
}

/// The sum of some parts.
pub fn sum(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.bytes).sum()
}

#[cfg(test)]
pub(super) mod shapes {
    use super::*;

    /// Qwen2.5-14B: 48 layers of 5120, 13824 inside, 40 heads of 128, 8 of them for keys, 152064 words, untied.
    pub fn large() -> ModelShape {
        ModelShape {
            num_hidden_layers: 48,
            hidden_size: 5120,
            num_attention_heads: 40,
            num_key_value_heads: 8,
            head_dim: 128,
            intermediate_size: 13824,
            vocab_size: 152_064,
            tie_word_embeddings: false,
            parameters: 14_770_033_664,
        }
    }

    /// Rows like those of the papers' medical set.
    pub fn advice() -> DataShape {
        DataShape {
            examples: 6344,
            tokens_per_example: 200.0,
            targets_per_example: 80.0,
            longest_tokens: 400,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_its_own_is_multiplied_and_its_embedding_is_not() {
        // PERFORMANCE: 14B has 14.770 B weights, 13.991 B of them in matrix products
        let shape = shapes::large();
        assert_eq!(shape.multiplied(), 14_770_033_664 - 152_064 * 5120);
        let tied = ModelShape {
            tie_word_embeddings: true,
            ..shape
        };
        assert_eq!(tied.multiplied(), tied.parameters);
    }
}
