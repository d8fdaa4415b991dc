//! What is asked of an estimate beside the job's own body, and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::disk::DiskForecast;
use super::memory::{self, Asked};
use super::{DataShape, ModelShape, Part, sum, time};
use crate::domain::decode::object_at;
use crate::domain::evaluation::EvaluateSpec;
use crate::domain::finetune::FinetuneSpec;
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::job::JobSpec;
use crate::domain::requests::bounds::Check;
use crate::domain::requests::fields::decode_object;
use crate::domain::requests::job_request;

/// Most rows, tokens and bytes that may be assumed.
const MOST: u64 = 1 << 50;

/// Facts that stand in for what is not there yet, so that a run can be planned before anything is uploaded.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Assume {
    /// A config.json; `base_model` is then a mere label.
    #[schema(value_type = Option<Object>)]
    pub config: Option<Map<String, Value>>,
    /// What the examples are like; `datasets` are then mere labels.
    pub data: Option<DataShape>,
    /// Memory of the device; that of the server's own where absent.
    pub device_memory_bytes: Option<u64>,
}

/// What is to be estimated.
#[derive(Debug)]
pub enum Request {
    /// A fine-tune, and facts that stand in for what is not there yet.
    Finetune(Box<FinetuneSpec>, Box<Assume>),
    /// An evaluation, and the memory of a device other than the server's own.
    Evaluate(Box<EvaluateSpec>, Box<Assume>),
}

/// Reads the body of `POST /v1/jobs/estimate`: a job as it would be posted, and `assume`.
///
/// *Errors*: all that can be found at once, each with the pointer of its place.
pub fn request(body: Value) -> Checked<Request> {
    let mut body = object_at("", body)?;
    let assume = match body.remove("assume") {
        None | Some(Value::Null) => Assume::default(),
        Some(value) => decode_object("/assume", value)?,
    };
    check(&assume)?;
    let assume = Box::new(assume);
    match job_request(Value::Object(body))?.1 {
        JobSpec::Finetune(spec) => Ok(Request::Finetune(spec, assume)),
        JobSpec::Evaluate(spec) => {
            evaluation_assumes(&assume)?;
            Ok(Request::Evaluate(spec, assume))
        }
        _ => Err(FieldError::at(
            "/kind",
            "only fine-tunes and evaluations that draw answers can be estimated",
        )
        .code("not_supported")
        .hint("give \"finetune\", or \"evaluate\" with targets")
        .into()),
    }
}

/// The tokens of questions and the numbers of answers are the model's own, so nothing stands in for it.
fn evaluation_assumes(assume: &Assume) -> Checked<()> {
    let mut findings = Findings::default();
    for (name, given) in [
        ("config", assume.config.is_some()),
        ("data", assume.data.is_some()),
    ] {
        findings.require(!given, || {
            let place = format!("/assume/{name}");
            FieldError::at(place, "does not apply to an evaluation").hint("leave it out")
        });
    }
    findings.finish()
}

fn check(assume: &Assume) -> Checked<()> {
    let mut findings = Findings::default();
    let mut own = Check::below(&mut findings, "/assume");
    if let Some(bytes) = assume.device_memory_bytes {
        own.whole("device_memory_bytes", bytes, 1..=MOST);
    }
    if let Some(data) = &assume.data {
        let mut own = Check::below(&mut findings, "/assume/data");
        own.whole("examples", data.examples, 1..=u64::from(u32::MAX));
        own.whole("longest_tokens", data.longest_tokens, 2..=MOST);
        let longest = data.longest_tokens as f64;
        let tokens = |x: f64| (1.0..=longest).contains(&x);
        own.number(
            "tokens_per_example",
            data.tokens_per_example,
            tokens,
            "give 1 or more, at most longest_tokens",
        );
        let most = data.tokens_per_example;
        let targets = |x: f64| x > 0.0 && x <= most;
        own.number(
            "targets_per_example",
            data.targets_per_example,
            targets,
            "give more than 0, at most tokens_per_example",
        );
    }
    findings.finish()
}

/// Memory of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceMemory {
    /// Such as `cpu` or `cuda:0`; null where its memory was assumed.
    pub id: Option<String>,
    /// Its maker's name.
    pub name: Option<String>,
    /// Its memory; null where the machine does not tell.
    pub memory_bytes: Option<u64>,
}

/// What finished runs on the same base with the same kind of method took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastRuns {
    /// How many there were; at most the last 20 count.
    pub runs: u64,
    /// Largest difference between the memory that one took and the sum that was forecast for it; null where there is none.
    pub excess_bytes: Option<i64>,
    /// Median over the runs of their median speed; null where there is none.
    pub tokens_per_second: Option<f64>,
}

/// Memory of a fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// What takes it.
    pub parts: Vec<Part>,
    /// Sum of the parts.
    pub sum_bytes: u64,
    /// What past runs took beyond their sums; the process itself is in it. 0 where there is no past run.
    pub correction_bytes: i64,
    /// The sum, corrected.
    pub bytes: u64,
    /// Where it would run.
    pub device: DeviceMemory,
    /// Whether it fits; null where the device's memory is not known.
    pub fits: Option<bool>,
    /// Settings under which it would take less, each with the sum that it would come to; empty where it fits.
    pub remedies: Vec<Remedy>,
}

/// A setting that takes less memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Remedy {
    /// The setting and its value.
    pub setting: String,
    /// What the forecast comes to with it.
    pub bytes: u64,
    /// Whether that fits.
    pub fits: bool,
}

/// Time of a fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Duration {
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens of all steps.
    pub tokens: f64,
    /// Speed that is reckoned with.
    pub tokens_per_second: f64,
    /// Time in all, loading and evaluation apart.
    pub seconds: f64,
    /// Where the speed comes from.
    pub source: time::Source,
}

/// What a fine-tune would need.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Estimate {
    /// The job's spec with defaults filled in.
    #[schema(value_type = Object)]
    pub spec: Value,
    /// The model's dimensions.
    pub model: ModelShape,
    /// What the examples are like, those that are held out left out.
    pub data: DataShape,
    /// Rows that were tokenized to know it; 0 where it was assumed.
    pub sampled_rows: u64,
    /// What finished runs took.
    pub past: PastRuns,
    /// Memory.
    pub memory: Memory,
    /// Files on the server's disk when it has most of them.
    pub disk: DiskForecast,
    /// Time.
    pub time: Duration,
}

/// The memory that `asked` needs on `device`.
pub fn memory(asked: &Asked<'_>, past: &PastRuns, device: DeviceMemory) -> Memory {
    let parts = memory::training(asked);
    let correction_bytes = past.excess_bytes.unwrap_or(0);
    let corrected = |parts: &[Part]| sum(parts).saturating_add_signed(correction_bytes);
    let bytes = corrected(&parts);
    let holds = |bytes: u64| device.memory_bytes.map(|memory| bytes <= memory);
    let fits = holds(bytes);
    let remedies = match fits {
        Some(false) => memory::remedies(asked)
            .into_iter()
            .map(|(setting, parts)| Remedy {
                setting,
                bytes: corrected(&parts),
                fits: holds(corrected(&parts)) == Some(true),
            })
            .collect(),
        _ => Vec::new(),
    };
    Memory {
        sum_bytes: sum(&parts),
        parts,
        correction_bytes,
        bytes,
        fits,
        remedies,
        device,
    }
}

/// The time that `asked` takes for `steps` steps, where `rate` operations a second are assumed of a device without past runs.
pub fn duration(asked: &Asked<'_>, past: &PastRuns, steps: u64, rate: f64) -> Duration {
    let tokens = time::tokens(asked.spec, asked.data, steps);
    let (tokens_per_second, source) = match past.tokens_per_second {
        Some(speed) if speed > 0.0 => (speed, time::Source::PastRuns),
        _ => {
            let operations = time::operations_per_token(asked.spec, asked.shape, asked.data);
            (rate / operations.max(1.0), time::Source::Arithmetic)
        }
    };
    Duration {
        steps,
        tokens,
        tokens_per_second,
        seconds: tokens / tokens_per_second,
        source,
    }
}
