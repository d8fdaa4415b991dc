//! Uploads by form: opened with a bound on the whole, small fields read as text. Knows no resource.

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use http_body_util::Limited;

use super::error::{self, Answer, Problem};
use super::extract;

/// Room for the parts of a form that are not files.
const FORM_BYTES: u64 = 64 << 10;

/// The form of a request whose files have at most `limit` bytes together.
///
/// *Errors*: 413 by Content-Length before a byte is read, 400 without a boundary.
pub async fn open(request: Request, limit: u64) -> Answer<Multipart> {
    let announced = extract::content_length(request.headers());
    if announced.is_some_and(|length| length > limit + FORM_BYTES) {
        return Err(extract::too_large(limit));
    }
    let most = usize::try_from(limit + FORM_BYTES).unwrap_or(usize::MAX);
    let request = request.map(|body| Body::new(Limited::new(body, most)));
    let boundary = request.headers().get(header::CONTENT_TYPE).cloned();
    Multipart::from_request(request, &()).await.map_err(|_| {
        let found = boundary.as_ref().and_then(|value| value.to_str().ok());
        let found = found.unwrap_or("").escape_debug();
        Problem::new(
            &error::BAD_REQUEST,
            format!("the form has no boundary: {found}"),
        )
    })
}

/// A field of a few words; `pointer` is its place.
///
/// *Errors*: 422 for more than a name can have, and for what is not UTF-8.
pub async fn short_text(mut field: Field<'_>, pointer: &str) -> Answer<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > 1000 {
            return Err(Problem::invalid(pointer, "longer than a name may be"));
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::invalid(pointer, "not UTF-8"))
}
