//! What became of a dataset's rows when a fine-tune read them: counts only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a dataset is read for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowsPurpose {
    /// It is learnt from.
    #[default]
    Train,
    /// The KL term compares on it.
    Kl,
}

/// What became of a dataset's rows. Rows longer than the limit are cut at it; those without a token to learn change no number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PreparedRows {
    /// The dataset, as the spec names it.
    pub dataset: String,
    /// What it is read for.
    pub purpose: RowsPurpose,
    /// Rows of the file.
    pub rows: u64,
    /// Examples that they became.
    pub examples: u64,
    /// Tokens at which a row is cut: `batch.max_tokens` or the model's context, whichever is less.
    pub max_tokens: u64,
    /// Tokens of the longest row, uncut.
    pub longest: u64,
    /// Rows that were cut.
    pub cut: u64,
    /// Their tokens beyond the limit.
    pub cut_tokens: u64,
    /// Targets among those.
    pub cut_targets: u64,
    /// Examples without a single target.
    pub without_target: u64,
    /// Rows that were left out because the template rewrites their earlier turns.
    pub template_prefix: u64,
}
