//! A YAML document as a tree whose nodes know their lines, within bounds. Knows nothing of questions.
//!
//! JSON is read by the same reader, being YAML. Anchors, aliases and merge keys are resolved; what they expand to is counted, so
//! that a small file cannot become a large one.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Error, Location, Options, Spanned};

use crate::domain::invalid::{Checked, FieldError};

/// Longest file in bytes.
pub const FILE_BYTES: usize = 1 << 20;
/// Most bytes of text once aliases stand for what they name.
const EXPANDED_BYTES: usize = 16 << 20;
/// Most values once aliases stand for what they name.
const EXPANDED_NODES: usize = 100_000;
/// Lists and mappings within each other.
const DEPTH: usize = 12;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::domain) struct Node {
    pub tree: Tree,
    /// Line of the value, or of the alias that stands for it, counted from 1.
    pub line: u64,
    /// Line of what an alias names; otherwise the same as `line`.
    pub defined: u64,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::domain) enum Tree {
    /// Null, a boolean or a number.
    Plain(Value),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// What it is, in words.
    pub fn kind(&self) -> String {
        match &self.tree {
            Tree::Plain(Value::Null) => "empty".into(),
            Tree::Plain(Value::Bool(value)) => format!("the boolean {value}"),
            Tree::Plain(value) => format!("the number {value}"),
            Tree::Text(_) => "text".into(),
            Tree::List(_) => "a list".into(),
            Tree::Map(_) => "a mapping".into(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tree == Tree::Plain(Value::Null)
    }

    /// The same value as JSON.
    pub fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Plain(value) => value.clone(),
            Tree::Text(text) => text.as_str().into(),
            Tree::List(items) => items.iter().map(Self::to_json).collect(),
            Tree::Map(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_json()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        Ok(Self {
            tree: spanned.value,
            line: spanned.referenced.line(),
            defined: spanned.defined.line(),
        })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text, a number, a boolean, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Plain(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Tree, E> {
        self.visit_unit()
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Plain(value.into()))
    }

    /// Whole numbers that no field of ours has room for are numbers all the same.
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Tree, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Tree, E> {
        self.visit_f64(value as f64)
    }

    /// Numbers that are none do not come here: the reader refuses them.
    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Plain(
            Number::from_f64(value).map_or(Value::Null, Value::Number),
        ))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

/// `yes` and `no` are words here, as in YAML 1.2: they may well be what a question asks.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            max_nodes: EXPANDED_NODES,
            max_total_scalar_bytes: EXPANDED_BYTES,
            max_documents: 1,
            // files of this form refer to a handful of anchors from every question
            enforce_alias_anchor_ratio: false,
        },
        strict_booleans: true,
        with_snippet: false,
    }
}

/// The document in `bytes`.
///
/// *Errors*: one, with its line: too long, not UTF-8, not YAML, a key given twice, more than one document, or an expansion over the
/// bounds.
pub(in crate::domain) fn parse(bytes: &[u8]) -> Checked<Node> {
    if bytes.len() > FILE_BYTES {
        let detail = format!("the file has {} bytes, more than {FILE_BYTES}", bytes.len());
        return Err(FieldError::at("", detail).into());
    }
    serde_saphyr::from_slice_with_options(bytes, options()).map_err(|error| refusal(&error).into())
}

fn refusal(error: &Error) -> FieldError {
    let error = error.without_snippet();
    let (detail, hint) = words(error);
    let refusal = match error.location().filter(|at| *at != Location::UNKNOWN) {
        Some(at) => FieldError::on_line(at.line(), "", detail),
        None => FieldError::at("", detail),
    };
    refusal.hint(hint)
}

fn words(error: &Error) -> (String, &'static str) {
    let yaml = "the body is YAML (or JSON); put text with : or # or { at its beginning in quotes or behind |-";
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("").escape_debug().to_string();
            (
                format!("the key \"{key}\" is given twice"),
                "give every key once",
            )
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => (
            "an anchor contains an alias to itself".into(),
            "an alias must name something complete",
        ),
        Error::NullIntoString { .. } => ("a key is empty".into(), "give every key a name"),
        Error::NonFiniteFloat { .. } => (
            "a number is not finite".into(),
            "put it in quotes if it is text",
        ),
        other => {
            let text = other.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            match what.split_once("budget breached: ") {
                // inside an alias the reader tells of a bound in words only
                Some((_, bound)) => (
                    over(bound),
                    "split the file; aliases count as what they stand for",
                ),
                None => (format!("this is not YAML: {what}"), yaml),
            }
        }
    }
}

/// Which bound was passed, from the reader's name for it.
fn over(bound: &str) -> String {
    match bound.split([' ', '{']).next().unwrap_or_default() {
        "ScalarBytes" => format!(
            "with its aliases resolved the file has more than {EXPANDED_BYTES} bytes of text"
        ),
        "Nodes" | "Events" | "Aliases" | "Anchors" => {
            format!("with its aliases resolved the file has more than {EXPANDED_NODES} values")
        }
        "Depth" => format!("lists and mappings stand more than {DEPTH} deep in each other"),
        "Documents" => "the file holds more than one document".into(),
        other => format!("the file passes a bound of the reader: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let invalid = parse(text.as_bytes()).unwrap_err();
        assert_eq!(invalid.errors.len(), 1);
        invalid.to_string()
    }

    #[test]
    fn an_alias_is_what_it_names_and_both_lines_are_known() {
        let root = parse(b"- a: &x [hi]\n- a: *x\n").unwrap();
        let Tree::List(items) = &root.tree else {
            panic!("{root:?}")
        };
        let Tree::Map(entries) = &items[1].tree else {
            panic!("{root:?}")
        };
        assert_eq!((entries[0].1.line, entries[0].1.defined), (2, 1));
        assert_eq!(
            root.to_json(),
            serde_json::json!([{"a": ["hi"]}, {"a": ["hi"]}])
        );
    }

    #[test]
    fn a_merge_key_brings_what_the_entry_does_not_have() {
        let root = parse(b"- &base {kind: k, n: 1}\n- <<: *base\n  n: 2\n").unwrap();
        assert_eq!(root.to_json()[1], serde_json::json!({"kind": "k", "n": 2}));
    }

    #[test]
    fn yes_and_no_are_words_and_json_is_yaml() {
        let yaml = parse(b"- yes\n- no\n- true\n- 7\n- 1.5\n- ~\n").unwrap();
        assert_eq!(
            yaml.to_json(),
            serde_json::json!(["yes", "no", true, 7, 1.5, null])
        );
        let text = "[\n\t{\"a\":\t[\"\\ud83d\\ude00 \\/ {answer}\", 1e3, -2]}\n]";
        let json = parse(text.as_bytes()).unwrap();
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(json.to_json(), expected);
    }

    #[test]
    fn bombs_are_refused_before_they_grow() {
        let mut nodes = String::from("- &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let names = vec![format!("*a{}", level - 1); 10].join(",");
            nodes += &format!("- &a{level} [{names}]\n");
        }
        assert!(
            refused(&nodes).contains("more than 100000 values"),
            "{}",
            refused(&nodes)
        );
        let bytes = format!(
            "- &a \"{}\"\n{}",
            "x".repeat(500_000),
            "- *a\n".repeat(1000)
        );
        assert!(
            refused(&bytes).contains("16777216 bytes of text"),
            "{}",
            refused(&bytes)
        );
        assert!(refused(&"[".repeat(1000)).starts_with("line 1: "));
        let deep: String = (0..40)
            .map(|level| format!("{}a:\n", " ".repeat(level)))
            .collect();
        assert!(refused(&deep).contains("12 deep"), "{}", refused(&deep));
        assert!(refused("- &a [*a]\n").contains("alias to itself"));
        assert!(refused(&"#".repeat(FILE_BYTES + 1)).contains("more than 1048576"));
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_line() {
        for (text, expected) in [
            (
                "- id: a\n  id: b\n",
                "line 2: the key \"id\" is given twice",
            ),
            (
                "- id: a\n  p: [x\n",
                "line 2: this is not YAML: unclosed bracket '['",
            ),
            (
                "- a\n- *nope\n",
                "line 2: this is not YAML: alias references unknown anchor",
            ),
            (
                "a: 1\n---\nb: 2\n",
                "line 2: the file holds more than one document",
            ),
            ("- .nan\n", "line 1: a number is not finite"),
            ("- a\n- ~: b\n", "line 2: a key is empty"),
        ] {
            assert_eq!(refused(text), expected);
        }
        let invalid = parse(b"- \xff\xfe").unwrap_err();
        assert!(invalid.to_string().contains("UTF-8"), "{invalid}");
    }
}
