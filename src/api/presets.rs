//! Presets over HTTP. What they are is the domain's; nothing here is stored.

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, NOT_FOUND, Problem, ProblemBody};
use super::extract::InPath;
use crate::domain::page::Page;
use crate::domain::presets::{self, Preset};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
}

/// List the presets
///
/// Fine-tuning protocols with the values of the papers. A job's body that says `"preset":"rank-32-all"` is filled with that
/// preset's `spec`, over which its own fields stand.
#[utoipa::path(get, path = "/v1/presets", tag = "jobs", responses((status = 200, body = Page<Preset>)))]
async fn list() -> Json<Page<Preset>> {
    Json(Page::whole(presets::all()))
}

/// Show a preset
#[utoipa::path(get, path = "/v1/presets/{name}", tag = "jobs", params(("name" = String, Path, description = "such as rank-32-all")),
    responses((status = 200, body = Preset), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn show(InPath(name): InPath<String>) -> Answer<Json<Preset>> {
    presets::find(&name).map(Json).map_err(|near| {
        let shown: String = name.chars().take(100).collect();
        let detail = format!("there is no preset \"{}\"; {near}", shown.escape_debug());
        Problem::new(&NOT_FOUND, detail)
    })
}
