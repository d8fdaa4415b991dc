//! The bodies as the OpenAPI document shows them; they are read by [`crate::domain::openai`], which knows every refusal.

#![allow(dead_code)] // only described

use serde_json::Value;
use utoipa::ToSchema;

/// A turn of a conversation.
#[derive(ToSchema)]
pub(super) struct ChatTurn {
    /// `system`, `user`, `assistant` or `tool`.
    role: String,
    /// A text, or a list of `{"type":"text","text":…}`, which are put together as they stand.
    #[schema(value_type = Object)]
    content: Value,
}

/// `{"include_usage":true}`.
#[derive(ToSchema)]
pub(super) struct StreamOptions {
    /// Whether the last piece has the counts of tokens.
    include_usage: Option<bool>,
}

/// `{"enable_thinking":false}`.
#[derive(ToSchema)]
pub(super) struct TemplateArguments {
    /// For templates that know thinking.
    enable_thinking: Option<bool>,
}

/// A conversation to be answered.
#[derive(ToSchema)]
pub(super) struct ChatCompletionRequest {
    /// An address from `/openai/v1/models`, such as `toy@job_…:step400*0.5`.
    model: String,
    /// At least one.
    messages: Vec<ChatTurn>,
    /// Answers; 1 where absent.
    n: Option<u32>,
    /// Key of the draws, a whole number of 64 bits; chosen and told where absent.
    seed: Option<i64>,
    /// Texts at which an answer ends: one, or a list.
    #[schema(value_type = Option<Object>)]
    stop: Option<Value>,
    /// Whether pieces are sent as they are made.
    stream: Option<bool>,
    /// Only for streams.
    stream_options: Option<StreamOptions>,
    /// Whether probabilities are told.
    logprobs: Option<bool>,
    /// 0 to 20 most probable tokens beside each.
    top_logprobs: Option<u32>,
    /// Most tokens of an answer.
    max_tokens: Option<u32>,
    /// The same by its newer name.
    max_completion_tokens: Option<u32>,
    /// 0 (greedy) to 100; 1 where absent.
    temperature: Option<f64>,
    /// Above 0, at most 1; 1 where absent.
    top_p: Option<f64>,
    /// Extension: tokens that are kept; 0 or −1 keeps all.
    top_k: Option<i64>,
    /// Extension: above 0; 1 changes nothing.
    repetition_penalty: Option<f64>,
    /// Extension: `template_default`, `none`, or `text:` with the text behind it; a system turn in the messages goes before.
    system: Option<String>,
    /// Extension: the day that a template may print, `YYYY-MM-DD`; today where absent.
    date: Option<String>,
    /// Extension: arguments of the template.
    chat_template_kwargs: Option<TemplateArguments>,
}

/// Texts or tokens to go on from.
#[derive(ToSchema)]
pub(super) struct TextCompletionRequest {
    /// An address from `/openai/v1/models`.
    model: String,
    /// A text, a list of texts, a list of token ids, or a list of such lists.
    #[schema(value_type = Object)]
    prompt: Value,
    /// Whether the prompt is told before its completion.
    echo: Option<bool>,
    /// 0 to 20 most probable tokens beside each; probabilities are told where it is given.
    logprobs: Option<u32>,
    /// Completions of each prompt; 1 where absent.
    n: Option<u32>,
    /// As in a chat.
    seed: Option<i64>,
    /// As in a chat.
    #[schema(value_type = Option<Object>)]
    stop: Option<Value>,
    /// As in a chat.
    stream: Option<bool>,
    /// As in a chat.
    stream_options: Option<StreamOptions>,
    /// Most tokens of a completion; 0 with `echo` tells the prompt alone.
    max_tokens: Option<u32>,
    /// As in a chat.
    temperature: Option<f64>,
    /// As in a chat.
    top_p: Option<f64>,
    /// As in a chat.
    top_k: Option<i64>,
    /// As in a chat.
    repetition_penalty: Option<f64>,
}

/// A text or a conversation to be tokenized; exactly one of `prompt` and `messages`.
#[derive(ToSchema)]
pub(super) struct TokenizeBody {
    /// An address; may be left out where there is one base model.
    model: Option<String>,
    /// A text.
    prompt: Option<String>,
    /// A conversation.
    messages: Option<Vec<ChatTurn>>,
    /// Whether a conversation ends with the opening of an answer; true where absent.
    add_generation_prompt: Option<bool>,
    /// Whether a text gets the tokenizer's own tokens; true where absent.
    add_special_tokens: Option<bool>,
    /// Whether the tokens' texts are told.
    return_token_strs: Option<bool>,
    /// As in a chat.
    system: Option<String>,
    /// As in a chat.
    date: Option<String>,
    /// As in a chat.
    chat_template_kwargs: Option<TemplateArguments>,
}

/// Tokens to be spelled.
#[derive(ToSchema)]
pub(super) struct DetokenizeBody {
    /// An address; may be left out where there is one base model.
    model: Option<String>,
    /// Token ids.
    tokens: Vec<u32>,
}
