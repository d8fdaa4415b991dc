//! From a spec to a job that can be inserted: what it names is looked up, held against it, and hashed.

pub mod analysis;
mod judge;
pub mod rejudge;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use crate::api::error::{Answer, Problem};
use crate::api::{ApiState, OWNER};
use crate::domain::address::Trained;
use crate::domain::assets::BaseModelState;
use crate::domain::base_model::{self, HubSpec, Referred, Source};
use crate::domain::evaluation::{EvaluateSpec, TargetSpec};
use crate::domain::finetune::FinetuneSpec;
use crate::domain::ids::{EvaluationId, JobId};
use crate::domain::invalid::{Checked, FieldError, Findings, Invalid};
use crate::domain::job::{JobEnvelope, JobSpec};
use crate::domain::judging::RubricUse;
use crate::domain::published_run::ImportSpec;
use crate::domain::question_set::Question;
use crate::domain::requests::beginning;
use crate::domain::requests::fit::{self, Adapters, BaseFacts, Jobs, missing};
use crate::domain::requests::identity::{
    self, Hashes, JudgeIdentity, StartIdentity, TargetIdentity,
};
use crate::domain::requests::prompts::Prompted;
use crate::domain::requests::stored;
use crate::storage::jobs::{self, Named, NewAnalysis, NewEvaluation, NewJob, QuestionFacts};
use crate::storage::{Storage, inputs};

/// What a spec turns out to need and to be.
struct Plan {
    hashes: Hashes,
    parents: Vec<JobId>,
    evaluation: Option<NewEvaluation>,
    analysis: Option<NewAnalysis>,
}

/// The job that `spec` asks for.
///
/// *Errors*: 422 where it names what does not exist or does not fit; 409 where its base model could not be made.
pub async fn job(state: &ApiState, envelope: JobEnvelope, spec: &JobSpec) -> Answer<NewJob> {
    job_beside(state, envelope, spec, &Jobs::new()).await
}

/// The same, where `spec` may name jobs that are planned and not there yet.
pub async fn job_beside(
    state: &ApiState,
    envelope: JobEnvelope,
    spec: &JobSpec,
    planned: &Jobs,
) -> Answer<NewJob> {
    let storage = &state.storage;
    let plan = match spec {
        JobSpec::Finetune(spec) => finetune(storage, spec).await?,
        JobSpec::Imported(spec) => import(storage, spec).await?,
        JobSpec::Evaluate(spec) => evaluate(state, spec, planned).await?,
        JobSpec::Rejudge(spec) => rejudge::plan(state, spec).await?,
        JobSpec::Analyze(spec) => analysis::plan(storage, spec).await?,
        JobSpec::Register(_) => return Err(Problem::internal("a registration is not posted")),
    };
    Ok(NewJob {
        id: JobId::from_uuid(Uuid::now_v7()),
        owner: OWNER.into(),
        envelope,
        kind: spec.kind(),
        spec: stored(spec),
        hashes: plan.hashes,
        parents: plan.parents,
        evaluation: plan.evaluation,
        analysis: plan.analysis,
    })
}

async fn finetune(storage: &Storage, spec: &FinetuneSpec) -> Answer<Plan> {
    let wanted = spec.named_datasets();
    let named = Named {
        base: Some(spec.base_model.clone()),
        datasets: wanted.iter().map(|(_, name)| (*name).to_owned()).collect(),
        question_set: None,
    };
    let found = jobs::find(storage, &named).await?;
    let mut findings = Findings::default();
    let mut contents = Vec::new();
    for ((place, name), found) in wanted.iter().zip(found.datasets) {
        match found {
            Some((_, sha256)) => contents.push(sha256),
            None => findings.push(missing(place, "dataset", name, "/v1/datasets")),
        }
    }
    findings.require(found.base.is_some(), || {
        no_base("/base_model", &spec.base_model)
    });
    findings.finish()?;
    let base = usable(found.base)?;
    fit::finetune(spec, &base)?;
    let start = start(storage, spec, &base).await?;
    let (start, parent) = start.map_or((None, None), |(start, parent)| (Some(start), parent));
    Ok(Plan {
        hashes: identity::of_finetune(spec, &base.source_hash, &contents, start.as_ref()),
        parents: register_job(&base).into_iter().chain(parent).collect(),
        evaluation: None,
        analysis: None,
    })
}

/// An import waits for nothing: geometry needs no base weights, so the base only has to be named.
async fn import(storage: &Storage, spec: &ImportSpec) -> Answer<Plan> {
    let base = jobs::base_model(storage, &spec.base_model).await?;
    let base = base.ok_or_else(|| Invalid::from(no_base("/base_model", &spec.base_model)))?;
    let source = base_model::source("/source", spec.source.clone())?;
    let referred = match &source {
        Source::Hub(HubSpec {
            commit: Some(commit),
            ..
        }) => Referred::Commit(commit.clone()),
        _ => Referred::Nothing,
    };
    let source = base_model::source_hash(&source, &referred);
    Ok(Plan {
        hashes: identity::of_import(spec, &base.source_hash, &source),
        parents: Vec::new(),
        evaluation: None,
        analysis: None,
    })
}

/// What training begins with, and the job that must have succeeded before.
async fn start(
    storage: &Storage,
    spec: &FinetuneSpec,
    base: &BaseFacts,
) -> Answer<Option<(StartIdentity, Option<JobId>)>> {
    let Some(start) = spec.method.init_adapter() else {
        return Ok(None);
    };
    let start: Trained = start.parse().map_err(Problem::internal)?;
    let (wanted, named) = match &start {
        Trained::Job { job, .. } => (vec![job.clone()], Vec::new()),
        Trained::Adapter(name) => (Vec::new(), vec![name.clone()]),
    };
    let jobs = jobs::named_jobs(storage, &wanted).await?;
    let adapters = jobs::named_adapters(storage, &named).await?;
    fit::start(&start, &jobs, &adapters)?;
    let found = match &start {
        Trained::Job { job, step } => jobs.get(job).map(|facts| {
            let identity = StartIdentity::Job(facts.identity.clone(), *step);
            (identity, facts.base_model.clone(), Some(job.clone()))
        }),
        Trained::Adapter(name) => adapters.get(name).map(|facts| {
            let identity = StartIdentity::Adapter(facts.sha256.clone());
            (identity, facts.base_model.to_string(), None)
        }),
    };
    let (identity, of, parent) = found.ok_or_else(|| Problem::internal("a start went missing"))?;
    let of = jobs::base_model(storage, &of).await?;
    if of.as_ref().is_none_or(|of| of.id != base.id) {
        let of = of.map_or("another base".into(), |of| of.name);
        let detail = format!("was trained from {of}, not from {}", base.name);
        let error = FieldError::at("/method/init_adapter", detail);
        return Err(Invalid::from(error.hint("start from something with the same base")).into());
    }
    beginning::fits(spec, base, &start, (&jobs, &adapters))?;
    Ok(Some((identity, parent)))
}

async fn evaluate(state: &ApiState, spec: &EvaluateSpec, planned: &Jobs) -> Answer<Plan> {
    let storage = &state.storage;
    let wanted: BTreeSet<JobId> = spec.targets.iter().filter_map(|t| t.job.clone()).collect();
    let wanted: Vec<JobId> = wanted.into_iter().collect();
    let mut jobs = jobs::named_jobs(storage, &wanted).await?;
    jobs.extend(
        planned
            .iter()
            .map(|(id, facts)| (id.clone(), facts.clone())),
    );
    let adapters: BTreeSet<String> = spec
        .targets
        .iter()
        .filter_map(|t| t.adapter.clone())
        .collect();
    let adapters: Vec<String> = adapters.into_iter().collect();
    let adapters = jobs::named_adapters(storage, &adapters).await?;
    let named = Named {
        base: spec.base_model.clone(),
        datasets: Vec::new(),
        question_set: Some(spec.question_set.clone()),
    };
    let found = jobs::find(storage, &named).await?;
    let questions = asked(spec, found.question_set);
    let fits = fit::targets(spec, &jobs, &adapters);
    let named_base = match (&spec.base_model, found.base) {
        (Some(name), None) => Err(no_base("/base_model", name).into()),
        (_, base) => Ok(base),
    };
    let (questions, (), named_base) = all(questions, fits, named_base)?;
    let base = usable(common_base(storage, spec, (&jobs, &adapters), named_base).await?)?;
    let targets = spec.targets.iter();
    let identities: Vec<_> = targets
        .map(|one| identity_of(one, &jobs, &adapters))
        .collect();
    let register = register_job(&base);
    let set = inputs::questions(storage, &spec.question_set).await?;
    let set = set.unwrap_or_default();
    let asked = set.iter().filter(|one| spec.select.keeps(&one.id));
    let asked: Vec<Question> = asked.cloned().collect();
    let prompted = Prompted {
        judge: &spec.judge,
        metrics: &spec.metrics,
        given: &spec.rubrics,
    };
    let judging = judging(state, prompted, &asked, &set).await?;
    let hash = &questions.sha256;
    Ok(Plan {
        hashes: identity::of_evaluate(
            spec,
            &base.source_hash,
            hash,
            &identities,
            judging.identity(),
        ),
        parents: wanted.into_iter().chain(register).collect(),
        evaluation: Some(NewEvaluation {
            id: EvaluationId::from_uuid(Uuid::now_v7()),
            judge: spec.judge.clone(),
            metrics: spec.metrics.clone(),
            seed: spec.seed,
            answers_of: None,
            rubrics: judging.rubrics,
            judge_definition: judging.definition,
        }),
        analysis: None,
    })
}

/// The prompts and the judge behind an evaluation's scores.
struct Judging {
    rubrics: Vec<RubricUse>,
    definition: Option<Value>,
}

impl Judging {
    fn identity(&self) -> JudgeIdentity<'_> {
        JudgeIdentity {
            rubrics: &self.rubrics,
            definition: self.definition.as_ref(),
        }
    }
}

async fn judging(
    state: &ApiState,
    prompted: Prompted<'_>,
    asked: &[Question],
    set: &[Question],
) -> Answer<Judging> {
    let found = prompted.rubrics(asked, set)?;
    Ok(Judging {
        rubrics: prompted.uses(asked, set, &found),
        definition: judge::definition(state, prompted.judge).await?,
    })
}

fn identity_of(target: &TargetSpec, jobs: &Jobs, adapters: &Adapters) -> TargetIdentity {
    let job = target.job.as_ref().and_then(|id| jobs.get(id));
    let adapter = target.adapter.as_ref().and_then(|name| adapters.get(name));
    match (job, adapter) {
        (Some(job), _) => TargetIdentity::Job(job.identity.clone()),
        (_, Some(adapter)) => TargetIdentity::Adapter(adapter.sha256.clone()),
        _ => TargetIdentity::Base,
    }
}

/// The question set, some of whose questions are selected.
fn asked(spec: &EvaluateSpec, found: Option<QuestionFacts>) -> Checked<QuestionFacts> {
    let name = &spec.question_set;
    let set =
        found.ok_or_else(|| missing("/question_set", "question set", name, "/v1/question-sets"))?;
    fit::selection(&spec.select, &set.name, &set.questions)?;
    fit::numbers(spec, &set.questions)?;
    Ok(set)
}

/// All three, or the mistakes of all three.
fn all<A, B, C>(a: Checked<A>, b: Checked<B>, c: Checked<C>) -> Checked<(A, B, C)> {
    match (a, b, c) {
        (Ok(a), Ok(b), Ok(c)) => Ok((a, b, c)),
        (a, b, c) => {
            let errors = [a.err(), b.err(), c.err()].into_iter().flatten();
            Err(Invalid {
                errors: errors.flat_map(|invalid| invalid.errors).collect(),
            })
        }
    }
}

/// The one base of all targets; the first trained one's where none is named.
async fn common_base(
    storage: &Storage,
    spec: &EvaluateSpec,
    (jobs, adapters): (&Jobs, &Adapters),
    named: Option<BaseFacts>,
) -> Answer<Option<BaseFacts>> {
    if named.is_none() && spec.targets.iter().any(|target| target.base.is_some()) {
        let error = FieldError::at(
            "/base_model",
            "is missing; a target {\"base\":true} needs it",
        );
        return Err(Invalid::from(error.hint("give the id or name of a base model")).into());
    }
    let mut bases: BTreeMap<&str, Option<BaseFacts>> = BTreeMap::new();
    let mut common = named;
    let mut findings = Findings::default();
    for (index, target) in spec.targets.iter().enumerate() {
        let Some((kind, name, wanted)) = trained(target, jobs, adapters) else {
            continue;
        };
        if !bases.contains_key(wanted) {
            bases.insert(wanted, jobs::base_model(storage, wanted).await?);
        }
        let Some(base) = bases.get(wanted).and_then(Option::as_ref) else {
            return Err(Problem::internal(format!("the base of {name} is gone")));
        };
        let first = common.get_or_insert_with(|| base.clone());
        findings.require(first.id == base.id, || {
            let detail = format!(
                "{name} was trained from {}, not from {}",
                base.name, first.name
            );
            FieldError::at(format!("/targets/{index}/{kind}"), detail).hint(
                "all targets of an evaluation have one base; submit one evaluation for each base",
            )
        });
    }
    findings.finish()?;
    Ok(common)
}

/// A trained target: its field, how it is called, and its base.
fn trained<'a>(
    target: &'a TargetSpec,
    jobs: &'a Jobs,
    adapters: &'a Adapters,
) -> Option<(&'static str, &'a str, &'a str)> {
    if let Some(job) = target.job.as_ref().and_then(|id| jobs.get(id)) {
        return Some(("job", job.id.as_str(), &job.base_model));
    }
    let name = target.adapter.as_ref()?;
    let adapter = adapters.get(name)?;
    Some(("adapter", name, adapter.base_model.as_str()))
}

fn no_base(pointer: &str, name: &str) -> FieldError {
    missing(pointer, "base model", name, "/v1/base-models")
}

/// The base, unless it could not be made.
fn usable(base: Option<BaseFacts>) -> Answer<BaseFacts> {
    let base = base.ok_or_else(|| Problem::internal("a base model went missing"))?;
    if base.state != BaseModelState::Failed {
        return Ok(base);
    }
    let why = match &base.job {
        Some(job) => format!("GET /v1/jobs/{job} tells why"),
        None => "it has no job".into(),
    };
    Err(Problem::conflict(format!(
        "base model {} could not be made ({why}); post it again under another name",
        base.name
    )))
}

/// What a job must wait for before its base is there.
fn register_job(base: &BaseFacts) -> Option<JobId> {
    match base.state {
        BaseModelState::Registering => base.job.clone(),
        BaseModelState::Ready | BaseModelState::Failed => None,
    }
}
