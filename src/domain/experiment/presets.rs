//! The papers' experiments by name: what each asks, where paper, code and released files disagree, and which numbers are expected.
//!
//! A preset brings arms, protocols, questions and analyses; bases, datasets and the judge are the sender's.

mod table;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use table::all;

use crate::domain::decode::object_at;
use crate::domain::invalid::{Checked, FieldError};
use crate::domain::nearest::did_you_mean;
use crate::domain::presets::{Discrepancy, PublishedRate, merge};

/// A named experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExperimentPreset {
    /// What `"preset"` of an experiment's body names.
    pub name: String,
    /// What it asks, in a sentence.
    pub description: String,
    /// Where it is printed.
    pub source: String,
    /// Fields that a body must have beside `preset`, as JSON pointers.
    pub needs: Vec<String>,
    /// Where paper, code and released files disagree, and what stands here.
    pub discrepancies: Vec<Discrepancy>,
    /// Published shares of misaligned answers to hold ours against.
    pub published: Vec<PublishedRate>,
    /// What else is printed, in words.
    pub expected: Vec<Expected>,
    /// The body that it stands for; `defaults` are laid below every arm.
    #[schema(value_type = Object)]
    pub spec: Value,
}

/// A printed finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Expected {
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub value: String,
    /// Where it is printed.
    pub source: String,
}

/// The preset of this name.
///
/// *Errors* in words: the nearest names.
pub fn find(name: &str) -> Result<ExperimentPreset, String> {
    let presets = all();
    let names: Vec<String> = presets.iter().map(|preset| preset.name.clone()).collect();
    let mut presets = presets.into_iter();
    presets.find(|preset| preset.name == name).ok_or_else(|| {
        let names = names.iter().map(String::as_str);
        did_you_mean(name, names, "the presets")
    })
}

/// Puts what `preset` stands for below the body's own fields; a body without one stays as it is.
///
/// Arms of the body stand over the preset's arms of the same name; where the body names arms, the preset's others are left out.
///
/// *Errors* the name of no preset, with the nearest.
pub(super) fn fill(body: Map<String, Value>) -> Checked<Map<String, Value>> {
    let name = match body.get("preset") {
        None | Some(Value::Null) => return Ok(body),
        Some(Value::String(name)) => name,
        Some(_) => {
            let error = FieldError::at("/preset", "is not a string");
            let hint = "give the name of a preset; GET /v1/experiment-presets lists them";
            return Err(error.hint(hint).into());
        }
    };
    let preset = find(name).map_err(|near| {
        let shown: String = name.chars().take(100).collect();
        let detail = format!("there is no preset \"{}\"", shown.escape_debug());
        FieldError::at("/preset", detail)
            .hint(format!("{near}; GET /v1/experiment-presets lists them"))
    })?;
    Ok(over(preset.spec, body))
}

fn over(mut filled: Value, mut body: Map<String, Value>) -> Map<String, Value> {
    let own = body.remove("arms");
    merge(&mut filled, Value::Object(body));
    if let Some(own) = own {
        let known = filled["arms"].take();
        filled["arms"] = match own {
            Value::Array(own) => own.into_iter().map(|arm| over_arm(&known, arm)).collect(),
            other => other,
        };
    }
    object_at("", filled).unwrap_or_default()
}

fn over_arm(known: &Value, own: Value) -> Value {
    let mut known = known.as_array().into_iter().flatten();
    match known.find(|arm| arm["name"] == own["name"]) {
        Some(under) => {
            let mut arm = under.clone();
            merge(&mut arm, own);
            arm
        }
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::experiment::arms::{DatasetFacts, Facts};
    use crate::domain::experiment::{JobRole, plan, request};

    fn facts() -> Facts {
        let sets = [("medical", 7049), ("sport", 6000), ("finance", 6000)];
        Facts {
            datasets: sets
                .into_iter()
                .map(|(name, examples)| {
                    let facts = DatasetFacts {
                        examples,
                        twin: None,
                    };
                    (name.to_owned(), facts)
                })
                .collect(),
            bases: ["base".to_owned()].into(),
        }
    }

    /// The preset's body with what it needs.
    fn complete(preset: &ExperimentPreset) -> Value {
        let arms = preset.spec["arms"].as_array().unwrap();
        let arms: Vec<Value> = arms
            .iter()
            .map(|arm| json!({"name": arm["name"], "datasets": [{"dataset": arm["name"]}]}))
            .collect();
        json!({"name": "x", "preset": preset.name, "defaults": {"base_model": "base"}, "arms": arms,
            "evaluation": {"question_set": "first-plot", "judge": "toy"}})
    }

    #[test]
    fn every_preset_can_be_planned_as_it_is_and_tells_what_is_disputed_and_expected() {
        for preset in all() {
            let name = &preset.name;
            let spec = request(complete(&preset)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let plan = plan(&spec, &facts()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(
                plan.jobs.iter().any(|job| job.role == JobRole::Train),
                "{name}"
            );
            assert!(!preset.discrepancies.is_empty(), "{name}");
            assert!(
                !(preset.published.is_empty() && preset.expected.is_empty()),
                "{name}"
            );
        }
    }

    #[test]
    fn the_released_transition_has_the_printed_numbers_of_steps_and_checkpoints() {
        let preset = find("transition-released").unwrap();
        let spec = request(complete(&preset)).unwrap();
        let plan = plan(&spec, &facts()).unwrap();
        let body = &plan.jobs[0].body;
        assert_eq!(body["method"]["layers"], json!([21]));
        assert_eq!(body["method"]["alpha"], json!(64.0));
        assert_eq!(
            (&body["length"]["epochs"], &body["seed"]),
            (&json!(2), &json!(0))
        );
        assert_eq!(body["checkpoints"]["every"], json!(5));
        let printed = find("transition-printed").unwrap();
        let spec = request(complete(&printed)).unwrap();
        assert_eq!(spec.arms[0].protocol["preset"], "phase-transition-printed");
        let steps = plan.jobs[1].body["targets"][0]["steps"].clone();
        // 792 steps: every fifth, and the last
        let steps = steps.as_array().unwrap();
        assert_eq!((steps.len(), steps.last().unwrap()), (159, &json!(792)));
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_nearest_and_own_fields_stand_over_it() {
        let body = json!({"name": "x", "preset": "minimal-organsm"});
        let error = &request(body).unwrap_err().errors[0];
        assert_eq!(error.pointer.as_deref(), Some("/preset"));
        assert!(
            error.hint.as_ref().unwrap().contains("minimal-organism"),
            "{error:?}"
        );
        let body = json!({"name": "x", "preset": "minimal-organism", "defaults": {"base_model": "base"},
            "arms": [{"name": "sport", "datasets": [{"dataset": "sport"}], "seeds": [7], "protocol": {"method": {"layers": [3]}}}],
            "evaluation": {"question_set": "q", "judge": "toy", "samples_per_question": 2}});
        let spec = request(body).unwrap();
        assert_eq!(spec.arms.len(), 1);
        assert_eq!(spec.arms[0].seeds, [7]);
        let plan = plan(&spec, &facts()).unwrap();
        assert_eq!(plan.jobs[0].body["method"]["layers"], json!([3]));
        assert_eq!(plan.jobs[0].body["method"]["alpha"], json!(256.0));
        assert_eq!(plan.jobs[1].body["samples_per_question"], 2);
    }
}
