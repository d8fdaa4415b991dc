//! The KL term of a loss: how far the trained model may move from its base on other data. Values only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::LossOn;

/// Which way the divergence is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KlDirection {
    /// Σ p_ref · (log p_ref − log p), from the base to the trained model.
    #[default]
    RefToCurrent,
}

/// What the sum over tokens and over the vocabulary is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KlAverage {
    /// The counted tokens of the whole step.
    #[default]
    Tokens,
    /// These times the width of the logits, as the reference code does.
    TokensAndVocabulary,
}

/// A term `weight` · KL(base ‖ trained) on the rows of a dataset of its own, added to the loss of every step.
///
/// The base is the model without any adapter, also where training begins with an adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KlSpec {
    /// Id or name of the dataset on which the two models are compared.
    // absent is read as empty, which the checks refuse with the remedy
    #[serde(default)]
    #[schema(required = true)]
    pub dataset: String,
    /// Factor on the averaged divergence; about the logits' width larger for the same effect with `tokens_and_vocabulary`.
    pub weight: f64,
    /// Rows of each optimizer step; they come in epochs of an order of their own.
    #[serde(default = "eight")]
    pub batch: u32,
    /// Which way.
    #[serde(default)]
    pub direction: KlDirection,
    /// Which tokens are counted, each by the distribution that predicts it; a `text` dataset is always `all`.
    #[serde(default = "assistant")]
    pub tokens: LossOn,
    /// What the sum is divided by.
    #[serde(default)]
    pub average: KlAverage,
}

fn eight() -> u32 {
    8
}

fn assistant() -> LossOn {
    LossOn::Assistant
}

impl KlSpec {
    /// What the sum of a step with `tokens` counted tokens is divided by; `vocabulary` is the width of the logits.
    pub fn denominator(&self, tokens: u64, vocabulary: u64) -> f64 {
        match self.average {
            KlAverage::Tokens => tokens as f64,
            KlAverage::TokensAndVocabulary => tokens as f64 * vocabulary as f64,
        }
    }
}
