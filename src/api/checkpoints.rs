//! Checkpoints over HTTP: listed, shown, their files downloaded one by one or as one archive.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, ProblemBody};
use super::extract::InPath;
use super::files::{self, disk};
use super::{archive, table};
use crate::domain::assets::Checkpoint;
use crate::domain::ids::{CheckpointId, JobId};
use crate::domain::page::Page;
use crate::storage::registry;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(file))
        .routes(routes!(whole))
}

/// List the checkpoints of a fine-tune by step
#[utoipa::path(get, path = "/v1/jobs/{job}/checkpoints", tag = "results", params(("job" = String, Path)),
    responses((status = 200, body = Page<Checkpoint>), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn list(
    State(state): State<ApiState>,
    InPath(job): InPath<JobId>,
) -> Answer<Json<Page<Checkpoint>>> {
    Ok(Json(Page::whole(
        registry::checkpoints(&state.storage, &job).await?,
    )))
}

/// Show a checkpoint
#[utoipa::path(get, path = "/v1/checkpoints/{checkpoint}", tag = "results", params(("checkpoint" = String, Path)),
    responses((status = 200, body = Checkpoint), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn show(
    State(state): State<ApiState>,
    InPath(id): InPath<CheckpointId>,
) -> Answer<Json<Checkpoint>> {
    Ok(Json(registry::checkpoint(&state.storage, &id).await?))
}

/// Download a file of a checkpoint
#[utoipa::path(get, path = "/v1/checkpoints/{checkpoint}/files/{name}", tag = "results",
    params(("checkpoint" = String, Path), ("name" = String, Path, description = "such as adapter_model.safetensors")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream", description = "the range asked for"),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn file(
    State(state): State<ApiState>,
    InPath((id, name)): InPath<(CheckpointId, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let checkpoint = registry::checkpoint(&state.storage, &id).await?;
    let entry = files::named(&checkpoint.files, &name, id.as_str())?;
    let media_type = files::media_type(&name);
    files::serve(&state, &headers, entry, (&entry.name, media_type)).await
}

/// Download a checkpoint's files as one tar
#[utoipa::path(get, path = "/v1/checkpoints/{checkpoint}/archive", tag = "results", params(("checkpoint" = String, Path)),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/x-tar"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn whole(
    State(state): State<ApiState>,
    InPath(id): InPath<CheckpointId>,
) -> Answer<Response> {
    let checkpoint = registry::checkpoint(&state.storage, &id).await?;
    let mut files = Vec::with_capacity(checkpoint.files.len());
    for entry in &checkpoint.files {
        files.push(state.files.checked(entry).await.map_err(disk)?);
    }
    let name = format!("{}-step{}", checkpoint.job, checkpoint.step);
    let mut response = archive::tar(files, &name);
    table::set(
        response.headers_mut(),
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    );
    Ok(response)
}
