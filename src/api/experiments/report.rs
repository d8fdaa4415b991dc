//! What an experiment says, as JSON and in words. How facts become rows and sentences is the domain's.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::material::{self, Found};
use crate::api::ApiState;
use crate::api::error::{Answer, NOT_ACCEPTABLE, Problem, ProblemBody};
use crate::api::extract::{InPath, Query};
use crate::api::table::{self, Format, tagged};
use crate::domain::ids::ExperimentId;
use crate::domain::report::{ExperimentReport, build, markdown};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(report))
}

/// A form of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    /// Every row, unrounded.
    Json,
    /// Sentences and tables as Markdown.
    Md,
}

impl Form {
    /// What `?format=` asks for, else the first form that `Accept` names, else JSON.
    fn choose(asked: Option<Self>, headers: &HeaderMap) -> Answer<Self> {
        let accept = headers
            .get(header::ACCEPT)
            .and_then(|value| value.to_str().ok());
        let (None, Some(accept)) = (asked, accept) else {
            return Ok(asked.unwrap_or(Self::Json));
        };
        let forms = accept.split(',').filter_map(|range| {
            match range.split(';').next().unwrap_or_default().trim() {
                "text/markdown" | "text/plain" | "text/*" => Some(Self::Md),
                "application/json" | "application/*" | "*/*" => Some(Self::Json),
                _ => None,
            }
        });
        let detail = "there are json and md; Accept names none of them";
        forms
            .into_iter()
            .next()
            .ok_or_else(|| Problem::new(&NOT_ACCEPTABLE, detail))
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    /// `json` or `md`; else by `Accept`.
    format: Option<Form>,
}

/// What an experiment says
///
/// Rates, turns, lags and norms of every arm with what is not to be trusted yet; an unfinished experiment has a report of what is there.
#[utoipa::path(get, path = "/v1/experiments/{id}/report", tag = "results",
    params(("id" = ExperimentId, Path), ReportQuery),
    responses(
        (status = 200, content((ExperimentReport = "application/json"), (String = "text/markdown"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
        (status = 406, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn report(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
    Query(query): Query<ReportQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let form = Form::choose(query.format, &headers)?;
    let report = made(&state, &id).await?;
    match form {
        Form::Json => {
            let name = format!("{id}-report");
            Ok(tagged(&headers, Format::Json, &name, table::json(&report)?))
        }
        Form::Md => {
            let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
            Ok((kind, markdown(&report, "figures/")).into_response())
        }
    }
}

/// The report as it is now.
///
/// *Errors*: not found.
pub(super) async fn made(state: &ApiState, id: &ExperimentId) -> Answer<ExperimentReport> {
    let Found { material, .. } = material::read(state, id).await?;
    let made = tokio::task::spawn_blocking(move || build(&material, Vec::new()));
    made.await.map_err(Problem::internal)
}
