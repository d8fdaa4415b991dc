//! `ETag` and 304 for every JSON answer that a client may poll and whose handler gives no tag of its own.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::error::Problem;
use crate::api::prefer;

/// Bytes of the longest answer that is tagged; longer ones are results, which have names of their own.
const LONGEST: usize = 4 << 20;

/// Tags what the handler gives, and says 304 to a client that has it.
pub(super) async fn tag(request: Request, next: Next) -> Response {
    if request.method() != Method::GET || !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let wishes = request.headers().clone();
    let response = next.run(request).await;
    if !is_taggable(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match axum::body::to_bytes(body, LONGEST).await {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal(error).into_response(),
    };
    let etag = prefer::tag(&bytes);
    let known = prefer::has(&wishes, &etag);
    if let Ok(value) = HeaderValue::from_str(&etag) {
        parts.headers.insert(header::ETAG, value);
    }
    let fresh = HeaderValue::from_static("no-cache");
    parts.headers.entry(header::CACHE_CONTROL).or_insert(fresh);
    if !known {
        return Response::from_parts(parts, Body::from(bytes));
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}

fn is_taggable(response: &Response) -> bool {
    let media = response.headers().get(header::CONTENT_TYPE);
    let media = media.and_then(|value| value.to_str().ok()).unwrap_or("");
    let length = axum::body::HttpBody::size_hint(response.body()).exact();
    response.status() == StatusCode::OK
        && media.starts_with("application/json")
        && !response.headers().contains_key(header::ETAG)
        && length.is_some_and(|length| length <= LONGEST as u64)
}
