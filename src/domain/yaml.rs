//! A posted body as YAML or JSON, read into plain JSON. Knows no field of it.

use serde_json::Value;
use serde_saphyr::{Location, Options};

use super::invalid::{Checked, FieldError};

/// Bytes of a text at most.
const MOST_BYTES: usize = 1 << 20;

/// `yes` and `no` are words here, as in YAML 1.2; the bounds keep aliases from growing without end.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 100_000,
            max_total_scalar_bytes: 4 * MOST_BYTES,
            max_documents: 1,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The one document in `text`, JSON being read as JSON.
///
/// *Errors*: one, with its line: too long, neither JSON nor YAML, a key given twice, more than one document.
pub fn value(text: &str) -> Checked<Value> {
    if text.len() > MOST_BYTES {
        let detail = format!("the text has {} bytes, more than {MOST_BYTES}", text.len());
        return Err(FieldError::at("", detail).into());
    }
    if text.trim_start().starts_with('{') {
        return json(text);
    }
    let read: Result<Value, _> = serde_saphyr::from_str_with_options(text, options());
    read.map_err(|error| {
        let error = error.without_snippet();
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or_default();
        let detail = format!("this is not YAML: {what}");
        match error.location().filter(|at| *at != Location::UNKNOWN) {
            Some(at) => FieldError::on_line(at.line(), "", detail),
            None => FieldError::at("", detail),
        }
        .into()
    })
}

/// YAML's own flow form is close to JSON, but a number means in JSON what its letters say.
fn json(text: &str) -> Checked<Value> {
    serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or_default();
        FieldError::on_line(error.line() as u64, "", format!("this is not JSON: {what}")).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml = "name: a run\nseeds: [0, 1]\nrate: 1e-5\nratio: 0.05\nnothing: null\nword: no\nyes: true\ntext: |\n  two\n  lines\n";
        let expected = json!({"name": "a run", "seeds": [0, 1], "rate": 1e-5, "ratio": 0.05, "nothing": null, "word": "no",
            "yes": true, "text": "two\nlines\n"});
        assert_eq!(value(yaml).unwrap(), expected);
        assert_eq!(value(&expected.to_string()).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line() {
        for (text, line, part) in [
            ("a: 1\nb: [1, 2\nc: 3\n", None, "not YAML"),
            ("a: 1\na: 2\n", Some(2), "not YAML"),
            ("{\"a\": 1,\n \"b\" 2}", Some(2), "not JSON"),
        ] {
            let invalid = value(text).unwrap_err();
            assert!(invalid.errors[0].detail.contains(part), "{invalid}");
            if line.is_some() {
                assert_eq!(invalid.errors[0].line, line, "{invalid}");
            }
        }
    }

    #[test]
    fn aliases_that_grow_without_end_are_refused() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, before) in ["b", "c", "d", "e", "f", "g", "h"]
            .iter()
            .zip(["a", "b", "c", "d", "e", "f", "g"])
        {
            let nine = vec![format!("*{before}"); 9].join(", ");
            text += &format!("{name}: &{name} [{nine}]\n");
        }
        assert!(value(&text).is_err());
    }
}
