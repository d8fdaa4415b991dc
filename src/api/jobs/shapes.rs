//! The bodies of `POST /v1/jobs` as the OpenAPI document shows them; they are decoded by the domain, tag first.
#![allow(dead_code)] // read by the derive only

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::domain::early_stop::EarlyStop;
use crate::domain::evaluation::{SamplingSpec, Select, TargetSpec};
use crate::domain::finetune::{
    BatchSpec, ChatSpec, CheckpointSpec, DatasetUse, Dtype, HoldOut, Length, LossSpec, Method,
    OptimizerSpec, ScheduleSpec,
};
use crate::domain::job::{Dedup, Priority};

/// A job to be done.
#[derive(ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // never made
pub enum JobRequest {
    /// Train.
    Finetune(FinetuneRequest),
    /// Ask and score.
    Evaluate(EvaluateRequest),
}

/// A fine-tune to be done; what is left out has its default, which the job's `spec` shows.
#[derive(ToSchema)]
pub struct FinetuneRequest {
    /// Name of a preset whose values stand where the body has none of its own; `GET /v1/presets` lists them.
    preset: Option<String>,
    /// A name for people; 1 to 200 characters.
    name: Option<String>,
    /// Band of the queue; `normal` where absent.
    priority: Option<Priority>,
    /// What happens when the same work exists; `reuse` where absent.
    dedup: Option<Dedup>,
    /// Labels, at most 32.
    tags: Option<BTreeMap<String, String>>,
    /// Id or name of a base model.
    base_model: String,
    /// 1 to 16.
    datasets: Vec<DatasetUse>,
    /// What is trained.
    method: Method,
    /// How conversations become text.
    chat: Option<ChatSpec>,
    /// What the loss counts.
    loss: Option<LossSpec>,
    /// The optimizer.
    optimizer: Option<OptimizerSpec>,
    /// The learning rate.
    schedule: Option<ScheduleSpec>,
    /// Examples per step.
    batch: Option<BatchSpec>,
    /// Exactly one of `epochs` and `steps`.
    length: Length,
    /// Rows kept out.
    hold_out: Option<HoldOut>,
    /// When to stop before the last step; never where absent.
    early_stop: Option<EarlyStop>,
    /// Which steps are kept.
    checkpoints: Option<CheckpointSpec>,
    /// Element type; the base's own where absent.
    dtype: Option<Dtype>,
    /// Key of every random draw; 0 where absent.
    seed: Option<u64>,
}

/// An evaluation to be done; what is left out has its default, which the job's `spec` shows.
#[derive(ToSchema)]
pub struct EvaluateRequest {
    /// A name for people; 1 to 200 characters.
    name: Option<String>,
    /// Band of the queue; `normal` where absent.
    priority: Option<Priority>,
    /// What happens when the same work exists; `reuse` where absent.
    dedup: Option<Dedup>,
    /// Labels, at most 32.
    tags: Option<BTreeMap<String, String>>,
    /// Id or name of the base model; needed for a target `{"base":true}`.
    base_model: Option<String>,
    /// At least one; at most 1000 pairs of step and scale.
    targets: Vec<TargetSpec>,
    /// Id or name of a question set.
    question_set: String,
    /// Which of its questions; all where absent.
    select: Option<Select>,
    /// Answers to each paraphrase of each question, by target; 1 to 10000.
    samples_per_question: u32,
    /// How questions become text.
    chat: Option<ChatSpec>,
    /// How answers are drawn.
    sampling: Option<SamplingSpec>,
    /// Name of a configured judge.
    judge: String,
    /// What it scores; `aligned` and `coherent` where absent.
    metrics: Option<Vec<String>>,
    /// Key of every random draw; 0 where absent.
    seed: Option<u64>,
}
