//! A conversation as templates see it, from a dataset's row or from what a client sends.

use minijinja::Value;

use crate::domain::dataset::Turn;

/// The turns of a conversation, each an object with `role`, `content` and whatever else templates read.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// In order.
    pub messages: Vec<Value>,
    /// Descriptions of tools.
    pub tools: Option<Value>,
}

impl Conversation {
    /// The turns of a dataset's row.
    pub fn of_turns(turns: &[Turn]) -> Self {
        Self {
            messages: turns.iter().map(message).collect(),
            tools: None,
        }
    }

    /// A question with the system text before it where there is one.
    pub fn asking(system: Option<&str>, user: &str) -> Self {
        let system = system.map(|text| ("system", text));
        let turns = system.into_iter().chain([("user", user)]);
        Self {
            messages: turns
                .map(|(role, content)| minijinja::context! { role, content })
                .collect(),
            tools: None,
        }
    }

    /// Messages as clients send them; a content that is a list of text parts is put together.
    ///
    /// *Errors* in words, the place first: what is no object, a missing role, a content that is null or of another form.
    pub fn of_json(messages: &[serde_json::Value]) -> Result<Self, String> {
        let mut read = Vec::with_capacity(messages.len());
        for (place, message) in messages.iter().enumerate() {
            let told = |detail: &str| format!("messages[{place}] {detail}");
            let mut message = message
                .as_object()
                .cloned()
                .ok_or_else(|| told("is not an object with role and content"))?;
            if !message
                .get("role")
                .is_some_and(serde_json::Value::is_string)
            {
                return Err(told("has no role"));
            }
            let content = message.get("content").and_then(joined);
            let content = content.ok_or_else(|| {
                told("has a content that is neither a string nor a list of text parts")
            })?;
            message.insert("content".into(), content.into());
            read.push(minijinja::value::Serde(&message).into());
        }
        Ok(Self {
            messages: read,
            tools: None,
        })
    }
}

fn message(turn: &Turn) -> Value {
    let (role, content) = (turn.role.name(), turn.content.as_str());
    if turn.learned {
        minijinja::context! { role, content }
    } else {
        minijinja::context! { role, content, weight => 0 }
    }
}

/// A string, or the strings of `{"type":"text","text":…}` one behind the other.
fn joined(content: &serde_json::Value) -> Option<String> {
    match content {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(parts) => {
            let part = |part: &serde_json::Value| match part["type"].as_str() {
                Some("text") => part["text"].as_str().map(str::to_string),
                _ => None,
            };
            parts.iter().map(part).collect()
        }
        _ => None,
    }
}
