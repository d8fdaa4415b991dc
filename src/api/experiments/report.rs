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
use crate::domain::analysis::RunSeries;
use crate::domain::experiment::ExperimentJob;
use crate::domain::ids::ExperimentId;
use crate::domain::job::Job;
use crate::domain::report::{ExperimentReport, build, markdown};
use crate::plot::Figure;
use crate::web;

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
    /// One page with its figures.
    Html,
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
                "text/html" => Some(Self::Html),
                "text/markdown" | "text/plain" | "text/*" => Some(Self::Md),
                "application/json" | "application/*" | "*/*" => Some(Self::Json),
                _ => None,
            }
        });
        let detail = "there are json, md and html; Accept names none of them";
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
    /// `json`, `md` or `html`; else by `Accept`.
    format: Option<Form>,
}

/// What an experiment says
///
/// Rates, turns, lags and norms of every arm with what is not to be trusted yet; an unfinished experiment has a report of what is there.
#[utoipa::path(get, path = "/v1/experiments/{id}/report", tag = "results",
    params(("id" = ExperimentId, Path), ReportQuery),
    responses(
        (status = 200, content((ExperimentReport = "application/json"), (String = "text/markdown"), (String = "text/html"))),
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
    let made = whole(&state, &id).await?;
    let report = &made.report;
    // links hold from wherever the page is opened, as long as it comes from here
    let before = format!("/v1/experiments/{id}/figures/");
    match form {
        Form::Json => {
            let name = format!("{id}-report");
            Ok(tagged(&headers, Format::Json, &name, table::json(report)?))
        }
        Form::Md => {
            let kind = [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")];
            Ok((kind, markdown(report, &before)).into_response())
        }
        Form::Html => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            Ok((kind, web::page(report, &made.figures, &before)).into_response())
        }
    }
}

/// A report with its figures and what both were made from.
pub(super) struct Made {
    pub(super) report: ExperimentReport,
    pub(super) figures: Vec<Figure>,
    pub(super) series: Vec<RunSeries>,
    pub(super) jobs: Vec<(ExperimentJob, Job)>,
}

/// The report as it is now, with its figures.
///
/// *Errors*: not found.
pub(super) async fn whole(state: &ApiState, id: &ExperimentId) -> Answer<Made> {
    let Found {
        material,
        series,
        jobs,
    } = material::read(state, id).await?;
    let made = tokio::task::spawn_blocking(move || {
        let bare = build(&material, Vec::new());
        let figures = web::figures(&material, &bare);
        let report = ExperimentReport {
            figures: web::lines(&figures),
            ..bare
        };
        (report, figures)
    });
    let (report, figures) = made.await.map_err(Problem::internal)?;
    Ok(Made {
        report,
        figures,
        series,
        jobs,
    })
}

/// The report alone.
///
/// *Errors*: not found.
pub(super) async fn made(state: &ApiState, id: &ExperimentId) -> Answer<ExperimentReport> {
    let Found { material, .. } = material::read(state, id).await?;
    let made = tokio::task::spawn_blocking(move || build(&material, Vec::new()));
    made.await.map_err(Problem::internal)
}
