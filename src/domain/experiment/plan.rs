//! From a spec and what exists to jobs that name each other. Pure: the same spec and facts give the same plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::arms::{self, Arm, Facts};
use super::read::Asked;
use super::run::{Run, run, steps};
use super::{Checkpoints, ExperimentArm, ExperimentSpec, JobRole, MOST_JOBS, Role};
use crate::domain::finetune::FinetuneSpec;
use crate::domain::invalid::{Checked, FieldError, Findings, Invalid};
use crate::domain::job::JobSpec;
use crate::domain::requests::stored;

/// Gaps of the local cosine where a spec names none, in steps.
const USUAL_GAPS: [u64; 3] = [5, 10, 15];

/// What a spec becomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Grids expanded, controls among them.
    pub arms: Vec<ExperimentArm>,
    /// Every job behind those that it needs.
    pub jobs: Vec<PlannedJob>,
    /// Parameters of the analysis; none where nothing is analysed.
    pub settings: Option<Map<String, Value>>,
}

/// A job that is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedJob {
    /// Its place in the plan, such as `train/bad/0`.
    pub key: String,
    /// What it does for the experiment.
    pub role: JobRole,
    /// The arm; null of the analysis.
    pub arm: Option<String>,
    /// The training seed; null of a base alone and of the analysis.
    pub seed: Option<u64>,
    /// Keys of the jobs that it needs.
    pub parents: Vec<String>,
    /// What would be posted; `{"planned":"train/bad/0"}` stands for the id of a job that is not there yet.
    #[schema(value_type = Object)]
    pub body: Value,
    /// Where the parts of its body come from.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where a planned job comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Place of its arm in the spec.
    pub arm: usize,
    /// Keys of the grid that made its arm.
    pub grid: Vec<String>,
    /// Of an evaluation: the pointer of the plan that it carries out.
    pub evaluation: Option<String>,
}

impl Origin {
    /// Where in the experiment's body that lies which is at `pointer` in the job's.
    pub fn place(&self, pointer: &str) -> String {
        let Some(evaluation) = &self.evaluation else {
            return arms::place(self.arm, &self.grid, pointer);
        };
        match pointer.split('/').nth(1) {
            Some("targets") if pointer.contains("/scales") => format!("{evaluation}/scales"),
            Some("targets") => format!("{evaluation}/checkpoints"),
            Some("base_model") => arms::place(self.arm, &self.grid, pointer),
            _ => format!("{evaluation}{pointer}"),
        }
    }
}

/// Plans `spec` with what exists.
///
/// *Errors*: all that can be found at once, each with the pointer of its place in the spec.
pub fn plan(spec: &ExperimentSpec, facts: &Facts) -> Checked<Plan> {
    let arms = arms::expand(spec, facts)?;
    let mut findings = Findings::default();
    let mut cells: Vec<(Arm, Option<Run>)> = Vec::new();
    for arm in arms {
        match run(spec, &arm, facts) {
            Ok(run) => cells.push((arm, run)),
            Err(invalid) => note(&mut findings, invalid),
        }
    }
    findings.finish()?;
    let settings = settings(spec, &cells)?;
    let mut jobs = Vec::new();
    let mut findings = Findings::default();
    for (arm, run) in &cells {
        match jobs_of(spec, arm, run.as_ref()) {
            Ok(more) => jobs.extend(more),
            Err(invalid) => note(&mut findings, invalid),
        }
    }
    findings.finish()?;
    let arms: Vec<ExperimentArm> = cells.iter().map(|(arm, _)| arm.shown()).collect();
    if let Some(settings) = &settings {
        jobs.extend(analysis_job(&arms, &jobs, settings));
    }
    if jobs.len() > MOST_JOBS {
        let detail = format!("the plan has {} jobs, more than {MOST_JOBS}", jobs.len());
        return Err(FieldError::at("/arms", detail)
            .hint("post several experiments")
            .into());
    }
    Ok(Plan {
        arms,
        jobs,
        settings,
    })
}

fn note(findings: &mut Findings, invalid: Invalid) {
    invalid
        .errors
        .into_iter()
        .for_each(|error| findings.push(error));
}

/// The settings of the analysis with gaps that every run can be looked at by.
///
/// *Errors*: gaps that are asked for and that a run has no vectors or no room for.
fn settings(
    spec: &ExperimentSpec,
    cells: &[(Arm, Option<Run>)],
) -> Checked<Option<Map<String, Value>>> {
    let runs: Vec<(&Arm, &Run)> = cells
        .iter()
        .filter_map(|(arm, run)| Some((arm, run.as_ref()?)))
        .collect();
    let (Some(settings), false) = (&spec.analysis, runs.is_empty()) else {
        return Ok(None);
    };
    let mut settings = settings.clone();
    match settings.get("gaps").map(gaps_of) {
        Some(gaps) => check_gaps(&gaps, &runs)?,
        None => {
            let shortest = runs.iter().filter(|(_, run)| run.has_vectors());
            let shortest = shortest.map(|(_, run)| run.total).min().unwrap_or(0);
            let gaps = USUAL_GAPS.iter().filter(|gap| 2 * **gap <= shortest);
            settings.insert("gaps".into(), json!(gaps.collect::<Vec<_>>()));
        }
    }
    Ok(Some(settings))
}

fn gaps_of(value: &Value) -> Vec<u64> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .collect()
}

fn check_gaps(gaps: &[u64], runs: &[(&Arm, &Run)]) -> Checked<()> {
    let mut findings = Findings::default();
    if gaps.is_empty() {
        return Ok(());
    }
    let mut silent = BTreeSet::new();
    for (arm, run) in runs {
        if !run.has_vectors() && silent.insert(arm.index) {
            let detail = format!(
                "arm {} records no vectors, which the analysis needs for its gaps; only pairs of rank 1 do",
                arm.name
            );
            let hint = "train with rank 1, or give analysis.gaps [] to look at norms, gradient norms and behaviour alone";
            findings.push(FieldError::at(arm.place("/method"), detail).hint(hint));
        }
        for (index, gap) in gaps.iter().enumerate() {
            let fits = gap.saturating_mul(2) <= run.total;
            findings.require(!run.has_vectors() || fits, || {
                let detail = format!(
                    "no step of arm {} has recorded steps {gap} before and {gap} behind it: the run has {} steps",
                    arm.name, run.total
                );
                let hint = format!("give gaps up to {}", run.total / 2);
                FieldError::at(format!("/analysis/gaps/{index}"), detail).hint(hint)
            });
        }
    }
    findings.finish()
}

fn jobs_of(spec: &ExperimentSpec, arm: &Arm, run: Option<&Run>) -> Checked<Vec<PlannedJob>> {
    let mut jobs = Vec::new();
    let mut findings = Findings::default();
    let rounds = rounds(spec, arm);
    let seeds: Vec<Option<u64>> = match run {
        Some(_) => arm.seeds.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    for seed in seeds {
        let cell = Cell { arm, run, seed };
        jobs.extend(cell.train());
        for round in &rounds {
            match cell.evaluate(round) {
                Ok(job) => jobs.extend(job),
                Err(invalid) => note(&mut findings, invalid),
            }
        }
        if !findings.is_empty() {
            break;
        }
    }
    findings.finish()?;
    Ok(jobs)
}

/// Questions that a cell is asked.
struct Round {
    /// What stands before the arm in a key.
    head: &'static str,
    /// What stands behind the seed in a key.
    tail: String,
    role: JobRole,
    asked: Asked,
    /// Where the plan of these questions lies.
    pointer: String,
    /// Where their checkpoints lie.
    steps: String,
}

fn rounds(spec: &ExperimentSpec, arm: &Arm) -> Vec<Round> {
    let Some(plan) = &spec.evaluation else {
        return Vec::new();
    };
    let first = Round {
        head: "evaluate",
        tail: String::new(),
        role: JobRole::Evaluate,
        asked: plan.asked(),
        pointer: "/evaluation".into(),
        steps: "/evaluation/checkpoints".into(),
    };
    let mut rounds = vec![first];
    for (number, steps) in plan.added_checkpoints.iter().enumerate() {
        if arm.role == Role::Base {
            continue;
        }
        rounds.push(Round {
            head: "evaluate",
            tail: format!("/added-{}", number + 1),
            role: JobRole::Evaluate,
            asked: Asked {
                checkpoints: Checkpoints::Listed(steps.clone()),
                ..plan.asked()
            },
            pointer: "/evaluation".into(),
            steps: format!("/evaluation/added_checkpoints/{number}"),
        });
    }
    let own = match (&arm.in_domain, &plan.in_domain) {
        (Some(own), _) => Some((own, format!("/arms/{}/in_domain", arm.index))),
        (None, Some(own)) => Some((own, "/evaluation/in_domain".to_owned())),
        (None, None) => None,
    };
    rounds.extend(own.map(|(own, pointer)| Round {
        head: "evaluate-in-domain",
        tail: String::new(),
        role: JobRole::EvaluateInDomain,
        asked: plan.own_domain(own),
        steps: match own.checkpoints {
            Some(_) => format!("{pointer}/checkpoints"),
            None => "/evaluation/checkpoints".into(),
        },
        pointer,
    }));
    rounds
}

/// An arm with one seed.
struct Cell<'a> {
    arm: &'a Arm,
    run: Option<&'a Run>,
    seed: Option<u64>,
}

impl Cell<'_> {
    fn key(&self, head: &str, tail: &str) -> String {
        let seed = self.seed.map_or(String::new(), |seed| format!("/{seed}"));
        format!("{head}/{}{seed}{tail}", self.arm.name)
    }

    fn job(&self, key: String, role: JobRole, body: Value, origin: Origin) -> PlannedJob {
        PlannedJob {
            key,
            role,
            arm: Some(self.arm.name.clone()),
            seed: self.seed,
            parents: Vec::new(),
            body,
            origin,
        }
    }

    fn origin(&self) -> Origin {
        Origin {
            arm: self.arm.index,
            grid: self.arm.grid.clone(),
            evaluation: None,
        }
    }

    fn train(&self) -> Option<PlannedJob> {
        let (run, seed) = (self.run?, self.seed?);
        let spec = FinetuneSpec {
            seed,
            ..run.spec.clone()
        };
        let body = stored(&JobSpec::Finetune(Box::new(spec)));
        Some(self.job(self.key("train", ""), JobRole::Train, body, self.origin()))
    }

    /// The questions of `round`; none where there is nothing to ask.
    fn evaluate(&self, round: &Round) -> Checked<Option<PlannedJob>> {
        let asked = &round.asked;
        let mut body = asked.body.clone();
        body.insert("kind".into(), json!("evaluate"));
        let (target, parents) = match self.run {
            None => {
                body.insert("base_model".into(), json!(self.arm.base_model));
                (json!({"base": true}), Vec::new())
            }
            Some(run) => {
                let train = self.key("train", "");
                let steps = steps(run, &asked.checkpoints, self.arm, &round.steps)?;
                let target =
                    json!({"job": planned(&train), "steps": steps, "scales": asked.scales});
                (target, vec![train])
            }
        };
        body.insert("targets".into(), json!([target]));
        let origin = Origin {
            evaluation: Some(round.pointer.clone()),
            ..self.origin()
        };
        let key = self.key(round.head, &round.tail);
        let mut job = self.job(key, round.role, Value::Object(body), origin);
        job.parents = parents;
        Ok(Some(job))
    }
}

/// What stands for the id of a job that is not there yet.
pub(super) fn planned(key: &str) -> Value {
    json!({"planned": key})
}

fn analysis_job(
    arms: &[ExperimentArm],
    jobs: &[PlannedJob],
    settings: &Map<String, Value>,
) -> Option<PlannedJob> {
    let members = jobs.iter().map(|job| super::Member {
        role: job.role,
        arm: job.arm.as_deref(),
        seed: job.seed,
        job: planned(&job.key),
    });
    let members: Vec<_> = members.collect();
    let body = super::analysis_body(arms, &members, settings)?;
    Some(PlannedJob {
        key: "analyze".into(),
        role: JobRole::Analyze,
        arm: None,
        seed: None,
        parents: jobs.iter().map(|job| job.key.clone()).collect(),
        body,
        origin: Origin::default(),
    })
}
