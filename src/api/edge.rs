//! What surrounds every handler: request id, log line, bounds of number and time, refusal of undocumented query parameters,
//! and the one form of failures. Knows no resource.

mod idempotency;
mod tags;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;
use tracing::Instrument;

use super::ApiState;
use super::error::{self, PROBLEM_JSON, Problem};
use super::extract::content_length;
use super::rules::{Rule, Rules};
use super::{openai, prefer, query};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Slowest upload that is let go on, in bytes a second, counted over the whole of it.
const SLOWEST_UPLOAD: u64 = 256 << 10;
/// What an upload has on top of that.
const UPLOAD_GRACE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Edge {
    state: ApiState,
    rules: Arc<Rules>,
}

/// `routes` with everything around them.
pub(super) fn around(routes: Router<ApiState>, state: ApiState, rules: Rules) -> Router {
    let edge = Edge {
        state: state.clone(),
        rules: Arc::new(rules),
    };
    let json_limit = usize::try_from(state.settings.json_bytes).unwrap_or(usize::MAX);
    let stall = state.settings.body_stall;
    routes
        .layer(middleware::from_fn(tags::tag))
        .layer(middleware::from_fn_with_state(
            edge.clone(),
            idempotency::once,
        ))
        .layer(DefaultBodyLimit::max(json_limit))
        .layer(RequestBodyTimeoutLayer::new(stall))
        .layer(middleware::from_fn_with_state(edge.clone(), bound))
        .layer(CatchPanicLayer::custom(of_panic))
        .layer(middleware::from_fn_with_state(edge, finish))
        .with_state(state)
}

/// The outermost layer: an id, a log line, problems completed.
async fn finish(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    mark_secrets(&mut request);
    let methods = methods(&edge, &request);
    let trace = trace::Trace::of(request.headers());
    let span =
        tracing::info_span!("request", request_id = %id, trace_id = %trace.id, %method, path);
    let began = edge.state.clock.monotonic_seconds();
    async {
        let response = as_problem(
            next.run(request).await,
            &Asked {
                method: method.as_str(),
                methods,
                path: &path,
                id: &id,
            },
        );
        let seconds = edge.state.clock.monotonic_seconds() - began;
        let milliseconds = (seconds * 1e5).round() / 1e2;
        let status = response.status().as_u16();
        match path.as_str() {
            "/healthz" | "/readyz" => tracing::debug!(status, milliseconds, "answered"),
            _ => tracing::info!(status, milliseconds, "answered"),
        }
        with_id(response, &id, &trace)
    }
    .instrument(span)
    .await
}

/// The client's own id where it is short and plain, else a new one.
fn request_id(request: &Request) -> String {
    let given = request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    given
        .filter(plain)
        .map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// Keeps credentials out of every debug print of headers.
fn mark_secrets(request: &mut Request) {
    for name in [
        header::AUTHORIZATION,
        header::COOKIE,
        header::PROXY_AUTHORIZATION,
    ] {
        if let Some(value) = request.headers_mut().get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

fn with_id(mut response: Response, id: &str, trace: &trace::Trace) -> Response {
    trace.tell(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response
}

/// What a failure tells of its request.
struct Asked<'a> {
    method: &'a str,
    methods: String,
    path: &'a str,
    id: &'a str,
}

/// What is possible at the path, for a 405.
fn methods(edge: &Edge, request: &Request) -> String {
    let matched = request.extensions().get::<MatchedPath>();
    let methods = matched.map(|path| edge.rules.methods(path.as_str()).join(", "));
    methods
        .filter(|list| !list.is_empty())
        .unwrap_or_else(|| "other methods".into())
}

/// Every failure in the one form; a cause goes to the log here and nowhere else.
fn as_problem(response: Response, asked: &Asked<'_>) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    if let Some(problem) = response.extensions().get::<Problem>().cloned() {
        if let Some(cause) = problem.cause() {
            tracing::error!(code = problem.code(), cause, "request failed");
        }
        return respond(problem, asked);
    }
    if is_problem(&response) {
        return response;
    }
    respond(translate(&response, asked), asked)
}

/// In the form that the path's clients read.
fn respond(problem: Problem, asked: &Asked<'_>) -> Response {
    match openai::is_here(asked.path) {
        true => openai::refusal::respond(problem, asked.id),
        false => problem.respond(asked.path, asked.id),
    }
}

fn is_problem(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == PROBLEM_JSON)
}

/// A failure that the router or a layer made, as a problem with the same headers.
fn translate(response: &Response, asked: &Asked<'_>) -> Problem {
    let detail = match response.status() {
        StatusCode::NOT_FOUND => {
            format!(
                "there is nothing at {}; /openapi.json lists what there is",
                asked.path
            )
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            format!(
                "{} is not possible here; possible are {}",
                asked.method, asked.methods
            )
        }
        status => status
            .canonical_reason()
            .unwrap_or("the request failed")
            .to_lowercase(),
    };
    let kept = [
        header::ALLOW,
        header::CONTENT_RANGE,
        header::ACCEPT_RANGES,
        header::RETRY_AFTER,
        header::ETAG,
    ];
    kept.into_iter().fold(
        Problem::of_status(response.status(), detail),
        |problem, name| match response.headers().get(&name).cloned() {
            Some(value) => problem.with_header(name, value),
            None => problem,
        },
    )
}

fn of_panic(cause: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    Problem::internal(format!("a handler panicked: {text}")).into_response()
}

/// Refuses undocumented query parameters, then runs the handler within number and time.
async fn bound(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let matched = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let rule = matched.and_then(|path| edge.rules.of(&path, request.method().as_str()).cloned());
    if let Some(problem) = rule.as_ref().and_then(|rule| undocumented(rule, &request)) {
        return problem.into_response();
    }
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let Ok(_permit) = edge.state.in_flight.clone().try_acquire_owned() else {
        let problem = Problem::new(
            &error::UNAVAILABLE,
            "the server has as many requests in work as it takes",
        );
        return problem.retry_after(1).into_response();
    };
    let limit = deadline(&edge, rule.as_ref(), &request);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            &error::DEADLINE,
            format!("no answer within {} s", limit.as_secs_f64()),
        )
        .into_response(),
    }
}

fn undocumented(rule: &Rule, request: &Request) -> Option<Problem> {
    let pairs = match query::pairs(request.uri()) {
        Ok(pairs) => pairs,
        Err(problem) => return Some(problem),
    };
    let (name, _) = pairs
        .into_iter()
        .find(|(name, _)| !rule.query.contains(name))?;
    Some(query::unknown(&name, rule.query.iter().map(String::as_str)))
}

/// Time until the head of the answer. Bodies of answers, event streams above all, are not under it.
fn deadline(edge: &Edge, rule: Option<&Rule>, request: &Request) -> Duration {
    let settings = &edge.state.settings;
    if openai::is_here(request.uri().path()) {
        return settings.inference.request;
    }
    if !rule.is_some_and(|rule| rule.upload) {
        return settings.request + prefer::wait(request.headers());
    }
    let bytes = content_length(request.headers())
        .unwrap_or(settings.upload_bytes)
        .min(settings.upload_bytes);
    settings.request + UPLOAD_GRACE + Duration::from_secs(bytes / SLOWEST_UPLOAD)
}

#[cfg(test)]
mod tests;
