//! Reads an object field by field, so that one mistake does not hide the next. Knows no request.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::domain::decode::{decode_at, escape, kind_of, object_at};
use crate::domain::invalid::{Checked, FieldError, Findings, Invalid};

/// Reads an object as `T`; the decoder alone would take an array for a struct as well.
pub fn decode_object<T: DeserializeOwned>(pointer: &str, value: Value) -> Checked<T> {
    let object = object_at(pointer, value)?;
    decode_at(pointer, Value::Object(object))
}

/// The fields of one object that are still to be read, and what was wrong with those that were.
pub struct Fields {
    object: Map<String, Value>,
    pointer: String,
    known: Vec<&'static str>,
    findings: Findings,
}

impl Fields {
    /// The fields of `object`, which lies at `pointer`.
    pub fn new(pointer: impl Into<String>, object: Map<String, Value>) -> Self {
        Self {
            object,
            pointer: pointer.into(),
            known: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// The pointer of `key`.
    pub fn at(&self, key: &str) -> String {
        format!("{}/{}", self.pointer, escape(key))
    }

    /// Whether there is a field that was not read yet.
    pub fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.object.remove(key)
    }

    fn read<T: DeserializeOwned>(&mut self, key: &str, value: Value) -> Option<T> {
        let read = decode_at(&self.at(key), value);
        self.note(read)
    }

    /// A field that must be an array; each entry is read by `one`, which is given its pointer.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        hint: &str,
        one: impl Fn(&str, Value) -> Checked<T>,
    ) -> Option<Vec<T>> {
        let place = self.at(key);
        let items = match self.required_value(key, hint)? {
            Value::Array(items) => items,
            other => {
                let detail = format!("expected an array, found {}", kind_of(&other));
                self.findings.push(FieldError::at(place, detail).hint(hint));
                return None;
            }
        };
        let read = items.into_iter().enumerate();
        let read: Vec<Option<T>> = read
            .map(|(index, item)| self.note(one(&format!("{place}/{index}"), item)))
            .collect();
        read.into_iter().collect()
    }

    /// Notes the errors of `read`.
    pub fn note<T>(&mut self, read: Checked<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(Invalid { errors }) => {
                errors
                    .into_iter()
                    .for_each(|error| self.findings.push(error));
                None
            }
        }
    }

    /// A field that must be there.
    pub fn required<T: DeserializeOwned>(&mut self, key: &'static str, hint: &str) -> Option<T> {
        match self.required_value(key, hint) {
            Some(value) => self.read(key, value),
            None => None,
        }
    }

    /// A field that must be there, not yet decoded.
    pub fn required_value(&mut self, key: &'static str, hint: &str) -> Option<Value> {
        let value = self.take(key);
        if value.is_none() {
            let missing = FieldError::at(self.at(key), format!("`{key}` is missing")).hint(hint);
            self.findings.push(missing);
        }
        value
    }

    /// A field whose absence stands for its default.
    pub fn or<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> Option<T> {
        match self.take(key) {
            Some(value) => self.read(key, value),
            None => Some(default),
        }
    }

    /// A field that is an object; its absence stands for the default.
    pub fn section<T: DeserializeOwned + Default>(&mut self, key: &'static str) -> Option<T> {
        match self.take(key) {
            Some(value) => self.read_object(key, value),
            None => Some(T::default()),
        }
    }

    /// A field that is an object or null; its absence stands for null.
    pub fn optional_section<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Option<Option<T>> {
        match self.take(key) {
            Some(Value::Null) | None => Some(None),
            Some(value) => self.read_object(key, value).map(Some),
        }
    }

    /// A field that is an object and must be there.
    pub fn required_section<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        hint: &str,
    ) -> Option<T> {
        let value = self.required_value(key, hint)?;
        self.read_object(key, value)
    }

    fn read_object<T: DeserializeOwned>(&mut self, key: &str, value: Value) -> Option<T> {
        let read = decode_object(&self.at(key), value);
        self.note(read)
    }

    /// A field whose absence stands for null.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Option<T>> {
        self.or(key, None)
    }

    /// Ends the reading: what is left over is unknown. Then `value`, which is there if every field was.
    pub fn finish<T>(mut self, value: Option<T>) -> Checked<T> {
        for key in self.object.keys() {
            let place = format!("{}/{}", self.pointer, escape(key));
            let hint = format!("there are {}", self.known.join(", "));
            let error = FieldError::at(place, format!("unknown field `{key}`"));
            self.findings.push(error.hint(hint));
        }
        self.findings.finish()?;
        let incomplete = || FieldError::at(self.pointer.clone(), "cannot be read");
        value.ok_or_else(|| incomplete().into())
    }
}
