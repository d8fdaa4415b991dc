//! What people do to a whole experiment: stop it, let it stand still, let it go on, try it again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::ApiState;
use crate::api::error::{Answer, ProblemBody};
use crate::api::extract::InPath;
use crate::domain::experiment::Experiment;
use crate::domain::ids::ExperimentId;
use crate::storage::experiments;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
}

type Shown = Answer<(StatusCode, Json<Experiment>)>;

async fn shown(state: &ApiState, id: &ExperimentId) -> Shown {
    let experiment = experiments::get(&state.storage, id).await?;
    Ok((StatusCode::ACCEPTED, Json(experiment)))
}

/// Cancel an experiment
///
/// Every job that it brought ends, but those that another experiment needs too.
#[utoipa::path(post, path = "/v1/experiments/{id}/cancel", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 202, body = Experiment),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "it was cancelled before"),
))]
async fn cancel(State(state): State<ApiState>, InPath(id): InPath<ExperimentId>) -> Shown {
    experiments::cancel(&state.storage, &id).await?;
    shown(&state, &id).await
}

/// Pause an experiment
///
/// Every job that it brought stands still as soon as it has kept its state, but those that another experiment needs too.
#[utoipa::path(post, path = "/v1/experiments/{id}/pause", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 202, body = Experiment),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "it is paused or cancelled already"),
))]
async fn pause(State(state): State<ApiState>, InPath(id): InPath<ExperimentId>) -> Shown {
    experiments::pause(&state.storage, &id).await?;
    shown(&state, &id).await
}

/// Let a paused experiment go on
#[utoipa::path(post, path = "/v1/experiments/{id}/resume", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 202, body = Experiment),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "it is not paused"),
))]
async fn resume(State(state): State<ApiState>, InPath(id): InPath<ExperimentId>) -> Shown {
    experiments::resume(&state.storage, &id).await?;
    shown(&state, &id).await
}

/// Try an experiment again
///
/// Jobs that failed or were cancelled wait again and go on from what they kept; what was done stays done.
#[utoipa::path(post, path = "/v1/experiments/{id}/retry", tag = "jobs", params(("id" = ExperimentId, Path)), responses(
    (status = 202, body = Experiment),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "none of its jobs failed or was cancelled"),
))]
async fn retry(State(state): State<ApiState>, InPath(id): InPath<ExperimentId>) -> Shown {
    experiments::retry(&state.storage, &id).await?;
    shown(&state, &id).await
}
