//! Analyses over HTTP: their heads, series and transitions.

mod flat;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{InPath, Query};
use super::table::{self, Format, tagged};
use crate::domain::analyze::{AnalysisHead, AnalysisSeries};
use crate::domain::transitions::Transitions;
use crate::storage::analyses;

const FORMATS: [Format; 2] = [Format::Json, Format::Csv];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(series))
        .routes(routes!(transition))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SeriesQuery {
    /// Only runs of this arm; may be given several times.
    #[serde(default)]
    arm: Vec<String>,
    /// Only runs with this seed; may be given several times.
    #[serde(default)]
    seed: Vec<u64>,
    /// `json` or `csv`; else by `Accept`.
    format: Option<Format>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TransitionQuery {
    /// `json` or `csv`; else by `Accept`. The table has the rows alone, without the lags.
    format: Option<Format>,
}

/// Show an analysis
#[utoipa::path(get, path = "/v1/analyses/{analysis}", tag = "results",
    params(("analysis" = String, Path, description = "its id or its job's id")),
    responses((status = 200, body = AnalysisHead), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn show(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
) -> Answer<Json<AnalysisHead>> {
    Ok(Json(analyses::head(&state.storage, &key).await?))
}

/// Geometry and rates of every run over its steps
///
/// A number that does not exist is null, never 0. As CSV one row a run, series, module and step.
#[utoipa::path(get, path = "/v1/analyses/{analysis}/series", tag = "results",
    params(("analysis" = String, Path, description = "its id or its job's id"), SeriesQuery),
    responses(
        (status = 200, content((AnalysisSeries = "application/json"), (String = "text/csv"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "its job has not succeeded")
    ))]
async fn series(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
    Query(query): Query<SeriesQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let format = Format::choose(query.format, &headers, &FORMATS)?;
    let head = analyses::head(&state.storage, &key).await?;
    let series = analyses::series(&state.storage, &head.id).await?;
    let mut runs = series.ok_or_else(|| unfinished(&head))?;
    runs.retain(|run| {
        (query.arm.is_empty() || query.arm.contains(&run.arm))
            && (query.seed.is_empty() || query.seed.contains(&run.seed))
    });
    let bytes = match format {
        Format::Csv => flat::series(&runs)?,
        _ => {
            let angles = analyses::angles(&state.storage, &head.id).await?;
            let angles = angles.unwrap_or_default();
            table::json(&AnalysisSeries { runs, angles })?
        }
    };
    Ok(tagged(
        &headers,
        format,
        &format!("{}-series", head.id),
        bytes,
    ))
}

/// Where each run turns, by what, and how sure that is
#[utoipa::path(get, path = "/v1/analyses/{analysis}/transition", tag = "results",
    params(("analysis" = String, Path, description = "its id or its job's id"), TransitionQuery),
    responses(
        (status = 200, content((Transitions = "application/json"), (String = "text/csv"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "its job has not succeeded")
    ))]
async fn transition(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
    Query(query): Query<TransitionQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let format = Format::choose(query.format, &headers, &FORMATS)?;
    let head = analyses::head(&state.storage, &key).await?;
    let transitions = analyses::transitions(&state.storage, &head.id).await?;
    let transitions = transitions.ok_or_else(|| unfinished(&head))?;
    let bytes = match format {
        Format::Csv => flat::transitions(&transitions.rows)?,
        _ => table::json(&transitions)?,
    };
    Ok(tagged(
        &headers,
        format,
        &format!("{}-transition", head.id),
        bytes,
    ))
}

fn unfinished(head: &AnalysisHead) -> Problem {
    let (id, job, state) = (&head.id, &head.job, head.state.name());
    Problem::conflict(format!(
        "{id} has no numbers: its job {job} is {state}; GET /v1/jobs/{job} tells more"
    ))
}
