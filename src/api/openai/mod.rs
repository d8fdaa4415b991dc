//! `/openai/v1`: models, chats and completions as OpenAI's clients know them, on top of [`Converse`]. Knows no job.
//!
//! A request is read and bounded by [`crate::domain::openai`], its model found (`resolve`), its prompts turned into tokens and
//! held against the context (`prepare`), asked (`telling`), and told at once or in pieces (`chat`, `completions`, `stream`).
//! Every failure below `/openai` has OpenAI's form (`refusal`). A key in `Authorization` is accepted and not looked at.
//!
//! [`Converse`]: crate::execution::converse::Converse

mod chat;
mod completions;
mod models;
mod prepare;
pub(super) mod refusal;
mod render;
mod resolve;
mod schemas;
mod stream;
mod telling;
mod tokens;

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use crate::domain::openai::Bounds;

/// Bounds of inference.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Of one request's contents.
    pub bounds: Bounds,
    /// Time for one request, streams included.
    pub request: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            request: Duration::from_secs(600),
        }
    }
}

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(models::list))
        .routes(routes!(models::show))
        .routes(routes!(chat::create))
        .routes(routes!(completions::create))
        .routes(routes!(tokens::tokenize))
        .routes(routes!(tokens::detokenize))
        .routes(routes!(tokens::tokenizer_info))
        .routes(routes!(tokens::tokenize_beside))
        .routes(routes!(tokens::detokenize_beside))
        .routes(routes!(tokens::tokenizer_info_beside))
}

/// Whether `path` has failures in OpenAI's form.
pub(super) fn is_here(path: &str) -> bool {
    path == "/openai" || path.starts_with("/openai/")
}

/// Names the parameters that were passed over.
const IGNORED: HeaderName = HeaderName::from_static("x-vivarium-ignored");

fn note_ignored(headers: &mut HeaderMap, ignored: &[&'static str]) {
    if let (false, Ok(value)) = (
        ignored.is_empty(),
        HeaderValue::from_str(&ignored.join(", ")),
    ) {
        headers.insert(IGNORED, value);
    }
}
