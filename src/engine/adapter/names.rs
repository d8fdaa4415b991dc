//! Which modules a list of names, an expression or a map of patterns speaks of. Knows no file and no tensor.
//!
//! *Source* PEFT's rules: a listed name is a module's whole name or the end of it behind a dot; a string is matched
//! against the whole name; the first key of a map that matches the end of a name gives its value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::expression::{Expression, refusal};
use crate::engine::{Error, Result};

/// Most names of a list.
const MOST: usize = 10_000;
/// Most keys of a map: more than there are modules in any model so far.
const MOST_KEYS: usize = 1024;
/// Most keys of a map that need an engine which tries again and again.
const MOST_COSTLY: usize = 4;

/// Modules by name.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Names {
    /// Whole names, or ends behind a dot.
    Listed(Vec<String>),
    /// A regular expression for whole names.
    Expression(String),
}

impl Names {
    /// As a field of adapter_config.json has it; none for null and for nothing at all.
    pub(super) fn read(field: &'static str, value: &Value) -> Result<Option<Self>> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => Ok(Some(Self::Expression(text.clone()))),
            Value::Array(items) if items.is_empty() => Ok(None),
            Value::Array(items) => {
                let text = |item: &Value| item.as_str().map(str::to_string);
                let names: Option<Vec<String>> = items.iter().map(text).collect();
                let names = names.filter(|names| names.len() <= MOST);
                let wrong =
                    || Error::adapter(field, format!("{} is no list of names", shown(value)));
                Ok(Some(Self::Listed(names.ok_or_else(wrong)?)))
            }
            other => {
                let detail = format!("{} is no list of names and no expression", shown(other));
                Err(Error::adapter(field, detail))
            }
        }
    }

    /// Made ready for many names.
    pub(super) fn matcher(&self, field: &'static str) -> Result<Matcher<'_>> {
        Ok(match self {
            Self::Listed(names) => Matcher::Listed(names),
            Self::Expression(text) => Matcher::Expression(Expression::whole(field, text)?),
        })
    }
}

/// Says whether a module is meant.
pub(super) enum Matcher<'a> {
    Listed(&'a [String]),
    Expression(Expression),
}

impl Matcher<'_> {
    pub(super) fn matches(&self, name: &str) -> Result<bool> {
        match self {
            Self::Listed(names) => Ok(names.iter().any(|end| ends(name, end))),
            Self::Expression(expression) => expression.matches(name),
        }
    }

    /// Whether the whole name is listed: such a module stands beside any choice of layers.
    pub(super) fn lists(&self, name: &str) -> bool {
        match self {
            Self::Listed(names) => names.iter().any(|listed| listed == name),
            Self::Expression(_) => false,
        }
    }
}

/// Whether `end` is `name` or the end of it behind a dot.
pub(super) fn ends(name: &str, end: &str) -> bool {
    match name.strip_suffix(end) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
}

/// A value as an error shows it: not too much of it.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Values by pattern, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Patterns<T>(pub Vec<(String, T)>);

impl<T: Copy> Patterns<T> {
    /// Made ready for many names.
    pub(super) fn compile(&self, field: &'static str) -> Result<Vec<(Expression, T)>> {
        if self.0.len() > MOST_KEYS {
            let detail = format!("has {} keys; at most {MOST_KEYS} are read", self.0.len());
            return Err(Error::adapter(field, detail));
        }
        let mut compiled = Vec::with_capacity(self.0.len());
        let mut costly = 0;
        for (key, value) in &self.0 {
            let expression = Expression::end(field, key)?;
            costly += usize::from(expression.is_costly());
            if costly > MOST_COSTLY {
                let what = format!("is one more than {MOST_COSTLY} that look around or back");
                return Err(refusal(field, key, &what));
            }
            compiled.push((expression, *value));
        }
        Ok(compiled)
    }
}

/// The value of the first pattern that matches.
pub(super) fn first<T: Copy>(patterns: &[(Expression, T)], name: &str) -> Result<Option<T>> {
    for (expression, value) in patterns {
        if expression.matches(name)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A key that comes twice keeps its first place and takes its last value, as in Python.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Patterns<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a map of patterns")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                let mut places = std::collections::HashMap::new();
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    match places.get(&key) {
                        Some(&place) => entries[place] = (key, value),
                        None => {
                            places.insert(key.clone(), entries.len());
                            entries.push((key, value));
                        }
                    }
                }
                Ok(Patterns(entries))
            }
        }
        deserializer.deserialize_map(InOrder(std::marker::PhantomData))
    }
}
