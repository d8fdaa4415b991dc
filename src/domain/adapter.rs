//! Adapters that somebody hands in: what is known of one after its check, and how it is shown.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::assets::FileEntry;
use super::ids::{AdapterId, BaseModelId};
use super::metric::NormModule;

/// File of the settings.
pub const CONFIG: &str = "adapter_config.json";
/// File of the tensors.
pub const MODEL: &str = "adapter_model.safetensors";

/// What a check of an adapter against its base found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AdapterFacts {
    /// The largest rank of a pair.
    pub rank: u32,
    /// Numerator of the scaling where no pattern says otherwise.
    pub alpha: f64,
    /// Whether the scaling is alpha/√rank rather than alpha/rank.
    pub rslora: bool,
    /// The adapted modules with their ranks and scalings, by layer.
    pub modules: Vec<NormModule>,
    /// Numbers in all pairs.
    pub parameters: u64,
    /// What deserves a look, such as fields that nobody knows.
    pub warnings: Vec<String>,
}

/// An adapter that somebody handed in; usable wherever a fine-tune's checkpoint is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Adapter {
    /// Its id.
    pub id: AdapterId,
    /// Its unique name.
    pub name: String,
    /// The base that it was checked against and stands on.
    pub base_model: BaseModelId,
    /// Hash of its files' names and hashes; equal for equal adapters.
    pub sha256: String,
    /// What it is.
    pub facts: AdapterFacts,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// When it was stored.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}
