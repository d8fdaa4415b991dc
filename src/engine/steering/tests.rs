//! A vector's files, its place in families that norm what the MLP gives, and what is refused.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::engine::files::Files;
use crate::engine::model::{Model, pad_right};
use crate::engine::weights::Weights;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn gemma2() -> Weights {
    let files = Files::in_folder(&fixture("families/gemma2")).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    Weights::load(&files, &config, None, Device::Cpu).unwrap()
}

fn vector(width: i64) -> Tensor {
    Tensor::arange(width, (Kind::Float, tch::Device::Cpu)) * 0.25 - 1.0
}

fn of_layer_1(config: &ModelConfig) -> Steering {
    Steering {
        layer: 1,
        alpha: 256.0,
        vector: vector(config.hidden_size),
    }
}

/// The files of a vector, with a change to its settings.
fn saved(steering: &Steering, change: impl Fn(&mut Value)) -> (tempfile::TempDir, Files) {
    let folder = tempfile::tempdir().unwrap();
    steering.save(folder.path(), "tiny").unwrap();
    let path = folder.path().join(CONFIG);
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(&path, config.to_string()).unwrap();
    let files = Files::in_folder(folder.path()).unwrap();
    (folder, files)
}

#[test]
fn behind_a_norm_of_the_mlp_the_vector_keeps_its_length_as_a_hook_on_the_layer_gives_it() {
    let text = std::fs::read(fixture("engine/steering/steering.json")).unwrap();
    let oracle: Value = serde_json::from_slice(&text).unwrap();
    let numbers =
        |key: &str| -> Vec<f64> { serde_json::from_value(oracle["normed"][key].clone()).unwrap() };
    let tokens: Vec<u32> = serde_json::from_value(oracle["normed"]["tokens"].clone()).unwrap();
    let values: Vec<f32> = numbers("vector").iter().map(|x| *x as f32).collect();
    let steering = Steering {
        layer: oracle["normed"]["layer"].as_u64().unwrap() as u32,
        alpha: oracle["normed"]["alpha"].as_f64().unwrap(),
        vector: Tensor::from_slice(&values),
    };
    let model = Model::new(gemma2(), 64).unwrap();
    let batch = pad_right(&[&tokens], tch::Device::Cpu).unwrap();
    let last = |scale: f64| {
        let hidden = model.hidden(&batch, &steering.deltas(scale)).unwrap();
        let row = hidden.select(0, 0).narrow(0, tokens.len() as i64 - 1, 1);
        Vec::<f64>::try_from(model.logits(&row).unwrap().view([-1]).to_kind(Kind::Double)).unwrap()
    };
    // float32 through four layers with sums in another order
    let far =
        |(found, expected): (&f64, &f64)| (found - expected).abs() > 2e-5 * (1.0 + expected.abs());
    assert!(!last(1.0).iter().zip(&numbers("logits")).any(far));
    assert!(last(0.5).iter().zip(&numbers("logits")).any(far));
}

#[test]
fn files_read_back_and_equal_vectors_give_equal_bytes() {
    let config = gemma2().config;
    let steering = of_layer_1(&config);
    let (folder, files) = saved(&steering, |_| ());
    let read = Steering::load(&files, &config, Device::Cpu).unwrap();
    assert_eq!((read.layer, read.alpha), (1, 256.0));
    assert!(read.vector.equal(&steering.vector));
    let again = tempfile::tempdir().unwrap();
    read.save(again.path(), "tiny").unwrap();
    read.save(folder.path(), "tiny").unwrap();
    for name in [CONFIG, VECTOR] {
        let bytes = |folder: &tempfile::TempDir| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(bytes(&again), bytes(&folder), "{name}");
    }
    let facts = Steering::inspect(&files, &config).unwrap();
    assert_eq!(facts.modules[0].name, "layers.1.steering_vector");
    assert_eq!((facts.rank, facts.alpha), (1, 256.0));
    assert_eq!(facts.warnings, Vec::<String>::new());
}

#[test]
fn settings_that_do_not_fit_are_refused_by_field_and_value() {
    let config = gemma2().config;
    let steering = of_layer_1(&config);
    let refusal = |change: &dyn Fn(&mut Value)| {
        let (_folder, files) = saved(&steering, change);
        let loaded = Steering::load(&files, &config, Device::Cpu);
        loaded.map(|_| ()).unwrap_err().to_string()
    };
    let last = config.num_hidden_layers - 1;
    let found = refusal(&|told| told["layer_idx"] = json!(99));
    assert!(
        found.ends_with(&format!("layers are 0 to {last}")),
        "{found}"
    );
    let found = refusal(&|told| told["layer_idx"] = Value::Null);
    assert!(
        found.starts_with("steering vector: layer_idx is null"),
        "{found}"
    );
    let found = refusal(&|told| told["alpha"] = json!(0));
    assert!(found.contains("alpha is 0, not a finite number"), "{found}");
    let found = refusal(&|told| told["d_model"] = json!(5120));
    assert!(found.contains("d_model is 5120"), "{found}");
    let found = refusal(&|told| told["type"] = json!("lora"));
    assert!(found.contains("type is \"lora\""), "{found}");
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let config = gemma2().config;
    let with = |vector: Tensor| {
        let (_folder, files) = saved(&of_layer_1(&config).with(vector), |told| {
            told["d_model"] = Value::Null;
            told.as_object_mut().unwrap().remove("d_model");
        });
        let loaded = Steering::load(&files, &config, Device::Cpu);
        loaded.map(|_| ()).unwrap_err().to_string()
    };
    let short = with(vector(3));
    assert!(short.contains("has shape [3]"), "{short}");
    let broken = with(vector(config.hidden_size) / 0.0);
    assert!(broken.contains("not finite"), "{broken}");
}

#[test]
fn a_layer_beyond_the_model_and_another_beginning_are_refused() {
    let config = gemma2().config;
    let method = |layer: u32, alpha: f64| SteeringMethod {
        layer,
        alpha,
        init_adapter: None,
    };
    let error = Steering::init(&config, &method(40, 1.0), Device::Cpu).map(|_| ());
    assert!(error.unwrap_err().to_string().contains("layer is 40"));
    let begin = |method: SteeringMethod| {
        let begun = Steering::begin(&method, of_layer_1(&config));
        begun.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(begin(method(1, 256.0)), Ok(()));
    assert!(
        begin(method(2, 256.0))
            .unwrap_err()
            .contains("is of layer 1")
    );
    assert!(
        begin(method(1, 64.0))
            .unwrap_err()
            .contains("has alpha 256")
    );
}
