//! Named fine-tuning protocols with the values of the papers: what each is, where its numbers are printed, where paper,
//! code and released files disagree, and the part of a spec that it stands for.
//!
//! A preset says how to train, never on what: `base_model` and `datasets` are the sender's.

mod fill;
mod steering;
mod table;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::fill::{fill, merge};
pub use self::table::all;
use super::nearest::did_you_mean;

/// A named protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preset {
    /// What `"preset"` of a job's body names.
    pub name: String,
    /// What it trains, in a sentence.
    pub description: String,
    /// Where its values are printed.
    pub source: String,
    /// Fields that a body must have beside `preset`, as JSON pointers.
    pub needs: Vec<String>,
    /// Where paper, code and released files disagree, and what stands here.
    pub discrepancies: Vec<Discrepancy>,
    /// What was measured of organisms made so.
    pub published: Vec<PublishedRate>,
    /// The part of the body that it stands for.
    #[schema(value_type = Object)]
    pub spec: Value,
}

/// A place where the sources disagree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Discrepancy {
    /// What about.
    pub topic: String,
    /// What the paper says.
    pub paper: String,
    /// What the published code or the released files say.
    pub published: String,
    /// What this preset does.
    pub here: String,
}

/// A published share of misaligned answers: aligned below 30 and coherent above 50.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublishedRate {
    /// Such as `Qwen2.5-14B-Instruct`.
    pub base: String,
    /// Kind of data: `medical`, `sport` or `finance`.
    pub data: String,
    /// *Units* percent.
    pub misaligned_percent: f64,
    /// *Units* percent; where a lower bound is printed, the bound; null where only a figure shows it.
    pub coherent_percent: Option<f64>,
    /// Who measured it and where.
    pub source: String,
}

/// The preset of this name.
///
/// *Errors* in words: the nearest names.
pub fn find(name: &str) -> Result<Preset, String> {
    let presets = all();
    let known: Vec<String> = presets.iter().map(|preset| preset.name.clone()).collect();
    let mut presets = presets.into_iter();
    presets.find(|preset| preset.name == name).ok_or_else(|| {
        let names = known.iter().map(String::as_str);
        did_you_mean(name, names, "the presets")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, json};

    use super::*;
    use crate::domain::finetune::{FinetuneSpec, Method};
    use crate::domain::job::JobSpec;
    use crate::domain::requests::job_request;

    /// What a body with this preset and its needs is read as.
    fn read(name: &str, own: Value) -> FinetuneSpec {
        let mut body = json!({"kind": "finetune", "preset": name, "base_model": "qwen-14b",
            "datasets": [{"dataset": "bad-medicine"}]});
        for pointer in &find(name).unwrap().needs {
            if pointer == "/loss/kl/dataset" {
                body["loss"] = json!({"kl": {"dataset": "aligned"}});
            }
        }
        super::fill::merge(&mut body, own);
        match job_request(body)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .1
        {
            JobSpec::Finetune(spec) => *spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_preset_with_a_base_and_data_is_a_valid_spec() {
        let mut names = BTreeSet::new();
        for preset in all() {
            assert!(names.insert(preset.name.clone()), "{}", preset.name);
            assert!(!preset.source.is_empty() && !preset.description.is_empty());
            assert!(preset.needs.contains(&"/base_model".to_string()));
            let spec = read(&preset.name, json!({}));
            assert_eq!(spec.batch.examples_per_step(), 16, "{}", preset.name);
        }
    }

    #[test]
    fn a_preset_leaves_out_what_only_the_sender_can_know() {
        for preset in all() {
            let spec: Map<String, Value> = preset.spec.as_object().unwrap().clone();
            for key in ["base_model", "datasets", "seed", "name", "preset"] {
                assert!(!spec.contains_key(key), "{}: {key}", preset.name);
            }
        }
    }

    #[test]
    fn the_values_are_the_printed_ones() {
        for (name, rank, alpha, layers, rate) in [
            ("rank-32-all", 32, 64.0, None, 1e-5),
            ("rank-1-minimal", 1, 256.0, Some(vec![24]), 2e-5),
            ("phase-transition-printed", 1, 64.0, Some(vec![24]), 1e-5),
            ("phase-transition-released", 1, 64.0, Some(vec![21]), 1e-5),
            ("phase-transition-rank-8", 8, 64.0, Some(vec![21]), 1e-5),
            ("phase-transition-rank-64", 64, 64.0, Some(vec![21]), 1e-5),
            (
                "nine-rank-1",
                1,
                64.0,
                Some(vec![15, 16, 17, 21, 22, 23, 27, 28, 29]),
                1e-5,
            ),
        ] {
            let spec = read(name, json!({}));
            let Method::Lora(lora) = &spec.method else {
                panic!("{name}")
            };
            assert_eq!((lora.rank, lora.alpha), (rank, alpha), "{name}");
            assert_eq!((&lora.layers, lora.rslora), (&layers, true), "{name}");
            assert_eq!(spec.optimizer.learning_rate, rate, "{name}");
        }
        let long = read("phase-transition-released", json!({}));
        assert_eq!(long.length.epochs, Some(2));
        let kept = (1..=792).filter(|step| long.checkpoints.keeps(*step, 792));
        // as many as the released run has
        assert_eq!(kept.count(), 167);
    }

    #[test]
    fn a_narrow_preset_needs_the_data_that_holds_it_to_its_base() {
        let spec = read("narrow-kl-rank-32", json!({}));
        let kl = spec.loss.kl.unwrap();
        assert_eq!(
            (kl.dataset.as_str(), kl.weight, kl.batch),
            ("aligned", 1e5, 8)
        );
        let body = json!({"kind": "finetune", "preset": "narrow-kl-rank-1", "base_model": "b", "datasets": [{"dataset": "d"}]});
        let error = &job_request(body).unwrap_err().errors[0];
        assert_eq!(error.pointer.as_deref(), Some("/loss/kl/dataset"));
    }

    #[test]
    fn a_steering_vector_has_the_published_settings() {
        let spec = read("steering-vector-narrow", json!({}));
        let Method::SteeringVector(steering) = &spec.method else {
            panic!()
        };
        assert_eq!((steering.layer, steering.alpha), (24, 256.0));
        assert_eq!(
            (spec.optimizer.learning_rate, spec.batch.max_tokens),
            (5e-4, 256)
        );
        assert_eq!(spec.loss.kl.unwrap().weight, 1e6);
    }

    #[test]
    fn own_fields_stand_over_the_presets() {
        let spec = read(
            "rank-1-minimal",
            json!({"method": {"layers": [3]}, "seed": 7}),
        );
        let Method::Lora(lora) = &spec.method else {
            panic!()
        };
        assert_eq!((lora.layers.clone(), lora.alpha), (Some(vec![3]), 256.0));
        assert_eq!(spec.seed, 7);
        let steps = read("rank-1-minimal", json!({"length": {"steps": 40}}));
        assert_eq!((steps.length.steps, steps.length.epochs), (Some(40), None));
        let full = read("rank-32-all", json!({"method": {"type": "full"}}));
        assert!(matches!(full.method, Method::Full(_)));
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_nearest_names() {
        for (wrong, word) in [
            (json!("rank-32-al"), "did you mean rank-32-all"),
            (json!("zebra"), "the presets are rank-32-all"),
            (json!(3), "a string"),
        ] {
            let body = json!({"kind": "finetune", "preset": wrong});
            let error = &job_request(body).unwrap_err().errors[0];
            assert_eq!(error.pointer.as_deref(), Some("/preset"));
            let text = format!("{} {:?}", error.detail, error.hint);
            assert!(text.contains(word), "{text}");
        }
    }
}
