//! The papers' experiments. What they are is the domain's; nothing here is stored.

use axum::Json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::ApiState;
use crate::api::error::{Answer, NOT_FOUND, Problem, ProblemBody};
use crate::api::extract::InPath;
use crate::domain::experiment::presets::{self, ExperimentPreset};
use crate::domain::page::Page;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list_presets))
        .routes(routes!(show_preset))
}

/// List the papers' experiments
///
/// Each with what its sources disagree about and the numbers that are expected of it.
#[utoipa::path(get, path = "/v1/experiment-presets", tag = "jobs", responses((status = 200, body = Page<ExperimentPreset>)))]
async fn list_presets() -> Json<Page<ExperimentPreset>> {
    Json(Page::whole(presets::all()))
}

/// Show one of the papers' experiments
#[utoipa::path(get, path = "/v1/experiment-presets/{name}", tag = "jobs",
    params(("name" = String, Path, description = "such as minimal-organism")),
    responses(
        (status = 200, body = ExperimentPreset),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn show_preset(InPath(name): InPath<String>) -> Answer<Json<ExperimentPreset>> {
    presets::find(&name).map(Json).map_err(|near| {
        let shown: String = name.chars().take(100).collect();
        let detail = format!("there is no preset \"{}\"; {near}", shown.escape_debug());
        Problem::new(&NOT_FOUND, detail)
    })
}
