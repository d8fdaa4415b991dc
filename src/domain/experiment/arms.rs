//! From the arms of a spec to the arms that are run: grids expanded, controls beside them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::read::below;
use super::{ArmSpec, ExperimentArm, ExperimentSpec, InDomain, MOST_JOBS, Role};
use crate::domain::decode::escape;
use crate::domain::finetune::FinetuneSpec;
use crate::domain::invalid::{Checked, FieldError, Findings, Invalid};
use crate::domain::job::JobSpec;
use crate::domain::requests::fit::missing;
use crate::domain::requests::job_request;

/// What a spec names and what is there under these names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Datasets by the name or id that the spec, or another dataset's `twin`, has for them.
    pub datasets: BTreeMap<String, DatasetFacts>,
    /// Names and ids of base models that exist.
    pub bases: BTreeSet<String>,
}

/// What the planner has to know of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetFacts {
    /// Its rows.
    pub examples: u64,
    /// Its declared twin.
    pub twin: Option<String>,
}

/// Names of everything that a spec's arms need, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Datasets.
    pub datasets: BTreeSet<String>,
    /// Base models.
    pub bases: BTreeSet<String>,
}

/// The grid's word for the base.
const BASE_MODEL: &str = "base_model";
/// The grid's word for a single dataset.
const DATASET: &str = "dataset";

/// What must be looked up before a spec can be planned.
pub fn names(spec: &ExperimentSpec) -> Names {
    let mut names = Names::default();
    for arm in &spec.arms {
        names.bases.insert(arm.base_model.clone());
        names
            .datasets
            .extend(arm.datasets.iter().filter_map(name_of));
        let values = |key| arm.grid.get(key).into_iter().flatten();
        let texts = |key| values(key).filter_map(Value::as_str).map(str::to_owned);
        names.bases.extend(texts(BASE_MODEL));
        names.datasets.extend(texts(DATASET));
    }
    names
}

fn name_of(dataset: &Value) -> Option<String> {
    dataset["dataset"].as_str().map(str::to_owned)
}

/// An arm that is run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arm {
    /// Place of the arm in the spec that it stands for.
    pub index: usize,
    pub name: String,
    pub role: Role,
    pub base_model: String,
    pub datasets: Vec<Value>,
    pub protocol: Map<String, Value>,
    pub seeds: Vec<u64>,
    pub in_domain: Option<InDomain>,
    /// Keys of the grid that made it.
    pub grid: Vec<String>,
}

impl Arm {
    /// As the API shows it.
    pub fn shown(&self) -> ExperimentArm {
        ExperimentArm {
            name: self.name.clone(),
            role: self.role,
            base_model: self.base_model.clone(),
            datasets: self.datasets.iter().filter_map(name_of).collect(),
            seeds: self.seeds.clone(),
        }
    }

    /// The body of its fine-tune with `seed`.
    pub fn body(&self, seed: u64) -> Map<String, Value> {
        let mut body = self.protocol.clone();
        body.insert("kind".into(), json!("finetune"));
        body.insert("base_model".into(), json!(self.base_model));
        body.insert("datasets".into(), json!(self.datasets));
        body.insert("seed".into(), json!(seed));
        body
    }

    /// Where in the experiment's body that lies which is at `pointer` in the fine-tune's.
    pub fn place(&self, pointer: &str) -> String {
        place(self.index, &self.grid, pointer)
    }

    /// Its fine-tune, read as it will be.
    pub fn read(&self) -> Checked<FinetuneSpec> {
        let read = job_request(Value::Object(
            self.body(self.seeds.first().copied().unwrap_or(0)),
        ));
        let placed = |mut invalid: Invalid| {
            for error in &mut invalid.errors {
                let own = error.pointer.take().unwrap_or_default();
                error.pointer = Some(self.place(&own));
            }
            invalid
        };
        match read.map_err(placed)? {
            (_, JobSpec::Finetune(spec)) => Ok(*spec),
            _ => Err(below(
                &format!("/arms/{}/protocol", self.index),
                FieldError::at("/origin", "an arm is trained, not imported").into(),
            )),
        }
    }
}

/// Where that lies which is at `pointer` in the fine-tune of an arm.
pub(super) fn place(index: usize, grid: &[String], pointer: &str) -> String {
    let arm = format!("/arms/{index}");
    let path = pointer.trim_start_matches('/').replace('/', ".");
    let from_grid = |key: &&String| match key.as_str() {
        DATASET => path.starts_with("datasets"),
        key => path == key || path.starts_with(&format!("{key}.")),
    };
    if let Some(key) = grid.iter().find(from_grid) {
        return format!("{arm}/grid/{}", escape(key));
    }
    match pointer.split('/').nth(1) {
        Some("base_model" | "datasets") => format!("{arm}{pointer}"),
        Some("seed") => format!("{arm}/seeds"),
        _ => format!("{arm}/protocol{pointer}"),
    }
}

/// The arms that are run, in the order of the spec, each followed by its controls.
///
/// *Errors*: what a name stands for does not exist, a control has no twin, a grid's path leads nowhere, too many arms.
pub(super) fn expand(spec: &ExperimentSpec, facts: &Facts) -> Checked<Vec<Arm>> {
    check_size(spec)?;
    let mut findings = Findings::default();
    let mut arms: Vec<Arm> = Vec::new();
    for (index, arm) in spec.arms.iter().enumerate() {
        match of_arm(index, arm, facts) {
            Ok(more) => arms.extend(more),
            Err(invalid) => invalid.errors.into_iter().for_each(|e| findings.push(e)),
        }
    }
    findings.finish()?;
    let mut asked: Vec<(String, Option<InDomain>)> = Vec::new();
    arms.retain(|arm| {
        let base = (arm.base_model.clone(), arm.in_domain.clone());
        let known = arm.role == Role::Base && asked.contains(&base);
        if arm.role == Role::Base && !known {
            asked.push(base);
        }
        !known
    });
    check_names(&arms)?;
    Ok(arms)
}

/// Refuses what would become too many jobs before anything is expanded.
fn check_size(spec: &ExperimentSpec) -> Checked<()> {
    let mut jobs = 0usize;
    for (index, arm) in spec.arms.iter().enumerate() {
        let combinations = arm.grid.values().map(Vec::len);
        let arms = combinations.fold(1usize, usize::saturating_mul);
        let twins = 1 + usize::from(arm.controls.good_twin);
        let rounds = spec.evaluation.as_ref().map_or(0, |plan| {
            let own = arm.in_domain.is_some() || plan.in_domain.is_some();
            1 + plan.added_checkpoints.len() + usize::from(own)
        });
        let cells = arms.saturating_mul(twins).saturating_mul(arm.seeds.len());
        jobs = jobs.saturating_add(cells.saturating_mul(1 + rounds));
        if jobs > MOST_JOBS {
            let place = match arm.grid.is_empty() {
                true => "/arms".to_owned(),
                false => format!("/arms/{index}/grid"),
            };
            let detail = format!(
                "the arms up to \"{}\" make {jobs} jobs, more than {MOST_JOBS}",
                arm.name
            );
            let hint = "give fewer values, seeds or arms, or post several experiments; equal jobs are shared";
            return Err(FieldError::at(place, detail).hint(hint).into());
        }
    }
    Ok(())
}

fn check_names(arms: &[Arm]) -> Checked<()> {
    let mut seen = BTreeSet::new();
    let mut findings = Findings::default();
    for arm in arms {
        findings.require(seen.insert(arm.name.as_str()), || {
            let detail = format!("two arms would be called \"{}\"", arm.name);
            FieldError::at(format!("/arms/{}", arm.index), detail)
                .hint("rename the arm, or list every value of its grid once")
        });
    }
    findings.finish()
}

fn of_arm(index: usize, spec: &ArmSpec, facts: &Facts) -> Checked<Vec<Arm>> {
    let mut arms = Vec::new();
    let mut findings = Findings::default();
    for values in combinations(spec) {
        match treated(index, spec, &values).and_then(|arm| with_controls(spec, arm, facts)) {
            Ok(more) => arms.extend(more),
            Err(invalid) => {
                // the same mistake in every combination is one mistake
                for error in invalid.errors {
                    findings.push(error);
                }
                break;
            }
        }
    }
    findings.finish()?;
    Ok(arms)
}

/// One value for each key of the grid, in all ways; the last key changes fastest.
fn combinations(spec: &ArmSpec) -> Vec<Vec<(&String, &Value)>> {
    let mut all = vec![Vec::new()];
    for (key, values) in &spec.grid {
        let mut longer = Vec::new();
        for one in &all {
            for value in values {
                let mut one: Vec<(&String, &Value)> = one.clone();
                one.push((key, value));
                longer.push(one);
            }
        }
        all = longer;
    }
    all
}

fn treated(index: usize, spec: &ArmSpec, values: &[(&String, &Value)]) -> Checked<Arm> {
    let mut arm = Arm {
        index,
        name: spec.name.clone(),
        role: spec.role,
        base_model: spec.base_model.clone(),
        datasets: spec.datasets.clone(),
        protocol: spec.protocol.clone(),
        seeds: spec.seeds.clone(),
        in_domain: spec.in_domain.clone(),
        grid: values.iter().map(|(key, _)| (*key).clone()).collect(),
    };
    let labels = values.iter().map(|(key, value)| label(key, value));
    let labels: Vec<String> = labels.collect();
    if !labels.is_empty() {
        arm.name = format!("{}/{}", spec.name, labels.join(","));
    }
    for (key, value) in values {
        set(&mut arm, key, value).map_err(|error| {
            error.hint("give base_model, dataset, or a path in a fine-tune such as method.rank")
        })?;
    }
    Ok(arm)
}

fn label(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    }
}

fn set(arm: &mut Arm, key: &str, value: &Value) -> Result<(), FieldError> {
    let place = format!("/arms/{}/grid/{}", arm.index, escape(key));
    match (key, value) {
        (BASE_MODEL, Value::String(name)) => arm.base_model = name.clone(),
        (DATASET, Value::String(name)) => arm.datasets = vec![json!({"dataset": name})],
        (BASE_MODEL | DATASET, other) => {
            return Err(FieldError::at(place, format!("{other} is no name")));
        }
        _ => {
            let path: Vec<&str> = key.split('.').collect();
            let own = ["seed", "seeds", "kind", "datasets", "name"];
            if path.iter().any(|part| part.is_empty()) || own.contains(&path[0]) {
                let detail = format!("\"{}\" cannot be varied", key.escape_debug());
                return Err(FieldError::at(place, detail));
            }
            put(&mut arm.protocol, &path, value)
                .map_err(|part| FieldError::at(place, format!("`{part}` is not an object")))?;
        }
    }
    Ok(())
}

fn put<'a>(
    object: &mut Map<String, Value>,
    path: &[&'a str],
    value: &Value,
) -> Result<(), &'a str> {
    match path {
        [] => Ok(()),
        [last] => {
            object.insert((*last).to_owned(), value.clone());
            Ok(())
        }
        [first, rest @ ..] => match object.entry(*first).or_insert_with(|| json!({})) {
            Value::Object(inner) => put(inner, rest, value),
            _ => Err(first),
        },
    }
}

fn with_controls(spec: &ArmSpec, arm: Arm, facts: &Facts) -> Checked<Vec<Arm>> {
    let mut findings = Findings::default();
    findings.require(facts.bases.contains(&arm.base_model), || {
        missing(
            &arm.place("/base_model"),
            "base model",
            &arm.base_model,
            "/v1/base-models",
        )
    });
    for (number, dataset) in arm.datasets.iter().enumerate() {
        let Some(name) = name_of(dataset) else {
            continue;
        };
        findings.require(facts.datasets.contains_key(&name), || {
            let place = arm.place(&format!("/datasets/{number}/dataset"));
            missing(&place, "dataset", &name, "/v1/datasets")
        });
    }
    findings.finish()?;
    let mut arms = Vec::new();
    if spec.controls.good_twin {
        arms.push(twin(&arm, facts)?);
    }
    if spec.controls.base {
        arms.push(base(spec, &arm));
    }
    arms.insert(0, arm);
    Ok(arms)
}

/// The same on the twins of the datasets; a dataset among several that has none stays.
fn twin(arm: &Arm, facts: &Facts) -> Checked<Arm> {
    let mut findings = Findings::default();
    let mut datasets = arm.datasets.clone();
    let mut replaced = 0;
    for (number, dataset) in datasets.iter_mut().enumerate() {
        let Some(name) = name_of(dataset) else {
            continue;
        };
        let Some(twin) = facts
            .datasets
            .get(&name)
            .and_then(|facts| facts.twin.clone())
        else {
            continue;
        };
        findings.require(facts.datasets.contains_key(&twin), || {
            let place = arm.place(&format!("/datasets/{number}/dataset"));
            let detail = format!(
                "the twin of \"{name}\", \"{}\", does not exist",
                twin.escape_debug()
            );
            FieldError::at(place, detail)
                .hint(format!("PATCH /v1/datasets/{name} with another twin"))
        });
        dataset["dataset"] = twin.into();
        replaced += 1;
    }
    findings.require(replaced > 0, || {
        let names: Vec<String> = arm.datasets.iter().filter_map(name_of).collect();
        let detail = format!("a control on good data is asked for, and \"{}\" declares no twin", names.join("\", \""));
        let first = names.first().cloned().unwrap_or_default();
        let hint = format!(
            "PATCH /v1/datasets/{first} {{\"twin\":\"…\"}} names the dataset that differs only in being good; or give controls {{\"base\":true}}"
        );
        FieldError::at(format!("/arms/{}/controls", arm.index), detail).hint(hint)
    });
    findings.finish()?;
    Ok(Arm {
        name: format!("{}/good-twin", arm.name),
        role: Role::GoodTwin,
        datasets,
        ..arm.clone()
    })
}

/// The base alone; one for all arms of a grid that does not vary it.
fn base(spec: &ArmSpec, arm: &Arm) -> Arm {
    let of = match arm.grid.iter().any(|key| key == BASE_MODEL) {
        true => format!("{}/base_model={}", spec.name, arm.base_model),
        false => spec.name.clone(),
    };
    Arm {
        name: format!("{of}/base"),
        role: Role::Base,
        datasets: Vec::new(),
        protocol: Map::new(),
        seeds: Vec::new(),
        ..arm.clone()
    }
}
