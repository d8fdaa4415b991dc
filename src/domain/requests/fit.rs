//! Whether a spec fits what exists: the assets and jobs that it names, as somebody with a database found them.

mod ranks;
mod runs;
mod selection;

use std::collections::BTreeMap;

pub use self::runs::{Analysed, EvaluationFacts, RunFacts, analysis};

use super::identity::JobIdentity;
use crate::domain::address::Trained;
use crate::domain::assets::BaseModelState;
use crate::domain::decode::escape;
use crate::domain::evaluation::{EvaluateSpec, Select, Steps};
use crate::domain::finetune::{CheckpointSpec, FinetuneSpec, Length, LoraMethod, Method};
use crate::domain::ids::{BaseModelId, JobId};
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::job::{JobKind, JobState};
use crate::domain::metric::NormModule;
use crate::domain::question_set::Question;
use crate::domain::shapes::ProjectionShapes;

/// A base model that a spec names.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseFacts {
    /// Its id.
    pub id: BaseModelId,
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub state: BaseModelState,
    /// Identity of its source.
    pub source_hash: String,
    /// Number of decoder layers, once known.
    pub layers: Option<u32>,
    /// Shapes of its projections, once known.
    pub projections: Option<ProjectionShapes>,
    /// Its register job.
    pub job: Option<JobId>,
}

/// A job that a spec names.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFacts {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
    /// As other jobs' hashes see it.
    pub identity: JobIdentity,
    /// The base of a fine-tune, as its spec names it.
    pub base_model: String,
    /// What a fine-tune trains, where its spec can be read.
    pub method: Option<Method>,
    /// What a fine-tune keeps and how long it is, where its spec tells; one that may stop early may keep any step.
    pub keeps: Option<(CheckpointSpec, Length)>,
    /// Steps that it has kept so far.
    pub steps: Vec<u64>,
    /// The step after which it ended although more were planned.
    pub stopped_early: Option<u64>,
}

/// A handed-in adapter that a spec names.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterFacts {
    /// Its name.
    pub name: String,
    /// The base that it stands on.
    pub base_model: BaseModelId,
    /// Hash of its files.
    pub sha256: String,
    /// What it adapts.
    pub modules: Vec<NormModule>,
}

/// Adapters by what a spec calls them, as they were found.
pub type Adapters = BTreeMap<String, AdapterFacts>;

/// Jobs by id, as they were found.
pub type Jobs = BTreeMap<JobId, JobFacts>;

/// The refusal of a reference to something that is not there.
pub fn missing(pointer: &str, what: &str, name: &str, list: &str) -> FieldError {
    let detail = format!("there is no {what} \"{}\"", name.escape_debug());
    FieldError::at(pointer, detail).hint(format!("GET {list} lists what there is"))
}

/// Checks a fine-tune against its base: layers and patterns must be in it, ranks below the sides of its matrices.
pub fn finetune(spec: &FinetuneSpec, base: &BaseFacts) -> Checked<()> {
    let Some(count) = base.layers else {
        return Ok(());
    };
    match &spec.method {
        Method::Lora(lora) => lora_layers(lora, base, count),
        Method::SteeringVector(steering) => steering_layer(steering.layer, base, count),
        Method::Full(_) => Ok(()),
    }
}

fn steering_layer(layer: u32, base: &BaseFacts, count: u32) -> Checked<()> {
    if layer < count {
        return Ok(());
    }
    let detail = format!("{} has no layer {layer}", base.name);
    let hint = format!("the layers of {} are 0 to {}", base.name, count.max(1) - 1);
    Err(FieldError::at("/method/layer", detail).hint(hint).into())
}

fn lora_layers(lora: &LoraMethod, base: &BaseFacts, count: u32) -> Checked<()> {
    let mut findings = Findings::default();
    let hint = format!("the layers of {} are 0 to {}", base.name, count.max(1) - 1);
    for (index, layer) in lora.layers.iter().flatten().enumerate() {
        findings.require(*layer < count, || {
            let detail = format!("{} has no layer {layer}", base.name);
            FieldError::at(format!("/method/layers/{index}"), detail).hint(hint.clone())
        });
    }
    let ranks = lora.rank_pattern.keys().map(|key| ("rank_pattern", key));
    let alphas = lora.alpha_pattern.keys().map(|key| ("alpha_pattern", key));
    for (field, key) in ranks.chain(alphas) {
        let fits = layer_in(key).is_none_or(|layer| layer < u64::from(count));
        findings.require(fits, || {
            let detail = format!("{} has no module \"{key}\"", base.name);
            let place = format!("/method/{field}/{}", escape(key));
            FieldError::at(place, detail).hint(hint.clone())
        });
    }
    if let Some(shapes) = &base.projections {
        ranks::check(&mut findings, lora, count, shapes);
    }
    findings.finish()
}

/// The layer that a module's name speaks of, as in `layers.21.mlp.down_proj`.
fn layer_in(name: &str) -> Option<u64> {
    let mut parts = name.split('.');
    parts.find(|part| *part == "layers")?;
    parts.next()?.parse().ok()
}

/// Checks that every job among the targets is a fine-tune that can still give what is asked of it, and every adapter there.
pub fn targets(spec: &EvaluateSpec, jobs: &Jobs, adapters: &Adapters) -> Checked<()> {
    let mut findings = Findings::default();
    for (index, target) in spec.targets.iter().enumerate() {
        if let Some(adapter) = &target.adapter {
            let place = format!("/targets/{index}/adapter");
            findings.require(adapters.contains_key(adapter), || {
                missing(&place, "adapter", adapter, "/v1/adapters")
            });
        }
        let Some(id) = &target.job else { continue };
        let place = format!("/targets/{index}/job");
        match jobs.get(id) {
            None => findings.push(missing(
                &place,
                "job",
                id.as_str(),
                "/v1/jobs?kind=finetune",
            )),
            Some(job) => {
                check_job(&mut findings, &place, job);
                if let Some(Steps::Listed(steps)) = &target.steps {
                    check_steps(&mut findings, index, job, steps);
                }
            }
        }
    }
    findings.finish()
}

/// Checks that what a fine-tune begins with is there, and an adapter or a checkpoint that a job keeps.
pub fn start(start: &Trained, jobs: &Jobs, adapters: &Adapters) -> Checked<()> {
    let mut findings = Findings::default();
    let place = "/method/init_adapter";
    match start {
        Trained::Adapter(name) => findings.require(adapters.contains_key(name), || {
            missing(place, "adapter", name, "/v1/adapters")
        }),
        Trained::Job { job: id, step } => match jobs.get(id) {
            None => {
                let list = "/v1/jobs?kind=finetune";
                findings.push(missing(place, "job", id.as_str(), list));
            }
            Some(job) => {
                check_job(&mut findings, place, job);
                if let Some(step) = step.filter(|step| !may_keep(job, *step)) {
                    findings.push(not_kept(place, job, step));
                }
            }
        },
    }
    findings.finish()
}

fn check_job(findings: &mut Findings, place: &str, job: &JobFacts) {
    let (id, kind, state) = (&job.id, job.kind.name(), job.state.name());
    if job.kind != JobKind::Finetune {
        let detail = format!("{id} is of kind \"{kind}\" and has no checkpoints");
        let hint = "name a job of kind \"finetune\"";
        findings.push(FieldError::at(place, detail).hint(hint));
    } else if matches!(job.state, JobState::Failed | JobState::Cancelled) {
        let hint = "submit the fine-tune again and name the new job";
        findings.push(FieldError::at(place, format!("{id} is {state}")).hint(hint));
    }
}

/// A step is refused only when it is certain that the job does not keep it.
fn check_steps(findings: &mut Findings, index: usize, job: &JobFacts, steps: &[u64]) {
    for (position, step) in steps.iter().enumerate() {
        if !may_keep(job, *step) {
            let place = format!("/targets/{index}/steps/{position}");
            findings.push(not_kept(&place, job, *step));
        }
    }
}

fn not_kept(place: &str, job: &JobFacts, step: u64) -> FieldError {
    let detail = format!("{} keeps no checkpoint at step {step}", job.id);
    let hint = match job.state {
        JobState::Succeeded => {
            let early = job.stopped_early.map_or(String::new(), |last| {
                format!("it stopped early after step {last}; ")
            });
            format!("{early}it has {}", listed(&job.steps))
        }
        _ => "its `checkpoints` and `length` say which it keeps".into(),
    };
    FieldError::at(place, detail).hint(hint)
}

fn may_keep(job: &JobFacts, step: u64) -> bool {
    if job.steps.contains(&step) {
        return true;
    }
    if job.state == JobState::Succeeded {
        return false;
    }
    match &job.keeps {
        Some((
            kept,
            Length {
                steps: Some(total), ..
            },
        )) => step <= *total && kept.stays(step, *total),
        // The number of steps depends on the rows, so any step may be the last.
        _ => true,
    }
}

fn listed(steps: &[u64]) -> String {
    let texts: Vec<String> = steps.iter().take(50).map(ToString::to_string).collect();
    let dots = if steps.len() > 50 { ", …" } else { "" };
    format!("{}{dots}", texts.join(", "))
}

/// Checks that a selection names questions that there are and leaves something to ask.
pub fn selection(select: &Select, set: &str, questions: &[Question]) -> Checked<()> {
    let ids = questions.iter().map(|question| question.id.as_str());
    selection::names(select, set, ids.clone())?;
    if questions.iter().any(|question| select.keeps(&question.id)) {
        return Ok(());
    }
    let shown: Vec<&str> = ids.take(20).collect();
    let dots = if questions.len() > 20 { ", …" } else { "" };
    let detail = format!("selects none of the {} questions of {set}", questions.len());
    let hint = format!("its questions are {}{dots}", shown.join(", "));
    Err(FieldError::at("/select", detail).hint(hint).into())
}

/// Checks that for every question that is asked somebody says how often.
pub fn numbers(spec: &EvaluateSpec, questions: &[Question]) -> Checked<()> {
    let asked = questions.iter().filter(|one| spec.select.keeps(&one.id));
    let silent: Vec<&str> = asked
        .filter(|question| spec.samples_of(question).is_none())
        .map(|question| question.id.as_str())
        .collect();
    let Some(first) = silent.first() else {
        return Ok(());
    };
    let others = match silent.len() {
        1 => String::new(),
        count => format!(" and {} others", count - 1),
    };
    let detail = format!(
        "`samples_per_question` is missing, and question {first}{others} has no samples_per_paraphrase of its own"
    );
    let hint = "give the answers wanted to each paraphrase of each question";
    Err(FieldError::at("/samples_per_question", detail)
        .hint(hint)
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: JobState, stopped_early: Option<u64>) -> JobFacts {
        let text = |text: &str| text.to_owned();
        JobFacts {
            id: JobId::from_uuid(uuid::Uuid::from_u128(7)),
            kind: JobKind::Finetune,
            state,
            identity: JobIdentity {
                numerics_hash: text("n"),
                spec_hash: text("s"),
                salt: text(""),
            },
            base_model: text("toy"),
            method: None,
            keeps: None,
            steps: vec![5, 10, 12],
            stopped_early,
        }
    }

    #[test]
    fn a_step_behind_an_early_stop_is_refused_with_the_step_at_which_it_ended_and_what_is_kept() {
        let ended = job(JobState::Succeeded, Some(12));
        assert!(may_keep(&ended, 12) && !may_keep(&ended, 400));
        let hint = not_kept("/targets/0/steps/0", &ended, 400).hint.unwrap();
        assert_eq!(hint, "it stopped early after step 12; it has 5, 10, 12");
        let whole = not_kept("/", &job(JobState::Succeeded, None), 400);
        assert_eq!(whole.hint.unwrap(), "it has 5, 10, 12");
        // while it runs nobody knows which step will be its last
        assert!(may_keep(&job(JobState::Running, None), 11));
    }
}
