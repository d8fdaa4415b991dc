//! JSON text into values, with line, column and JSON pointer of the first mistake.

use serde_json::Value;

use super::error::{self, Problem};
use crate::domain::decode::escape;
use crate::domain::invalid::FieldError;

/// The value that `bytes` spell.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(bytes).map_err(|error| describe(bytes, &error))
}

fn describe(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let offset = offset_of(bytes, error.line(), error.column());
    let found = word_at(bytes, offset);
    let place = FieldError {
        line: Some(error.line() as u64),
        pointer: Some(pointer_at(&bytes[..offset])),
        detail: format!("{error}, at {found}"),
        hint: hint(bytes, &found),
        ..FieldError::default()
    };
    Problem::new(
        &error::JSON_SYNTAX,
        format!("the body is not JSON: {error}"),
    )
    .with_errors(vec![place])
}

fn hint(bytes: &[u8], found: &str) -> Option<String> {
    if ["NaN", "Inf", "-Inf", "nan", "inf", "-inf"]
        .iter()
        .any(|word| found[1..].starts_with(word))
    {
        return Some("JSON has no NaN or Infinity; give a finite number".into());
    }
    bytes.is_empty().then(|| "send a JSON object".into())
}

/// Offset of the byte that the parser stopped at; its columns count from 1, 0 stands for the line's break.
fn offset_of(bytes: &[u8], line: usize, column: usize) -> usize {
    let start: usize = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (start + column.saturating_sub(1)).min(bytes.len())
}

/// The quoted word that begins around `offset`.
fn word_at(bytes: &[u8], offset: usize) -> String {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
    let back = bytes[..offset]
        .iter()
        .rev()
        .take_while(|byte| is_word(byte))
        .count();
    let rest = &bytes[offset - back..];
    let length = rest
        .iter()
        .take(24)
        .take_while(|byte| is_word(byte))
        .count()
        .max(1)
        .min(rest.len());
    match &rest[..length] {
        [] => "the end of the body".into(),
        word => format!("`{}`", String::from_utf8_lossy(word)),
    }
}

/// Where in the document a prefix of it ends.
enum Inside {
    Object { key: Option<String> },
    Array { index: usize },
}

fn pointer_at(prefix: &[u8]) -> String {
    let mut stack: Vec<Inside> = Vec::new();
    let mut at = 0;
    while at < prefix.len() {
        match prefix[at] {
            b'{' => stack.push(Inside::Object { key: None }),
            b'[' => stack.push(Inside::Array { index: 0 }),
            b'}' | b']' => drop(stack.pop()),
            b',' => next_member(stack.last_mut()),
            b'"' => {
                let end = string_end(prefix, at);
                note_key(stack.last_mut(), &prefix[at..end]);
                at = end.saturating_sub(1).max(at);
            }
            _ => {}
        }
        at += 1;
    }
    stack.iter().filter_map(segment).collect()
}

fn next_member(inside: Option<&mut Inside>) {
    match inside {
        Some(Inside::Object { key }) => *key = None,
        Some(Inside::Array { index }) => *index += 1,
        None => {}
    }
}

/// The first string of an object's member is its key.
fn note_key(inside: Option<&mut Inside>, quoted: &[u8]) {
    if let Some(Inside::Object { key: key @ None }) = inside {
        *key = serde_json::from_slice(quoted).ok();
    }
}

/// Offset behind the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn segment(inside: &Inside) -> Option<String> {
    match inside {
        Inside::Object { key } => key.as_ref().map(|key| format!("/{}", escape(key))),
        Inside::Array { index } => Some(format!("/{index}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        format!("{:?}", parse(text.as_bytes()).unwrap_err())
    }

    #[test]
    fn a_nan_is_refused_at_its_field_with_a_remedy() {
        let text = "{\"a\": [1, {\"x\": 2}],\n \"optimizer\": {\"learning_rate\": NaN}}";
        let error = refusal(text);
        assert!(error.contains("\"/optimizer/learning_rate\""), "{error}");
        assert!(error.contains("line: Some(2)"), "{error}");
        assert!(error.contains("JSON has no NaN"), "{error}");
    }

    #[test]
    fn the_pointer_counts_array_elements_and_skips_strings() {
        assert_eq!(pointer_at(br#"{"a":"}{\"","b":[0,[1,2],"#), "/b/2");
        assert_eq!(pointer_at(br#"{"a/b":"#), "/a~1b");
        assert_eq!(pointer_at(b""), "");
    }

    #[test]
    fn no_text_however_broken_makes_it_panic() {
        let whole = "{\"a\":[1,\"\\u00e9\",{\"b\":null}],\n\"c\":NaN, \"d\": -Infinity}";
        for end in 0..whole.len() {
            assert!(parse(&whole.as_bytes()[..end]).is_err());
        }
        assert!(parse(&[b'{', 0xff, b'"']).is_err());
    }
}
