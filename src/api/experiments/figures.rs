//! The figures of an experiment's report, one by one: as SVG, as PNG, and their numbers as CSV.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::report;
use crate::api::ApiState;
use crate::api::error::{Answer, NOT_FOUND, Problem, ProblemBody};
use crate::api::extract::{InPath, Query};
use crate::domain::ids::ExperimentId;
use crate::domain::page::Page;
use crate::domain::report::FigureLine;
use crate::plot::{self, Figure, Theme};

/// Pixels across, where nobody says.
const USUAL_WIDTH: u32 = 1600;
/// Pixels across: below words cannot be read, above a picture takes the memory of a model.
const WIDTHS: std::ops::RangeInclusive<u32> = 200..=4000;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
}

/// Colours of a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Colours {
    /// Dark on white.
    #[default]
    Light,
    /// Light on near-black.
    Dark,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FigureQuery {
    /// `light` where absent.
    #[serde(default)]
    theme: Colours,
    /// Of a PNG: pixels across, 200 to 4000; 1600 where absent.
    width: Option<u32>,
}

/// List the figures of an experiment
///
/// Those that have something to show, by the names under which they can be had.
#[utoipa::path(get, path = "/v1/experiments/{id}/figures", tag = "results", params(("id" = ExperimentId, Path)), responses(
    (status = 200, body = Page<FigureLine>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
))]
async fn list(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
) -> Answer<Json<Page<FigureLine>>> {
    let made = report::whole(&state, &id).await?;
    Ok(Json(Page::whole(made.report.figures)))
}

/// Draw a figure of an experiment
///
/// `{name}.svg`, `{name}.png`, or its numbers as `{name}.csv`.
#[utoipa::path(get, path = "/v1/experiments/{id}/figures/{file}", tag = "results",
    params(("id" = ExperimentId, Path), ("file" = String, Path, description = "such as rate_by_scale.bad.svg"), FigureQuery),
    responses(
        (status = 200, content((String = "image/svg+xml"), (Vec<u8> = "image/png"), (String = "text/csv"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "a parameter cannot be used"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment or figure"),
    ))]
async fn show(
    State(state): State<ApiState>,
    InPath((id, file)): InPath<(ExperimentId, String)>,
    Query(query): Query<FigureQuery>,
) -> Answer<Response> {
    let width = query.width.unwrap_or(USUAL_WIDTH);
    if !WIDTHS.contains(&width) {
        let detail = format!("{width} is not from {} to {}", WIDTHS.start(), WIDTHS.end());
        return Err(Problem::parameter("width", detail));
    }
    let made = report::whole(&state, &id).await?;
    let (name, ending) = file.rsplit_once('.').unwrap_or((&file, ""));
    let figure = made.figures.into_iter().find(|one| one.name() == name);
    let figure = figure.ok_or_else(|| unknown(&id, &file))?;
    let theme = match query.theme {
        Colours::Light => Theme::Light,
        Colours::Dark => Theme::Dark,
    };
    match ending {
        "svg" => Ok(typed("image/svg+xml", figure.svg(theme).into_bytes())),
        "csv" => Ok(typed("text/csv; charset=utf-8", figure.csv().into_bytes())),
        "png" => Ok(typed("image/png", pixels(figure, theme, width).await?)),
        _ => Err(unknown(&id, &file)),
    }
}

fn typed(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, kind)], bytes).into_response()
}

async fn pixels(figure: Figure, theme: Theme, width: u32) -> Answer<Vec<u8>> {
    let drawn = tokio::task::spawn_blocking(move || plot::png(&figure.svg(theme), width));
    drawn
        .await
        .map_err(Problem::internal)?
        .map_err(Problem::internal)
}

fn unknown(id: &ExperimentId, file: &str) -> Problem {
    let shown: String = file.chars().take(100).collect();
    let detail = format!(
        "{id} has no figure \"{}\"; GET /v1/experiments/{id}/figures lists names, to which .svg, .png or .csv is added",
        shown.escape_debug()
    );
    Problem::new(&NOT_FOUND, detail)
}
