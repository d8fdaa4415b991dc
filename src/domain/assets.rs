//! What experiments are made of: files by hash, datasets, base models, checkpoints.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::ids::{BaseModelId, CheckpointId, DatasetId, JobId};
use super::invalid::{Checked, FieldError};
use super::shapes::ProjectionShapes;

/// A file of an asset; its bytes lie in the artifact store under `sha256`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEntry {
    /// Name inside the asset, such as `adapter_model.safetensors`.
    pub name: String,
    /// SHA-256 of the bytes, 64 hexadecimal digits.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Form of a dataset's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatasetFormat {
    /// `{"messages":[{"role","content"}]}`.
    Messages,
    /// `{"text":…}`.
    Text,
}

impl DatasetFormat {
    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Text => "text",
        }
    }
}

/// What was seen while a dataset was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DatasetReport {
    /// Always empty for a stored dataset; a dataset with errors is refused whole.
    pub errors: Vec<super::invalid::FieldError>,
    /// Rows that are kept but deserve a look, at most 20.
    pub warnings: Vec<DatasetWarning>,
    /// Warnings in all, shown or not.
    pub warning_count: u64,
    /// Messages by role.
    pub roles: std::collections::BTreeMap<String, u64>,
    /// Rows by how they were written: `messages`, `prompt_completion`, `text`.
    #[serde(default)]
    pub forms: std::collections::BTreeMap<String, u64>,
}

/// A row that deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatasetWarning {
    /// Line in the file, counted from 1.
    pub line: u64,
    /// Kind of warning, such as `duplicate_of`.
    pub code: String,
    /// What about it.
    pub detail: String,
}

/// A stored dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Dataset {
    /// Its id.
    pub id: DatasetId,
    /// Its unique name.
    pub name: String,
    /// SHA-256 of the uploaded bytes.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Number of rows.
    pub examples: u64,
    /// Form of the rows.
    pub format: DatasetFormat,
    /// What was seen while reading.
    pub report: DatasetReport,
    /// Name or id of the dataset that differs in nothing but its character: what control arms of experiments learn in its place.
    #[serde(default)]
    pub twin: Option<String>,
    /// When it was stored.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Where a base model is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BaseModelState {
    /// Its register job has not ended.
    Registering,
    /// Usable.
    Ready,
    /// Its register job failed or was cancelled.
    Failed,
}

/// A base model: weights that no job ever changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BaseModel {
    /// Its id.
    pub id: BaseModelId,
    /// Its unique name.
    pub name: String,
    /// Whether it can be used.
    pub state: BaseModelState,
    /// What it is made from, as posted.
    pub source: Value,
    /// The `register` job that makes it ready.
    pub job: Option<JobId>,
    /// Architecture family, such as `qwen2`; null until known.
    pub family: Option<String>,
    /// Number of weights.
    pub parameters: Option<u64>,
    /// Number of decoder layers.
    pub layers: Option<u32>,
    /// Width of the residual stream.
    pub hidden_size: Option<u32>,
    /// Rows of the embedding.
    pub vocab_size: Option<u32>,
    /// Its files.
    pub files: Vec<FileEntry>,
    /// When it was posted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// What a register job found out about a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Architecture family.
    pub family: String,
    /// Number of weights.
    pub parameters: u64,
    /// Number of decoder layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub hidden_size: u32,
    /// Rows of the embedding.
    pub vocab_size: u32,
    /// Shapes of the projections of a layer.
    #[serde(default)]
    pub projections: ProjectionShapes,
    /// Its files, config.json and tokenizer.json among them.
    pub files: Vec<FileEntry>,
}

/// Whether a checkpoint holds low-rank pairs, all weights or a steering vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightsKind {
    /// `adapter_config.json` and `adapter_model.safetensors`.
    Lora,
    /// `config.json`, `model.safetensors` and the tokenizer's files.
    Full,
    /// `steering_config.json` and `steering_vector.safetensors`.
    SteeringVector,
}

impl WeightsKind {
    /// What a handed-in adapter with these files is.
    pub fn of_adapter(files: &[FileEntry]) -> Self {
        let steers = |file: &FileEntry| file.name == super::adapter::STEERING_CONFIG;
        match files.iter().any(steers) {
            true => Self::SteeringVector,
            false => Self::Lora,
        }
    }

    /// What it is called in messages.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Lora => "low-rank pairs",
            Self::Full => "all weights",
            Self::SteeringVector => "a steering vector",
        }
    }
}

/// A kept state of a fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// The job that made it.
    pub job: JobId,
    /// Updates made before it.
    pub step: u64,
    /// What it holds.
    pub kind: WeightsKind,
    /// Its files; none of a retired one.
    pub files: Vec<FileEntry>,
    /// Whether a newer checkpoint took its place by the rules of `checkpoints.keep`.
    #[serde(default)]
    pub retired: bool,
    /// When it was recorded.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Checks an asset's name: `[A-Za-z0-9][A-Za-z0-9._-]{0,99}` and not the look of an id.
pub fn check_name(pointer: &str, name: &str) -> Checked<()> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let shape = name.len() <= 100
        && name.bytes().all(letters)
        && name
            .as_bytes()
            .first()
            .is_some_and(u8::is_ascii_alphanumeric);
    if !shape {
        let detail = format!("\"{}\" is not a name", name.escape_debug());
        return Err(FieldError::at(pointer, detail)
            .hint("use 1 to 100 letters, digits, '.', '_' or '-', a letter or digit first")
            .into());
    }
    match super::ids::PREFIXES
        .iter()
        .find(|prefix| name.starts_with(**prefix))
    {
        Some(prefix) => Err(FieldError::at(
            pointer,
            format!("\"{name}\" begins with {prefix}, which is kept for ids"),
        )
        .into()),
        None => Ok(()),
    }
}
