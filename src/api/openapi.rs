//! The OpenAPI document: its head, its text, the pages that show it. What it says of routes comes from the handlers.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::OpenApi;

use super::ApiState;
use super::error::ProblemBody;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Vivarium",
        description = "Fine-tunes and evaluates model organisms of emergent misalignment. Every failure is \
                       application/problem+json with a code from /v1/problems.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "meta", description = "The server itself"),
        (name = "assets", description = "Base models, datasets, question sets, judges"),
        (name = "jobs", description = "Work: submitted, watched, cancelled"),
        (name = "queue", description = "The order of what waits, and why"),
        (name = "results", description = "Metrics, norms, checkpoints, answers and rates"),
        (name = "inference", description = "Chats and completions as OpenAI's clients know them; failures have OpenAI's form")
    ),
    components(schemas(ProblemBody))
)]
struct Document;

/// The document without routes.
pub fn base() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document as it is served and committed: pretty JSON with a final line break.
pub fn text() -> String {
    spec_text(&super::documented().split_for_parts().1)
}

fn spec_text(spec: &utoipa::openapi::OpenApi) -> String {
    let mut text = spec.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// `/openapi.json` and the pages under `/docs`.
pub(super) fn routes(spec: &utoipa::openapi::OpenApi) -> Router<ApiState> {
    let text: std::sync::Arc<str> = spec_text(spec).into();
    let serve = move || async move {
        (
            [(header::CONTENT_TYPE, "application/json")],
            text.to_string(),
        )
    };
    let pages = utoipa_swagger_ui::SwaggerUi::new("/docs")
        .config(utoipa_swagger_ui::Config::from("/openapi.json"));
    Router::new()
        .route("/openapi.json", get(serve))
        .merge(pages)
}
