//! Everything that is stored about an experiment, read for its report.

use serde_json::{Value, json};

use crate::api::ApiState;
use crate::api::error::Answer;
use crate::domain::analysis::RunSeries;
use crate::domain::analyze::AnalysisHead;
use crate::domain::experiment::presets::{self, ExperimentPreset};
use crate::domain::experiment::{Experiment, ExperimentJob, JobRole};
use crate::domain::ids::ExperimentId;
use crate::domain::job::Job;
use crate::domain::metric::MeasuredModule;
use crate::domain::report::{
    AnalysisFacts, ArmReport, EvaluationFacts, Expectation, Head, JobFacts, Material, Measure,
    ModuleFacts, PresetFacts, Questions, RunFacts, masked, vectors,
};
use crate::domain::series::{Columns, shown};
use crate::domain::transitions::Transitions;
use crate::storage::metrics::Steps;
use crate::storage::{Storage, analyses, experiments, marks, metrics, results};

/// All steps.
const ALL: Steps = 0..=u64::MAX;

/// What a report is made from, and the series that its figures draw.
pub(super) struct Found {
    pub(super) material: Material,
    pub(super) series: Vec<RunSeries>,
    pub(super) jobs: Vec<(ExperimentJob, Job)>,
}

/// Everything about the experiment `id`.
///
/// *Errors*: not found.
pub(super) async fn read(state: &ApiState, id: &ExperimentId) -> Answer<Found> {
    let storage = &state.storage;
    let experiment = experiments::get(storage, id).await?;
    let members = experiments::members(storage, id).await?;
    let jobs: Vec<(ExperimentJob, Job)> = members
        .into_iter()
        .map(|(_, member, job)| (member, job))
        .collect();
    let analysed = analysed(storage, &experiment).await?;
    let (mut evaluations, mut runs) = (Vec::new(), Vec::new());
    for (member, job) in &jobs {
        evaluations.extend(evaluation(storage, member, job).await?);
        runs.extend(run(storage, member, job).await?);
    }
    let sources = super::sources::sources(state, &experiment, &jobs).await?;
    let preset = experiment
        .preset
        .as_deref()
        .and_then(|name| presets::find(name).ok());
    let (facts, series) = match analysed {
        Some(Analysed {
            head,
            series,
            transitions,
        }) => (Some(analysis(&head, &series, &transitions)), series),
        None => (None, Vec::new()),
    };
    let material = Material {
        head: head(&experiment),
        spec: experiment.spec.clone(),
        arms: arms(&experiment),
        jobs: jobs
            .iter()
            .map(|(member, job)| job_facts(member, job))
            .collect(),
        evaluations,
        runs,
        analysis: facts,
        preset: preset.as_ref().map(preset_facts),
        sources,
    };
    Ok(Found {
        material,
        series,
        jobs,
    })
}

struct Analysed {
    head: AnalysisHead,
    series: Vec<RunSeries>,
    transitions: Transitions,
}

/// The last analysis, once it has numbers.
async fn analysed(storage: &Storage, experiment: &Experiment) -> Answer<Option<Analysed>> {
    let id = experiment
        .analysis
        .as_ref()
        .and_then(|one| one.analysis.as_ref());
    let Some(id) = id else {
        return Ok(None);
    };
    let head = analyses::head(storage, id).await?;
    let series = analyses::series(storage, &head.id).await?;
    let transitions = analyses::transitions(storage, &head.id).await?;
    Ok(series
        .zip(transitions)
        .map(|(series, transitions)| Analysed {
            head,
            series,
            transitions,
        }))
}

fn head(experiment: &Experiment) -> Head {
    Head {
        id: experiment.id.to_string(),
        name: experiment.name.clone(),
        description: experiment.spec["description"].as_str().map(str::to_owned),
        owner: experiment.owner.clone(),
        state: experiment.state.name().into(),
        is_final: experiment.state.is_final(),
        created_at: experiment.created_at,
        finished_at: experiment.finished_at,
    }
}

fn arms(experiment: &Experiment) -> Vec<ArmReport> {
    let arms = experiment.arms.iter().map(|arm| ArmReport {
        name: arm.name.clone(),
        role: arm.role.name().into(),
        base_model: arm.base_model.clone(),
        datasets: arm.datasets.clone(),
        seeds: arm.seeds.clone(),
    });
    arms.collect()
}

fn job_facts(member: &ExperimentJob, job: &Job) -> JobFacts {
    JobFacts {
        key: member.key.clone(),
        role: member.role.name().into(),
        arm: member.arm.clone(),
        seed: member.seed,
        job: job.id.to_string(),
        state: job.state.name().into(),
        reused: member.reused,
        error: job.error.as_ref().map(|error| error.message.clone()),
        spec: job.spec.clone(),
        spec_hash: job.spec_hash.clone(),
        numerics_hash: job.numerics_hash.clone(),
        started_at: job.started_at,
        finished_at: job.finished_at,
    }
}

/// The answers of an evaluation that began.
async fn evaluation(
    storage: &Storage,
    member: &ExperimentJob,
    job: &Job,
) -> Answer<Option<EvaluationFacts>> {
    let (Some(id), Some(arm)) = (&member.evaluation, &member.arm) else {
        return Ok(None);
    };
    if job.started_at.is_none() {
        return Ok(None);
    }
    Ok(Some(EvaluationFacts {
        arm: arm.clone(),
        seed: member.seed,
        questions: match member.role {
            JobRole::EvaluateInDomain => Questions::InDomain,
            _ => Questions::Broad,
        },
        question_set: job.spec["question_set"].as_str().unwrap_or_default().into(),
        evaluation: results::evaluation(storage, id.as_str()).await?,
        answers: marks::of(storage, id, &[]).await?,
    }))
}

/// The series of a fine-tune that began.
async fn run(storage: &Storage, member: &ExperimentJob, job: &Job) -> Answer<Option<RunFacts>> {
    let (JobRole::Train, Some(arm), Some(seed)) = (member.role, &member.arm, member.seed) else {
        return Ok(None);
    };
    if job.started_at.is_none() {
        return Ok(None);
    }
    let columns = metrics::steps(storage, &job.id, &ALL).await?;
    let of = |place: usize| shown(&columns.values[place]);
    let modules = metrics::norm_modules(storage, &job.id).await?;
    let last = job.result.checkpoints.iter().max_by_key(|kept| kept.step);
    Ok(Some(RunFacts {
        arm: arm.clone(),
        seed,
        job: job.id.to_string(),
        clip: job
            .spec
            .pointer("/optimizer/max_grad_norm")
            .and_then(Value::as_f64),
        loss: of(0),
        learning_rate: of(1),
        grad_norm: of(2),
        modules: norms(storage, job, &modules).await?,
        last: last.map(|kept| (kept.step, kept.id.to_string())),
        steps: columns.steps,
    }))
}

async fn norms(
    storage: &Storage,
    job: &Job,
    modules: &[MeasuredModule],
) -> Answer<Vec<ModuleFacts>> {
    let places: Vec<usize> = (0..modules.len()).collect();
    let whole = modules.first().is_some_and(|module| module.rank.is_none());
    let columns = match whole {
        true => metrics::changes(storage, &job.id, &ALL, &places).await?,
        false => metrics::norms(storage, &job.id, &ALL, &places).await?,
    };
    let one = |(place, module)| module_facts(module, &columns, (place, modules.len()), whole);
    Ok(modules.iter().enumerate().map(one).collect())
}

/// Norms of a pair; of a tensor that is trained whole its change stands for BA.
fn module_facts(
    module: &MeasuredModule,
    columns: &Columns,
    (place, count): (usize, usize),
    whole: bool,
) -> ModuleFacts {
    let series = |number: usize| shown(&columns.values[number * count + place]);
    let none = vec![None; columns.steps.len()];
    let [a, b, ba] = match whole {
        true => [none.clone(), none, series(0)],
        false => [series(0), series(1), series(2)],
    };
    ModuleFacts {
        name: module.name.clone(),
        layer: module.layer.map(u64::from),
        projection: module
            .projection
            .map(|projection| projection.name().to_owned())
            .unwrap_or_default(),
        rank: module.rank.map_or(0, u64::from),
        steps: columns.steps.clone(),
        a,
        b,
        ba,
    }
}

fn analysis(head: &AnalysisHead, series: &[RunSeries], transitions: &Transitions) -> AnalysisFacts {
    AnalysisFacts {
        id: head.id.to_string(),
        settings: json!(head.settings),
        cuts: Some((head.settings.aligned, head.settings.coherent)),
        masked: masked(head.settings.movement()),
        vectors: vectors(series),
        transitions: transitions.rows.iter().map(Into::into).collect(),
        lags: transitions.lags.iter().map(Into::into).collect(),
    }
}

fn preset_facts(preset: &ExperimentPreset) -> PresetFacts {
    let published = preset.published.iter().flat_map(|rate| {
        let one = |measure, what: &str, percent: f64| Expectation {
            what: format!("{what}, {} on {} data", rate.base, rate.data),
            measure,
            arm: None,
            scale: 1.0,
            value: [percent; 2],
            unit: "%".into(),
            source: rate.source.clone(),
        };
        let coherent = rate
            .coherent_percent
            .map(|it| one(Measure::Coherent, "coherent answers", it));
        let misaligned = one(
            Measure::Misaligned,
            "misaligned answers",
            rate.misaligned_percent,
        );
        std::iter::once(misaligned).chain(coherent)
    });
    let discrepancies = preset.discrepancies.iter().map(|one| {
        format!(
            "{}: the paper has {}; published is {}; here {}",
            one.topic, one.paper, one.published, one.here
        )
    });
    let printed = preset
        .expected
        .iter()
        .map(|one| format!("{}: {} ({})", one.what, one.value, one.source));
    PresetFacts {
        name: preset.name.clone(),
        expected: published.collect(),
        printed: printed.collect(),
        discrepancies: discrepancies.collect(),
    }
}
