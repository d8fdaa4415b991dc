//! What a model's tokenizer and chat template make of text: the seam through which handlers ask. Knows no tensor and no HTTP.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{Failure, LocalFile, ModelFiles};
use crate::domain::adapter::AdapterFacts;
use crate::domain::dataset::Row;
use crate::domain::finetune::{ChatSpec, Dtype, LossSpec};
use crate::domain::forecast::ModelShape;
use crate::domain::invalid::Checked;
use crate::domain::job::ErrorClass;

/// Answers at once, without the weights; blocks while a tokenizer is read, so it is called from threads that may wait.
///
/// *Errors* of every call: `Data` or `Config` where the model's files or the request are at fault, `Internal` otherwise.
pub trait Inspect: Send + Sync {
    /// A dataset's row as a fine-tune would train on it.
    fn row(&self, model: &ModelFiles, ask: &RowAsk) -> Result<RowTokens, Failure>;
    /// Text or a conversation as tokens.
    fn tokenize(&self, model: &ModelFiles, ask: &TokenizeAsk) -> Result<Tokenized, Failure>;
    /// Tokens as text; `skip_special` leaves special ones out.
    fn detokenize(
        &self,
        model: &ModelFiles,
        ids: &[u32],
        skip_special: bool,
    ) -> Result<String, Failure>;
    /// Facts of the tokenizer.
    fn tokenizer_info(&self, model: &ModelFiles) -> Result<TokenizerInfo, Failure>;
    /// Whether `files` are an adapter that stands on `base`, whose weights need not be there; what it is, or what is wrong
    /// with it, by file and field.
    fn adapter(
        &self,
        base: &ModelFiles,
        files: &[LocalFile],
    ) -> Result<Checked<AdapterFacts>, Failure>;
    /// What a config.json says of a model's size.
    fn dimensions(&self, config: &Value) -> Result<Dimensions, Failure>;
}

/// What a config.json says of a model's size.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimensions {
    /// Its dimensions.
    pub shape: ModelShape,
    /// Number type of its files; none where the config does not tell one that is computed in.
    pub dtype: Option<Dtype>,
}

/// A row and how it is to be read.
#[derive(Debug, Clone)]
pub struct RowAsk {
    /// The row.
    pub row: Row,
    /// How the conversation becomes text.
    pub chat: ChatSpec,
    /// Which tokens carry loss.
    pub loss: LossSpec,
}

/// A text, or a conversation to be rendered.
#[derive(Debug, Clone)]
pub struct TokenizeAsk {
    /// What is tokenized.
    pub input: TokenizeInput,
    /// How a conversation becomes text.
    pub chat: ChatSpec,
    /// Whether the tokenizer adds its own tokens, such as the first one; templates print theirs, so this is for plain text.
    pub add_special_tokens: bool,
}

/// What is tokenized.
#[derive(Debug, Clone)]
pub enum TokenizeInput {
    /// As it is.
    Text(String),
    /// Rendered by the model's chat template.
    Messages {
        /// Objects with `role` and `content`.
        messages: Vec<Value>,
        /// Whether the text ends with the opening of an assistant turn.
        generation_prompt: bool,
    },
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Piece {
    /// Its number in the vocabulary.
    pub id: u32,
    /// The characters that it covers; several tokens that share a character each show the whole of it.
    pub text: String,
    /// The first of them, counted in characters (code points) of the whole text.
    pub start: u64,
    /// Behind the last of them.
    pub end: u64,
}

/// A row's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowTokens {
    /// What the model reads.
    pub text: String,
    /// The system text in force, the template's own included; none where there is none.
    pub system: Option<String>,
    /// Its tokens.
    pub pieces: Vec<Piece>,
    /// Whether each carries loss; as many as `pieces`.
    pub target: Vec<bool>,
}

/// A text's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// What was tokenized: the text, or the rendered conversation.
    pub text: String,
    /// Token ids.
    pub ids: Vec<u32>,
    /// The same tokens with their text; as many as `ids`.
    pub pieces: Vec<Piece>,
}

/// Facts of a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenizerInfo {
    /// `bos_token`, `eos_token` and others by the names that templates know them by.
    pub special_tokens: BTreeMap<String, String>,
    /// Tokens that end an answer, ascending.
    pub end_token_ids: Vec<u32>,
    /// Size of the vocabulary, added tokens included.
    pub vocabulary: u64,
    /// Positions that the model was made for; none where config.json does not say.
    pub context_length: Option<u64>,
    /// Whether conversations can be rendered.
    pub has_chat_template: bool,
    /// What was passed over in the model's files, in words.
    pub warnings: Vec<String>,
}

/// The inspector of a process that has no engine: every question is answered by saying so.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEngine;

impl NoEngine {
    fn refuse<T>() -> Result<T, Failure> {
        Err(Failure {
            class: ErrorClass::Internal,
            code: "no_engine",
            message: "this process has no engine to ask".into(),
            retryable: false,
        })
    }
}

impl Inspect for NoEngine {
    fn row(&self, _: &ModelFiles, _: &RowAsk) -> Result<RowTokens, Failure> {
        Self::refuse()
    }

    fn tokenize(&self, _: &ModelFiles, _: &TokenizeAsk) -> Result<Tokenized, Failure> {
        Self::refuse()
    }

    fn detokenize(&self, _: &ModelFiles, _: &[u32], _: bool) -> Result<String, Failure> {
        Self::refuse()
    }

    fn tokenizer_info(&self, _: &ModelFiles) -> Result<TokenizerInfo, Failure> {
        Self::refuse()
    }

    fn adapter(&self, _: &ModelFiles, _: &[LocalFile]) -> Result<Checked<AdapterFacts>, Failure> {
        Self::refuse()
    }

    fn dimensions(&self, _: &Value) -> Result<Dimensions, Failure> {
        Self::refuse()
    }
}
