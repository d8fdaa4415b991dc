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

/// File of a steering vector's settings.
pub const STEERING_CONFIG: &str = "steering_config.json";
/// File of a steering vector's numbers.
pub const STEERING_VECTOR: &str = "steering_vector.safetensors";

/// Card of a checkpoint's files, for people.
pub const CARD: &str = "README.md";
/// Where a checkpoint's files come from, for programs.
pub const MANIFEST: &str = "run_manifest.json";

/// What a fine-tune's files say of their origin beside what their spec says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Of all that changes the run's numbers.
    pub numerics_hash: String,
    /// The base on the hub, where it comes from there.
    pub published: Option<Published>,
}

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    /// Such as `org/name`.
    pub hub: String,
    /// The commit that was read, where it is known.
    pub commit: Option<String>,
}

impl Published {
    /// What the stored source of a base model says of the hub.
    pub fn of_source(source: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| source.get(key).and_then(serde_json::Value::as_str);
        let is_commit =
            |text: &&str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let commit = ["commit", "revision"]
            .into_iter()
            .filter_map(text)
            .find(is_commit);
        Some(Self {
            hub: text("hub")?.to_string(),
            commit: commit.map(str::to_string),
        })
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_base_from_the_hub_is_known_by_its_name_and_its_commit() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let of = |source| Published::of_source(&source);
        let named = |commit: Option<&str>| {
            Some(Published {
                hub: "org/name".into(),
                commit: commit.map(str::to_string),
            })
        };
        let source = json!({"hub": "org/name", "revision": "main", "commit": commit});
        assert_eq!(of(source), named(Some(commit)));
        let source = json!({"hub": "org/name", "revision": commit});
        assert_eq!(of(source), named(Some(commit)));
        let source = json!({"hub": "org/name", "revision": "main"});
        assert_eq!(of(source), named(None));
        assert_eq!(of(json!({"path": "/models/x"})), None);
    }
}
