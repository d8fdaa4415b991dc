//! `/v1/jobs/estimate`: what a job would need, before it is posted. The arithmetic is the domain's.

pub(in crate::api) mod evaluation;
mod rows;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{plan, shapes};
use crate::api::error::{Answer, Problem, ProblemBody};
use crate::api::extract::JsonBody;
use crate::api::files::disk;
use crate::api::{ApiState, model_files};
use crate::domain::finetune::{Dtype, FinetuneSpec};
use crate::domain::forecast::disk::DiskForecast;
use crate::domain::forecast::estimate::{self, Assume, DeviceMemory, Estimate, PastRuns, Request};
use crate::domain::forecast::evaluation::EvaluationEstimate;
use crate::domain::forecast::memory::Asked;
use crate::domain::invalid::{Checked, Invalid};
use crate::domain::job::{JobEnvelope, JobSpec};
use crate::domain::order::{self, Plan};
use crate::domain::requests::fit::{Jobs, missing};
use crate::domain::requests::stored;
use crate::execution::ModelFiles;
use crate::execution::devices::Device;
use crate::execution::inspect::Dimensions;
use crate::storage::{forecasts, inputs};

/// Multiplications that were added, a second and thread, that are assumed of a CPU without past runs.
const CPU_RATE: f64 = 2e10;
/// The same of a GPU.
const GPU_RATE: f64 = 2e14;

/// A fine-tune, and facts that stand in for what is not there yet.
#[derive(ToSchema)]
#[allow(dead_code)] // read by the derive only
pub(super) struct FinetuneEstimateRequest {
    /// The fine-tune's own fields.
    #[serde(flatten)]
    job: shapes::FinetuneRequest,
    /// `finetune`.
    kind: String,
    /// What stands in for a base model, for datasets, or for the device.
    assume: Option<Assume>,
}

/// An evaluation, and the memory of another device.
#[derive(ToSchema)]
#[allow(dead_code)] // read by the derive only
pub(super) struct EvaluationEstimateRequest {
    /// The evaluation's own fields.
    #[serde(flatten)]
    job: shapes::EvaluateRequest,
    /// `evaluate`.
    kind: String,
    /// `device_memory_bytes` alone.
    assume: Option<Assume>,
}

/// A job, and facts that stand in for what is not there yet.
#[derive(ToSchema)]
#[allow(dead_code)] // read by the derive only
#[schema(as = EstimateRequest)]
#[serde(untagged)]
pub(super) enum EstimateBody {
    /// A fine-tune.
    Finetune(Box<FinetuneEstimateRequest>),
    /// An evaluation.
    Evaluate(Box<EvaluationEstimateRequest>),
}

/// What a job would need.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Estimated {
    /// A fine-tune.
    Finetune(Box<Estimate>),
    /// An evaluation.
    Evaluate(Box<EvaluationEstimate>),
}

/// Estimate a job
///
/// The body is that of `POST /v1/jobs`; nothing is queued. Memory is told by part and corrected by what finished fine-tunes on the
/// same base took; time goes by the speed of finished jobs like it. Of a fine-tune `assume` stands in for a base model, datasets or
/// a device that are not there. Of an evaluation the answers, the questions to its judge and the tokens are told too; what the
/// judges' ledger would save is not known before the answers are drawn.
#[utoipa::path(post, path = "/v1/jobs/estimate", tag = "jobs", request_body = EstimateBody, responses(
    (status = 200, body = Estimated),
    (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "the base model is not ready"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json",
     description = "something in the body cannot be accepted, or names what does not exist"),
))]
pub(super) async fn estimate(
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Answer<Json<Estimated>> {
    let estimated = match estimate::request(body)? {
        Request::Finetune(spec, assume) => {
            Estimated::Finetune(Box::new(finetune(&state, &spec, &assume).await?))
        }
        Request::Evaluate(spec, assume) => {
            let found = evaluation::estimate(&state, &spec, &assume, &Jobs::new()).await?;
            Estimated::Evaluate(Box::new(found))
        }
    };
    Ok(Json(estimated))
}

/// What a fine-tune would need.
///
/// *Errors*: whatever a submission would refuse; 409 where its base is not ready.
pub(in crate::api) async fn finetune(
    state: &ApiState,
    spec: &FinetuneSpec,
    assume: &Assume,
) -> Answer<Estimate> {
    if assume.config.is_none() && assume.data.is_none() {
        // everything that a submission would refuse is refused here as well
        let spec = JobSpec::Finetune(Box::new(spec.clone()));
        plan::job(state, JobEnvelope::default(), &spec).await?;
    }
    let model = model(state, spec, assume).await?;
    let sample = rows::sample(state, spec, assume, model.files.as_ref()).await?;
    let steps = steps(spec, &sample.trained)?;
    let past = match &assume.config {
        None => forecasts::past(&state.storage, &spec.base_model, spec.method.name()).await?,
        Some(_) => PastRuns::default(),
    };
    let machine = machine(state).await?;
    let Dimensions { shape, dtype } = model.dimensions;
    let asked = Asked {
        spec,
        shape: &shape,
        data: &sample.data,
        base_dtype: dtype.unwrap_or(Dtype::Float32),
        lanes: machine.lanes,
        on_gpu: machine
            .device
            .as_ref()
            .is_some_and(|device| device.kind != "cpu"),
    };
    let device = device(&machine, assume);
    let memory = estimate::memory(&asked, &past, device);
    let time = estimate::duration(&asked, &past, steps, machine.rate);
    Ok(Estimate {
        spec: stored(&JobSpec::Finetune(Box::new(spec.clone()))),
        model: shape.clone(),
        data: sample.data.clone(),
        sampled_rows: sample.rows,
        past,
        memory,
        disk: DiskForecast::of(spec, &shape, asked.base_dtype, steps),
        time,
    })
}

/// A model's size, and the files that rows are tokenized with where it is there.
struct Model {
    dimensions: Dimensions,
    files: Option<ModelFiles>,
}

async fn model(state: &ApiState, spec: &FinetuneSpec, assume: &Assume) -> Answer<Model> {
    let (config, files) = match &assume.config {
        Some(config) => (Value::Object(config.clone()), None),
        None => {
            let files = files(state, &spec.base_model).await?;
            (config(&files).await?, Some(files))
        }
    };
    let dimensions = model_files::inspected(state, move |it| it.dimensions(&config)).await?;
    Ok(Model { dimensions, files })
}

/// The dimensions of a base model that is there, and its files but the weights.
async fn base(state: &ApiState, name: &str) -> Answer<(Dimensions, ModelFiles)> {
    let files = model_files::of_base_without_weights(state, name).await?;
    let config = config(&files).await?;
    let dimensions = model_files::inspected(state, move |it| it.dimensions(&config)).await?;
    Ok((dimensions, files))
}

async fn files(state: &ApiState, base: &str) -> Answer<ModelFiles> {
    if inputs::base_model(&state.storage, base).await?.is_none() {
        let error = missing("/base_model", "base model", base, "/v1/base-models");
        return Err(Invalid::from(error).into());
    }
    model_files::of_base_without_weights(state, base).await
}

async fn config(files: &ModelFiles) -> Answer<Value> {
    let file = files
        .files
        .iter()
        .find(|file| file.entry.name == "config.json");
    let file = file.ok_or_else(|| Problem::internal("a ready base model has no config.json"))?;
    let text = tokio::fs::read(&file.path).await.map_err(disk)?;
    serde_json::from_slice(&text).map_err(Problem::internal)
}

/// Optimizer steps over datasets of so many training rows.
fn steps(spec: &FinetuneSpec, trained: &[u32]) -> Checked<u64> {
    let weights = match spec.datasets.len() == trained.len() {
        true => spec.datasets.iter().map(|used| used.weight).collect(),
        false => vec![1.0; trained.len()],
    };
    let plan = Plan::new(
        spec.seed,
        trained.to_vec(),
        weights,
        &spec.batch,
        &spec.length,
    );
    order::total_steps(&plan)
}

/// Where jobs of this server run.
struct Machine {
    device: Option<Device>,
    lanes: u64,
    rate: f64,
}

async fn machine(state: &ApiState) -> Answer<Machine> {
    let devices = match state.devices.clone() {
        None => Vec::new(),
        Some(devices) => tokio::task::spawn_blocking(move || devices.devices())
            .await
            .map_err(Problem::internal)?,
    };
    // the last one is the configured one
    let device = devices.into_iter().next_back();
    let lanes = match &device {
        Some(device) if device.kind == "cpu" => {
            u64::from(state.settings.threads_per_attempt.max(1))
        }
        _ => 1,
    };
    let rate = match &device {
        Some(device) if device.kind != "cpu" => GPU_RATE,
        _ => CPU_RATE * lanes as f64,
    };
    Ok(Machine {
        device,
        lanes,
        rate,
    })
}

fn device(machine: &Machine, assume: &Assume) -> DeviceMemory {
    let known = machine
        .device
        .as_ref()
        .filter(|_| assume.device_memory_bytes.is_none());
    DeviceMemory {
        id: known.map(|device| device.id.clone()),
        name: known.map(|device| device.name.clone()),
        memory_bytes: assume
            .device_memory_bytes
            .or(known.and_then(|device| device.memory_bytes)),
    }
}
