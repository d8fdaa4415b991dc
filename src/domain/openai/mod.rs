//! The words of OpenAI-style inference: what may be asked, within which bounds, and how answers look. Knows no HTTP.
//!
//! Defaults are those of the words themselves, not those of a model's `generation_config.json`: temperature 1, top_p 1, no
//! top_k, no penalty; without `max_tokens` an answer may go on to the end of the context, within the configured maximum.

pub mod answers;
mod completion;
mod conversation;
mod drawing;
mod other;
mod words;

use serde_json::Value;

use super::address::Address;
use super::decode::object_at;
use super::finetune::ChatSpec;
use super::invalid::Checked;

pub use drawing::Drawing;
pub use other::{DetokenizeRequest, TokenizeInput, TokenizeRequest};

/// Largest `top_logprobs` and `logprobs`.
pub const MOST_TOP_LOGPROBS: u32 = 20;

/// Bounds of one request; from the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Largest `n`.
    pub answers: u32,
    /// Largest `max_tokens`, and what stands in its place where the context is longer.
    pub new_tokens: u32,
    /// Largest product of prompts, `n` and `max_tokens`.
    pub drawn_tokens: u64,
    /// Most prompts.
    pub prompts: u32,
    /// Most tokens of all prompts together.
    pub prompt_tokens: u64,
    /// Most stop texts.
    pub stop_texts: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            answers: 128,
            new_tokens: 4096,
            drawn_tokens: 65_536,
            prompts: 256,
            prompt_tokens: 262_144,
            stop_texts: 16,
        }
    }
}

/// A turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One of `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// Its text.
    pub content: String,
}

/// `POST /openai/v1/chat/completions`, read.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Whose answer.
    pub model: Address,
    /// To what; at least one.
    pub messages: Vec<Message>,
    /// How they become text; no date where none was given.
    pub chat: ChatSpec,
    /// How answers are drawn.
    pub drawing: Drawing,
    /// Harmless parameters that were passed over.
    pub ignored: Vec<&'static str>,
}

/// What a completion goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A text, to be tokenized.
    Text(String),
    /// Tokens as they are.
    Tokens(Vec<u32>),
}

/// `POST /openai/v1/completions`, read.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// Whose completion.
    pub model: Address,
    /// Of what; at least one.
    pub prompts: Vec<Prompt>,
    /// Whether the prompts are given back before their completions.
    pub echo: bool,
    /// How completions are drawn.
    pub drawing: Drawing,
    /// Harmless parameters that were passed over.
    pub ignored: Vec<&'static str>,
}

/// Reads the body of a chat completion.
pub fn chat_request(body: Value, bounds: &Bounds) -> Checked<ChatRequest> {
    conversation::read(object_at("", body)?, bounds)
}

/// Reads the body of a completion.
pub fn completion_request(body: Value, bounds: &Bounds) -> Checked<CompletionRequest> {
    completion::read(object_at("", body)?, bounds)
}

/// Reads the body of a request for tokens.
pub fn tokenize_request(body: Value) -> Checked<TokenizeRequest> {
    other::read_tokenize(object_at("", body)?)
}

/// Reads the body of a request for text.
pub fn detokenize_request(body: Value) -> Checked<DetokenizeRequest> {
    other::read_detokenize(object_at("", body)?)
}

#[cfg(test)]
mod tests;
