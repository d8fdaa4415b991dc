//! What handlers take from a request: JSON bodies, uploads, path segments, query parameters; every refusal is a [`Problem`].

use std::error::Error as _;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ApiState;
use super::error::{self, Problem};
use super::json_text;
use super::query;
use crate::domain::experiment::Document;

/// A JSON body, not yet decoded: tags must be read first (see [`crate::domain::decode`]).
///
/// *Errors*: 415 for another media type, 413 over the limit, 400 with line and column where it is not JSON, 408 when it stalls.
#[derive(Debug, Clone)]
pub struct JsonBody(pub Value);

impl FromRequest<ApiState> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let limit = state.settings.json_bytes;
        refuse_long(request.headers(), limit)?;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| of_rejection(&rejection, limit))?;
        Ok(Self(json_text::parse(&bytes)?))
    }
}

/// A body that is JSON, or YAML whose errors have lines.
///
/// *Errors*: those of a [`JsonBody`]; 422 with the line where it is not YAML.
#[derive(Debug, Clone)]
pub struct DocumentBody(pub Document);

impl FromRequest<ApiState> for DocumentBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        if !is_yaml(&media_type(request.headers())) {
            let JsonBody(value) = JsonBody::from_request(request, state).await?;
            return Ok(Self(Document::of(value)));
        }
        let limit = state.settings.json_bytes;
        refuse_long(request.headers(), limit)?;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| of_rejection(&rejection, limit))?;
        Ok(Self(Document::yaml(&bytes)?))
    }
}

fn is_yaml(media: &str) -> bool {
    matches!(
        media,
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml"
    )
}

/// A JSON body that may be left out; refused like a [`JsonBody`] where there is one.
#[derive(Debug, Clone)]
pub struct OptionalJsonBody(pub Option<Value>);

impl FromRequest<ApiState> for OptionalJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let limit = state.settings.json_bytes;
        refuse_long(request.headers(), limit)?;
        let headers = request.headers().clone();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| of_rejection(&rejection, limit))?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        require_json(&headers)?;
        Ok(Self(Some(json_text::parse(&bytes)?)))
    }
}

/// The media type of a request without its parameters, in lower case; empty when none is given.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or("").split(';').next().unwrap_or("");
    essence.trim().to_ascii_lowercase()
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media = media_type(headers);
    let is_json = media == "application/json"
        || (media.starts_with("application/") && media.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let found = if media.is_empty() {
        "there is none".into()
    } else {
        format!("it is {media}")
    };
    let detail = format!("the Content-Type must be application/json; {found}");
    Err(Problem::new(&error::UNSUPPORTED_MEDIA_TYPE, detail))
}

/// Refuses by Content-Length, before a byte is read.
fn refuse_long(headers: &HeaderMap, limit: u64) -> Result<(), Problem> {
    match content_length(headers) {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// The announced length of a body.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The body is over `limit` bytes.
pub fn too_large(limit: u64) -> Problem {
    let detail = format!("the body is larger than {limit} bytes, the limit of this resource");
    Problem::new(&error::PAYLOAD_TOO_LARGE, detail)
}

/// Why a body was not taken.
pub(super) fn of_rejection(rejection: &BytesRejection, limit: u64) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large(limit);
    }
    unreadable(rejection)
}

/// Why a body could not be read to its end.
pub fn unreadable(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut cause = Some(error);
    while let Some(inner) = cause {
        if inner.is::<tower_http::timeout::TimeoutError>() {
            let detail = "the body stalled for longer than the server waits";
            return Problem::new(&error::REQUEST_TIMEOUT, detail);
        }
        cause = inner.source();
    }
    Problem::new(
        &error::BAD_REQUEST,
        "the body broke off or is not framed as HTTP says",
    )
}

/// A body that is read piece by piece and never held whole.
///
/// *Errors*: 413 by Content-Length before a byte is read, else where the limit is passed; 408 when it stalls.
pub struct Upload {
    stream: BodyDataStream,
    limit: u64,
    seen: u64,
    /// Media type, lower case, without parameters.
    pub media_type: String,
}

impl Upload {
    /// The next piece; none at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        let Some(chunk) = self.stream.next().await else {
            return Ok(None);
        };
        let chunk = chunk.map_err(|error| unreadable(&error))?;
        self.seen += chunk.len() as u64;
        if self.seen > self.limit {
            return Err(too_large(self.limit));
        }
        Ok(Some(chunk))
    }

    /// The whole of a small body.
    ///
    /// *Errors*: 413 over `limit` bytes, which replaces the limit of uploads.
    pub async fn whole(mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        self.limit = limit;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl FromRequest<ApiState> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let limit = state.settings.upload_bytes;
        refuse_long(request.headers(), limit)?;
        let media_type = media_type(request.headers());
        let stream = Body::into_data_stream(request.into_body());
        Ok(Self {
            stream,
            limit,
            seen: 0,
            media_type,
        })
    }
}

impl From<axum::extract::multipart::MultipartError> for Problem {
    fn from(error: axum::extract::multipart::MultipartError) -> Self {
        match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                &error::PAYLOAD_TOO_LARGE,
                "the body is larger than the limit of this resource",
            ),
            StatusCode::BAD_REQUEST if error.source().is_none() => {
                Self::new(&error::BAD_REQUEST, error.body_text())
            }
            _ => unreadable(&error),
        }
    }
}

/// Segments of the path: one value, or a tuple in the order of the path.
///
/// *Errors*: a segment that cannot be what it should be, an id of another kind for example, is 404.
#[derive(Debug, Clone)]
pub struct InPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| {
                let detail = rejection
                    .source()
                    .map_or_else(|| rejection.body_text(), ToString::to_string);
                Problem::new(
                    &error::NOT_FOUND,
                    format!("there is nothing at {}: {detail}", parts.uri.path()),
                )
            })
    }
}

/// Query parameters as the fields of a struct.
///
/// A field of type `Vec<_>` takes a parameter given several times; any other takes it once. Numbers and booleans are read
/// from their text.
///
/// *Errors*: 400 for a name that is not a field, with the names there are; 400 for a value of the wrong form.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query::decode(query::pairs(&parts.uri)?).map(Self)
    }
}
