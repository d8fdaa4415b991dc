//! Devices over HTTP: what jobs run on, and which base models are in its memory.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, Problem};
use crate::domain::page::Page;
use crate::domain::time::Clock;
use crate::execution::devices::{Device, LoadedModel};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A place for tensors.
#[derive(Serialize, ToSchema)]
#[schema(as = Device)]
struct Shown {
    /// Such as `cpu` or `cuda:0`.
    id: String,
    /// `cpu` or `cuda`.
    kind: String,
    /// As its maker calls it.
    name: String,
    /// Threads that it runs at once; those of the host also for a GPU.
    threads: u32,
    /// Bytes of its memory; null where the machine does not tell.
    memory_bytes: Option<u64>,
    /// Bytes that base models may take of it; null where nothing but the memory bounds them.
    model_limit_bytes: Option<u64>,
    /// The base models in its memory.
    models: Vec<ShownModel>,
}

/// A base model in memory; jobs and conversations that use it share the one copy.
#[derive(Serialize, ToSchema)]
#[schema(as = LoadedModel)]
struct ShownModel {
    /// Name under which it was first asked for.
    name: String,
    /// Hash of its files; equal files are one copy, whatever their names.
    identity: String,
    /// `loading` or `ready`.
    state: String,
    /// Number type of the copy; null while it is being read.
    dtype: Option<String>,
    /// Device that it is on.
    device: String,
    /// Bytes of its weights; a forecast while it is being read.
    bytes: u64,
    /// Jobs and conversations that hold it now; with none it may be evicted.
    users: u32,
    /// When it was last taken or given back.
    #[serde(with = "time::serde::rfc3339")]
    last_used_at: OffsetDateTime,
    /// Time that reading took; null while it is being read.
    load_seconds: Option<f64>,
}

/// List devices
///
/// Each with the base models in its memory, who uses them, and how much they may take; empty where this server runs no jobs.
#[utoipa::path(get, path = "/v1/devices", tag = "meta", responses((status = 200, body = Page<Shown>)))]
async fn list(State(state): State<ApiState>) -> Answer<Json<Page<Shown>>> {
    let Some(devices) = state.devices.clone() else {
        return Ok(Json(Page::whole(Vec::new())));
    };
    let found = tokio::task::spawn_blocking(move || devices.devices()).await;
    let found = found.map_err(Problem::internal)?;
    let shown = found.into_iter().map(|it| shown(it, state.clock.as_ref()));
    Ok(Json(Page::whole(shown.collect())))
}

fn shown(device: Device, clock: &dyn Clock) -> Shown {
    let models = device.models.into_iter();
    Shown {
        kind: device.kind.into(),
        name: device.name,
        threads: device.threads,
        memory_bytes: device.memory_bytes,
        model_limit_bytes: device.model_limit_bytes,
        models: models.map(|it| model(it, &device.id, clock)).collect(),
        id: device.id,
    }
}

fn model(model: LoadedModel, device: &str, clock: &dyn Clock) -> ShownModel {
    let ago = clock.monotonic_seconds() - model.last_used_seconds;
    let state = match model.dtype {
        None => "loading",
        Some(_) => "ready",
    };
    ShownModel {
        name: model.name,
        identity: model.identity,
        state: state.into(),
        dtype: model.dtype.map(str::to_owned),
        device: device.to_owned(),
        bytes: model.bytes,
        users: model.users,
        last_used_at: clock.now() - time::Duration::seconds_f64(ago.max(0.0)),
        load_seconds: model.load_seconds,
    }
}
