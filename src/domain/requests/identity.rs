//! When two specs are the same work: hashes in which every name stands for its content.

use serde_json::{Value, json};

use super::{prompts, stored};
use crate::domain::analyze::AnalyzeSpec;
use crate::domain::canonical::{NUMERICS_EPOCH, hash};
use crate::domain::evaluation::{EvaluateSpec, RejudgeSpec, Steps, StepsName};
use crate::domain::finetune::FinetuneSpec;
use crate::domain::job::JobSpec;
use crate::domain::judging::RubricUse;
use crate::domain::published_run::ImportSpec;

/// The two hashes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Of all that changes numbers.
    pub numerics: String,
    /// Of that and of what is asked for beside the numbers.
    pub spec: String,
}

/// A job as other jobs' hashes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobIdentity {
    /// Of all that changes its numbers.
    pub numerics_hash: String,
    /// Of that and of its outputs.
    pub spec_hash: String,
    /// Not empty for a job that was made in spite of an equal one.
    pub salt: String,
}

/// A target as the hash of an evaluation sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetIdentity {
    /// The base itself.
    Base,
    /// A fine-tune.
    Job(JobIdentity),
    /// A handed-in adapter, by the hash of its files.
    Adapter(String),
}

/// What a fine-tune begins with, as its hash sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartIdentity {
    /// A handed-in adapter, by the hash of its files.
    Adapter(String),
    /// A fine-tune's checkpoint; the last where no step is named.
    Job(JobIdentity, Option<u64>),
}

/// A run as the hash of an analysis sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunIdentity {
    /// The fine-tune.
    pub job: JobIdentity,
    /// The scores of its answers.
    pub evaluation: Vec<Value>,
    /// Those to questions like its training data.
    pub in_domain: Vec<Value>,
}

/// Hashes of a fine-tune.
///
/// `base` is the base's `source_hash`, `datasets` are the SHA-256 of its datasets in their order and last that of the KL
/// term's, `start` is what training begins with.
pub fn of_finetune(
    spec: &FinetuneSpec,
    base: &str,
    datasets: &[String],
    start: Option<&StartIdentity>,
) -> Hashes {
    let mut value = stored(&JobSpec::Finetune(Box::new(spec.clone())));
    value["base_model"] = base.into();
    if let Some(start) = start {
        value["method"]["init_adapter"] = match start {
            StartIdentity::Adapter(sha256) => sha256.as_str().into(),
            StartIdentity::Job(job, step) => {
                json!({"identity": job.numerics_hash, "salt": job.salt, "step": step})
            }
        };
    }
    for (index, sha256) in datasets.iter().enumerate() {
        let place = match index < spec.datasets.len() {
            true => &mut value["datasets"][index],
            false => &mut value["loss"]["kl"],
        };
        place["dataset"] = sha256.as_str().into();
    }
    let checkpoints = value["checkpoints"].take();
    let every = match &mut value["hold_out"] {
        Value::Object(hold_out) => hold_out.remove("every"),
        _ => None,
    };
    hashes(
        &value,
        &json!({"checkpoints": checkpoints, "hold_out_every": every}),
    )
}

/// Hashes of an import; `base` and `source` are the `source_hash` of the base and of the run's own source.
///
/// The files behind a path may change without their hashes changing; `force` reads them again.
pub fn of_import(spec: &ImportSpec, base: &str, source: &str) -> Hashes {
    let value = json!({"kind": "finetune", "origin": spec.origin, "base_model": base, "source": source,
        "on_broken": spec.on_broken});
    hashes(&value, &Value::Null)
}

/// The judge of an evaluation as its hash sees it.
#[derive(Debug, Clone, Copy)]
pub struct JudgeIdentity<'a> {
    /// The prompts.
    pub rubrics: &'a [RubricUse],
    /// Everything else that scores depend on, where the judge tells.
    pub definition: Option<&'a Value>,
}

impl JudgeIdentity<'_> {
    /// In place of the prompts that the body brought.
    fn put(&self, value: &mut Value) {
        if !self.rubrics.is_empty() {
            value["rubrics"] = prompts::identity(self.rubrics);
        }
        if let Some(definition) = self.definition {
            value["judge_definition"] = definition.clone();
        }
    }
}

/// Hashes of an evaluation of answers that are there; `answers` is what makes them the same as others.
pub fn of_rejudge(spec: &RejudgeSpec, answers: &Value, judge: JudgeIdentity) -> Hashes {
    let mut value = stored(&JobSpec::Rejudge(Box::new(spec.clone())));
    value["answers"] = answers.clone();
    judge.put(&mut value);
    hashes(&value, &Value::Null)
}

/// Hashes of an evaluation.
///
/// `base` is the `source_hash` of the targets' base, `questions` the SHA-256 of the question set, `targets` has one entry a
/// target.
pub fn of_evaluate(
    spec: &EvaluateSpec,
    base: &str,
    questions: &str,
    targets: &[TargetIdentity],
    judge: JudgeIdentity,
) -> Hashes {
    let mut value = stored(&JobSpec::Evaluate(Box::new(spec.clone())));
    value["base_model"] = base.into();
    value["question_set"] = questions.into();
    for (index, (target, identity)) in spec.targets.iter().zip(targets).enumerate() {
        let place = &mut value["targets"][index];
        match identity {
            TargetIdentity::Base => {}
            TargetIdentity::Job(job) => place["job"] = reference(job, target.steps.as_ref()),
            TargetIdentity::Adapter(sha256) => place["adapter"] = sha256.as_str().into(),
        }
    }
    judge.put(&mut value);
    hashes(&value, &Value::Null)
}

/// Hashes of an analysis; `runs` has one entry a run, behind it what each of its evaluations is the same as.
pub fn of_analysis(spec: &AnalyzeSpec, runs: &[RunIdentity]) -> Hashes {
    let mut value = stored(&JobSpec::Analyze(Box::new(spec.clone())));
    for (index, run) in runs.iter().enumerate() {
        let place = &mut value["runs"][index];
        place["job"] = reference(&run.job, None);
        for (key, identity) in [
            ("evaluation", &run.evaluation),
            ("in_domain", &run.in_domain),
        ] {
            place[key] = identity.clone().into();
        }
    }
    hashes(&value, &Value::Null)
}

/// Hashes of a registration of the model `base_model`, whose source has the identity `source_hash`.
pub fn of_register(base_model: &str, source_hash: &str) -> Hashes {
    let value = json!({"kind": "register", "source": source_hash});
    hashes(&value, &json!({"base_model": base_model}))
}

/// A job in another job's hash: which steps `all` means depends on what it keeps, any other choice does not.
fn reference(job: &JobIdentity, steps: Option<&Steps>) -> Value {
    let identity = match steps {
        Some(Steps::Named(StepsName::All)) => &job.spec_hash,
        _ => &job.numerics_hash,
    };
    json!({"identity": identity, "salt": job.salt})
}

fn hashes(numbers: &Value, outputs: &Value) -> Hashes {
    let numerics = hash(&json!({"epoch": NUMERICS_EPOCH, "spec": numbers}));
    let spec = hash(&json!({"numerics": numerics, "outputs": outputs}));
    Hashes { numerics, spec }
}
