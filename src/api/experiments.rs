//! `/v1/experiments`: a question is submitted as a whole, watched, stopped and let go on. Planning is the domain's.

mod analysis;
mod bundle;
mod dry_run;
mod figures;
mod going;
mod material;
mod members;
mod needs;
mod presets;
mod rates;
mod report;
mod sources;
mod submit;

pub use analysis::ask_due as ask_due_analyses;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, ProblemBody};
use super::extract::{InPath, Query};
use super::paging::Paging;
use crate::domain::experiment::{Experiment, ExperimentJob};
use crate::domain::ids::{ExperimentId, JobId};
use crate::domain::job::JobState;
use crate::domain::page::Page;
use crate::storage::experiments;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, submit::submit))
        .routes(routes!(show))
        .routes(routes!(jobs))
        .routes(routes!(graph))
        .routes(routes!(submit::add))
        .merge(going::routes())
        .merge(report::routes())
        .merge(figures::routes())
        .routes(routes!(bundle::bundle))
        .routes(routes!(rates::rates))
        .merge(presets::routes())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Items at most; 50 where absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only experiments of this name.
    name: Option<String>,
}

/// List experiments, newest first
#[utoipa::path(get, path = "/v1/experiments", tag = "jobs", params(ListQuery), responses(
    (status = 200, body = Page<Experiment>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "a parameter cannot be used"),
))]
async fn list(
    State(state): State<ApiState>,
    Query(query): Query<ListQuery>,
) -> Answer<Json<Page<Experiment>>> {
    let paging = Paging {
        limit: query.limit,
        cursor: query.cursor,
    };
    let filter = experiments::Filter { name: query.name };
    let found = experiments::list(&state.storage, &filter, paging.stretch(&state)?).await?;
    let page = Page::cut(found, paging.limit(&state)?, |one| one.id.to_string());
    Ok(Json(page))
}

/// Show an experiment
///
/// Its state is that of all of its jobs: `partial` where some arms failed and the others were done.
#[utoipa::path(get, path = "/v1/experiments/{id}", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 200, body = Experiment),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
))]
async fn show(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
) -> Answer<Json<Experiment>> {
    Ok(Json(experiments::get(&state.storage, &id).await?))
}

/// List the jobs of an experiment
///
/// Parents before what needs them, the analysis last once all others have ended.
#[utoipa::path(get, path = "/v1/experiments/{id}/jobs", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 200, body = Page<ExperimentJob>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
))]
async fn jobs(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
) -> Answer<Json<Page<ExperimentJob>>> {
    let jobs = experiments::jobs(&state.storage, &id).await?;
    Ok(Json(Page::whole(jobs)))
}

/// A job in a graph.
#[derive(Debug, Serialize, ToSchema)]
struct GraphNode {
    /// Its place in the plan.
    key: String,
    /// The job.
    job: JobId,
    /// Where it is.
    state: JobState,
}

/// A need in a graph.
#[derive(Debug, Serialize, ToSchema)]
struct GraphEdge {
    /// What must succeed first.
    from: JobId,
    /// What needs it.
    to: JobId,
}

/// Jobs and what they need.
#[derive(Debug, Serialize, ToSchema)]
struct Graph {
    /// The jobs, parents first.
    nodes: Vec<GraphNode>,
    /// Needs between jobs of the experiment.
    edges: Vec<GraphEdge>,
}

/// Show which jobs of an experiment need which
#[utoipa::path(get, path = "/v1/experiments/{id}/graph", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 200, body = Graph),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
))]
async fn graph(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
) -> Answer<Json<Graph>> {
    let jobs = experiments::jobs(&state.storage, &id).await?;
    let inside = |job: &&JobId| jobs.iter().any(|one| one.job == **job);
    let edges = jobs.iter().flat_map(|one| {
        let parents = one.parents.iter().filter(inside);
        parents.map(|parent| GraphEdge {
            from: parent.clone(),
            to: one.job.clone(),
        })
    });
    let edges = edges.collect();
    let nodes = jobs.iter().map(|one| GraphNode {
        key: one.key.clone(),
        job: one.job.clone(),
        state: one.state,
    });
    Ok(Json(Graph {
        nodes: nodes.collect(),
        edges,
    }))
}
