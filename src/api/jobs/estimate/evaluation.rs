//! What an evaluation would need, from its targets, its questions and the models that it names.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{base, device, machine};
use crate::api::error::{Answer, Problem};
use crate::api::jobs::plan;
use crate::api::{ApiState, judges, model_files};
use crate::domain::evaluation::{EvaluateSpec, JUDGES, Steps, StepsName, TargetSpec};
use crate::domain::finetune::{Dtype, Method};
use crate::domain::forecast::ModelShape;
use crate::domain::forecast::estimate::Assume;
use crate::domain::forecast::evaluation::{Asked, EvaluationEstimate, Speed, TargetCount, Trained};
use crate::domain::forecast::memory::trained_numbers;
use crate::domain::ids::JobId;
use crate::domain::job::{JobEnvelope, JobSpec};
use crate::domain::local_judge::LocalJudge;
use crate::domain::question_set::Question;
use crate::domain::requests::fit::{Adapters, JobFacts, Jobs};
use crate::domain::requests::stored;
use crate::execution::ModelFiles;
use crate::execution::inspect::{TokenizeAsk, TokenizeInput};
use crate::storage::{forecasts, inputs, jobs};

/// The answer for `spec`, which may name jobs that are `planned` and not there yet.
///
/// *Errors*: whatever a submission would refuse; 409 where a model is not ready.
pub(in crate::api) async fn estimate(
    state: &ApiState,
    spec: &EvaluateSpec,
    assume: &Assume,
    planned: &Jobs,
) -> Answer<EvaluationEstimate> {
    judges::usable(state, "/judge", &spec.judge)?;
    let posted = JobSpec::Evaluate(Box::new(spec.clone()));
    plan::job_beside(state, JobEnvelope::default(), &posted, planned).await?;
    let mut named = named(state, spec).await?;
    let beside = planned
        .iter()
        .map(|(id, facts)| (id.clone(), facts.clone()));
    named.jobs.extend(beside);
    let name = base_name(spec, &named)?;
    let (dimensions, files) = base(state, &name).await?;
    let questions = inputs::questions(&state.storage, &spec.question_set).await?;
    let mut questions = questions.unwrap_or_default();
    questions.retain(|one| spec.select.keeps(&one.id));
    let prompts = prompts(state, spec, &questions, files).await?;
    let judge = judge(state, &spec.judge).await?;
    let machine = machine(state).await?;
    let asked = Asked {
        spec,
        questions: &questions,
        targets: count(&spec.targets, &named.jobs),
        prompts: &prompts,
        model: (
            &dimensions.shape,
            dimensions.dtype.unwrap_or(Dtype::Float32),
        ),
        trained: &trained(&spec.targets, &named.jobs, &dimensions.shape),
        decode_slots: u64::from(state.settings.decode_slots),
        judge: judge.as_ref().map(|(shape, dtype)| (shape, *dtype)),
    };
    let (runs, speed) = forecasts::evaluated(&state.storage, &name, &spec.judge).await?;
    let asks = JUDGES.iter().all(|(judge, _)| *judge != spec.judge);
    Ok(EvaluationEstimate {
        questions: questions.len() as u64,
        paraphrases: prompts.len() as u64,
        targets: asked.targets,
        answers: asked.answers(),
        judge: asked.judge_calls(asks),
        tokens: asked.tokens(),
        memory: asked.memory(device(&machine, assume)),
        time: Speed::of(asked.answers(), runs, speed),
        spec: stored(&posted),
        model: dimensions.shape.clone(),
    })
}

/// What targets name.
struct Found {
    jobs: Jobs,
    adapters: Adapters,
}

async fn named(state: &ApiState, spec: &EvaluateSpec) -> Answer<Found> {
    let wanted: BTreeSet<JobId> = spec
        .targets
        .iter()
        .filter_map(|it| it.job.clone())
        .collect();
    let wanted: Vec<JobId> = wanted.into_iter().collect();
    let adapters = spec.targets.iter().filter_map(|it| it.adapter.clone());
    let adapters: Vec<String> = adapters.collect();
    Ok(Found {
        jobs: jobs::named_jobs(&state.storage, &wanted).await?,
        adapters: jobs::named_adapters(&state.storage, &adapters).await?,
    })
}

/// The base that is named, or that of the first trained target.
fn base_name(spec: &EvaluateSpec, named: &Found) -> Answer<String> {
    let of = |target: &TargetSpec| {
        let job = target.job.as_ref().and_then(|id| named.jobs.get(id));
        let adapter = target.adapter.as_ref();
        let adapter = adapter.and_then(|name| named.adapters.get(name));
        let adapter = adapter.map(|facts| facts.base_model.to_string());
        job.map(|facts| facts.base_model.clone()).or(adapter)
    };
    let found = spec.base_model.clone();
    let found = found.or_else(|| spec.targets.iter().find_map(of));
    found.ok_or_else(|| Problem::internal("an evaluation without a base was accepted"))
}

/// Tokens of every paraphrase of every question, rendered as it will be asked.
async fn prompts(
    state: &ApiState,
    spec: &EvaluateSpec,
    questions: &[Question],
    model: ModelFiles,
) -> Answer<Vec<u64>> {
    let chat = &spec.chat;
    let asks = questions.iter().flat_map(|question| {
        let system = chat.system_of(question);
        let texts = question.paraphrases.iter();
        texts.map(move |text| TokenizeAsk {
            input: TokenizeInput::Messages {
                messages: conversation(system, text),
                generation_prompt: true,
            },
            chat: chat.turns(),
            add_special_tokens: false,
        })
    });
    let asks: Vec<TokenizeAsk> = asks.collect();
    let counted = move |inspect: &dyn crate::execution::inspect::Inspect| {
        let counts = asks.iter().map(|ask| inspect.tokenize(&model, ask));
        counts
            .map(|found| found.map(|it| it.ids.len() as u64))
            .collect()
    };
    model_files::inspected(state, counted).await
}

fn conversation(system: Option<&str>, question: &str) -> Vec<Value> {
    let system = system.map(|text| json!({"role": "system", "content": text}));
    let asked = json!({"role": "user", "content": question});
    system.into_iter().chain([asked]).collect()
}

/// The dimensions of a base model that judges; none for any other judge.
async fn judge(state: &ApiState, name: &str) -> Answer<Option<(ModelShape, Dtype)>> {
    let configured = state.local_judges.get(name).cloned();
    let Some(local) = configured.or_else(|| LocalJudge::named(name)) else {
        return Ok(None);
    };
    let (found, _) = base(state, &local.base_model).await?;
    Ok(Some((found.shape, found.dtype.unwrap_or(Dtype::Float32))))
}

fn count(targets: &[TargetSpec], jobs: &Jobs) -> TargetCount {
    let mut found = TargetCount {
        count: 0,
        exact: true,
    };
    for target in targets {
        let (steps, exact) = steps(target, jobs);
        let scales = target.scales.as_ref().map_or(1, Vec::len) as u64;
        found.count += steps * scales;
        found.exact &= exact;
    }
    found
}

/// Steps of a target, and whether there will be no more.
fn steps(target: &TargetSpec, jobs: &Jobs) -> (u64, bool) {
    match (
        &target.steps,
        target.job.as_ref().and_then(|id| jobs.get(id)),
    ) {
        (Some(Steps::Listed(steps)), _) => (steps.len() as u64, true),
        (Some(Steps::Named(StepsName::All)), Some(job)) => match planned_steps(job) {
            Some(steps) if !job.state.is_final() => (steps, true),
            _ => ((job.steps.len() as u64).max(1), job.state.is_final()),
        },
        _ => (1, true),
    }
}

/// Checkpoints that a fine-tune of so many steps will keep; none where its length is not known beforehand.
fn planned_steps(job: &JobFacts) -> Option<u64> {
    let (kept, length) = job.keeps.as_ref()?;
    let total = length.steps?;
    let kept = (1..=total).filter(|step| kept.stays(*step, total));
    Some(kept.count() as u64)
}

fn trained(targets: &[TargetSpec], jobs: &Jobs, shape: &ModelShape) -> Vec<Trained> {
    let of = |target: &TargetSpec| {
        let facts: &JobFacts = jobs.get(target.job.as_ref()?)?;
        let method = facts.method.as_ref()?;
        Some(Trained {
            numbers: trained_numbers(method, shape),
            whole: matches!(method, Method::Full(_)),
            steps: steps(target, jobs).0,
        })
    };
    targets.iter().filter_map(of).collect()
}
