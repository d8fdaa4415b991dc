//! Checked reads of config.json's fields. Knows no family.

use serde_json::{Map, Value};

use crate::engine::{Error, Result};

/// The fields of a JSON object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Map<String, Value>);

/// A field whose absence and whose `null` mean different things.
pub(super) enum Stated<T> {
    /// Not there.
    Absent,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

impl<T> Stated<T> {
    /// `default` where the field is absent.
    pub(super) fn or(self, default: T) -> Option<T> {
        match self {
            Self::Absent => Some(default),
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

impl<'a> Fields<'a> {
    /// The fields of `value`.
    pub(super) fn of(name: &str, value: &'a Value) -> Result<Self> {
        match value.as_object() {
            Some(fields) => Ok(Self(fields)),
            None => Err(Error::config(name, "is not a JSON object")),
        }
    }

    /// `null` counts as absent, as it does for those who write these files.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The object in a field.
    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        self.get(name)
            .map(|value| Self::of(name, value))
            .transpose()
    }

    /// Names of the fields that are not `null`.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let stated = self.0.iter().filter(|(_, value)| !value.is_null());
        stated.map(|(name, _)| name.as_str())
    }

    /// *Errors* the field and its value, unless it is absent or `wanted`.
    pub(super) fn only(&self, field: &str, wanted: &Value, remedy: &str) -> Result<()> {
        match self.get(field) {
            Some(value) if value != wanted && !equal_numbers(value, wanted) => {
                refuse(field, value, remedy)
            }
            _ => Ok(()),
        }
    }

    /// A whole number from 1 to `bound`.
    pub(super) fn size(&self, field: &str, bound: i64, default: Option<i64>) -> Result<i64> {
        let Some(value) = self.get(field) else {
            return default.ok_or_else(|| Error::config(field, "is missing"));
        };
        match value.as_i64() {
            Some(size) if (1..=bound).contains(&size) => Ok(size),
            _ => {
                let detail = format!("{value} is not a whole number from 1 to {bound}");
                Err(Error::config(field, detail))
            }
        }
    }

    /// A whole number whose `null` is not its absence.
    pub(super) fn stated_size(&self, field: &str, bound: i64) -> Result<Stated<i64>> {
        match self.0.get(field) {
            None => Ok(Stated::Absent),
            Some(Value::Null) => Ok(Stated::Null),
            Some(_) => self.size(field, bound, None).map(Stated::Value),
        }
    }

    /// A positive number.
    pub(super) fn positive(&self, field: &str, default: Option<f64>) -> Result<f64> {
        let Some(value) = self.get(field) else {
            return default.ok_or_else(|| Error::config(field, "is missing"));
        };
        match value.as_f64() {
            Some(number) if number > 0.0 && number < 1e12 => Ok(number),
            _ => Err(Error::config(
                field,
                format!("{value} is not a positive number below 1e12"),
            )),
        }
    }

    /// A positive number whose `null` is not its absence.
    pub(super) fn stated_positive(&self, field: &str) -> Result<Stated<f64>> {
        match self.0.get(field) {
            None => Ok(Stated::Absent),
            Some(Value::Null) => Ok(Stated::Null),
            Some(_) => self.positive(field, None).map(Stated::Value),
        }
    }

    /// True or false.
    pub(super) fn flag(&self, field: &str, default: bool) -> Result<bool> {
        match self.get(field) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Error::config(
                field,
                format!("{other} is not true or false"),
            )),
        }
    }

    /// One token id or several.
    pub(super) fn tokens(&self, field: &str) -> Result<Vec<i64>> {
        let token = |value: &Value| {
            let id = value.as_i64().filter(|id| *id >= 0);
            id.ok_or_else(|| Error::config(field, format!("{value} is not a token id")))
        };
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(token).collect(),
            Some(one) => Ok(vec![token(one)?]),
        }
    }
}

/// The refusal of a field's value, with what is supported.
pub(super) fn refuse<T>(field: &str, value: &Value, remedy: &str) -> Result<T> {
    Err(Error::config(
        field,
        format!("{value} is not supported; {remedy}"),
    ))
}

/// 0 and 0.0 are different JSON values of the same number.
fn equal_numbers(left: &Value, right: &Value) -> bool {
    matches!((left.as_f64(), right.as_f64()), (Some(left), Some(right)) if left == right)
}
