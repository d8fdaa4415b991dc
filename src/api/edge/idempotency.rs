//! `Idempotency-Key`: a POST that is sent again under the same key is answered as it was the first time, and done once.
//!
//! Only answers that say the work was done (2xx) are kept; after any other the key is free again.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::Edge;
use crate::api::error::{self, Answer, Problem};
use crate::api::extract::{content_length, media_type, of_rejection};
use crate::api::openai;
use crate::storage::idempotency::{self, Claim, Kept, Taken};

static KEY: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Seconds for which an answer is kept.
const LIFE: f64 = 86_400.0;
/// Seconds after the deadline of a request until its key is taken for abandoned.
const GRACE: f64 = 30.0;
/// Bytes of an answer that is kept.
const LONGEST: usize = 8 << 20;
/// Headers that are part of an answer.
const HEADERS: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::LOCATION,
    header::CONTENT_LOCATION,
    header::ETAG,
];

/// Runs the handler, or gives the answer that the key stands for.
pub(super) async fn once(State(edge): State<Edge>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if request.method() != Method::POST || openai::is_here(path) {
        return next.run(request).await;
    }
    let Some(value) = request.headers().get(&KEY).cloned() else {
        return next.run(request).await;
    };
    let answered = match key(&value) {
        Ok(key) => under(edge, key, request, next).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

fn key(value: &HeaderValue) -> Answer<String> {
    let plain = |text: &&str| (1..=255).contains(&text.len());
    let text = value.to_str().ok().map(str::trim).filter(plain);
    text.map(str::to_owned).ok_or_else(|| {
        let detail = "the Idempotency-Key must be 1 to 255 visible ASCII characters, a random UUID for example";
        Problem::new(&error::BAD_REQUEST, detail)
    })
}

async fn under(edge: Edge, key: String, request: Request, next: Next) -> Answer<Response> {
    let template = request.extensions().get::<MatchedPath>();
    let template = template.map_or(request.uri().path(), MatchedPath::as_str);
    let rule = edge.rules.of(template, "POST").cloned();
    let route = format!("POST {template}");
    let held = super::deadline(&edge, rule.as_ref(), &request).as_secs_f64() + GRACE;
    let caller = caller(request.headers());
    let json = edge.state.settings.json_bytes;
    let upload = rule.is_some_and(|rule| rule.upload);
    let (fingerprint, request) = match upload && !is_held(&request, json) {
        true => (announced(&request), request),
        false => read(request, json).await?,
    };
    let claim = Claim {
        caller,
        route,
        key,
        fingerprint,
        holder: uuid::Uuid::now_v7().simple().to_string(),
    };
    match idempotency::take(&edge.state.storage, &claim, held, LIFE).await? {
        Taken::Ours => work(edge, claim, request, next).await,
        Taken::Kept(kept) => Ok(replay(kept)),
        Taken::AtWork => Err(at_work()),
        Taken::Other => Err(reused()),
    }
}

/// Whose keys these are. A credential is hashed, never kept.
fn caller(headers: &HeaderMap) -> String {
    match headers.get(header::AUTHORIZATION) {
        Some(value) => hex(Sha256::digest(value.as_bytes()).as_slice()),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn asked(request: &Request) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(request.uri().to_string());
    hash.update([0]);
    hash.update(media_type(request.headers()));
    hash.update([0]);
    hash
}

/// Whether an upload is read whole before its work: it is no longer than JSON may be, and sent again with the same bytes.
fn is_held(request: &Request, limit: u64) -> bool {
    let headers = request.headers();
    let short = content_length(headers).is_some_and(|length| length <= limit);
    short && !media_type(headers).starts_with("multipart/")
}

/// A long upload is not held whole, and a form's boundary differs from try to try: it is told by its length.
fn announced(request: &Request) -> String {
    let mut hash = asked(request);
    let length = content_length(request.headers()).unwrap_or(u64::MAX);
    hash.update(length.to_be_bytes());
    hex(hash.finalize().as_slice())
}

async fn read(request: Request, limit: u64) -> Answer<(String, Request)> {
    let mut hash = asked(&request);
    let (parts, body) = request.into_parts();
    let whole = Request::from_parts(parts.clone(), body);
    let bytes = Bytes::from_request(whole, &())
        .await
        .map_err(|rejection| of_rejection(&rejection, limit))?;
    hash.update(&bytes);
    let request = Request::from_parts(parts, Body::from(bytes));
    Ok((hex(hash.finalize().as_slice()), request))
}

/// Does what is asked to its end, also when the client goes away meanwhile: it will ask again what came of it.
async fn work(edge: Edge, claim: Claim, request: Request, next: Next) -> Answer<Response> {
    let storage = edge.state.storage.clone();
    let (kept_by, freed) = (claim.clone(), claim);
    let work = async move {
        let response = next.run(request).await;
        settle(&edge, &kept_by, response).await
    };
    match tokio::spawn(work.in_current_span()).await {
        Ok(answer) => answer,
        Err(failure) => {
            let _ = idempotency::release(&storage, &freed).await;
            Err(Problem::internal(failure))
        }
    }
}

/// Keeps what says that the work is done, and frees the key otherwise.
async fn settle(edge: &Edge, claim: &Claim, response: Response) -> Answer<Response> {
    let storage = &edge.state.storage;
    let length = axum::body::HttpBody::size_hint(response.body()).exact();
    let short = length.is_some_and(|length| length <= LONGEST as u64);
    if !response.status().is_success() || !short {
        idempotency::release(storage, claim).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, LONGEST).await;
    let bytes = bytes.map_err(Problem::internal)?;
    let kept = Kept {
        status: parts.status.as_u16(),
        headers: headers(&parts.headers),
        body: bytes.to_vec(),
    };
    idempotency::keep(storage, claim, &kept).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn headers(all: &HeaderMap) -> Value {
    let kept = HEADERS.iter().filter_map(|name| {
        let value = all.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), Value::from(value)))
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

fn replay(kept: Kept) -> Response {
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    for (name, value) in kept.headers.as_object().into_iter().flatten() {
        let name = HeaderName::try_from(name.as_str());
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().insert(name, value);
        }
    }
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED.clone(), yes);
    response
}

fn at_work() -> Problem {
    let detail = "a request with this Idempotency-Key is at work; ask again for its answer";
    Problem::new(&error::IDEMPOTENCY_KEY_IN_USE, detail).retry_after(1)
}

fn reused() -> Problem {
    let detail = "this Idempotency-Key was used for another request within a day; take a new key for new work";
    Problem::new(&error::IDEMPOTENCY_KEY_REUSED, detail)
}
