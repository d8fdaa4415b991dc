//! Adapters over HTTP: handed in and checked against their base, listed, downloaded.

mod intake;

use axum::Json;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::error::{Answer, Problem, ProblemBody};
use super::extract::{InPath, Query};
use super::files::{self, disk};
use super::paging::Paging;
use super::{ApiState, archive, model_files, table};
use crate::domain::adapter::Adapter;
use crate::domain::assets::{FileEntry, check_name};
use crate::domain::ids::{AdapterId, BaseModelId};
use crate::domain::page::Page;
use crate::execution::LocalFile;
use crate::storage::registry::{self, NewAdapter, Stored};
use intake::Intake;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show))
        .routes(routes!(file))
        .routes(routes!(whole))
        // uploads have a limit of their own, counted where they are written
        .layer(DefaultBodyLimit::disable())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NameQuery {
    /// Unique name; where absent it is made from the hash of the files.
    name: Option<String>,
}

/// Fields of an adapter's form.
#[derive(ToSchema)]
#[allow(dead_code)] // describes the form; it is read piece by piece
struct AdapterForm {
    /// As PEFT saves it.
    #[schema(rename = "adapter_config.json", format = Binary)]
    adapter_config: Option<String>,
    /// As PEFT saves it.
    #[schema(rename = "adapter_model.safetensors", format = Binary)]
    adapter_model: Option<String>,
    /// Of a steering vector: `layer_idx`, `alpha`, `d_model`.
    #[schema(rename = "steering_config.json", format = Binary)]
    steering_config: Option<String>,
    /// Of a steering vector: its only tensor `steering_vector`.
    #[schema(rename = "steering_vector.safetensors", format = Binary)]
    steering_vector: Option<String>,
    /// Id or name of the base model that it was trained on.
    base_model: String,
    /// Unique name.
    name: Option<String>,
}

/// Hand in an adapter
///
/// The two files of a PEFT LoRA adapter, or `steering_config.json` and `steering_vector.safetensors`, and the base model that it stands on. Every setting is honoured or refused by name; every
/// tensor is checked against the base's shape. The same name with the same files and base gives the adapter that is there. A file may
/// also come as a field `file` with its name as the file name.
#[utoipa::path(post, path = "/v1/adapters", tag = "assets", params(NameQuery),
    request_body(content = AdapterForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = Adapter, description = "stored"),
        (status = 200, body = Adapter, description = "the same name, files and base were stored before"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "the name has other files or another base, or the base is not ready"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json", description = "over the limit of uploads"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "errors by file and field")
    ))]
async fn create(
    State(state): State<ApiState>,
    Query(query): Query<NameQuery>,
    request: Request,
) -> Answer<Response> {
    if let Some(name) = &query.name {
        check_name("/name", name)?;
    }
    let intake = Intake::receive(&state, request, query.name).await?;
    let parts = [&intake.config, &intake.model];
    let files = parts.map(|(name, file)| file.as_it_lies(name));
    let entries = files.each_ref().map(|file| file.entry.clone());
    let sha256 = crate::execution::files::identity(&entries);
    let base = base(&state, &intake.base_model).await?;
    let name = match &intake.name {
        Some(name) => name.clone(),
        None => format!("adapter-{}", &sha256[..12]),
    };
    if let Some(existing) = registry::adapter_named(&state.storage, &name).await? {
        return same(existing, &sha256, &base);
    }
    let facts = facts(&state, &base, files).await?;
    let new = NewAdapter {
        id: AdapterId::from_uuid(Uuid::now_v7()),
        name,
        base_model: base,
        sha256,
        facts,
        files: entries.to_vec(),
    };
    intake.config.1.keep().await.map_err(disk)?;
    intake.model.1.keep().await.map_err(disk)?;
    store(&state, &new).await
}

/// The base that is named, which must be ready.
async fn base(state: &ApiState, reference: &str) -> Answer<BaseModelId> {
    let found = crate::storage::inputs::base_model(&state.storage, reference).await?;
    if found.is_none() {
        let missing = crate::domain::requests::fit::missing;
        let error = missing("/base_model", "base model", reference, "/v1/base-models");
        return Err(crate::domain::invalid::Invalid::from(error).into());
    }
    Ok(model_files::ready_base(state, reference).await?.id)
}

async fn facts(
    state: &ApiState,
    base: &BaseModelId,
    files: [LocalFile; 2],
) -> Answer<crate::domain::adapter::AdapterFacts> {
    let base = model_files::of_base_without_weights(state, base.as_str()).await?;
    let asked =
        move |inspect: &dyn crate::execution::inspect::Inspect| inspect.adapter(&base, &files);
    Ok(model_files::inspected(state, asked).await??)
}

async fn store(state: &ApiState, new: &NewAdapter) -> Answer<Response> {
    match registry::insert_adapter(&state.storage, new).await? {
        Stored::Existing(existing) => same(existing, &new.sha256, &new.base_model),
        Stored::Created(adapter) => {
            let location = HeaderValue::from_str(&format!("/v1/adapters/{}", adapter.id));
            let mut response = (StatusCode::CREATED, Json(adapter)).into_response();
            if let Ok(location) = location {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
    }
}

/// The adapter that has the name already, if it has the files and the base as well.
fn same(existing: Adapter, sha256: &str, base: &BaseModelId) -> Answer<Response> {
    if existing.sha256 == sha256 && existing.base_model == *base {
        return Ok(Json(existing).into_response());
    }
    let other = match existing.sha256 == sha256 {
        true => format!("stands on the base model {}", existing.base_model),
        false => format!("has other files (sha256 {})", existing.sha256),
    };
    Err(Problem::conflict(format!(
        "the name \"{}\" belongs to an adapter that {other}; choose another name",
        existing.name
    )))
}

/// List adapters, the newest first
#[utoipa::path(get, path = "/v1/adapters", tag = "assets", params(Paging),
    responses((status = 200, body = Page<Adapter>)))]
async fn list(
    State(state): State<ApiState>,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<Adapter>>> {
    let rows = registry::adapters(&state.storage, paging.stretch(&state)?).await?;
    Ok(Json(Page::cut(rows, paging.limit(&state)?, |last| {
        last.id.to_string()
    })))
}

/// Show an adapter
#[utoipa::path(get, path = "/v1/adapters/{adapter}", tag = "assets", params(("adapter" = String, Path, description = "id or name")),
    responses((status = 200, body = Adapter), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn show(State(state): State<ApiState>, InPath(key): InPath<String>) -> Answer<Json<Adapter>> {
    Ok(Json(registry::adapter(&state.storage, &key).await?))
}

/// Download a file of an adapter as it was handed in
#[utoipa::path(get, path = "/v1/adapters/{adapter}/files/{name}", tag = "assets",
    params(("adapter" = String, Path, description = "id or name"), ("name" = String, Path, description = "such as adapter_model.safetensors")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, body = Vec<u8>, content_type = "application/octet-stream", description = "the range asked for"),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 416, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn file(
    State(state): State<ApiState>,
    InPath((key, name)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Answer<Response> {
    let adapter = registry::adapter(&state.storage, &key).await?;
    let owner = adapter.id.to_string();
    let entry = files::named(&adapter.files, &name, &owner)?;
    files::serve(
        &state,
        &headers,
        entry,
        (&entry.name, files::media_type(&name)),
    )
    .await
}

/// Download an adapter's files as one tar
#[utoipa::path(get, path = "/v1/adapters/{adapter}/archive", tag = "assets", params(("adapter" = String, Path, description = "id or name")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/x-tar"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn whole(State(state): State<ApiState>, InPath(key): InPath<String>) -> Answer<Response> {
    let adapter = registry::adapter(&state.storage, &key).await?;
    let files = checked(&state, &adapter.files).await?;
    let mut response = archive::tar(files, &adapter.name);
    table::set(
        response.headers_mut(),
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    );
    Ok(response)
}

async fn checked(state: &ApiState, entries: &[FileEntry]) -> Answer<Vec<LocalFile>> {
    let mut files = Vec::with_capacity(entries.len());
    for entry in entries {
        files.push(state.files.checked(entry).await.map_err(disk)?);
    }
    Ok(files)
}
