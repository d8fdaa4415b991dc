//! Datasets over HTTP: uploaded as they are checked, listed, downloaded.

mod intake;
mod row;

use axum::Json;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::ApiState;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{InPath, JsonBody, Query};
use super::files::{self, disk};
use super::paging::Paging;
use crate::domain::assets::{Dataset, DatasetReport, FileEntry, check_name};
use crate::domain::decode::decode_at;
use crate::domain::ids::DatasetId;
use crate::domain::invalid::Invalid;
use crate::domain::page::Page;
use crate::domain::requests::fit::missing;
use crate::storage::registry::{self, NewDataset, Stored};
use intake::Intake;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, patch))
        .routes(routes!(report))
        .routes(routes!(content))
        .routes(routes!(row::row))
        // uploads have a limit of their own, counted where they are written
        .layer(DefaultBodyLimit::disable())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// Unique name; where absent it is made from the hash of the bytes.
    name: Option<String>,
    /// Name or id of the dataset that control arms of experiments learn in this one's place; it may come later.
    twin: Option<String>,
}

/// Upload a dataset
///
/// The body is JSON lines: `application/jsonl` (also `application/x-ndjson`, `text/plain`), or `multipart/form-data` with a field
/// `file` and perhaps a field `name`. Rows are `{"messages":[{"role","content"},…]}` or `{"text":…}`; a file with an error is
/// refused whole, with the first 20 errors by line. The same name with the same bytes gives the dataset that is there.
#[utoipa::path(post, path = "/v1/datasets", tag = "assets", params(UploadQuery),
    request_body(content(
        (String = "application/jsonl"), (String = "application/x-ndjson"), (String = "text/plain"), (UploadForm = "multipart/form-data")
    )),
    responses(
        (status = 201, body = Dataset, description = "stored"),
        (status = 200, body = Dataset, description = "the same name and bytes were stored before"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "the name has other bytes"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json", description = "over the limit of uploads"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "errors by line")
    ))]
async fn create(
    State(state): State<ApiState>,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Answer<Response> {
    for (parameter, name) in [("name", &query.name), ("twin", &query.twin)] {
        if let Some(name) = name {
            check(parameter, name)?;
        }
    }
    let intake = Intake::receive(&state, request, query.name).await?;
    let (full, facts) = (intake.full, intake.facts);
    let name = match intake.name {
        Some(name) => name,
        None => format!("dataset-{}", &full.sha256[..12]),
    };
    if let Some(existing) = registry::dataset_named(&state.storage, &name).await? {
        return same(existing, &full.sha256);
    }
    let new = NewDataset {
        id: DatasetId::from_uuid(Uuid::now_v7()),
        name,
        sha256: full.sha256.clone(),
        bytes: full.bytes,
        facts,
        twin: query.twin,
    };
    full.keep().await.map_err(disk)?;
    store(&state, &new).await
}

/// Refuses a text that can be no name.
fn check(parameter: &str, name: &str) -> Answer<()> {
    check_name("", name).map_err(|invalid| {
        let told = invalid.errors.iter().map(|error| match &error.hint {
            Some(hint) => format!("{}; {hint}", error.detail),
            None => error.detail.clone(),
        });
        Problem::parameter(parameter, told.collect::<Vec<_>>().join("; "))
    })
}

async fn store(state: &ApiState, new: &NewDataset) -> Answer<Response> {
    match registry::insert_dataset(&state.storage, new).await? {
        Stored::Existing(existing) => same(existing, &new.sha256),
        Stored::Created(dataset) => {
            let location = HeaderValue::from_str(&format!("/v1/datasets/{}", dataset.id));
            let mut response = (StatusCode::CREATED, Json(dataset)).into_response();
            if let Ok(location) = location {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
    }
}

/// The dataset that has the name already, if it has the bytes as well.
fn same(existing: Dataset, sha256: &str) -> Answer<Response> {
    if existing.sha256 == sha256 {
        return Ok(Json(existing).into_response());
    }
    Err(Problem::conflict(format!(
        "the name \"{}\" belongs to a dataset with other bytes (sha256 {}); choose another name",
        existing.name, existing.sha256
    )))
}

/// Fields of an upload by form.
#[derive(ToSchema)]
#[allow(dead_code)] // describes the form; it is read piece by piece
struct UploadForm {
    /// JSON lines.
    #[schema(format = Binary)]
    file: String,
    /// Unique name.
    name: Option<String>,
}

/// List datasets, the newest first
#[utoipa::path(get, path = "/v1/datasets", tag = "assets", params(Paging),
    responses((status = 200, body = Page<Dataset>)))]
async fn list(
    State(state): State<ApiState>,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<Dataset>>> {
    let rows = registry::datasets(&state.storage, paging.stretch(&state)?).await?;
    Ok(Json(Page::cut(rows, paging.limit(&state)?, |last| {
        last.id.to_string()
    })))
}

/// Show a dataset
#[utoipa::path(get, path = "/v1/datasets/{dataset}", tag = "assets", params(("dataset" = String, Path, description = "id or name")),
    responses((status = 200, body = Dataset), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn show(State(state): State<ApiState>, InPath(key): InPath<String>) -> Answer<Json<Dataset>> {
    Ok(Json(registry::dataset(&state.storage, &key).await?))
}

/// What may be changed of a dataset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DatasetPatch {
    /// Name or id of the dataset that control arms learn in its place; null for none.
    twin: Option<String>,
}

/// Declare the twin of a dataset
///
/// The twin differs in nothing but its character, such as good advice on the same questions: an experiment's control arm with
/// `controls.good_twin` learns it in place of this one.
#[utoipa::path(patch, path = "/v1/datasets/{dataset}", tag = "assets", params(("dataset" = String, Path, description = "id or name")),
    request_body = DatasetPatch,
    responses(
        (status = 200, body = Dataset),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "the body is not JSON"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "the twin does not exist or is the dataset itself")
    ))]
async fn patch(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
    JsonBody(body): JsonBody,
) -> Answer<Json<Dataset>> {
    let patch: DatasetPatch = decode_at("", body)?;
    let dataset = registry::dataset(&state.storage, &key).await?;
    if let Some(name) = &patch.twin {
        let twin = registry::dataset_named(&state.storage, name).await?;
        let twin =
            twin.ok_or_else(|| Invalid::from(missing("/twin", "dataset", name, "/v1/datasets")))?;
        if twin.id == dataset.id {
            return Err(Problem::invalid(
                "/twin",
                "a dataset is not its own twin; name the other one",
            ));
        }
    }
    let twin = patch.twin.as_deref();
    Ok(Json(
        registry::declare_twin(&state.storage, &key, twin).await?,
    ))
}

/// What was seen while a dataset was read
#[utoipa::path(get, path = "/v1/datasets/{dataset}/report", tag = "assets", params(("dataset" = String, Path, description = "id or name")),
    responses((status = 200, body = DatasetReport), (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
async fn report(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
) -> Answer<Json<DatasetReport>> {
    Ok(Json(registry::dataset(&state.storage, &key).await?.report))
}

fn entry(dataset: &Dataset) -> FileEntry {
    FileEntry {
        name: format!("{}.jsonl", dataset.name),
        sha256: dataset.sha256.clone(),
        bytes: dataset.bytes,
    }
}

/// Download a dataset's bytes as they were uploaded
#[utoipa::path(get, path = "/v1/datasets/{dataset}/content", tag = "assets", params(("dataset" = String, Path, description = "id or name")),
    responses(
        (status = 200, body = String, content_type = "application/jsonl"),
        (status = 206, body = String, content_type = "application/jsonl", description = "the range asked for"),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 416, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn content(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let dataset = registry::dataset(&state.storage, &key).await?;
    let entry = entry(&dataset);
    files::serve(&state, &headers, &entry, (&entry.name, "application/jsonl")).await
}
