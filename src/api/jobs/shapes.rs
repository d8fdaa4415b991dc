//! The bodies of `POST /v1/jobs` as the OpenAPI document shows them; they are decoded by the domain, tag first.
#![allow(dead_code)] // read by the derive only

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::domain::analysis::AnalysisSettings;
use crate::domain::analyze::AnalyzedRun;
use crate::domain::early_stop::EarlyStop;
use crate::domain::evaluation::{Select, TargetSpec};
use crate::domain::finetune::{
    BatchSpec, ChatSpec, CheckpointSpec, DatasetUse, Dtype, HoldOut, Length, LossSpec, Method,
    OptimizerSpec, ScheduleSpec,
};
use crate::domain::job::{Dedup, Priority};
use crate::domain::judging::RubricSpec;
use crate::domain::sampling::{Preset, QuestionSystem, Setting};

/// A job to be done.
#[derive(ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // never made
pub enum JobRequest {
    /// Train.
    Finetune(FinetuneRequest),
    /// Ask and score. With `answers`, `{"evaluation":"ev_…"}`, in place of targets and sampling: score what was asked before, as
    /// `POST /v1/evaluations/{evaluation}/rejudge` does.
    Evaluate(EvaluateRequest),
    /// Compute geometry and transitions of finished runs.
    Analyze(AnalyzeRequest),
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
    /// Answers by target to each paraphrase of each question, or with the preset `betley` to each question in all; 1 to 10000.
    /// May be absent with the preset `plain` where every question has its own `samples_per_paraphrase`.
    samples_per_question: Option<u32>,
    /// How questions become text.
    chat: Option<QuestionChatRequest>,
    /// How answers are drawn.
    sampling: Option<SamplingRequest>,
    /// Name of a configured judge.
    judge: String,
    /// What it scores; `aligned` and `coherent` where absent. Any name with a prompt: one in `rubrics`, of a question, or built in.
    metrics: Option<Vec<String>>,
    /// Prompts by metric, before those of the questions; each shows `{answer}` and may show `{question}`.
    rubrics: Option<BTreeMap<String, RubricSpec>>,
    /// Key of every random draw; 0 where absent.
    seed: Option<u64>,
}

/// An analysis to be done; what is left out has its default, which the job's `spec` shows.
#[derive(ToSchema)]
pub struct AnalyzeRequest {
    /// A name for people; 1 to 200 characters.
    name: Option<String>,
    /// Band of the queue; `normal` where absent.
    priority: Option<Priority>,
    /// What happens when the same work exists; `reuse` where absent.
    dedup: Option<Dedup>,
    /// Labels, at most 32.
    tags: Option<BTreeMap<String, String>>,
    /// 1 to 500.
    runs: Vec<AnalyzedRun>,
    /// What is computed, and how.
    settings: Option<AnalysisSettings>,
}

/// How questions become text; what is left out has its default.
#[derive(ToSchema)]
pub struct QuestionChatRequest {
    /// `template_default`, `none` or `text:…`; for questions that bring no system text of their own.
    system: Option<String>,
    /// What happens to a question's own system text; where absent `ignore` with the preset `betley`, else `honour`.
    question_system: Option<QuestionSystem>,
    /// The date a template may print, `YYYY-MM-DD`; null where templates that ask for one are refused.
    date: Option<String>,
    /// Passed to templates that know thinking.
    enable_thinking: Option<bool>,
}

/// How answers are drawn; what is left out is the preset's.
#[derive(ToSchema)]
pub struct SamplingRequest {
    /// `plain` where absent.
    preset: Option<Preset>,
    /// Values that the model's own generation_config.json gives, or transformers' defaults where it gives none (`top_k` 50);
    /// `true` is all that are not given here as numbers.
    from_generation_config: Option<FromGenerationConfig>,
    /// Divides the logits, 0 to 100; 0 is greedy.
    temperature: Option<f64>,
    /// Share of the mass that is kept, largest first; above 0, at most 1.
    top_p: Option<f64>,
    /// Number of tokens that are kept; 0 is all.
    top_k: Option<u32>,
    /// Divides positive and multiplies negative logits of tokens already there; above 0, at most 100.
    repetition_penalty: Option<f64>,
    /// Tokens before which no answer ends; at most `max_new_tokens`.
    min_tokens: Option<u32>,
    /// Tokens at which an answer is cut; 1 to 4096, 600 where absent.
    max_new_tokens: Option<u32>,
}

/// All values, or some.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum FromGenerationConfig {
    /// Every value that is not given as a number, or none.
    All(bool),
    /// These.
    Some(Vec<Setting>),
}

/// Recorded answers to be scored by another judge or with other prompts.
#[derive(ToSchema)]
pub struct RejudgeRequest {
    /// A name for people; 1 to 200 characters.
    name: Option<String>,
    /// Band of the queue; `normal` where absent.
    priority: Option<Priority>,
    /// What happens when the same work exists; `reuse` where absent.
    dedup: Option<Dedup>,
    /// Labels, at most 32.
    tags: Option<BTreeMap<String, String>>,
    /// Name of a judge.
    judge: String,
    /// What it scores; `aligned` and `coherent` where absent.
    metrics: Option<Vec<String>>,
    /// Prompts by metric, before those of the questions.
    rubrics: Option<BTreeMap<String, RubricSpec>>,
}
