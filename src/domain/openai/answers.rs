//! How answers look, field by field as OpenAI's clients read them; `seed` is ours.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// An end token or a stop text.
    Stop,
    /// As many tokens as were asked for, or as there was room for.
    Length,
}

/// What a request cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Usage {
    /// Tokens of all prompts, each counted once.
    pub prompt_tokens: u64,
    /// Tokens drawn, end tokens included.
    pub completion_tokens: u64,
    /// Their sum.
    pub total_tokens: u64,
}

impl Usage {
    /// The counts with their sum.
    pub fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
        }
    }
}

/// A chat's answers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// `chatcmpl-…`.
    pub id: String,
    /// `chat.completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// The address that answered, its step filled in.
    pub model: String,
    /// As many as `n`.
    pub choices: Vec<ChatChoice>,
    /// Counts of tokens.
    pub usage: Usage,
    /// The build, the base's files and the trained change's files.
    pub system_fingerprint: String,
    /// The key of the draws, chosen by the server where none was given.
    pub seed: u64,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatChoice {
    /// Counted from 0.
    pub index: u32,
    /// The answer.
    pub message: AnswerMessage,
    /// Probabilities, where asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// An assistant's turn.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnswerMessage {
    /// `assistant`.
    pub role: &'static str,
    /// Its text.
    pub content: String,
    /// Always null.
    pub refusal: Option<String>,
}

/// Probabilities of an answer's tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ChatLogprobs {
    /// Token by token.
    pub content: Vec<ChatToken>,
    /// Always null.
    pub refusal: Option<Vec<ChatToken>>,
}

/// A token of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatToken {
    /// Its text, or `bytes:\x…` where it is only a part of a character.
    pub token: String,
    /// Natural logarithm of its probability under the model's own distribution; −9999 stands for 0.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The most probable tokens at its place, best first.
    pub top_logprobs: Vec<TopToken>,
}

/// A token that could have stood there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopToken {
    /// Its text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A piece of a chat's answers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatChunk {
    /// Equal in all pieces.
    pub id: String,
    /// `chat.completion.chunk`.
    pub object: &'static str,
    /// Unix seconds, equal in all pieces.
    pub created: i64,
    /// The address that answers.
    pub model: String,
    /// One, or none in the piece with the counts.
    pub choices: Vec<ChatDelta>,
    /// Counts of tokens in the last piece, null in the others; there only where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
    /// As in an answer that is not streamed.
    pub system_fingerprint: String,
    /// As in an answer that is not streamed.
    pub seed: u64,
}

/// What is new in one answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChatDelta {
    /// Which answer.
    pub index: u32,
    /// What is new.
    pub delta: Delta,
    /// Probabilities of the new tokens, where asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// In an answer's last piece.
    pub finish_reason: Option<FinishReason>,
}

/// The new part of an assistant's turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Delta {
    /// In the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// Completions of prompts; also the form of a stream's pieces.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TextCompletion {
    /// `cmpl-…`.
    pub id: String,
    /// `text_completion`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// The address that answered, its step filled in.
    pub model: String,
    /// `n` for each prompt, in the order of the prompts.
    pub choices: Vec<TextChoice>,
    /// Counts of tokens; in a stream as in a chat's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
    /// The build, the base's files and the trained change's files.
    pub system_fingerprint: String,
    /// The key of the draws, chosen by the server where none was given.
    pub seed: u64,
}

/// One completion.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TextChoice {
    /// The prompt's place times `n`, and the completion's among them.
    pub index: u32,
    /// Its text, behind the prompt where that is echoed.
    pub text: String,
    /// Probabilities, where asked for.
    pub logprobs: Option<TextLogprobs>,
    /// Why it ended; null in a stream's earlier pieces.
    pub finish_reason: Option<FinishReason>,
}

/// Probabilities of a completion's tokens; all lists have equal lengths.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct TextLogprobs {
    /// Their texts. An end token is told here though it is no part of the text.
    pub tokens: Vec<String>,
    /// Natural logarithms of their probabilities; null for the first token of an echoed prompt, −9999 for probability 0.
    pub token_logprobs: Vec<Option<f32>>,
    /// The most probable tokens at each place, and the token itself.
    pub top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// Where each begins, in characters of `text`.
    pub text_offset: Vec<u64>,
}

/// A model that can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Model {
    /// Its address.
    pub id: String,
    /// `model`.
    pub object: &'static str,
    /// Unix seconds.
    pub created: i64,
    /// `vivarium`.
    pub owned_by: &'static str,
    /// The base model's name.
    pub root: String,
    /// What it was trained from; null for a base.
    pub parent: Option<String>,
    /// The fine-tune; null for a base.
    pub job: Option<String>,
    /// Updates made; null for a base.
    pub step: Option<u64>,
    /// The handed-in adapter; null for others.
    pub adapter: Option<String>,
}

/// Models that can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Models {
    /// `list`.
    pub object: &'static str,
    /// Each base with its fine-tunes behind it.
    pub data: Vec<Model>,
    /// Whether there are more than `limit`.
    pub has_more: bool,
}

/// A text's tokens.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Tokens {
    /// How many.
    pub count: u64,
    /// Positions that the model was made for.
    pub max_model_len: Option<u64>,
    /// Their ids.
    pub tokens: Vec<u32>,
    /// Their texts, where asked for.
    pub token_strs: Option<Vec<String>>,
}

/// Tokens' text.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DetokenizedText {
    /// The text, special tokens included.
    pub prompt: String,
}

/// A failure in OpenAI's form.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The failure.
    pub error: ErrorDetail,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// What happened, what was expected, what to do.
    pub message: String,
    /// `invalid_request_error`, `rate_limit_error`, `server_error` and the like.
    pub r#type: &'static str,
    /// The parameter at fault, such as `messages[0].content`.
    pub param: Option<String>,
    /// Stable code.
    pub code: Option<String>,
    /// Stands in the server's log, too.
    pub request_id: String,
}
