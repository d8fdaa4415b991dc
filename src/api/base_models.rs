//! Base models over HTTP: registered as a job, listed, shown.

pub(super) mod resolve;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::ApiState;
use super::error::{Answer, Problem, ProblemBody, TOO_MANY_REQUESTS};
use super::extract::{InPath, JsonBody, Query};
use super::paging::Paging;
use crate::domain::assets::{BaseModel, BaseModelState};
use crate::domain::base_model::{
    NewBaseModel, Referred, Source, base_model_request, source_hash, stored as source_as_stored,
};
use crate::domain::ids::{BaseModelId, JobId};
use crate::domain::job::{JobEnvelope, JobKind, JobSpec, RegisterSpec};
use crate::domain::page::Page;
use crate::domain::requests::{identity, stored};
use crate::storage::jobs::NewJob;
use crate::storage::registry::{self, BaseIdentity, NewModel, Registered};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show))
}

/// A base model as it is posted.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code)] // describes the body, which is read tag first
struct BaseModelRequest {
    /// Unique name.
    name: String,
    /// One of `{"path"}`, `{"hub","revision"}`, `{"job"}`, `{"random":{"config","tokenizer","init","seed"}}`.
    #[schema(value_type = Object)]
    source: Value,
}

/// Register a base model
///
/// `{"path"}` is a folder in the Hugging Face layout under one of the server's `models.roots`, `{"job"}` a full fine-tune, `{"random"}`
/// a new model from a config, a tokenizer and a seed, `{"hub","revision"}` a model on a hub, whose revision is resolved to a commit
/// now. The same name with the same source gives the model that is there; one that failed is registered anew.
#[utoipa::path(post, path = "/v1/base-models", tag = "assets", request_body = BaseModelRequest,
    responses(
        (status = 202, body = BaseModel, description = "its register job is queued"),
        (status = 200, body = BaseModel, description = "the same name and source were posted before"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "the name has another source"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "the hub cannot be reached just now")
    ))]
async fn create(State(state): State<ApiState>, JsonBody(body): JsonBody) -> Answer<Response> {
    let new = base_model_request(body)?;
    let (referred, parents) = resolve::references(&state, &new.source).await?;
    let hash = source_hash(&new.source, &referred);
    let new = with_commit(new, &referred);
    let existing = registry::base_model_identity(&state.storage, &new.name).await?;
    let model = match existing {
        Some(it) if it.source_hash == hash && it.model.state == BaseModelState::Failed => {
            new_model(&new, &hash, parents, Some(it.model.id))
        }
        Some(existing) => return same(existing, &hash),
        None => new_model(&new, &hash, parents, None),
    };
    match registry::register(&state.storage, &model, state.settings.queued_jobs).await? {
        Registered::Created => created(&state, &model).await,
        Registered::NameTaken => {
            match registry::base_model_identity(&state.storage, &new.name).await? {
                Some(existing) => same(existing, &hash),
                None => Err(Problem::conflict(
                    "the name was taken and given up meanwhile; send it again",
                )),
            }
        }
        Registered::QueueFull => {
            let detail = format!(
                "{} jobs wait already, as many as may",
                state.settings.queued_jobs
            );
            Err(Problem::new(&TOO_MANY_REQUESTS, detail).retry_after(30))
        }
        Registered::ParentEnded(parent) => {
            let detail = format!("{parent} ended without success meanwhile; retry it first");
            Err(Problem::invalid("/source", detail))
        }
    }
}

/// The request with the commit that its revision names now.
fn with_commit(mut new: NewBaseModel, referred: &Referred) -> NewBaseModel {
    if let (Source::Hub(spec), Referred::Commit(commit)) = (&mut new.source, referred) {
        spec.commit = Some(commit.clone());
        new.stored = source_as_stored(&new.source);
    }
    new
}

/// The model and its job; a model that failed keeps its id and gets another job.
fn new_model(
    new: &NewBaseModel,
    hash: &str,
    parents: Vec<JobId>,
    failed: Option<BaseModelId>,
) -> NewModel {
    let again = failed.is_some();
    let id = failed.unwrap_or_else(|| BaseModelId::from_uuid(Uuid::now_v7()));
    let spec = RegisterSpec {
        base_model: id.clone(),
        source: new.stored.clone(),
    };
    let job = NewJob {
        id: JobId::from_uuid(Uuid::now_v7()),
        owner: super::OWNER.into(),
        envelope: JobEnvelope {
            name: Some(new.name.clone()),
            ..JobEnvelope::default()
        },
        kind: JobKind::Register,
        spec: stored(&JobSpec::Register(spec)),
        hashes: identity::of_register(id.as_str(), hash),
        parents,
        evaluation: None,
        analysis: None,
    };
    NewModel {
        id,
        name: new.name.clone(),
        source: new.stored.clone(),
        source_hash: hash.into(),
        job,
        again,
    }
}

async fn created(state: &ApiState, model: &NewModel) -> Answer<Response> {
    let shown = registry::base_model(&state.storage, model.id.as_str()).await?;
    let mut response = (StatusCode::ACCEPTED, Json(shown)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/base-models/{}", model.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The model that has the name already, if it has the source as well.
fn same(existing: BaseIdentity, hash: &str) -> Answer<Response> {
    if existing.source_hash == hash {
        return Ok(Json(existing.model).into_response());
    }
    Err(Problem::conflict(format!(
        "the name \"{}\" belongs to {}, which is made from another source; choose another name",
        existing.model.name, existing.model.id
    )))
}

/// List base models, the newest first
#[utoipa::path(get, path = "/v1/base-models", tag = "assets", params(Paging),
    responses((status = 200, body = Page<BaseModel>)))]
async fn list(
    State(state): State<ApiState>,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<BaseModel>>> {
    let rows = registry::base_models(&state.storage, paging.stretch(&state)?).await?;
    Ok(Json(Page::cut(rows, paging.limit(&state)?, |last| {
        last.id.to_string()
    })))
}

/// Show a base model
#[utoipa::path(get, path = "/v1/base-models/{model}", tag = "assets", params(("model" = String, Path, description = "id or name")),
    responses((status = 200, body = BaseModel), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn show(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
) -> Answer<Json<BaseModel>> {
    Ok(Json(registry::base_model(&state.storage, &key).await?))
}
