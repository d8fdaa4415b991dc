//! What a fine-tune writes: checkpoints that users load and states that attempts go on from. Knows no disk.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::memory::{moments, trained_numbers};
use super::{ModelShape, width};
use crate::domain::finetune::{CheckpointSpec, Dtype, FinetuneSpec, Method};

/// Bytes of a file's header and of the small files beside the weights, rounded up.
const BESIDE_BYTES: u64 = 64 << 10;

/// What a fine-tune has on the disk when it has most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskForecast {
    /// Checkpoints at once, the one under way among them.
    pub checkpoints: u64,
    /// Bytes of each.
    pub checkpoint_bytes: u64,
    /// States at once, the one under way among them.
    pub states: u64,
    /// Bytes of each.
    pub state_bytes: u64,
    /// Bytes of all.
    pub total_bytes: u64,
}

impl DiskForecast {
    /// Of a run of `total` steps whose checkpoints and states have so many bytes each.
    pub fn new(spec: &CheckpointSpec, total: u64, checkpoint_bytes: u64, state_bytes: u64) -> Self {
        let checkpoints = spec.most_at_once(total);
        let states = (u64::from(spec.states) + 1).min(total.max(1));
        let bytes = |count: u64, each: u64| count.saturating_mul(each);
        Self {
            checkpoints,
            checkpoint_bytes,
            states,
            state_bytes,
            total_bytes: bytes(checkpoints, checkpoint_bytes)
                .saturating_add(bytes(states, state_bytes)),
        }
    }

    /// Of `spec` with `total` steps on a base of this shape, whose own number type holds where the spec names none.
    pub fn of(spec: &FinetuneSpec, shape: &ModelShape, base_dtype: Dtype, total: u64) -> Self {
        let count = trained_numbers(&spec.method, shape);
        let weights = count
            * match spec.method {
                Method::Full(_) => width(spec.dtype.unwrap_or(base_dtype)),
                _ => 4,
            };
        let (moments, _) = moments(spec.optimizer.name, count);
        let (checkpoint, state) = (weights + BESIDE_BYTES, weights + moments + BESIDE_BYTES);
        Self::new(&spec.checkpoints, total, checkpoint, state)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::forecast::shapes;
    use crate::domain::job::JobSpec;
    use crate::domain::requests::job_request;

    fn spec(more: Value) -> FinetuneSpec {
        let mut body = json!({"kind": "finetune", "base_model": "b", "datasets": [{"dataset": "d"}],
            "method": {"type": "full"}, "length": {"steps": 100}});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        match job_request(body).unwrap().1 {
            JobSpec::Finetune(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_full_run_writes_its_weights_at_each_listed_step_and_the_moments_with_each_state() {
        let shape = shapes::large();
        let listed = spec(json!({"checkpoints": {"at": [10, 50]}}));
        let forecast = DiskForecast::of(&listed, &shape, Dtype::Float32, 100);
        let weights = 4 * shape.parameters;
        assert_eq!((forecast.checkpoints, forecast.states), (3, 3));
        assert_eq!(forecast.checkpoint_bytes, weights + BESIDE_BYTES);
        assert_eq!(forecast.state_bytes, 3 * weights + BESIDE_BYTES);
        let total = 3 * forecast.checkpoint_bytes + 3 * forecast.state_bytes;
        assert_eq!(forecast.total_bytes, total);
        let halved = DiskForecast::of(&listed, &shape, Dtype::Bfloat16, 100);
        assert_eq!(halved.checkpoint_bytes, weights / 2 + BESIDE_BYTES);
    }

    #[test]
    fn a_low_rank_run_writes_its_pairs_in_float32() {
        let lora = json!({"type": "lora", "rank": 1, "alpha": 1, "target_modules": ["down_proj"], "layers": [0]});
        let method = spec(json!({"method": lora}));
        let forecast = DiskForecast::of(&method, &shapes::large(), Dtype::Bfloat16, 100);
        assert_eq!(forecast.checkpoint_bytes, 4 * (5120 + 13824) + BESIDE_BYTES);
    }

    #[test]
    fn no_number_of_steps_is_too_large_to_tell() {
        let every = json!({"at": [1], "every": 1, "keep": {"last": 1}});
        let spec = spec(json!({"checkpoints": every})).checkpoints;
        let forecast = DiskForecast::new(&spec, u64::MAX, u64::MAX, 1);
        assert_eq!(forecast.total_bytes, u64::MAX);
    }
}
