//! The memory that a run is forecast to take, told when it begins so that later forecasts learn from what it took.

use serde_json::json;

use super::data::Data;
use crate::domain::finetune::Dtype;
use crate::domain::finetune::FinetuneSpec;
use crate::domain::forecast::memory::{Asked, training};
use crate::domain::forecast::{ModelShape, sum};
use crate::execution::{Context, Report, Stop};

/// Tells the event `forecast`.
pub(super) fn tell(
    spec: &FinetuneSpec,
    (shape, base_dtype): (&ModelShape, Dtype),
    data: &Data,
    (lanes, on_gpu): (usize, bool),
    context: &dyn Context,
) -> Result<(), Stop> {
    let parts = training(&Asked {
        spec,
        shape,
        data: &data.shape(),
        base_dtype,
        lanes: lanes as u64,
        on_gpu,
    });
    context.report(Report::Event {
        r#type: "forecast",
        data: json!({"memory_bytes": sum(&parts), "parts": parts}),
    })
}
