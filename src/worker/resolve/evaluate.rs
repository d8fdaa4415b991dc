//! The targets of an evaluation: which checkpoints, at which scales, under which addresses.

use std::collections::HashSet;

use super::{Look, missing, refused};
use crate::domain::address::{Address, Trained};
use crate::domain::assets::WeightsKind;
use crate::domain::evaluation::{EvaluateSpec, Steps, StepsName, Target, TargetSpec};
use crate::domain::finetune::{FinetuneSpec, Method};
use crate::domain::ids::JobId;
use crate::domain::local_judge::LocalJudge;
use crate::domain::question_set::Question;
use crate::domain::requests::prompts::Prompted;
use crate::execution::{EvaluateWork, JudgeWork, LocalJudgeWork, ModelFiles, Stop, TargetWork};
use crate::storage::inputs::{
    self, AdapterInput, CheckpointInput, EvaluationPlan, ModelInput, TrainedInput,
};

impl Look<'_> {
    pub(super) fn evaluate(&self, spec: EvaluateSpec) -> Result<EvaluateWork, Stop> {
        let base = self.base_of_targets(&spec)?;
        let targets = self.targets(&spec.targets, &base)?;
        let [questions, set] = self.selected_questions(&spec)?;
        let prompted = Prompted {
            judge: &spec.judge,
            metrics: &spec.metrics,
            given: &spec.rubrics,
        };
        let judging = self.judging(prompted, &questions, &set)?;
        let answers: u64 = questions.iter().map(|one| spec.answers_to(one)).sum();
        let named: Vec<Target> = targets.iter().map(|one| one.target.clone()).collect();
        let plan = EvaluationPlan {
            base_model: &base.id,
            targets: &named,
            planned: answers * named.len() as u64,
        };
        let lease = &self.control.lease;
        let evaluation = self.ask(|storage| inputs::plan_evaluation(storage, lease, &plan))?;
        Ok(EvaluateWork {
            evaluation,
            base: self.model_files(base.name, &base.files)?,
            targets,
            questions,
            judging,
            spec,
        })
    }

    /// The one base that the spec and every target's job name.
    fn base_of_targets(&self, spec: &EvaluateSpec) -> Result<ModelInput, Stop> {
        let mut references: Vec<String> = spec.base_model.iter().cloned().collect();
        for job in spec.targets.iter().filter_map(|target| target.job.as_ref()) {
            references.push(self.trained(job)?.base_model);
        }
        for adapter in spec
            .targets
            .iter()
            .filter_map(|target| target.adapter.as_ref())
        {
            references.push(self.adapter(adapter)?.base_model.to_string());
        }
        let Some((first, others)) = references.split_first() else {
            let message = "a target {\"base\":true} alone does not say which base; set base_model";
            return Err(refused("base_model_missing", message));
        };
        let base = self.ready_model(first)?;
        for other in others.iter().filter(|other| *other != first) {
            let other = self.ready_model(other)?;
            if other.id != base.id {
                let (one, two) = (&base.name, &other.name);
                let message = format!(
                    "targets of one evaluation share their base; these have \"{one}\" and \"{two}\""
                );
                return Err(refused("targets_of_several_bases", message));
            }
        }
        Ok(base)
    }

    pub(super) fn trained(&self, job: &JobId) -> Result<TrainedInput, Stop> {
        let found = self.ask(|storage| inputs::trained(storage, job))?;
        found.ok_or_else(|| missing("fine-tune", job.as_str()))
    }

    pub(super) fn adapter(&self, reference: &str) -> Result<AdapterInput, Stop> {
        let found = self.ask(|storage| inputs::adapter(storage, reference))?;
        found.ok_or_else(|| missing("adapter", reference))
    }

    fn targets(&self, specs: &[TargetSpec], base: &ModelInput) -> Result<Vec<TargetWork>, Stop> {
        let mut targets = Vec::new();
        let mut seen = HashSet::new();
        for spec in specs {
            let found = match (&spec.job, &spec.adapter) {
                (Some(job), _) => self.targets_of_job(job, spec, base)?,
                (None, Some(adapter)) => self.targets_of_adapter(adapter, spec, base)?,
                (None, None) => vec![base_target(base)],
            };
            targets.extend(
                found
                    .into_iter()
                    .filter(|one| seen.insert(one.target.address.clone())),
            );
        }
        Ok(targets)
    }

    fn targets_of_job(
        &self,
        job: &JobId,
        spec: &TargetSpec,
        base: &ModelInput,
    ) -> Result<Vec<TargetWork>, Stop> {
        let trained = self.trained(job)?;
        let scales = spec.scales.clone().unwrap_or_else(|| vec![1.0]);
        let mut targets = Vec::new();
        for checkpoint in chosen(job, &trained, spec.steps.as_ref())? {
            let name = format!("{job}:step{}", checkpoint.step);
            let files = self.model_files(name, &checkpoint.files)?;
            let one = |scale: &f64| target_of(job, checkpoint, *scale, base, files.clone());
            targets.extend(scales.iter().map(one));
        }
        Ok(targets)
    }

    fn targets_of_adapter(
        &self,
        reference: &str,
        spec: &TargetSpec,
        base: &ModelInput,
    ) -> Result<Vec<TargetWork>, Stop> {
        let adapter = self.adapter(reference)?;
        let files = self.model_files(adapter.id.to_string(), &adapter.files)?;
        let scales = spec.scales.clone().unwrap_or_else(|| vec![1.0]);
        let one = |scale: &f64| adapter_target(&adapter, *scale, base, files.clone());
        Ok(scales.iter().map(one).collect())
    }

    /// The files that a fine-tune begins with.
    pub(super) fn start(
        &self,
        spec: &FinetuneSpec,
        base: &ModelInput,
    ) -> Result<Option<ModelFiles>, Stop> {
        let Some(text) = spec.method.init_adapter() else {
            return Ok(None);
        };
        let wanted = match spec.method {
            Method::SteeringVector(_) => WeightsKind::SteeringVector,
            Method::Lora(_) | Method::Full(_) => WeightsKind::Lora,
        };
        let start = text.parse::<Trained>();
        let start = start.map_err(|error| refused("init_adapter", error.to_string()))?;
        let (of, kind, files) = match &start {
            Trained::Adapter(name) => {
                let adapter = self.adapter(name)?;
                (
                    adapter.base_model.to_string(),
                    WeightsKind::of_adapter(&adapter.files),
                    adapter.files,
                )
            }
            Trained::Job { job, step } => {
                let trained = self.trained(job)?;
                let steps = step.map(|step| Steps::Listed(vec![step]));
                let checkpoint = chosen(job, &trained, steps.as_ref())?[0].clone();
                (trained.base_model, checkpoint.kind, checkpoint.files)
            }
        };
        if kind != wanted {
            let (found, wanted) = (kind.shown(), wanted.shown());
            let message = format!("method.init_adapter: {text} holds {found}, not {wanted}");
            return Err(refused("init_adapter", message));
        }
        if self.ready_model(&of)?.id != base.id {
            let message = format!(
                "method.init_adapter: {text} was trained from {of}, not from {}",
                base.name
            );
            return Err(refused("init_adapter", message));
        }
        self.model_files(text.to_string(), &files).map(Some)
    }

    /// A configured name is the operator's; `local:` names any base model that is ready.
    pub(super) fn judge(&self, name: &str) -> Result<JudgeWork, Stop> {
        let configured = self.shared.config.local_judges.get(name).cloned();
        match configured.or_else(|| LocalJudge::named(name)) {
            Some(settings) => {
                let model = self.ready_model(&settings.base_model)?;
                let model = self.model_files(model.name, &model.files)?;
                Ok(JudgeWork::Local(Box::new(LocalJudgeWork {
                    model,
                    settings,
                })))
            }
            None if name == "toy" => Ok(JudgeWork::Toy),
            None => Ok(JudgeWork::Endpoint { name: name.into() }),
        }
    }

    /// The selected questions, and the set that they are of.
    fn selected_questions(&self, spec: &EvaluateSpec) -> Result<[Vec<Question>; 2], Stop> {
        let reference = &spec.question_set;
        let found = self.ask(|storage| inputs::questions(storage, reference))?;
        let set = found.ok_or_else(|| missing("question set", reference))?;
        let asked = set
            .iter()
            .filter(|question| spec.select.keeps(&question.id));
        let asked: Vec<Question> = asked.cloned().collect();
        if asked.is_empty() {
            let message = format!("select leaves no question of \"{reference}\"");
            return Err(refused("no_questions", message));
        }
        Ok([asked, set])
    }
}

fn base_target(base: &ModelInput) -> TargetWork {
    let target = Target {
        address: base.name.clone(),
        base_model: base.name.clone(),
        job: None,
        step: None,
        adapter: None,
        scale: None,
    };
    TargetWork {
        target,
        weights: None,
    }
}

fn target_of(
    job: &JobId,
    checkpoint: &CheckpointInput,
    scale: f64,
    base: &ModelInput,
    files: ModelFiles,
) -> TargetWork {
    let target = Target {
        address: Address::of_checkpoint(&base.name, job, checkpoint.step, scale).to_string(),
        base_model: base.name.clone(),
        job: Some(job.clone()),
        step: Some(checkpoint.step),
        adapter: None,
        scale: Some(scale),
    };
    TargetWork {
        target,
        weights: Some((checkpoint.kind, files)),
    }
}

fn adapter_target(
    adapter: &AdapterInput,
    scale: f64,
    base: &ModelInput,
    files: ModelFiles,
) -> TargetWork {
    let kind = WeightsKind::of_adapter(&adapter.files);
    let target = Target {
        address: Address::of_adapter(&base.name, &adapter.id, scale).to_string(),
        base_model: base.name.clone(),
        job: None,
        step: None,
        adapter: Some(adapter.id.to_string()),
        scale: Some(scale),
    };
    TargetWork {
        target,
        weights: Some((kind, files)),
    }
}

/// The checkpoints that `steps` asks for, in the order in which it asks.
fn chosen<'a>(
    job: &JobId,
    trained: &'a TrainedInput,
    steps: Option<&Steps>,
) -> Result<Vec<&'a CheckpointInput>, Stop> {
    let kept = &trained.checkpoints;
    let Some(last) = kept.last() else {
        let message = format!("{job} keeps no checkpoint");
        return Err(refused("checkpoint_missing", message));
    };
    match steps {
        None | Some(Steps::Named(StepsName::Final)) => Ok(vec![last]),
        Some(Steps::Named(StepsName::All)) => Ok(kept.iter().collect()),
        Some(Steps::Listed(steps)) => {
            let at = |step: &u64| kept.iter().find(|one| one.step == *step);
            let found = steps
                .iter()
                .map(|step| at(step).ok_or_else(|| not_kept(job, *step, trained)));
            found.collect()
        }
    }
}

fn not_kept(job: &JobId, step: u64, trained: &TrainedInput) -> Stop {
    let kept: Vec<String> = trained
        .checkpoints
        .iter()
        .map(|one| one.step.to_string())
        .collect();
    let kept = kept.join(", ");
    let message = format!("{job} keeps no checkpoint of step {step}; it keeps {kept}");
    refused("checkpoint_missing", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::JobState;

    fn job() -> JobId {
        JobId::from_uuid(uuid::Uuid::from_u128(7))
    }

    fn trained(steps: &[u64]) -> TrainedInput {
        let checkpoint = |step: &u64| CheckpointInput {
            step: *step,
            kind: crate::domain::assets::WeightsKind::Lora,
            files: Vec::new(),
        };
        TrainedInput {
            state: JobState::Succeeded,
            base_model: "toy".into(),
            checkpoints: steps.iter().map(checkpoint).collect(),
        }
    }

    #[test]
    fn steps_choose_all_the_last_or_those_listed_and_a_missing_one_is_named() {
        let (job, kept) = (job(), trained(&[5, 10, 20]));
        let steps = |steps: Option<&Steps>| -> Vec<u64> {
            chosen(&job, &kept, steps)
                .unwrap()
                .iter()
                .map(|one| one.step)
                .collect()
        };
        assert_eq!(steps(None), [20]);
        assert_eq!(steps(Some(&Steps::Named(StepsName::All))), [5, 10, 20]);
        assert_eq!(steps(Some(&Steps::Listed(vec![10, 5]))), [10, 5]);
        let error = chosen(&job, &kept, Some(&Steps::Listed(vec![7]))).unwrap_err();
        assert!(
            error.to_string().ends_with("step 7; it keeps 5, 10, 20"),
            "{error}"
        );
    }
}
