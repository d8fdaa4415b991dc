//! What is wrong with a value that somebody sent: field, value, remedy. Knows no status codes.

use serde::{Deserialize, Serialize};

/// One thing that is wrong, at one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the offending value in the body; `""` is the whole body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pointer: Option<String>,
    /// Line of the uploaded file, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line: Option<u64>,
    /// Stable code where there is more to say than that the value is wrong, such as `not_supported`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// What was found and what was expected.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

impl FieldError {
    /// An error at a JSON pointer.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// An error on a line of an uploaded file.
    pub fn on_line(line: u64, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            ..Self::at(pointer, detail)
        }
    }

    /// The same error with a stable code.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The same error with a remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A value that cannot be accepted, with every reason that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(.errors))]
pub struct Invalid {
    /// At least one.
    pub errors: Vec<FieldError>,
}

fn summary(errors: &[FieldError]) -> String {
    let texts: Vec<String> = errors.iter().map(one_line).collect();
    texts.join("; ")
}

fn one_line(error: &FieldError) -> String {
    match (&error.line, &error.pointer) {
        (Some(line), _) => format!("line {line}: {}", error.detail),
        (None, Some(pointer)) if !pointer.is_empty() => format!("{pointer}: {}", error.detail),
        _ => error.detail.clone(),
    }
}

impl From<FieldError> for Invalid {
    fn from(error: FieldError) -> Self {
        Self {
            errors: vec![error],
        }
    }
}

/// A value, or why it was refused.
pub type Checked<T> = Result<T, Invalid>;

/// Gathers errors so that a sender learns all of them at once.
#[derive(Debug, Default)]
pub struct Findings {
    errors: Vec<FieldError>,
}

impl Findings {
    /// Notes an error when `holds` is false.
    pub fn require(&mut self, holds: bool, error: impl FnOnce() -> FieldError) {
        if !holds {
            self.errors.push(error());
        }
    }

    /// Notes an error.
    pub fn push(&mut self, error: FieldError) {
        self.errors.push(error);
    }

    /// Whether nothing was noted so far.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// `Ok` when nothing was noted.
    pub fn finish(self) -> Checked<()> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Invalid {
                errors: self.errors,
            })
        }
    }
}
