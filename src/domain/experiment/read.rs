//! From a posted body, JSON or YAML, to a complete spec or to everything that is wrong with it. Asks nobody whether what is named exists.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::presets;
use super::{
    ArmSpec, Checkpoints, CheckpointsName, Controls, EvaluationPlan, ExperimentSpec, Grid,
    InDomain, Role,
};
use crate::domain::analysis;
use crate::domain::assets::check_name;
use crate::domain::decode::{decode_at, escape, kind_of, object_at};
use crate::domain::invalid::{Checked, FieldError, Findings, Invalid};
use crate::domain::job::{JobEnvelope, JobSpec};
use crate::domain::presets::merge;
use crate::domain::requests::bounds::{Check, LARGEST_SEED};
use crate::domain::requests::fields::Fields;
use crate::domain::requests::{LONGEST_NAME, job_request, refuse_nul, stored};

/// Most arms before grids are expanded.
const MOST_ARMS: usize = 200;
/// Most seeds of an arm.
const MOST_SEEDS: usize = 100;
/// Most steps that may be listed, and most scales.
const MOST_LISTED: usize = 1000;
/// Fields of a fine-tune that are an arm's own or the experiment's.
const NOT_OF_A_PROTOCOL: [&str; 8] = [
    "kind",
    "base_model",
    "datasets",
    "seed",
    "name",
    "priority",
    "dedup",
    "tags",
];
/// Fields of an evaluation that the planner fills in.
const NOT_OF_AN_EVALUATION: [&str; 7] = [
    "kind",
    "base_model",
    "targets",
    "name",
    "dedup",
    "priority",
    "tags",
];
/// Fields of the evaluation that questions of the own domain do not take over: they speak of other questions.
const OF_ONE_SET: [&str; 2] = ["question_set", "select"];

/// Reads the body of `POST /v1/experiments`; a preset, arms' defaults and the server's own are filled in.
///
/// *Errors*: all that can be found at once, each with the pointer of its place.
pub fn request(body: Value) -> Checked<ExperimentSpec> {
    refuse_nul("", &body)?;
    let body = presets::fill(object_at("", body)?)?;
    let mut fields = Fields::new("", body);
    let name = fields.required::<String>("name", "call the experiment something");
    let description = fields.optional("description");
    let preset = fields.optional("preset");
    let defaults = fields.or("defaults", Map::new());
    let defaults = defaults.unwrap_or_default();
    let hint = "give a list such as [{\"name\":\"bad\",\"base_model\":…,\"datasets\":[…],\"protocol\":{…}}]";
    let arms = fields.list("arms", hint, |pointer, value| {
        arm(pointer, value, &defaults)
    });
    let evaluation = fields.optional::<Value>("evaluation");
    let evaluation = evaluation.and_then(|value| {
        let read = value.map(|value| evaluation_plan("/evaluation", value));
        fields.note(read.transpose())
    });
    let analysis = match fields.has("analysis") {
        true => fields.optional::<Value>("analysis"),
        false => Some(Some(json!({}))),
    };
    let analysis = analysis.and_then(|value| {
        let read = value.map(|value| analysis_settings("/analysis", value));
        fields.note(read.transpose())
    });
    let priority = fields.or("priority", Default::default());
    let tags = fields.or("tags", BTreeMap::<String, String>::new());
    let spec = (|| {
        Some(ExperimentSpec {
            name: name?,
            description: description?,
            preset: preset?,
            arms: arms?,
            evaluation: evaluation?,
            analysis: analysis?,
            priority: priority?,
            tags: tags?,
        })
    })();
    let spec = fields.finish(spec)?;
    check(&spec)?;
    Ok(spec)
}

/// Arms and checkpoints that are to join an experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Addition {
    /// Further arms.
    pub arms: Vec<ArmSpec>,
    /// Further checkpoints of every arm.
    pub checkpoints: Vec<u64>,
}

/// Reads the body of `POST /v1/experiments/{id}/arms`: `arms`, `checkpoints` (a list of steps), or both.
///
/// *Errors* as [`request`].
pub fn addition(body: Value) -> Checked<Addition> {
    refuse_nul("", &body)?;
    let mut fields = Fields::new("", object_at("", body)?);
    let defaults = fields.or("defaults", Map::new()).unwrap_or_default();
    let arms = match fields.has("arms") {
        true => fields.list("arms", "give a list of arms", |pointer, value| {
            arm(pointer, value, &defaults)
        }),
        false => Some(Vec::new()),
    };
    let checkpoints = fields.or("checkpoints", Vec::<u64>::new());
    let read = arms.zip(checkpoints);
    let (arms, checkpoints) = fields.finish(read)?;
    let mut findings = Findings::default();
    findings.require(!(arms.is_empty() && checkpoints.is_empty()), || {
        FieldError::at("", "nothing is to be added").hint("give arms, checkpoints or both")
    });
    check_steps(&mut findings, "", "checkpoints", &checkpoints);
    findings.finish()?;
    Ok(Addition { arms, checkpoints })
}

impl ExperimentSpec {
    /// The same experiment with more arms and checkpoints.
    ///
    /// *Errors*: an arm whose name is taken; checkpoints where nothing is asked. Pointers are those of the addition.
    pub fn with(&self, addition: Addition) -> Checked<Self> {
        let mut spec = self.clone();
        let mut findings = Findings::default();
        for (index, arm) in addition.arms.iter().enumerate() {
            findings.require(spec.arms.iter().all(|known| known.name != arm.name), || {
                let detail = format!("there is an arm \"{}\" already", arm.name);
                FieldError::at(format!("/arms/{index}/name"), detail).hint("choose another name")
            });
        }
        findings.finish()?;
        spec.arms.extend(addition.arms);
        if !addition.checkpoints.is_empty() {
            let Some(evaluation) = &mut spec.evaluation else {
                let error = FieldError::at("/checkpoints", "the experiment asks no questions");
                return Err(error
                    .hint("post a new experiment with an evaluation")
                    .into());
            };
            evaluation.added_checkpoints.push(addition.checkpoints);
        }
        check(&spec)?;
        Ok(spec)
    }
}

fn arm(pointer: &str, value: Value, defaults: &Map<String, Value>) -> Checked<ArmSpec> {
    let own = object_at(pointer, value)?;
    let mut whole = Value::Object(defaults.clone());
    merge(&mut whole, Value::Object(own));
    let mut fields = Fields::new(pointer, object_at(pointer, whole)?);
    let name = fields.required("name", "give each arm a name");
    let base_model = fields.required("base_model", "give the id or name of a base model");
    let hint = "give a list such as [{\"dataset\":\"bad-medicine\"}]";
    let datasets = fields.list("datasets", hint, |pointer, value| {
        object_at(pointer, value).map(Value::Object)
    });
    let hint = "give the fields of a fine-tune, such as {\"preset\":\"rank-1-minimal\"}";
    let protocol = fields.required_section::<Map<String, Value>>("protocol", hint);
    let seeds = fields.or("seeds", vec![0]);
    let grid = fields.or("grid", Grid::new());
    let controls = fields.or("controls", json!(false));
    let place = fields.at("controls");
    let controls = controls.and_then(|value| fields.note(controls_of(&place, value)));
    let role = match fields.has("role") {
        true => fields
            .optional::<Role>("role")
            .map(|role| role.unwrap_or(Role::Null)),
        false => Some(Role::Treatment),
    };
    let in_domain = fields.optional::<Value>("in_domain");
    let place = fields.at("in_domain");
    let in_domain = in_domain.and_then(|value| {
        let read = value.map(|value| in_domain_of(&place, value));
        fields.note(read.transpose())
    });
    let arm = (|| {
        Some(ArmSpec {
            name: name?,
            base_model: base_model?,
            datasets: datasets?,
            protocol: protocol?,
            seeds: seeds?,
            grid: grid?,
            controls: controls?,
            role: role?,
            in_domain: in_domain?,
        })
    })();
    let arm = fields.finish(arm)?;
    check_arm(pointer, &arm)?;
    Ok(arm)
}

fn controls_of(pointer: &str, value: Value) -> Checked<Controls> {
    match value {
        Value::Bool(both) => Ok(Controls {
            good_twin: both,
            base: both,
        }),
        Value::Object(_) => decode_at(pointer, value),
        other => {
            let detail = format!(
                "expected true, false or an object, found {}",
                kind_of(&other)
            );
            let hint = "give true for both controls, or {\"good_twin\":…,\"base\":…}";
            Err(FieldError::at(pointer, detail).hint(hint).into())
        }
    }
}

fn check_arm(pointer: &str, arm: &ArmSpec) -> Checked<()> {
    let mut findings = Findings::default();
    if let Err(Invalid { errors }) = check_name(&format!("{pointer}/name"), &arm.name) {
        errors.into_iter().for_each(|error| findings.push(error));
    }
    for key in NOT_OF_A_PROTOCOL {
        findings.require(!arm.protocol.contains_key(key), || {
            let detail = format!("`{key}` does not belong to a protocol");
            let hint = match key {
                "seed" => "give seeds beside the protocol",
                "base_model" | "datasets" => "give it beside the protocol",
                _ => "leave it out",
            };
            FieldError::at(format!("{pointer}/protocol/{key}"), detail).hint(hint)
        });
    }
    findings.require(matches!(arm.role, Role::Treatment | Role::Null), || {
        let hint = "give \"treatment\" or \"null\"; controls make the other arms";
        let detail = format!("\"{}\" cannot be asked for", arm.role.name());
        FieldError::at(format!("{pointer}/role"), detail).hint(hint)
    });
    for (key, values) in &arm.grid {
        findings.require(!values.is_empty(), || {
            let place = format!("{pointer}/grid/{}", escape(key));
            FieldError::at(place, "a list of nothing").hint("give at least one value")
        });
    }
    let mut place = Check::below(&mut findings, pointer);
    place.length("seeds", arm.seeds.len(), 1..=MOST_SEEDS);
    place.unique("seeds", &arm.seeds, ToString::to_string);
    for (index, seed) in arm.seeds.iter().enumerate() {
        place.whole(format_args!("seeds/{index}"), *seed, 0..=LARGEST_SEED);
    }
    findings.finish()
}

fn check(spec: &ExperimentSpec) -> Checked<()> {
    let mut findings = Findings::default();
    let mut top = Check::below(&mut findings, "");
    let line = |text: &str| !text.trim().is_empty() && !text.contains(char::is_control);
    if !line(&spec.name) || spec.name.chars().count() > LONGEST_NAME {
        let wanted = format!("give 1 to {LONGEST_NAME} characters on one line");
        top.refuse("name", "this text", &wanted);
    }
    top.length("arms", spec.arms.len(), 1..=MOST_ARMS);
    let names: Vec<&str> = spec.arms.iter().map(|arm| arm.name.as_str()).collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            let found = format!("\"{name}\" a second time");
            top.refuse(
                format_args!("arms/{index}/name"),
                found,
                "name every arm once",
            );
        }
    }
    let asks = spec.evaluation.as_ref();
    for (index, arm) in spec.arms.iter().enumerate() {
        findings.require(arm.in_domain.is_none() || asks.is_some(), || {
            let detail = "needs an evaluation, whose judge and samples it takes";
            FieldError::at(format!("/arms/{index}/in_domain"), detail).hint("give evaluation")
        });
        if let (Some(own), Some(plan)) = (&arm.in_domain, asks) {
            let place = format!("/arms/{index}/in_domain");
            note(&mut findings, plan.own_domain(own).check(&place));
        }
    }
    findings.finish()
}

fn note(findings: &mut Findings, checked: Checked<()>) {
    if let Err(Invalid { errors }) = checked {
        errors.into_iter().for_each(|error| findings.push(error));
    }
}

fn evaluation_plan(pointer: &str, value: Value) -> Checked<EvaluationPlan> {
    let mut body = object_at(pointer, value)?;
    refuse_keys(pointer, &body, &NOT_OF_AN_EVALUATION)?;
    let checkpoints = take(pointer, &mut body, "checkpoints", checkpoints_of)?;
    let scales = take(pointer, &mut body, "scales", decode_at::<Vec<f64>>)?;
    let added = take(pointer, &mut body, "added_checkpoints", decode_at)?;
    let in_domain = match body.remove("in_domain") {
        None | Some(Value::Null) => None,
        Some(value) => Some(in_domain_of(&format!("{pointer}/in_domain"), value)?),
    };
    let mut plan = EvaluationPlan {
        body,
        checkpoints: checkpoints.unwrap_or(Checkpoints::Named(CheckpointsName::Final)),
        added_checkpoints: added.unwrap_or_default(),
        scales: scales.unwrap_or_else(|| vec![1.0]),
        in_domain,
    };
    plan.body = filled(pointer, &plan.body)?;
    let mut findings = Findings::default();
    note(&mut findings, plan.asked().check(pointer));
    if let Some(own) = &plan.in_domain {
        let place = format!("{pointer}/in_domain");
        note(&mut findings, plan.own_domain(own).check(&place));
    }
    findings.finish()?;
    Ok(plan)
}

fn in_domain_of(pointer: &str, value: Value) -> Checked<InDomain> {
    let mut body = object_at(pointer, value)?;
    refuse_keys(pointer, &body, &NOT_OF_AN_EVALUATION)?;
    let checkpoints = take(pointer, &mut body, "checkpoints", checkpoints_of)?;
    let scales = take(pointer, &mut body, "scales", decode_at)?;
    if !body.contains_key("question_set") {
        let error = FieldError::at(
            format!("{pointer}/question_set"),
            "`question_set` is missing",
        );
        return Err(error
            .hint("name the set of the domain's own questions")
            .into());
    }
    Ok(InDomain {
        body,
        checkpoints,
        scales: scales.unwrap_or_else(|| vec![1.0]),
    })
}

fn refuse_keys(pointer: &str, body: &Map<String, Value>, keys: &[&str]) -> Checked<()> {
    let mut findings = Findings::default();
    for key in keys.iter().filter(|key| body.contains_key(**key)) {
        let detail = format!("`{key}` is filled in for each arm");
        findings.push(FieldError::at(format!("{pointer}/{key}"), detail).hint("leave it out"));
    }
    findings.finish()
}

fn take<T>(
    pointer: &str,
    body: &mut Map<String, Value>,
    key: &str,
    read: impl Fn(&str, Value) -> Checked<T>,
) -> Checked<Option<T>> {
    let value = body.remove(key).filter(|value| !value.is_null());
    value
        .map(|value| read(&format!("{pointer}/{key}"), value))
        .transpose()
}

fn checkpoints_of(pointer: &str, value: Value) -> Checked<Checkpoints> {
    let hint = "give \"all\", \"final\", {\"every\":5} or a list of steps";
    let refused =
        |found: &str| FieldError::at(pointer, format!("{found} cannot be used")).hint(hint);
    match &value {
        Value::String(text) if text == "all" => Ok(Checkpoints::Named(CheckpointsName::All)),
        Value::String(text) if text == "final" => Ok(Checkpoints::Named(CheckpointsName::Final)),
        Value::Array(_) => decode_at(pointer, value).map(Checkpoints::Listed),
        Value::Object(map) if map.len() == 1 && map.contains_key("every") => {
            let every = decode_at::<u64>(&format!("{pointer}/every"), map["every"].clone())?;
            match every {
                0 => Err(refused("every 0 steps").into()),
                every => Ok(Checkpoints::Every { every }),
            }
        }
        other => Err(refused(kind_of(other)).into()),
    }
}

/// One round of questions: the body of an evaluation but its targets, and which targets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub body: Map<String, Value>,
    pub checkpoints: Checkpoints,
    pub scales: Vec<f64>,
}

impl EvaluationPlan {
    /// The questions of the experiment.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            body: self.body.clone(),
            checkpoints: self.checkpoints.clone(),
            scales: self.scales.clone(),
        }
    }

    /// The questions of a domain: what `own` does not say is as here.
    pub(super) fn own_domain(&self, own: &InDomain) -> Asked {
        let mut body = self.body.clone();
        OF_ONE_SET.iter().for_each(|key| _ = body.remove(*key));
        for (key, value) in &own.body {
            body.insert(key.clone(), value.clone());
        }
        let checkpoints = own.checkpoints.as_ref().unwrap_or(&self.checkpoints);
        Asked {
            body,
            checkpoints: checkpoints.clone(),
            scales: own.scales.clone(),
        }
    }
}

impl Asked {
    /// What is wrong with it whatever it is asked of.
    fn check(&self, pointer: &str) -> Checked<()> {
        let mut findings = Findings::default();
        note(&mut findings, filled(pointer, &self.body).map(|_| ()));
        if let Checkpoints::Listed(steps) = &self.checkpoints {
            check_steps(&mut findings, pointer, "checkpoints", steps);
            findings.require(!steps.is_empty(), || {
                let error = FieldError::at(format!("{pointer}/checkpoints"), "a list of nothing");
                error.hint("give at least one step, \"all\" or \"final\"")
            });
        }
        let mut place = Check::below(&mut findings, pointer);
        place.length("scales", self.scales.len(), 1..=MOST_LISTED);
        place.unique("scales", &self.scales, ToString::to_string);
        findings.finish()
    }
}

fn check_steps(findings: &mut Findings, pointer: &str, key: &str, steps: &[u64]) {
    let mut place = Check::below(findings, pointer);
    place.length(key, steps.len(), 0..=MOST_LISTED);
    place.unique(key, steps, ToString::to_string);
    for (index, step) in steps.iter().enumerate() {
        place.whole(format_args!("{key}/{index}"), *step, 1..=LARGEST_SEED);
    }
}

/// An evaluation's body with its defaults, read as if the base were asked.
fn filled(pointer: &str, body: &Map<String, Value>) -> Checked<Map<String, Value>> {
    let mut whole = body.clone();
    whole.insert("kind".into(), json!("evaluate"));
    whole.insert("base_model".into(), json!("base"));
    whole.insert("targets".into(), json!([{"base": true}]));
    let (_, spec): (JobEnvelope, JobSpec) =
        job_request(Value::Object(whole)).map_err(|invalid| below(pointer, invalid))?;
    let mut filled = object_at(pointer, stored(&spec))?;
    let planned = ["kind", "base_model", "targets"];
    planned.iter().for_each(|key| _ = filled.remove(*key));
    Ok(filled)
}

/// The same errors in a value that lies at `pointer`.
pub(super) fn below(pointer: &str, mut invalid: Invalid) -> Invalid {
    for error in &mut invalid.errors {
        let own = error.pointer.take().unwrap_or_default();
        error.pointer = Some(format!("{pointer}{own}"));
    }
    invalid
}

/// Settings as they were given, looked at as an analysis will.
fn analysis_settings(pointer: &str, value: Value) -> Checked<Map<String, Value>> {
    analysis::read(pointer, value.clone())?;
    object_at(pointer, value)
}

#[cfg(test)]
mod tests;
