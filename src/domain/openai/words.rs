//! Parameters that are not obeyed: those that change no answer are passed over, all others are refused by name.

use serde_json::{Map, Value};

use crate::domain::decode::{escape, kind_of};
use crate::domain::invalid::FieldError;

/// Parameters that change nothing about an answer.
const HARMLESS: [&str; 9] = [
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
    "verbosity",
];

/// Whether a value is the one that changes nothing.
type Neutral = fn(&Value) -> bool;

/// Parameters that would change an answer and cannot be obeyed, with the value at which they do not, and a remedy.
const UNABLE: [(&str, Neutral, &str); 24] = [
    ("audio", never, "ask for text"),
    ("best_of", never, "leave it out, or give it the value of n"),
    (
        "frequency_penalty",
        is_zero,
        "leave it out; repetition_penalty is there",
    ),
    ("function_call", is_none_word, "leave it out"),
    ("functions", is_empty, "leave it out"),
    ("guided_choice", never, "leave it out"),
    ("guided_json", never, "leave it out"),
    ("guided_regex", never, "leave it out"),
    ("length_penalty", is_one, "leave it out"),
    ("logit_bias", is_empty, "leave it out"),
    ("min_p", is_zero, "leave it out; top_p and top_k are there"),
    ("min_tokens", is_zero, "leave it out"),
    ("modalities", is_text_only, "ask for text"),
    ("moderation", never, "leave it out"),
    ("prediction", never, "leave it out"),
    (
        "presence_penalty",
        is_zero,
        "leave it out; repetition_penalty is there",
    ),
    (
        "prompt_logprobs",
        never,
        "ask /openai/v1/completions with echo and logprobs",
    ),
    (
        "reasoning_effort",
        never,
        "give chat_template_kwargs.enable_thinking",
    ),
    ("response_format", is_text_format, "leave it out"),
    (
        "suffix",
        is_empty,
        "leave it out; text is only completed at its end",
    ),
    ("tool_choice", is_none_word, "leave it out"),
    ("tools", is_empty, "leave it out"),
    ("use_beam_search", is_false, "leave it out"),
    ("web_search_options", never, "leave it out"),
];

fn never(_: &Value) -> bool {
    false
}

fn is_zero(value: &Value) -> bool {
    value.as_f64() == Some(0.0)
}

fn is_one(value: &Value) -> bool {
    value.as_f64() == Some(1.0)
}

fn is_false(value: &Value) -> bool {
    value == &Value::Bool(false)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn is_none_word(value: &Value) -> bool {
    matches!(value.as_str(), Some("none" | "auto"))
}

fn is_text_only(value: &Value) -> bool {
    matches!(value.as_array().map(Vec::as_slice), Some([only]) if only == "text")
}

fn is_text_format(value: &Value) -> bool {
    matches!(value.as_object(), Some(map) if map.len() == 1 && map.get("type").is_some_and(|word| word == "text"))
}

/// Takes every such parameter out of `body`, and every null, which stands for absence. What is left is to be obeyed.
///
/// *Errors* the parameters that cannot be obeyed; otherwise the names that were passed over.
pub(super) fn sort_out(
    body: &mut Map<String, Value>,
) -> Result<Vec<&'static str>, Vec<FieldError>> {
    body.retain(|_, value| !value.is_null());
    let unable = UNABLE
        .iter()
        .filter_map(|(name, neutral, instead)| {
            let value = body.remove(*name)?;
            (!neutral(&value)).then(|| refusal(name, &value, instead))
        })
        .collect::<Vec<_>>();
    let ignored = HARMLESS
        .into_iter()
        .filter(|name| body.remove(*name).is_some())
        .collect();
    match unable.is_empty() {
        true => Ok(ignored),
        false => Err(unable),
    }
}

fn refusal(name: &str, value: &Value, instead: &str) -> FieldError {
    let shown = match value {
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        other => kind_of(other).to_owned(),
    };
    let detail = format!("`{name}` would change the answer and is not supported (found {shown})");
    FieldError::at(format!("/{}", escape(name)), detail)
        .code("unsupported_parameter")
        .hint(instead)
}
