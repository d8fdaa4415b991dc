//! How every failure leaves the server: `application/problem+json` (RFC 9457). Knows codes and statuses, not causes.
//!
//! A handler returns a [`Problem`]; the outermost layer fills in `instance` and `request_id` and writes the cause of a 5xx
//! to the log, so that no internal text is ever sent.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::experiment::Document;
use crate::domain::ids::NotAnId;
use crate::domain::invalid::{FieldError, Invalid};
use crate::storage;

pub use super::catalogue::*;

/// The media type of every failure.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What a handler returns.
pub type Answer<T> = Result<T, Problem>;

/// A failure on its way to the client.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: &'static Kind,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// A failure as the client reads it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Where the code is described.
    #[schema(example = "/v1/problems#not_found")]
    pub r#type: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here.
    pub detail: String,
    /// Path of the request.
    pub instance: String,
    /// Stable code, one of those at `/v1/problems`.
    #[schema(example = "not_found")]
    pub code: String,
    /// What is wrong, at which place; each with a pointer or a line.
    pub errors: Vec<FieldError>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Stands in the server's log, too.
    pub request_id: String,
}

impl Problem {
    /// A failure of `kind`, explained by `detail`.
    pub fn new(kind: &'static Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// Something that is not there: `job "job_…" does not exist`.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(&NOT_FOUND, format!("{what} \"{id}\" does not exist"))
    }

    /// A request that does not fit the state of things.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(&CONFLICT, detail)
    }

    /// One wrong value in a body.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Invalid::from(FieldError::at(pointer, detail)).into()
    }

    /// One wrong query parameter.
    pub fn parameter(name: &str, detail: impl std::fmt::Display) -> Self {
        Self::new(
            &INVALID_PARAMETER,
            format!("query parameter `{name}`: {detail}"),
        )
    }

    /// A fault of the server; `cause` goes to the log only.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let detail = "the server failed to answer; its log has the cause under this request_id";
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(&INTERNAL, detail)
        }
    }

    /// A service that is away for now; `cause` goes to the log only.
    pub fn unavailable(detail: &str, cause: impl std::fmt::Display, seconds: u64) -> Self {
        Self {
            cause: Some(cause.to_string()),
            ..Self::new(&UNAVAILABLE, detail)
        }
        .retry_after(seconds)
    }

    /// The same failure with places.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same failure with each place put where `place` says.
    pub fn placed(mut self, place: impl Fn(&str) -> String) -> Self {
        for error in &mut self.errors {
            error.pointer = error.pointer.as_deref().map(&place);
        }
        self
    }

    /// The same failure with the lines of its places in `document`.
    pub fn located(mut self, document: &Document) -> Self {
        let errors = &mut self.errors;
        errors.iter_mut().for_each(|error| document.locate(error));
        self
    }

    /// The same failure with a header of the answer.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same failure with a `Retry-After`.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code
    }

    /// What happened, in the client's words.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// What is wrong at which place.
    pub(super) fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Headers that the answer has besides those of every failure.
    pub(super) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// What happened, for the log only.
    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The failure that stands for an answer with `status` that is not a problem yet.
    pub(super) fn of_status(status: StatusCode, detail: String) -> Self {
        let kind = ALL
            .iter()
            .copied()
            .find(|kind| kind.status == status.as_u16())
            .unwrap_or(if status.is_server_error() {
                &INTERNAL
            } else {
                &BAD_REQUEST
            });
        Self::new(kind, detail)
    }

    fn body(&self, instance: &str, request_id: &str) -> ProblemBody {
        ProblemBody {
            r#type: format!("/v1/problems#{}", self.kind.code),
            title: self.kind.title.into(),
            status: self.kind.status,
            detail: self.detail.clone(),
            instance: instance.into(),
            code: self.kind.code.into(),
            errors: self.errors.clone(),
            retryable: self.kind.retryable,
            request_id: request_id.into(),
        }
    }

    /// The answer for a request to `instance` that the log calls `request_id`.
    pub fn respond(self, instance: &str, request_id: &str) -> Response {
        let text = serde_json::to_vec(&self.body(instance, request_id)).unwrap_or_default();
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = self.status();
        let json = HeaderValue::from_static(PROBLEM_JSON);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers.iter().cloned());
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond("", "")
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let detail = match invalid.errors.len() {
            1 => invalid.to_string(),
            n => format!("{n} values cannot be accepted"),
        };
        Self::new(&INVALID, detail).with_errors(invalid.errors)
    }
}

impl From<NotAnId> for Problem {
    fn from(error: NotAnId) -> Self {
        Self::new(&NOT_FOUND, error.to_string())
    }
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        use storage::Error as E;
        match error {
            E::NotFound { what } => Self::new(&NOT_FOUND, format!("{what} does not exist")),
            E::Conflict { what, .. } => Self::conflict(what),
            E::Unavailable { cause } => {
                Self::unavailable("the database cannot be reached just now", cause, 2)
            }
            E::Timeout { .. } => Self::unavailable("the database did not answer in time", error, 2),
            E::StateChanged { .. } => Self::conflict(error.to_string()),
            E::LeaseLost { .. } | E::Invariant { .. } => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_wrong_value_is_told_in_the_detail_and_at_its_place() {
        let problem = Problem::invalid("/method/rank", "0 is not at least 1");
        let body = problem.body("/v1/jobs", "r");
        assert_eq!(body.status, 422);
        assert_eq!(body.detail, "/method/rank: 0 is not at least 1");
        assert_eq!(body.errors[0].pointer.as_deref(), Some("/method/rank"));
    }

    #[test]
    fn the_cause_of_a_fault_is_not_in_the_answer() {
        let problem = Problem::internal("relation \"secret\" is missing");
        let text = serde_json::to_string(&problem.body("/x", "r")).unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert_eq!(problem.cause(), Some("relation \"secret\" is missing"));
    }

    #[test]
    fn a_database_that_is_away_asks_the_client_to_come_back() {
        let problem = Problem::from(storage::Error::Unavailable {
            cause: "refused".into(),
        });
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
