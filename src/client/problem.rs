//! What goes wrong between a client and a server, in words that say what to do.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::domain::invalid::FieldError;
use crate::domain::job::Job;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is no URL.
    #[error(
        "\"{address}\" is not a server's address: {detail}; give one such as http://127.0.0.1:8080"
    )]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        detail: String,
    },
    /// No connection, or one that broke.
    #[error("the server at {address} does not answer")]
    Unreachable {
        /// Where.
        address: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused and said why.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// An answer of another shape.
    #[error("{url} answered {status} in a form that this client does not know: {detail}")]
    Unexpected {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What is wrong with the answer.
        detail: String,
    },
    /// A file on this side cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// A download whose bytes are not those that the server names.
    #[error(
        "{name} did not arrive whole: its SHA-256 is {found} where {expected} was named; what came is removed, try again"
    )]
    Corrupt {
        /// What was fetched.
        name: String,
        /// The hash that it should have.
        expected: String,
        /// The hash that it has.
        found: String,
    },
    /// A job that was waited for ended without success.
    #[error("job {} ({}) {}: {}", .0.id, .0.name.as_deref().unwrap_or("no name"), .0.state.name(), reason(.0))]
    JobEnded(Box<Job>),
    /// A base model that was waited for cannot be used.
    #[error("base model \"{name}\" did not become ready: {detail}")]
    NotReady {
        /// Its name.
        name: String,
        /// Why.
        detail: String,
    },
}

impl ClientError {
    pub(super) fn ended(job: Job) -> Self {
        Self::JobEnded(Box::new(job))
    }

    /// The HTTP status of an answer that was no success.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Unexpected { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same request may succeed soon: nobody answered, or the server says so.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => problem.retryable,
            Self::Unexpected { status, .. } => matches!(status, 502..=504),
            _ => false,
        }
    }

    /// The server's problem code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(&problem.code),
            _ => None,
        }
    }
}

fn reason(job: &Job) -> &str {
    let error = job.error.as_ref();
    error.map_or("no reason was recorded", |error| error.message.as_str())
}

/// A refusal as the server sends it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Problem {
    /// The code in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened.
    #[serde(default)]
    pub detail: String,
    /// Stable code.
    #[serde(default)]
    pub code: String,
    /// What is wrong where.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// Stands in the server's log, too.
    #[serde(default)]
    pub request_id: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.title, self.status, self.detail)?;
        for error in &self.errors {
            write!(f, "\n  {}{}", place(error), error.detail)?;
            if let Some(hint) = &error.hint {
                write!(f, " ({hint})")?;
            }
        }
        if self.status >= 500 && !self.request_id.is_empty() {
            write!(f, "\n  request {} in the server's log", self.request_id)?;
        }
        Ok(())
    }
}

fn place(error: &FieldError) -> String {
    let line = error
        .line
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    let pointer = error
        .pointer
        .as_deref()
        .filter(|pointer| !pointer.is_empty());
    line + &pointer
        .map(|pointer| format!("{pointer}: "))
        .unwrap_or_default()
}

/// The error that stands for an answer other than 2xx.
pub(super) fn refused(url: &str, status: u16, text: &str) -> ClientError {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let problem = in_openai_form(status, &value).or_else(|| serde_json::from_value(value).ok());
    match problem {
        Some(problem) => ClientError::Refused(Box::new(problem)),
        None => ClientError::Unexpected {
            url: url.to_owned(),
            status,
            detail: text.chars().take(200).collect(),
        },
    }
}

/// A refusal of the routes for chats: `{"error":{"message","type","param","code"}}`.
pub(super) fn in_openai_form(status: u16, value: &Value) -> Option<Problem> {
    let error = value.get("error")?;
    let text = |name: &str| {
        let text = error.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    error.get("message")?.as_str()?;
    Some(Problem {
        title: text("code").replace('_', " "),
        status,
        detail: text("message"),
        code: text("code"),
        errors: Vec::new(),
        retryable: matches!(status, 429 | 503),
        request_id: text("request_id"),
    })
}
