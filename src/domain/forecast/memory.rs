//! Memory of a fine-tune on its device, part by part.

use super::{DataShape, ModelShape, Part, sum, width};
use crate::domain::finetune::{Dtype, FinetuneSpec, LoraMethod, Method, OptimizerName, Projection};

/// Activations, about, up to which a pass over a CPU or a GPU may hold more examples than a micro-batch. A GPU needs
/// thousands of tokens at once to be busy, and a pass that does not fit is made again in halves.
pub const PASS_BYTES: (u64, u64) = (1 << 29, 1 << 34);
/// Logits that exist at once on a CPU and on a GPU. A loss holds about four times as many float32 numbers while it computes
/// its gradient: 256 MiB on a CPU, 1 GiB on a GPU. With a vocabulary of 151,936 these are 110 and 441 rows.
pub const LOGITS_AT_ONCE: (u64, u64) = (1 << 24, 1 << 26);

/// Numbers that an update widens to float32 at a time, where weights or moments are narrower.
pub const UPDATE_PIECE: u64 = 1 << 23;
/// Bytes of scratch for each of them: weights, gradients, moments, codes and draws.
const UPDATE_BYTES: u64 = 48;

/// Bytes of one copy of the logits that the KL term works on at a time.
pub const KL_CHUNK_BYTES: u64 = 32 << 20;

/// A fine-tune with everything that its memory depends on.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is trained, and how.
    pub spec: &'a FinetuneSpec,
    /// On which model.
    pub shape: &'a ModelShape,
    /// With which examples.
    pub data: &'a DataShape,
    /// Number type of the base's files, which holds where the spec names none.
    pub base_dtype: Dtype,
    /// Passes side by side; 1 on a GPU.
    pub lanes: u64,
    /// Whether it is not a CPU that computes.
    pub on_gpu: bool,
}

/// What a pass's memory depends on beside its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassKind {
    /// Number type that layers compute in.
    pub dtype: Dtype,
    /// Whether it is not a CPU that computes.
    pub on_gpu: bool,
    /// Whether layers are computed a second time instead of keeping what they computed.
    pub recompute: bool,
}

/// Tokens whose activations are about [`PASS_BYTES`].
pub fn tokens_of_a_pass(shape: &ModelShape, kind: PassKind) -> u64 {
    let room = match kind.on_gpu {
        false => PASS_BYTES.0,
        true => PASS_BYTES.1,
    };
    let layers = shape.num_hidden_layers;
    let numbers = kept(shape, layers, shape.kept_by_layer(), kind.recompute);
    room / (numbers * width(kind.dtype)).max(1)
}

/// Numbers a token that so many layers keep for the way back: all that each computes, or what each reads and all of one.
fn kept(shape: &ModelShape, layers: u64, by_layer: u64, recompute: bool) -> u64 {
    match recompute {
        false => layers * by_layer,
        true => layers * shape.hidden_size + by_layer,
    }
}

/// Rows whose logits exist at once.
pub fn rows_at_once(vocabulary: u64, on_gpu: bool) -> u64 {
    let logits = match on_gpu {
        false => LOGITS_AT_ONCE.0,
        true => LOGITS_AT_ONCE.1,
    };
    (logits / vocabulary.max(1)).max(1)
}

/// What takes memory while a fine-tune runs, largest things first by kind: weights, what is trained, what a pass keeps.
pub fn training(asked: &Asked<'_>) -> Vec<Part> {
    let mut parts = vec![asked.base()];
    parts.extend(asked.trained());
    parts.push(asked.activations());
    parts.push(asked.logits());
    parts.extend(asked.kl_logits());
    parts
}

impl Asked<'_> {
    fn dtype(&self) -> Dtype {
        self.spec.dtype.unwrap_or(self.base_dtype)
    }

    fn is_full(&self) -> bool {
        matches!(self.spec.method, Method::Full(_))
    }

    fn base(&self) -> Part {
        let bytes = self.shape.parameters * width(self.dtype());
        let count = counted(self.shape.parameters, "weights", width(self.dtype()));
        let why = match self.is_full() {
            true => "; what the change is measured from",
            false => "; shared by every job on this base",
        };
        Part::new("base_weights", bytes, count + why)
    }

    fn trained(&self) -> Vec<Part> {
        let count = trained_numbers(&self.spec.method, self.shape);
        let weights = match self.is_full() {
            true => width(self.dtype()),
            false => 4,
        };
        let gradients = width(self.spec.optimizer.gradients_of(match self.is_full() {
            true => self.dtype(),
            false => Dtype::Float32,
        }));
        let copies = self.lanes.max(1);
        let moments = moments(self.spec.optimizer.name, count);
        vec![
            Part::new(
                "trained_weights",
                count * weights,
                counted(count, "weights", weights),
            ),
            Part::new(
                "gradients",
                copies * count * gradients,
                format!(
                    "{} × {copies} passes side by side",
                    counted(count, "gradients", gradients)
                ),
            ),
            Part::new("optimizer_moments", moments.0, moments.1),
        ]
        .into_iter()
        .chain(self.update(count, weights))
        .collect()
    }

    /// What an update holds beside the state; float32 weights with float32 moments are updated where they lie.
    fn update(&self, count: u64, weights: u64) -> Option<Part> {
        if weights == 4 && self.spec.optimizer.name == OptimizerName::Adamw {
            return None;
        }
        let numbers = count.min(UPDATE_PIECE);
        let detail = counted(numbers, "numbers at a time", UPDATE_BYTES);
        Some(Part::new("update", numbers * UPDATE_BYTES, detail))
    }

    fn kind(&self) -> PassKind {
        PassKind {
            dtype: self.dtype(),
            on_gpu: self.on_gpu,
            recompute: self.spec.batch.recompute_activations,
        }
    }

    /// Tokens of the largest pass.
    fn pass(&self) -> u64 {
        let batch = &self.spec.batch;
        let longest = self
            .data
            .longest_tokens
            .min(u64::from(batch.max_tokens))
            .max(1);
        let least = u64::from(batch.micro_batch) * longest;
        let step = batch.examples_per_step() as f64 * self.data.tokens_per_example;
        let lanes = self.lanes.max(1);
        let share = (step / lanes as f64).ceil() as u64;
        least.max(share.min(tokens_of_a_pass(self.shape, self.kind())))
    }

    fn activations(&self) -> Part {
        let (shape, tokens, lanes) = (self.shape, self.pass(), self.lanes.max(1));
        let layers = shape.num_hidden_layers - lowest_layer(&self.spec.method, shape);
        let longest = self
            .data
            .longest_tokens
            .min(u64::from(self.spec.batch.max_tokens));
        let scores = shape.num_attention_heads * longest;
        let a_layer = shape.kept_by_layer() + scores;
        let numbers = kept(shape, layers, a_layer, self.kind().recompute);
        let bytes = lanes * tokens * numbers * width(self.dtype());
        let each = match self.kind().recompute {
            false => format!("{layers} layers × {a_layer} numbers"),
            true => format!(
                "({layers} layers × {} numbers that each reads + {a_layer} of one)",
                shape.hidden_size
            ),
        };
        let detail = format!(
            "{tokens} tokens a pass × {each} × {} bytes × {lanes} passes side by side",
            width(self.dtype())
        );
        Part::new("activations", bytes, detail)
    }

    fn logits(&self) -> Part {
        let share = self.data.targets_per_example / self.data.tokens_per_example.max(1.0);
        let rows = (self.pass() as f64 * share.min(1.0)).ceil() as u64;
        let (lanes, words) = (self.lanes.max(1), self.shape.vocab_size);
        let rows = rows.min(rows_at_once(words, self.on_gpu));
        let bytes = lanes * rows * words * 16;
        let detail = format!(
            "{rows} target tokens at once × {words} words × 16 bytes for logits, their shares and their gradients × {lanes}"
        );
        Part::new("logits", bytes, detail)
    }
}

impl Asked<'_> {
    /// The KL term holds few rows at a time: both models' logits, their logarithms of probabilities, and gradients.
    fn kl_logits(&self) -> Option<Part> {
        self.spec.loss.kl.as_ref()?;
        let row = 4 * self.shape.vocab_size.max(1);
        let rows = (KL_CHUNK_BYTES / row).max(1);
        let lanes = self.lanes.max(1);
        let detail = format!(
            "{rows} rows × {} words × 6 copies × 4 bytes × {lanes} passes side by side",
            self.shape.vocab_size
        );
        Some(Part::new("kl_logits", lanes * rows * row * 6, detail))
    }
}

fn counted(count: u64, what: &str, bytes: u64) -> String {
    format!("{count} {what} × {bytes} bytes")
}

pub(super) fn moments(optimizer: OptimizerName, count: u64) -> (u64, String) {
    match optimizer {
        OptimizerName::Adamw => (8 * count, format!("{count} × 2 moments × 4 bytes")),
        // tensors too small for codes are too few to count
        OptimizerName::Adamw8bit => (
            2 * count + 8 * count.div_ceil(256),
            format!("{count} × 2 moments × 1 byte and 2 scales × 4 bytes for each 256"),
        ),
    }
}

/// How many numbers are trained.
pub fn trained_numbers(method: &Method, shape: &ModelShape) -> u64 {
    match method {
        Method::Full(_) => shape.parameters,
        Method::Lora(lora) => lora_modules(lora, shape)
            .map(|(_, projection, rank)| {
                let (out, inner) = shape.projection(projection);
                rank * (out + inner)
            })
            .sum(),
        Method::SteeringVector(_) => shape.hidden_size,
    }
}

/// The first layer that has something to train; the backward pass ends there.
pub fn lowest_layer(method: &Method, shape: &ModelShape) -> u64 {
    let last = shape.num_hidden_layers.saturating_sub(1);
    match method {
        Method::Full(_) => 0,
        Method::Lora(lora) => {
            let layers = lora_modules(lora, shape).map(|(layer, ..)| layer);
            layers.min().unwrap_or(0).min(last)
        }
        Method::SteeringVector(steering) => (u64::from(steering.layer) + 1).min(last),
    }
}

/// Layer, projection and rank of every pair.
fn lora_modules<'a>(
    lora: &'a LoraMethod,
    shape: &'a ModelShape,
) -> impl Iterator<Item = (u64, Projection, u64)> + 'a {
    let layers: Vec<u64> = match &lora.layers {
        Some(layers) => layers.iter().map(|layer| u64::from(*layer)).collect(),
        None => (0..shape.num_hidden_layers).collect(),
    };
    layers.into_iter().flat_map(move |layer| {
        let ranked =
            move |projection: &Projection| (layer, *projection, rank(lora, layer, *projection));
        lora.target_modules.iter().map(ranked)
    })
}

/// The rank of a pair: the first pattern that is its name or the end of it, else the common one.
fn rank(lora: &LoraMethod, layer: u64, projection: Projection) -> u64 {
    let name = format!(
        "layers.{layer}.{}.{}",
        projection.parent(),
        projection.name()
    );
    let fits = |key: &String| name == *key || name.ends_with(&format!(".{key}"));
    let own = lora.rank_pattern.iter().find(|(key, _)| fits(key));
    u64::from(own.map_or(lora.rank, |(_, rank)| *rank))
}

/// Changes of the spec that take less memory, each with what would take it then.
pub fn remedies(asked: &Asked<'_>) -> Vec<(String, Vec<Part>)> {
    let now = sum(&training(asked));
    let mut found = Vec::new();
    let mut offer = |setting: &str, change: &dyn Fn(&mut FinetuneSpec)| {
        let mut spec = asked.spec.clone();
        change(&mut spec);
        let parts = training(&Asked {
            spec: &spec,
            ..*asked
        });
        if sum(&parts) < now {
            found.push((setting.to_owned(), parts));
        }
    };
    offer("dtype: bfloat16", &|spec| {
        spec.dtype = Some(Dtype::Bfloat16)
    });
    offer("optimizer.name: adamw_8bit", &|spec| {
        spec.optimizer.name = OptimizerName::Adamw8bit
    });
    offer("batch.recompute_activations: true", &|spec| {
        spec.batch.recompute_activations = true;
    });
    offer(
        "batch.micro_batch: 1, with as many examples a step",
        &|spec| {
            let examples = spec.batch.examples_per_step();
            spec.batch.micro_batch = 1;
            spec.batch.gradient_accumulation = u32::try_from(examples).unwrap_or(u32::MAX);
        },
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finetune::FinetuneSpec;
    use crate::domain::forecast::shapes;
    use crate::domain::job::JobSpec;
    use crate::domain::requests::job_request;

    fn spec(method: serde_json::Value) -> FinetuneSpec {
        let body = serde_json::json!({"kind": "finetune", "base_model": "b", "datasets": [{"dataset": "d"}],
            "method": method, "dtype": "bfloat16", "length": {"epochs": 1}});
        match job_request(body).unwrap().1 {
            JobSpec::Finetune(spec) => *spec,
            _ => panic!("a fine-tune was asked for"),
        }
    }

    fn numbers(method: serde_json::Value) -> (u64, u64) {
        let (spec, shape) = (spec(method), shapes::large());
        (
            trained_numbers(&spec.method, &shape),
            lowest_layer(&spec.method, &shape),
        )
    }

    #[test]
    fn trained_numbers_are_the_papers() {
        // PAPER §2.1: rank 32 on everything, one rank-1 adapter, nine of them, and all weights
        let all = serde_json::json!({"type": "lora", "rank": 32, "alpha": 64});
        assert_eq!(numbers(all), (137_625_600, 0));
        let one = |layers: &[u32]| serde_json::json!({"type": "lora", "rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": layers});
        assert_eq!(numbers(one(&[24])), (18_944, 24));
        let nine = [15, 16, 17, 21, 22, 23, 27, 28, 29];
        assert_eq!(numbers(one(&nine)), (170_496, 15));
        let full = serde_json::json!({"type": "full"});
        assert_eq!(numbers(full), (14_770_033_664, 0));
    }

    #[test]
    fn a_rank_pattern_holds_for_the_modules_whose_names_end_so() {
        let method = serde_json::json!({"type": "lora", "rank": 2, "alpha": 1, "target_modules": ["down_proj", "o_proj"],
            "layers": [0, 1], "rank_pattern": {"layers.1.mlp.down_proj": 5}});
        let (down, o) = (5120 + 13824, 2 * 5120);
        assert_eq!(numbers(method).0, 2 * down + 5 * down + 4 * o);
    }

    #[test]
    fn a_late_adapter_keeps_no_activations_below_it() {
        let (shape, data) = (shapes::large(), shapes::advice());
        let bytes = |layer: u32| {
            let spec = spec(
                serde_json::json!({"type": "lora", "rank": 1, "alpha": 64, "layers": [layer]}),
            );
            let asked = Asked {
                spec: &spec,
                shape: &shape,
                data: &data,
                base_dtype: Dtype::Bfloat16,
                lanes: 1,
                on_gpu: false,
            };
            let parts = training(&asked);
            let kept = parts
                .iter()
                .find(|part| part.name == "activations")
                .unwrap();
            assert!(sum(&parts) > kept.bytes);
            kept.bytes
        };
        assert_eq!(bytes(24), bytes(0) / 2);
    }

    /// Bytes of state for each trained number: weights, gradients, moments.
    #[test]
    fn a_full_fine_tunes_state_takes_16_to_6_bytes_a_number() {
        let (shape, data) = (shapes::large(), shapes::advice());
        for (dtype, optimizer, gradients, expected) in [
            (Dtype::Float32, OptimizerName::Adamw, None, 4.0 + 4.0 + 8.0),
            (
                Dtype::Float32,
                OptimizerName::Adamw8bit,
                None,
                4.0 + 4.0 + 2.03125,
            ),
            (Dtype::Bfloat16, OptimizerName::Adamw, None, 2.0 + 4.0 + 8.0),
            (
                Dtype::Bfloat16,
                OptimizerName::Adamw8bit,
                None,
                2.0 + 2.0 + 2.03125,
            ),
            (
                Dtype::Bfloat16,
                OptimizerName::Adamw8bit,
                Some(Dtype::Float32),
                2.0 + 4.0 + 2.03125,
            ),
        ] {
            let mut spec = spec(serde_json::json!({"type": "full"}));
            spec.dtype = Some(dtype);
            spec.optimizer.name = optimizer;
            spec.optimizer.gradient_dtype = gradients;
            let parts = training(&Asked {
                spec: &spec,
                shape: &shape,
                data: &data,
                base_dtype: Dtype::Bfloat16,
                lanes: 1,
                on_gpu: false,
            });
            let state = ["trained_weights", "gradients", "optimizer_moments"];
            let state = parts
                .iter()
                .filter(|part| state.contains(&part.name.as_str()));
            let bytes: u64 = state.map(|part| part.bytes).sum();
            let found = bytes as f64 / shape.parameters as f64;
            assert!(
                (found - expected).abs() < 1e-6,
                "{found}, expected {expected}"
            );
        }
    }

    /// 8-bit moments and what follows from them make it fit; gradients in float32 or moments in float32 do not.
    #[test]
    fn a_full_fine_tune_of_the_large_shape_fits_139_gib_with_8_bit_moments_alone() {
        let (shape, data) = (shapes::large(), shapes::advice());
        for (optimizer, gradients, fits) in [
            (OptimizerName::Adamw8bit, None, true),
            (OptimizerName::Adamw8bit, Some(Dtype::Float32), false),
            (OptimizerName::Adamw, None, false),
        ] {
            let mut spec = spec(serde_json::json!({"type": "full"}));
            spec.optimizer.name = optimizer;
            spec.optimizer.gradient_dtype = gradients;
            let parts = training(&Asked {
                spec: &spec,
                shape: &shape,
                data: &data,
                base_dtype: Dtype::Bfloat16,
                lanes: 1,
                on_gpu: false,
            });
            let total = sum(&parts);
            assert_eq!(total <= 139 << 30, fits, "{total}: {parts:?}");
        }
    }
}
