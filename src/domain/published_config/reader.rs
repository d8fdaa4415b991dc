//! Takes keys out of a config one by one and writes down what became of each.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ConversionReport, Entry};
use crate::domain::decode::{decode_at, escape};
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::nearest::did_you_mean;

/// What is left of a config, and what was seen so far.
pub(super) struct Reader {
    left: Map<String, Value>,
    known: Vec<&'static str>,
    findings: Findings,
    report: ConversionReport,
}

/// A key that was read.
pub(super) struct Read<T> {
    key: &'static str,
    shown: String,
    default: bool,
    /// What it says, or the default.
    pub(super) value: T,
}

impl Reader {
    pub(super) fn new(config: Map<String, Value>) -> Self {
        Self {
            left: config,
            known: Vec::new(),
            findings: Findings::default(),
            report: ConversionReport::default(),
        }
    }

    /// Whether the config has a key that was not read yet.
    pub(super) fn has(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// The key's value, or the published code's default.
    pub(super) fn or<T>(&mut self, key: &'static str, default: T) -> Read<T>
    where
        T: DeserializeOwned + serde::Serialize,
    {
        self.known.push(key);
        let Some(value) = self.left.remove(key) else {
            return Read {
                key,
                shown: shown(&serde_json::to_value(&default).unwrap_or_default()),
                default: true,
                value: default,
            };
        };
        let shown = shown(&value);
        let value = decode_at(&at(key), value).unwrap_or_else(|invalid| {
            invalid
                .errors
                .into_iter()
                .for_each(|error| self.findings.push(error));
            default
        });
        Read {
            key,
            shown,
            default: false,
            value,
        }
    }

    /// A key that the published code demands.
    pub(super) fn required(&mut self, key: &'static str) -> Read<String> {
        if !self.has(key) {
            self.refuse(
                key,
                format!("`{key}` is missing"),
                "the published code demands it",
            );
        }
        self.or(key, String::new())
    }

    /// Notes a contradiction or something that cannot be done.
    pub(super) fn refuse(&mut self, key: &str, detail: impl Into<String>, hint: &str) {
        self.findings
            .push(FieldError::at(at(key), detail).hint(hint));
    }

    /// The key has an equal at `to`.
    pub(super) fn mapped<T>(&mut self, read: &Read<T>, to: &str) {
        self.report.mapped.push(entry(read, Some(to), ""));
    }

    /// The key went to `to`, where it does not mean quite the same.
    pub(super) fn differs<T>(&mut self, read: &Read<T>, to: &str, detail: &str) {
        self.report.differs.push(entry(read, Some(to), detail));
    }

    /// The key has no equal; a default that the file does not have is not spoken of.
    pub(super) fn left_out<T>(&mut self, read: &Read<T>, detail: &str) {
        if !read.default {
            self.report.left_out.push(entry(read, None, detail));
        }
    }

    /// What the published code does without a key.
    pub(super) fn unsaid(&mut self, what: &str, to: Option<&str>, detail: &str) {
        self.report.unsaid.push(Entry {
            key: what.into(),
            value: String::new(),
            default: false,
            to: to.map(str::to_string),
            detail: detail.into(),
        });
    }

    /// What must be there before the spec can be posted.
    pub(super) fn needs(&mut self, what: String) {
        self.report.needs.push(what);
    }

    /// Takes keys that have no equal, whatever they say.
    pub(super) fn leave_out(&mut self, keys: &[(&'static str, &str)]) {
        for (key, why) in keys {
            let read = self.or(key, Value::Null);
            self.left_out(&read, why);
        }
    }

    /// The report, unless something was refused or a key is left over.
    pub(super) fn finish(mut self) -> Checked<ConversionReport> {
        for key in self.left.keys() {
            let near = did_you_mean(key, self.known.iter().copied(), "the keys");
            let shown: String = key.chars().take(100).collect();
            let detail = format!("unknown key \"{}\"", shown.escape_debug());
            self.findings
                .push(FieldError::at(at(key), detail).hint(near));
        }
        self.findings.finish()?;
        Ok(self.report)
    }
}

fn at(key: &str) -> String {
    format!("/{}", escape(key))
}

fn entry<T>(read: &Read<T>, to: Option<&str>, detail: &str) -> Entry {
    Entry {
        key: read.key.into(),
        value: read.shown.clone(),
        default: read.default,
        to: to.map(str::to_string),
        detail: detail.into(),
    }
}

/// A value as a report shows it: not too much of it.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
