//! One spelling and one SHA-256 for a JSON value, so that equal work has equal hashes.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Raised whenever a change of the code changes numbers that a spec leads to; part of every `numerics_hash`.
pub const NUMERICS_EPOCH: u32 = 1;

/// `value` with sorted keys, no blanks, and every number in one spelling (1, 1.0 and 1e0 are the same).
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            list(out, ('{', '}'), keys, |key, out| {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(&map[key], out);
            });
        }
        Value::Array(items) => list(out, ('[', ']'), items, write),
        Value::Number(number) => out.push_str(&spell(number)),
        other => out.push_str(&other.to_string()),
    }
}

fn list<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut one: impl FnMut(T, &mut String),
) {
    out.push(open);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        one(item, out);
    }
    out.push(close);
}

/// Whole numbers that a double holds exactly are written as integers, all others as the shortest double.
fn spell(number: &serde_json::Number) -> String {
    if let Some(whole) = number.as_i64() {
        return whole.to_string();
    }
    if let Some(whole) = number.as_u64() {
        return whole.to_string();
    }
    let float = number.as_f64().unwrap_or(f64::NAN);
    if float.fract() == 0.0 && float.abs() < 9e15 {
        format!("{}", float as i64)
    } else {
        format!("{float:e}")
    }
}

/// SHA-256 of the canonical text, as 64 hexadecimal digits.
pub fn hash(value: &Value) -> String {
    hex(&Sha256::digest(canonical(value).as_bytes()))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_of_keys_and_spelling_of_numbers_do_not_change_the_hash() {
        let left: Value = serde_json::from_str(r#"{"b":1.0,"a":[2e-5,"x"]}"#).unwrap();
        let right: Value = serde_json::from_str(r#"{ "a": [0.00002, "x"], "b": 1 }"#).unwrap();
        assert_eq!(hash(&left), hash(&right));
        assert_eq!(canonical(&left), r#"{"a":[2e-5,"x"],"b":1}"#);
    }

    #[test]
    fn another_value_has_another_hash() {
        assert_ne!(hash(&json!({"seed": 0})), hash(&json!({"seed": 1})));
    }
}
