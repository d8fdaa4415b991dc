//! Published runs over HTTP: an import is a fine-tune whose steps were made elsewhere.
#![allow(dead_code)] // the body is described here and read by the domain

use std::collections::BTreeMap;
use std::path::PathBuf;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::base_models::resolve::{refused_by_hub, refused_folder};
use super::error::{Answer, Problem, ProblemBody};
use super::extract::JsonBody;
use super::jobs;
use crate::domain::base_model::{self, HubSpec, Source};
use crate::domain::job::{Dedup, Job, Priority};
use crate::domain::published_run::{ImportSpec, OnBroken};
use crate::domain::requests::import_request;
use crate::execution::folder;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(import))
}

/// A published run to be read.
#[derive(ToSchema)]
struct RunImportRequest {
    /// A name for people; 1 to 200 characters.
    name: Option<String>,
    /// Band of the queue; `normal` where absent.
    priority: Option<Priority>,
    /// What happens when the same import exists; `reuse` where absent. A folder that changed is read again with `force`.
    dedup: Option<Dedup>,
    /// Labels, at most 32.
    tags: Option<BTreeMap<String, String>>,
    /// Id or name of the base model; its weights need not be there.
    base_model: String,
    /// `{"path"}`, a folder under one of the server's `models.roots`, or `{"hub","revision"}`.
    #[schema(value_type = Object)]
    source: Value,
    /// Whether a checkpoint that cannot be read ends the import (`fail`, the default) or is left out and told (`skip`).
    on_broken: Option<OnBroken>,
}

/// Import a published run
///
/// Reads `checkpoints/checkpoint-<step>/` folders (`adapter_config.json`, `adapter_model.safetensors`, `trainer_state.json`) as a
/// finished fine-tune of origin `imported`, with checkpoints, norms, loss, gradient norm and learning rate on whatever steps there
/// are. The last word on a step is that of the last checkpoint whose log has it; contradictions are an event `log_conflicts`. An
/// adapter at the top that is not the last checkpoint is told by `top_adapter_differs` and not kept. Large adapters stay where they
/// lie. Pickles are refused.
#[utoipa::path(post, path = "/v1/runs/import", tag = "jobs", request_body = RunImportRequest, responses(
    (status = 202, body = Job, description = "accepted", headers(("Location" = String, description = "path of the job"))),
    (status = 200, body = Job, description = "the same import exists; `deduplicated` is true"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "the same import exists and `dedup` is `error`"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json",
     description = "something in the body cannot be accepted, or names what does not exist"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "too many jobs wait"),
    (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "the hub cannot be reached just now")
))]
async fn import(State(state): State<ApiState>, JsonBody(body): JsonBody) -> Answer<Response> {
    let (envelope, spec) = import_request(body)?;
    jobs::accept(&state, envelope, spec).await
}

/// Makes sure that a run is there, and fills in the commit that a revision names now.
pub(super) async fn settle_source(state: &ApiState, spec: &mut ImportSpec) -> Answer<()> {
    let source = base_model::source("/source", spec.source.clone())?;
    match source {
        Source::Path(path) => look_at(state, path).await,
        Source::Hub(HubSpec {
            commit: Some(_), ..
        }) => Ok(()),
        Source::Hub(hub) => {
            let commit = commit_of(state, &hub).await?;
            spec.source = base_model::stored(&Source::Hub(HubSpec {
                commit: Some(commit),
                ..hub
            }));
            Ok(())
        }
        Source::Job(_) | Source::Random(_) => Err(Problem::invalid(
            "/source",
            "a run is not imported from there",
        )),
    }
}

async fn look_at(state: &ApiState, path: String) -> Answer<()> {
    let (path, roots) = (PathBuf::from(path), state.settings.model_roots.clone());
    let look = move || folder::real_run(&path, &roots).map_err(|it| refused_folder(&it, &roots));
    let found = tokio::task::spawn_blocking(look).await;
    found.map_err(Problem::internal)?.map(drop)
}

async fn commit_of(state: &ApiState, spec: &HubSpec) -> Answer<String> {
    let (hub, name, revision) = (state.hub.clone(), spec.hub.clone(), spec.revision.clone());
    let asked = tokio::task::spawn_blocking(move || hub.run_commit(&name, &revision)).await;
    asked.map_err(Problem::internal)?.map_err(refused_by_hub)
}
