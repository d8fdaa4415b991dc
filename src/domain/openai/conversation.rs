//! The body of a chat completion.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::drawing::{self, check_top, check_total, fields_of};
use super::{Bounds, ChatRequest, Message};
use crate::domain::decode::{kind_of, object_at};
use crate::domain::finetune::ChatSpec;
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::requests::fields::Fields;
use crate::domain::requests::finetune::check_chat_at;

/// Roles that templates know.
const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
/// Most turns of a conversation.
const MOST_MESSAGES: usize = 10_000;

pub(super) fn read(body: Map<String, Value>, bounds: &Bounds) -> Checked<ChatRequest> {
    let (mut fields, ignored) = fields_of(body)?;
    let model = drawing::read_model(&mut fields);
    let messages = read_messages(&mut fields);
    let logprobs = fields.or("logprobs", false);
    let top = fields.optional::<u32>("top_logprobs");
    let chat = read_chat(&mut fields);
    let drawing = drawing::read(&mut fields, bounds);
    let request = (|| {
        let mut drawing = drawing?;
        drawing.top_logprobs = fields.note(read_logprobs(logprobs?, top?))?;
        fields.note(check_length(drawing.max_tokens))?;
        fields.note(check_total(&drawing, 1, bounds))?;
        Some(ChatRequest {
            model: model?,
            messages: messages?,
            chat: chat?,
            drawing,
            ignored,
        })
    })();
    fields.finish(request)
}

fn check_length(max_tokens: Option<u32>) -> Checked<()> {
    match max_tokens {
        Some(0) => Err(
            FieldError::at("/max_tokens", "0 leaves no room for an answer")
                .hint("give 1 or more")
                .into(),
        ),
        _ => Ok(()),
    }
}

fn read_logprobs(wanted: bool, top: Option<u32>) -> Checked<Option<u32>> {
    match (wanted, top) {
        (true, top) => check_top("top_logprobs", top.unwrap_or(0)).map(Some),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(FieldError::at("/top_logprobs", "needs logprobs")
            .hint("set logprobs to true")
            .into()),
    }
}

fn read_messages(fields: &mut Fields) -> Option<Vec<Message>> {
    let example = "give a list such as [{\"role\":\"user\",\"content\":\"Hello\"}]";
    let messages = fields.list("messages", example, read_message)?;
    let length = match messages.len() {
        0 => Some("there is no message"),
        n if n > MOST_MESSAGES => Some("there are more than 10000 messages"),
        _ => None,
    };
    match length {
        Some(detail) => {
            fields.note::<()>(Err(FieldError::at("/messages", detail)
                .hint(example)
                .into()));
            None
        }
        None => Some(messages),
    }
}

/// A turn in OpenAI's form; shared with requests for tokens.
pub(super) fn read_message(pointer: &str, value: Value) -> Checked<Message> {
    let mut object = object_at(pointer, value)?;
    let content = object.remove("content");
    // replies that are sent back as they came carry nulls for all that they are not
    object.retain(|_, value| !value.is_null());
    let mut fields = Fields::new(pointer, object);
    let role = fields.required::<String>("role", "give one of system, user, assistant, tool");
    let role = role.and_then(|role| fields.note(check_role(pointer, role)));
    let content = fields.note(read_content(&format!("{pointer}/content"), content));
    let message = role.zip(content);
    fields.finish(message.map(|(role, content)| Message { role, content }))
}

fn check_role(pointer: &str, role: String) -> Checked<String> {
    if ROLES.contains(&role.as_str()) {
        return Ok(role);
    }
    let shown: String = role.chars().take(100).collect();
    let detail = format!(
        "role \"{}\" is not one of {}",
        shown.escape_debug(),
        ROLES.join(", ")
    );
    Err(FieldError::at(format!("{pointer}/role"), detail).into())
}

/// A text, or a list of text parts, which are put together as they stand.
fn read_content(pointer: &str, value: Option<Value>) -> Checked<String> {
    let hint = "give a string, or a list of {\"type\":\"text\",\"text\":…}";
    let refuse = |detail: String| Err(FieldError::at(pointer, detail).hint(hint).into());
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            let parts = parts.into_iter().enumerate();
            parts
                .map(|(index, part)| read_part(&format!("{pointer}/{index}"), part))
                .collect()
        }
        Some(Value::Array(_)) => refuse("an empty list is no content".into()),
        Some(other) => refuse(format!("{} is no content", kind_of(&other))),
        None => refuse("`content` is missing".into()),
    }
}

fn read_part(pointer: &str, part: Value) -> Checked<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        text: String,
    }
    let mut part = object_at(pointer, part)?;
    match part.remove("type") {
        Some(Value::String(word)) if word == "text" => {
            let text: Text = crate::domain::decode::decode_at(pointer, Value::Object(part))?;
            Ok(text.text)
        }
        Some(Value::String(word)) => {
            let shown: String = word.chars().take(100).collect();
            let detail = format!("a part of type \"{}\" is not text", shown.escape_debug());
            let error = FieldError::at(format!("{pointer}/type"), detail);
            Err(error.code("unsupported_content").hint("give text").into())
        }
        _ => Err(
            FieldError::at(format!("{pointer}/type"), "`type` is missing")
                .hint("give \"text\"")
                .into(),
        ),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TemplateArguments {
    #[serde(default)]
    enable_thinking: Option<bool>,
}

/// The extensions that say how turns become text.
pub(super) fn read_chat(fields: &mut Fields) -> Option<ChatSpec> {
    let system = fields.or("system", ChatSpec::default().system);
    let date = fields.optional::<String>("date");
    let arguments = fields.optional_section::<TemplateArguments>("chat_template_kwargs");
    let chat = ChatSpec {
        system: system?,
        date: date?,
        enable_thinking: arguments?.and_then(|arguments| arguments.enable_thinking),
    };
    let mut findings = Findings::default();
    check_chat_at(&mut findings, "", &chat);
    fields.note(findings.finish())?;
    Some(chat)
}
