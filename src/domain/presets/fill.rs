//! A body with a preset's name becomes the body that the name stands for.

use serde_json::{Map, Value};

use super::find;
use crate::domain::invalid::{Checked, FieldError};

/// Objects of which exactly one field may be set, so that the sender's stands alone.
const WHOLE: [&str; 1] = ["length"];

/// Puts what `preset` stands for below the body's own fields; a body without one stays as it is.
///
/// Objects are filled field by field; everything else of the body replaces what the preset has. A `method` of another
/// `type` and a `length` of one's own replace the preset's whole.
///
/// *Errors* the name of no preset, with the nearest.
pub fn fill(mut body: Map<String, Value>) -> Checked<Map<String, Value>> {
    let name = match body.remove("preset") {
        None | Some(Value::Null) => return Ok(body),
        Some(Value::String(name)) => name,
        Some(_) => {
            let error = FieldError::at("/preset", "is not a string");
            return Err(error
                .hint("give a string, the name of a preset; GET /v1/presets lists them")
                .into());
        }
    };
    let preset = find(&name).map_err(|near| {
        let shown: String = name.chars().take(100).collect();
        let detail = format!("there is no preset \"{}\"", shown.escape_debug());
        FieldError::at("/preset", detail).hint(format!("{near}; GET /v1/presets lists them"))
    })?;
    let mut filled = preset.spec;
    merge(&mut filled, Value::Object(body));
    match filled {
        Value::Object(filled) => Ok(filled),
        _ => Ok(Map::new()),
    }
}

/// Lays `own` over `under`.
pub fn merge(under: &mut Value, own: Value) {
    match (under, own) {
        (Value::Object(under), Value::Object(own)) => {
            for (key, value) in own {
                match under.get_mut(&key) {
                    Some(there) if !replaces(&key, there, &value) => merge(there, value),
                    _ => {
                        under.insert(key, value);
                    }
                }
            }
        }
        (under, own) => *under = own,
    }
}

fn replaces(key: &str, there: &Value, own: &Value) -> bool {
    let kind = own.get("type");
    WHOLE.contains(&key) || (key == "method" && kind.is_some() && kind != there.get("type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_merged_and_everything_else_is_replaced() {
        let mut under = json!({"a": {"b": 1, "c": [1, 2]}, "length": {"epochs": 2}, "d": 1});
        merge(
            &mut under,
            json!({"a": {"c": [3], "e": null}, "length": {"steps": 5}, "d": {"f": 1}}),
        );
        let expected =
            json!({"a": {"b": 1, "c": [3], "e": null}, "length": {"steps": 5}, "d": {"f": 1}});
        assert_eq!(under, expected);
    }
}
