//! What people do to jobs that are there: stop them, let them stand still, let them go on, try them again.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::ApiState;
use crate::api::error::{Answer, ProblemBody};
use crate::api::extract::{InPath, OptionalJsonBody};
use crate::domain::decode::decode_at;
use crate::domain::ids::JobId;
use crate::domain::job::Job;
use crate::storage::{jobs, queue};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
}

async fn shown(state: &ApiState, id: &JobId) -> Answer<(StatusCode, Json<Job>)> {
    let job = jobs::get(&state.storage, id).await?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// Cancel a job
///
/// A job that waits or stands still ends at once, one that runs at its next step.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = JobId, Path), ("If-Match" = Option<String>, Header)), responses(
    (status = 202, body = Job),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "it has ended or is being cancelled; the detail names its state"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "it is not as If-Match has it"),
))]
async fn cancel(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
    headers: HeaderMap,
) -> Answer<(StatusCode, Json<Job>)> {
    super::unchanged(&state, &id, &headers).await?;
    queue::request_cancel(&state.storage, &id).await?;
    shown(&state, &id).await
}

/// Pause a job
///
/// A queued job stands still at once. One that runs is `pausing` until it has kept its state: a fine-tune after the last whole
/// optimizer step, an evaluation with every answer that is drawn; a registration keeps nothing and begins again. `waiting`
/// says why a job stands still. No pause counts as a failure, and going on changes no number.
#[utoipa::path(post, path = "/v1/jobs/{id}/pause", tag = "jobs", params(("id" = JobId, Path), ("If-Match" = Option<String>, Header)), responses(
    (status = 202, body = Job, description = "`pausing` or `paused`"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "it waits for parents, pauses already, or has ended; the detail names its state and what to do"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "it is not as If-Match has it"),
))]
async fn pause(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
    headers: HeaderMap,
) -> Answer<(StatusCode, Json<Job>)> {
    super::unchanged(&state, &id, &headers).await?;
    queue::request_pause(&state.storage, &id).await?;
    shown(&state, &id).await
}

/// How a paused job goes on.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ResumeRequest {
    /// Lets it go on where what its numbers depend on (build, libtorch, processor, threads) is not what it was; its result then
    /// says `numerics_changed`.
    accept_numerics: bool,
}

/// Let a paused job go on
///
/// It waits in the queue again and goes on from the state that it kept. The body may be left out.
#[utoipa::path(post, path = "/v1/jobs/{id}/resume", tag = "jobs", params(("id" = JobId, Path), ("If-Match" = Option<String>, Header)),
    request_body = Option<ResumeRequest>, responses(
    (status = 202, body = Job, description = "queued"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "the body is not JSON"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "it is not paused; the detail names its state and what to do"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "it is not as If-Match has it"),
    (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "the body is not JSON by its type"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "the body has other fields"),
))]
async fn resume(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
    headers: HeaderMap,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Answer<(StatusCode, Json<Job>)> {
    let request: ResumeRequest = match body {
        Some(body) => decode_at("", body)?,
        None => ResumeRequest::default(),
    };
    super::unchanged(&state, &id, &headers).await?;
    queue::request_resume(&state.storage, &id, request.accept_numerics).await?;
    shown(&state, &id).await
}

/// Try a job again
///
/// A job that failed or was cancelled waits again and goes on from what it kept; jobs that were cancelled because it failed
/// wait for it again. Its attempts count anew.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs", params(("id" = JobId, Path), ("If-Match" = Option<String>, Header)), responses(
    (status = 202, body = Job, description = "`queued`, or `blocked` where a parent has not succeeded yet"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "it has succeeded or not ended, a parent did not succeed either, or another job does the same work meanwhile"),
    (status = 412, body = ProblemBody, content_type = "application/problem+json", description = "it is not as If-Match has it"),
))]
async fn retry(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
    headers: HeaderMap,
) -> Answer<(StatusCode, Json<Job>)> {
    super::unchanged(&state, &id, &headers).await?;
    queue::request_retry(&state.storage, &id).await?;
    shown(&state, &id).await
}
