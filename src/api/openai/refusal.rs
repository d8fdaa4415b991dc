//! Failures in OpenAI's form: `{"error":{"message","type","param","code"}}`. Knows how one is made of a [`Problem`].

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::api::error::{Problem, TOO_MANY_REQUESTS};
use crate::domain::invalid::FieldError;
use crate::domain::openai::answers::{ErrorBody, ErrorDetail};
use crate::execution::Failure;

/// Seconds after which a full queue may have room.
const SOON: u64 = 2;

/// What the device's queue refuses.
pub(super) fn of_failure(failure: Failure) -> Problem {
    match failure.code {
        "busy" => Problem::new(&TOO_MANY_REQUESTS, failure.message).retry_after(SOON),
        _ => Problem::from(failure),
    }
}

/// `problem` as a client of OpenAI reads it; values that cannot be accepted are 400 there, not 422.
pub(in crate::api) fn respond(problem: Problem, request_id: &str) -> Response {
    let status = match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let text = serde_json::to_vec(&body(&problem, request_id)).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(problem.headers().iter().cloned());
    response.extensions_mut().insert(problem);
    response
}

/// The body of the same.
pub(super) fn body(problem: &Problem, request_id: &str) -> ErrorBody {
    let first = problem.errors().first();
    let code = first.and_then(|error| error.code.clone());
    ErrorBody {
        error: ErrorDetail {
            message: message(problem),
            r#type: kind(problem.status()),
            param: first
                .and_then(|error| error.pointer.as_deref())
                .and_then(parameter),
            code: Some(code.unwrap_or_else(|| problem.code().to_owned())),
            request_id: request_id.to_owned(),
        },
    }
}

/// Every finding with its place and its remedy.
fn message(problem: &Problem) -> String {
    if problem.errors().is_empty() {
        return problem.detail().to_owned();
    }
    let texts: Vec<String> = problem.errors().iter().map(sentence).collect();
    texts.join("; ")
}

fn sentence(error: &FieldError) -> String {
    let place = error.pointer.as_deref().and_then(parameter);
    let place = place.map_or(String::new(), |place| format!("{place}: "));
    match &error.hint {
        Some(hint) => format!("{place}{}; {hint}", error.detail),
        None => format!("{place}{}", error.detail),
    }
}

/// `/messages/0/content` as `messages[0].content`; none for the whole body.
fn parameter(pointer: &str) -> Option<String> {
    let mut name = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
            name.push_str(&format!("[{part}]"));
        } else {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&part);
        }
    }
    (!name.is_empty()).then_some(name)
}

fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_told_as_clients_write_it() {
        assert_eq!(
            parameter("/messages/0/content").as_deref(),
            Some("messages[0].content")
        );
        assert_eq!(parameter("/a~1b").as_deref(), Some("a/b"));
        assert_eq!(parameter(""), None);
    }

    #[test]
    fn values_that_cannot_be_accepted_are_400_with_parameter_and_code() {
        let error = FieldError::at("/tools", "no").code("unsupported_parameter");
        let problem = Problem::from(crate::domain::invalid::Invalid::from(error));
        let told = body(&problem, "r").error;
        assert_eq!(told.r#type, "invalid_request_error");
        assert_eq!(told.param.as_deref(), Some("tools"));
        assert_eq!(told.code.as_deref(), Some("unsupported_parameter"));
        assert_eq!(told.message, "tools: no");
        assert_eq!(respond(problem, "r").status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_full_queue_asks_the_client_to_come_back() {
        let problem = of_failure(Failure {
            class: crate::domain::job::ErrorClass::Device,
            code: "busy",
            message: "64 requests wait".into(),
            retryable: true,
        });
        let response = respond(problem, "r");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }
}
