//! Whether the disk has room for what a fine-tune will write, told before it waits in the queue. The arithmetic is the domain's.

use std::sync::Arc;

use serde_json::Value;

use crate::api::error::{Answer, Problem};
use crate::api::{ApiState, model_files};
use crate::domain::assets::FileEntry;
use crate::domain::finetune::{Dtype, FinetuneSpec};
use crate::domain::forecast::disk::DiskForecast;
use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::model_files::CONFIG;
use crate::domain::order::{self, Plan};
use crate::execution::inspect::Dimensions;
use crate::execution::{Blobs, Room};
use crate::storage::inputs;

/// Refuses a fine-tune whose files have no room; none is refused where the base's shape is not known yet.
///
/// *Errors*: 422 with the figures and what to change.
pub(super) async fn check(state: &ApiState, spec: &FinetuneSpec) -> Answer<()> {
    let (Some(forecast), Some(room)) = (forecast(state, spec).await?, state.files.room()) else {
        return Ok(());
    };
    match forecast.total_bytes > room.free_bytes {
        true => Err(refusal(&forecast, &room).into()),
        false => Ok(()),
    }
}

/// What `spec` will write; none where its base or the number of its steps is not known yet.
async fn forecast(state: &ApiState, spec: &FinetuneSpec) -> Answer<Option<DiskForecast>> {
    let Some(base) = inputs::base_model(&state.storage, &spec.base_model).await? else {
        return Ok(None);
    };
    let Some(config) = base.files.iter().find(|file| file.name == CONFIG) else {
        return Ok(None);
    };
    let Some(steps) = steps(state, spec).await? else {
        return Ok(None);
    };
    let Some(size) = dimensions(state, config).await? else {
        return Ok(None);
    };
    let dtype = size.dtype.unwrap_or(Dtype::Float32);
    Ok(Some(DiskForecast::of(spec, &size.shape, dtype, steps)))
}

/// A damaged config or one that the engine refuses is the attempt's to report, with what to do about it.
async fn dimensions(state: &ApiState, config: &FileEntry) -> Answer<Option<Dimensions>> {
    let Ok(file) = Arc::clone(&state.files).checked(config).await else {
        return Ok(None);
    };
    let text = tokio::fs::read(&file.path)
        .await
        .map_err(Problem::internal)?;
    let Ok(config) = serde_json::from_slice::<Value>(&text) else {
        return Ok(None);
    };
    Ok(
        model_files::inspected(state, move |it| it.dimensions(&config))
            .await
            .ok(),
    )
}

/// Optimizer steps, should no row be dropped.
async fn steps(state: &ApiState, spec: &FinetuneSpec) -> Answer<Option<u64>> {
    let held = spec.hold_out.as_ref().map_or(0.0, |held| held.fraction);
    let (mut sizes, mut weights) = (Vec::new(), Vec::new());
    for used in &spec.datasets {
        let found = inputs::dataset(&state.storage, &used.dataset).await?;
        let rows = found.map_or(0, |found| found.examples);
        let trained = rows - (rows as f64 * held).floor() as u64;
        sizes.push(u32::try_from(trained).unwrap_or(u32::MAX));
        weights.push(used.weight);
    }
    let plan = Plan::new(spec.seed, sizes, weights, &spec.batch, &spec.length);
    Ok(order::total_steps(&plan).ok())
}

fn refusal(forecast: &DiskForecast, room: &Room) -> Invalid {
    let detail = format!(
        "the run's files take up to {} bytes at once ({} checkpoints of {}, {} resumable states of {}) and {} bytes are free",
        forecast.total_bytes,
        forecast.checkpoints,
        forecast.checkpoint_bytes,
        forecast.states,
        forecast.state_bytes,
        room.free_bytes
    );
    let hint = "keep fewer steps, bound them with checkpoints.keep such as {\"last\":2}, or make room on the server's disk";
    FieldError::at("/checkpoints", detail).hint(hint).into()
}
