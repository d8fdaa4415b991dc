//! From JSON to typed requests with a pointer in every error.
//!
//! Tagged bodies (`kind`, `method.type`, `source`) are read tag first, then as the variant's own struct; derived internal
//! tagging would lose the pointer of everything below the tag.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};

use super::invalid::{Checked, FieldError, Invalid};

/// Reads `value` as `T`; pointers in errors begin with `pointer`.
pub fn decode_at<T: DeserializeOwned>(pointer: &str, value: Value) -> Checked<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = format!("{pointer}{}", to_pointer(error.path()));
        Invalid::from(explain(place, &error.inner().to_string()))
    })
}

/// The decoder's words as an error of the place that they speak about.
fn explain(place: String, words: &str) -> FieldError {
    if let Some(key) = quoted_behind(words, "missing field ") {
        let place = format!("{place}/{}", escape(key));
        return FieldError::at(place, format!("`{key}` is missing")).hint("add it");
    }
    if let Some(key) = quoted_behind(words, "unknown field ") {
        let own = format!("/{}", escape(key));
        let place = match place.ends_with(&own) {
            true => place,
            false => format!("{place}{own}"),
        };
        let error = FieldError::at(place, format!("unknown field `{key}`"));
        return error.hint(match words.split_once(", expected ") {
            Some((_, known)) => format!("known here: {known}"),
            None => "leave it out; there are no fields here".into(),
        });
    }
    FieldError::at(place, plain(words))
}

fn quoted_behind<'a>(words: &'a str, start: &str) -> Option<&'a str> {
    let quoted = words.strip_prefix(start)?.strip_prefix('`')?;
    quoted.split_once('`').map(|(name, _)| name)
}

/// The same words with JSON's names of types in place of this program's.
fn plain(words: &str) -> String {
    let Some((found, expected)) = words.rsplit_once(", expected ") else {
        return words.to_owned();
    };
    let expected = match expected {
        "f64" | "f32" => "a number",
        "u64" => "a whole number, 0 or more",
        "u32" => "a whole number from 0 to 4294967295",
        "a sequence" => "an array",
        "a map" => "an object",
        name if name.starts_with("struct ") => "an object",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// The JSON pointer of a decoder's path.
pub fn to_pointer(path: &Path) -> String {
    path.iter().map(segment).collect()
}

fn segment(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { variant } => format!("/{}", escape(variant)),
        Segment::Unknown => String::new(),
    }
}

/// A key as it stands in a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The object behind `value`, or an error that says what it is instead.
pub fn object_at(pointer: &str, value: Value) -> Checked<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(FieldError::at(
            pointer,
            format!("expected an object, found {}", kind_of(&other)),
        )
        .into()),
    }
}

/// Takes the tag `key` out of `object`; it must be one of `allowed`.
pub fn take_tag(
    pointer: &str,
    object: &mut Map<String, Value>,
    key: &str,
    allowed: &[&str],
) -> Checked<String> {
    let place = format!("{pointer}/{}", escape(key));
    let list = allowed.join(", ");
    match object.remove(key) {
        Some(Value::String(tag)) if allowed.contains(&tag.as_str()) => Ok(tag),
        Some(Value::String(tag)) => {
            Err(FieldError::at(place, format!("\"{tag}\" is not one of {list}")).into())
        }
        Some(other) => Err(FieldError::at(
            place,
            format!("expected one of {list}, found {}", kind_of(&other)),
        )
        .into()),
        None => Err(FieldError::at(place, format!("missing; give one of {list}")).into()),
    }
}

/// What a JSON value is, in words.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
