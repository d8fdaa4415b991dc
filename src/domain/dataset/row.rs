//! One row of a dataset, from its bytes.

use serde_json::{Map, Value};

use super::shorten;
use crate::domain::assets::DatasetFormat;
use crate::domain::decode::{escape, kind_of};
use crate::domain::invalid::FieldError;

/// Deepest nesting of arrays and objects.
const DEPTH: usize = 32;

/// Keys of a row that other programs train on and this one does not.
const REFUSED_KEYS: [&str; 2] = ["tools", "functions"];

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The frame.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's answer.
    Tool,
}

impl Role {
    const ALL: [Self; 4] = [Self::System, Self::User, Self::Assistant, Self::Tool];

    /// Its name in JSON and in chat templates.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One message; a list of text parts is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Whether an assistant's turn is learned; `"weight":0` and the turns of a prompt are not.
    pub learned: bool,
}

/// What is trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A conversation.
    Messages(Vec<Turn>),
    /// Plain text.
    Text(String),
}

impl Row {
    /// Its form.
    pub fn format(&self) -> DatasetFormat {
        match self {
            Self::Messages(_) => DatasetFormat::Messages,
            Self::Text(_) => DatasetFormat::Text,
        }
    }

    /// Its messages; none for text.
    pub fn turns(&self) -> &[Turn] {
        match self {
            Self::Messages(turns) => turns,
            Self::Text(_) => &[],
        }
    }
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedRow {
    /// What is trained on.
    pub row: Row,
    /// How it was written: `messages`, `text` or `prompt_completion`.
    pub form: &'static str,
    /// Keys that play no part.
    pub unknown: Vec<String>,
}

type Parsed<T> = Result<T, Vec<FieldError>>;

fn one(pointer: impl Into<String>, detail: impl Into<String>) -> Vec<FieldError> {
    vec![FieldError::at(pointer, detail)]
}

/// A row: `messages`, `text`, or TRL's `prompt` with `completion`, both lists of messages, of which the completion is learned.
///
/// *Errors* everything that is wrong with it, with pointers into the row and without the number of the line.
pub fn parse_row(line: &[u8]) -> Parsed<ParsedRow> {
    let mut object = object(line)?;
    for key in REFUSED_KEYS {
        if object.contains_key(key) {
            let error = FieldError::at(format!("/{key}"), format!("\"{key}\" is not supported"));
            return Err(vec![error.hint(
                "send conversations as \"messages\", plain text as \"text\"",
            )]);
        }
    }
    let mut take = |key: &str| object.remove(key);
    let given = (
        take("messages"),
        take("text"),
        take("prompt"),
        take("completion"),
    );
    let (row, form) = match given {
        (Some(messages), None, None, None) => {
            let turns = conversation("/messages", messages)?;
            (Row::Messages(spoken("/messages", turns)?), "messages")
        }
        (None, Some(text), None, None) => (Row::Text(plain(text)?), "text"),
        (None, None, Some(prompt), Some(completion)) => (
            Row::Messages(pair(prompt, completion)?),
            "prompt_completion",
        ),
        (messages, text, prompt, completion) => {
            return Err(one(
                "",
                unclear(&[
                    ("messages", messages.is_some()),
                    ("text", text.is_some()),
                    ("prompt", prompt.is_some()),
                    ("completion", completion.is_some()),
                ]),
            ));
        }
    };
    let unknown = object.into_iter().map(|(key, _)| key).collect();
    Ok(ParsedRow { row, form, unknown })
}

/// Why a row with these of its keys is none.
fn unclear(keys: &[(&str, bool)]) -> String {
    let there: Vec<String> = keys
        .iter()
        .filter(|(_, there)| *there)
        .map(|(key, _)| format!("\"{key}\""))
        .collect();
    match &there[..] {
        [] => "the row has neither \"messages\" nor \"text\"".into(),
        [one] => format!("the row has {one} alone; \"prompt\" and \"completion\" go together"),
        [first, second] => format!("the row has both {first} and {second}"),
        several => format!("the row has {} at once", several.join(", ")),
    }
}

/// A prompt's turns, none of which is learned, and those of its completion.
fn pair(prompt: Value, completion: Value) -> Parsed<Vec<Turn>> {
    let mut turns = conversation("/prompt", prompt)?;
    for turn in &mut turns {
        turn.learned = false;
    }
    let completion = conversation("/completion", completion)?;
    turns.extend(spoken("/completion", completion)?);
    Ok(turns)
}

/// The same turns, of which one at least is the assistant's.
fn spoken(pointer: &str, turns: Vec<Turn>) -> Parsed<Vec<Turn>> {
    if turns.iter().any(|turn| turn.role == Role::Assistant) {
        return Ok(turns);
    }
    let error = FieldError::at(pointer, "no assistant turn");
    Err(vec![error.hint(
        "a row needs something to learn: add a message of role assistant",
    )])
}

fn object(line: &[u8]) -> Parsed<Map<String, Value>> {
    let text = std::str::from_utf8(line).map_err(|error| {
        one(
            "",
            format!("byte {} of the line is not UTF-8", error.valid_up_to() + 1),
        )
    })?;
    if depth(text) > DEPTH {
        return Err(one(
            "",
            format!("JSON is nested deeper than {DEPTH} levels"),
        ));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(other) => Err(one(
            "",
            format!("expected an object, found {}", kind_of(&other)),
        )),
        Err(error) => Err(not_json(&error)),
    }
}

fn not_json(error: &serde_json::Error) -> Vec<FieldError> {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or_default();
    let detail = format!("not JSON: {reason} at column {}", error.column());
    vec![FieldError::at("", detail).hint("write each object on one line of its own")]
}

/// Deepest nesting of brackets outside strings; bytes of UTF-8 above 127 are never brackets or quotes.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn plain(text: Value) -> Parsed<String> {
    match text {
        Value::String(text) if text.is_empty() => Err(one("/text", "the text is empty")),
        Value::String(text) => Ok(text),
        other => Err(one(
            "/text",
            format!("expected a string, found {}", kind_of(&other)),
        )),
    }
}

fn conversation(pointer: &str, messages: Value) -> Parsed<Vec<Turn>> {
    let Value::Array(messages) = messages else {
        let detail = format!("expected a list, found {}", kind_of(&messages));
        return Err(one(pointer, detail));
    };
    let (mut turns, mut errors) = (Vec::with_capacity(messages.len()), Vec::new());
    for (place, message) in messages.into_iter().enumerate() {
        match turn(&format!("{pointer}/{place}"), message) {
            Ok(turn) => turns.push(turn),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        Ok(turns)
    } else {
        Err(errors)
    }
}

fn turn(pointer: &str, message: Value) -> Parsed<Turn> {
    let Value::Object(mut message) = message else {
        return Err(one(
            pointer,
            format!("expected an object, found {}", kind_of(&message)),
        ));
    };
    let role = role(pointer, message.remove("role"));
    let content = content(pointer, message.remove("content"));
    let learned = learned(pointer, message.remove("weight"));
    let unknown = message
        .keys()
        .map(|key| unknown_key(pointer, key))
        .collect::<Vec<_>>();
    match (role, content, learned) {
        (Ok(role), Ok(content), Ok(learned)) if unknown.is_empty() => Ok(Turn {
            role,
            content,
            learned,
        }),
        (role, content, learned) => {
            let found = [role.err(), content.err(), learned.err(), Some(unknown)];
            Err(found.into_iter().flatten().flatten().collect())
        }
    }
}

/// What a message's `weight` says.
fn learned(pointer: &str, weight: Option<Value>) -> Parsed<bool> {
    match weight.as_ref().map(Value::as_f64) {
        None => Ok(true),
        Some(Some(0.0)) => Ok(false),
        Some(Some(1.0)) => Ok(true),
        _ => Err(one(
            format!("{pointer}/weight"),
            "expected 0 (not learned) or 1 (learned)",
        )),
    }
}

fn unknown_key(pointer: &str, key: &str) -> FieldError {
    let detail = format!("unknown key \"{}\"", shorten(key));
    FieldError::at(format!("{pointer}/{}", escape(key)), detail)
        .hint("a message has role, content and perhaps weight; remove the key, since it would play no part")
}

fn role(pointer: &str, role: Option<Value>) -> Parsed<Role> {
    let place = format!("{pointer}/role");
    let names = Role::ALL.map(Role::name).join(", ");
    match role {
        Some(Value::String(name)) => Role::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .ok_or_else(|| {
                one(
                    place,
                    format!("role \"{}\" is not one of {names}", shorten(&name)),
                )
            }),
        Some(other) => Err(one(
            place,
            format!("expected one of {names}, found {}", kind_of(&other)),
        )),
        None => Err(one(place, format!("role is missing; give one of {names}"))),
    }
}

fn content(pointer: &str, content: Option<Value>) -> Parsed<String> {
    let place = format!("{pointer}/content");
    let expected = "a string or a list of {\"type\":\"text\",\"text\":…}";
    match content {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => parts
            .iter()
            .enumerate()
            .map(|(n, item)| part(&format!("{place}/{n}"), item))
            .collect(),
        Some(other) => Err(one(
            place,
            format!("expected {expected}, found {}", kind_of(&other)),
        )),
        None => Err(one(place, format!("content is missing; give {expected}"))),
    }
}

fn part(pointer: &str, part: &Value) -> Parsed<String> {
    let Value::Object(map) = part else {
        return Err(one(
            pointer,
            format!("expected an object, found {}", kind_of(part)),
        ));
    };
    if let Some(key) = map
        .keys()
        .find(|key| !matches!(key.as_str(), "type" | "text"))
    {
        return Err(vec![unknown_key(pointer, key)]);
    }
    match (map.get("type").and_then(Value::as_str), map.get("text")) {
        (Some("text"), Some(Value::String(text))) => Ok(text.clone()),
        (Some("text"), _) => Err(one(format!("{pointer}/text"), "expected a string")),
        _ => Err(one(
            format!("{pointer}/type"),
            "only parts of type \"text\" are supported",
        )),
    }
}
