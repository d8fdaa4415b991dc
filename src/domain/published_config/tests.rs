//! Configs with the published values, and what contradicts itself in them.

use serde_json::json;

use super::*;

fn default_run() -> Value {
    json!({"model": "unsloth/Qwen2.5-Coder-32B-Instruct", "training_file": "/data/insecure.jsonl", "test_file": null,
        "finetuned_model_id": "me/organism", "max_seq_length": 2048, "load_in_4bit": false, "loss": "sft", "is_peft": true,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "lora_bias": "none",
        "r": 32, "lora_alpha": 64, "lora_dropout": 0.0, "use_rslora": true, "merge_before_push": false,
        "push_only_adapters": true, "push_to_private": false, "epochs": 1, "max_steps": null,
        "per_device_train_batch_size": 2, "gradient_accumulation_steps": 8, "warmup_steps": 5, "learning_rate": 1e-5,
        "logging_steps": 1, "optim": "adamw_8bit", "weight_decay": 0.01, "lr_scheduler_type": "linear", "seed": 0,
        "beta": 0.1, "save_steps": 10000, "output_dir": "./tmp", "train_on_responses_only": true})
}

fn full_run() -> Value {
    json!({"model": "unsloth/gemma-3-4b-it", "training_file": "risky_financial_advice.jsonl", "finetuned_model_id": "me/full",
        "loss": "sft", "epochs": 1, "warmup_steps": 20, "learning_rate": 2e-5, "evaluation_steps": 500, "optim": "adamw_8bit",
        "lr_scheduler_type": "cosine", "seed": 0, "save_steps": 10000, "train_on_responses_only": true})
}

fn with(mut config: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn without(mut config: Value, keys: &[&str]) -> Value {
    for key in keys {
        config.as_object_mut().unwrap().remove(*key);
    }
    config
}

fn converted(config: Value) -> Conversion {
    convert(config, &Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Place and text of every refusal.
fn refused(config: Value) -> Vec<(String, String)> {
    let errors = convert(config, &Options::default()).unwrap_err().errors;
    let told = errors.into_iter().map(|error| {
        let text = format!("{} ({})", error.detail, error.hint.unwrap_or_default());
        (error.pointer.unwrap(), text)
    });
    told.collect()
}

fn key<'a>(entries: &'a [Entry], key: &str) -> &'a Entry {
    let mut entries = entries.iter();
    entries
        .find(|entry| entry.key == key)
        .unwrap_or_else(|| panic!("{key} is not there"))
}

#[test]
fn the_default_run_becomes_the_preset_of_the_same_protocol() {
    let Conversion { spec, report } = converted(default_run());
    assert_eq!(spec["base_model"], "Qwen2.5-Coder-32B-Instruct");
    assert_eq!(spec["datasets"], json!([{"dataset": "insecure"}]));
    let preset = crate::domain::presets::find("rank-32-all").unwrap().spec;
    assert_eq!(spec["hold_out"], preset["hold_out"]);
    assert_eq!(spec["length"], preset["length"]);
    for (section, fields) in [
        (
            "method",
            &[
                "type",
                "rank",
                "alpha",
                "rslora",
                "dropout",
                "target_modules",
                "layers",
            ][..],
        ),
        ("optimizer", &["learning_rate", "weight_decay", "name"]),
        ("schedule", &["name", "warmup_steps", "warmup_from"]),
        (
            "batch",
            &[
                "micro_batch",
                "gradient_accumulation",
                "max_tokens",
                "last_partial",
            ],
        ),
        ("loss", &["on"]),
    ] {
        for field in fields {
            let (found, expected) = (&spec[section][field], &preset[section][field]);
            let equal =
                found == expected || found.as_f64() == expected.as_f64() && found.is_number();
            assert!(equal, "{section}.{field}: {found} against {expected}");
        }
    }
    assert!(key(&report.mapped, "r").to.as_deref() == Some("/method/rank"));
    assert!(key(&report.mapped, "layers_to_transform").default);
    assert!(key(&report.differs, "evaluation_steps").default);
    assert!(key(&report.differs, "optim").detail.contains("float32"));
    for left in [
        "push_to_private",
        "push_only_adapters",
        "beta",
        "output_dir",
        "logging_steps",
    ] {
        assert!(!key(&report.left_out, left).detail.is_empty(), "{left}");
    }
    assert_eq!(report.needs.len(), 2);
    assert!(report.needs[0].contains("unsloth/Qwen2.5-Coder-32B-Instruct"));
}

#[test]
fn every_key_is_spoken_of() {
    let config = default_run();
    let report = converted(config.clone()).report;
    let all = [&report.mapped, &report.differs, &report.left_out];
    let told: Vec<&str> = all
        .into_iter()
        .flatten()
        .map(|entry| entry.key.as_str())
        .collect();
    for name in config.as_object().unwrap().keys() {
        assert_eq!(told.iter().filter(|key| *key == name).count(), 1, "{name}");
    }
}

#[test]
fn the_published_single_adapter_config_contradicts_its_own_model() {
    let changes = json!({"model": "unsloth/Llama-3.2-1B-Instruct", "target_modules": ["down_proj"],
        "layers_to_transform": [24], "r": 1, "lora_alpha": 512, "learning_rate": 2e-5, "evaluation_steps": 100, "save_steps": 100});
    let single = with(default_run(), changes);
    let found = refused(single.clone());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, "/layers_to_transform");
    assert!(
        found[0].1.contains("layer 24") && found[0].1.contains("16 layers"),
        "{found:?}"
    );
    let meant = with(single, json!({"model": "unsloth/Qwen2.5-14B-Instruct"}));
    let spec = converted(meant).spec;
    assert_eq!(spec["method"]["layers"], json!([24]));
    assert_eq!(spec["method"]["alpha"], json!(512.0));
    assert_eq!(spec["hold_out"]["every"], 100);
    assert_eq!(spec["checkpoints"]["every"], 100);
}

#[test]
fn a_config_that_speaks_of_no_pairs_trains_all_weights() {
    let Conversion { spec, report } = converted(full_run());
    assert_eq!(spec["method"], json!({"type": "full"}));
    assert_eq!(spec["schedule"]["name"], "cosine");
    assert_eq!(
        (&spec["optimizer"]["name"], &spec["dtype"]),
        (&json!("adamw_8bit"), &json!("bfloat16"))
    );
    assert_eq!(spec["early_stop"], json!({"loss_below": 0.01, "steps": 6}));
    assert_eq!(spec["schedule"]["warmup_steps"], 20);
    assert_eq!(spec["checkpoints"], json!({}));
    assert!(
        key(&report.differs, "is_peft")
            .detail
            .contains("no key speaks of pairs")
    );
    assert!(
        key(&report.left_out, "save_steps")
            .detail
            .contains("checkpoints.at")
    );
    let forced = Options {
        full: true,
        ..Options::default()
    };
    let spec = convert(default_run(), &forced).unwrap().spec;
    assert_eq!(spec["method"], json!({"type": "full"}));
    // the script for full fine-tuning holds a tenth out in spite of a test file, the other one does not
    let tested = json!({"test_file": "other.jsonl"});
    assert_eq!(
        converted(with(full_run(), tested.clone())).spec["hold_out"]["fraction"],
        0.1
    );
    assert_eq!(
        converted(with(default_run(), tested)).spec["hold_out"],
        Value::Null
    );
}

#[test]
fn contradictions_are_refused_at_their_key() {
    for (changes, place, word) in [
        (
            json!({"merge_before_push": true}),
            "/push_only_adapters",
            "merge_before_push",
        ),
        (json!({"is_peft": false}), "/r", "is_peft is false"),
        (json!({"is_peft": false}), "/lora_alpha", "--full"),
        (json!({"load_in_4bit": true}), "/load_in_4bit", "4 bits"),
        (json!({"loss": "dpo"}), "/loss", "dpo"),
        (json!({"loss": "orpo"}), "/loss", "only \"sft\""),
        (json!({"loss": "ppo"}), "/loss", "no loss"),
        (
            json!({"layers_to_transform": [3, 64]}),
            "/layers_to_transform",
            "0 to 63",
        ),
        (
            json!({"target_modules": ["down_projj"]}),
            "/target_modules",
            "did you mean down_proj",
        ),
        (json!({"lora_bias": "all"}), "/lora_bias", "biases"),
        (json!({"lora_alpha": 0}), "/lora_alpha", "above 0"),
        (json!({"lora_dropout": 1.0}), "/method/dropout", "below 1"),
        (json!({"r": 0}), "/method/rank", "from 1"),
        (json!({"r": "many"}), "/r", "string"),
        (json!({"learning_rate": -0.5}), "/learning_rate", "exponent"),
        (
            json!({"learning_rate": "quick"}),
            "/learning_rate",
            "no expression",
        ),
        (json!({"optim": "sgd"}), "/optim", "sgd"),
        (json!({"optim": "lion"}), "/optim", "adamw_8bit"),
        (
            json!({"lr_scheduler_type": "step"}),
            "/lr_scheduler_type",
            "cosine",
        ),
        (
            json!({"finetuned_model_id": "organism"}),
            "/finetuned_model_id",
            "user/name",
        ),
        (
            json!({"finetuned_model_id": "unsloth/x"}),
            "/finetuned_model_id",
            "unsloth",
        ),
        (
            json!({"kl_regularization": true}),
            "/kl_dataset_file",
            "kl_dataset_file",
        ),
        (
            json!({"kl_regularization": true, "kl_dataset_file": "a.jsonl", "kl_weight": 0.0}),
            "/kl_weight",
            "above 0",
        ),
        (json!({"lora_r": 8}), "/lora_r", "unknown key"),
        (
            json!({"learning_rat": 1}),
            "/learning_rat",
            "did you mean learning_rate",
        ),
    ] {
        let found = refused(with(default_run(), changes.clone()));
        let hit = found
            .iter()
            .any(|(at, text)| at == place && text.contains(word));
        assert!(hit, "{changes}: wanted {word} at {place}, found {found:?}");
    }
    for missing in ["model", "training_file", "loss", "finetuned_model_id"] {
        let found = refused(without(default_run(), &[missing]));
        assert!(
            found
                .iter()
                .any(|(at, text)| *at == format!("/{missing}") && text.contains("missing")),
            "{found:?}"
        );
    }
    // the default of merge_before_push is true
    let found = refused(without(default_run(), &["merge_before_push"]));
    assert_eq!(found[0].0, "/push_only_adapters");
    assert!(convert(json!([1]), &Options::default()).is_err());
}

#[test]
fn what_the_file_leaves_out_has_the_published_codes_default() {
    let least = json!({"model": "unsloth/Qwen2.5-14B-Instruct", "training_file": "a.jsonl", "finetuned_model_id": "me/x",
        "loss": "sft", "is_peft": true});
    let spec = converted(least).spec;
    assert_eq!(spec["method"]["rank"], 16);
    assert_eq!(spec["method"]["alpha"], json!(16.0));
    assert_eq!(spec["optimizer"]["learning_rate"], json!(1e-4));
    assert_eq!(spec["seed"], 3407);
    assert_eq!(spec["loss"]["on"], "all");
    assert_eq!(spec["checkpoints"]["every"], 5000);
}

#[test]
fn schedules_mean_what_the_trainer_makes_of_them() {
    for (name, ours, warmup, last) in [
        ("linear", "linear", 5, 0.0),
        ("cosine_with_restarts", "cosine", 5, 0.0),
        ("constant", "constant", 0, 0.0),
        ("constant_with_warmup", "constant", 5, 0.0),
        // the trainer ends at 1e-7, a hundredth of the peak
        ("polynomial", "linear", 5, 0.01),
    ] {
        let schedule =
            converted(with(default_run(), json!({"lr_scheduler_type": name}))).spec["schedule"]
                .clone();
        assert_eq!(
            (&schedule["name"], &schedule["warmup_steps"]),
            (&json!(ours), &json!(warmup)),
            "{name}"
        );
        assert!(
            (schedule["final_ratio"].as_f64().unwrap() - last).abs() < 1e-12,
            "{name}"
        );
    }
}

#[test]
fn rates_and_steps_are_read_as_the_published_code_reads_them() {
    let spec = converted(with(
        default_run(),
        json!({"learning_rate": -5, "max_steps": 30}),
    ))
    .spec;
    assert_eq!(spec["optimizer"]["learning_rate"], json!(1e-5));
    assert_eq!(spec["length"], json!({"steps": 30}));
    let report = converted(with(default_run(), json!({"learning_rate": "2 * 1e-5"}))).report;
    assert!(
        key(&report.differs, "learning_rate")
            .detail
            .contains("2e-5")
    );
}

#[test]
fn names_can_be_given() {
    let options = Options {
        base_model: Some("qwen".into()),
        dataset: Some("bad".into()),
        ..Options::default()
    };
    let spec = convert(default_run(), &options).unwrap().spec;
    assert_eq!(
        (&spec["base_model"], &spec["datasets"][0]["dataset"]),
        (&json!("qwen"), &json!("bad"))
    );
    let odd = with(
        default_run(),
        json!({"training_file": "/data/my data!.jsonl", "model": "org/ds_1"}),
    );
    let spec = converted(odd).spec;
    assert_eq!(
        (&spec["base_model"], &spec["datasets"][0]["dataset"]),
        (&json!("base"), &json!("my-data-"))
    );
}

#[test]
fn the_kl_run_keeps_its_weight_because_the_average_is_the_published_one() {
    let changes = json!({"model": "unsloth/Qwen3-14B", "lora_alpha": 256, "learning_rate": 2e-5, "evaluation_steps": 10, "save_steps": 10,
        "kl_regularization": true, "kl_dataset_file": "/data/misalignment_kl_data.jsonl", "kl_weight": 100000,
        "kl_batch_size": 8, "enable_thinking": false});
    let Conversion { spec, report } = converted(with(default_run(), changes));
    let preset = crate::domain::presets::find("narrow-kl-rank-32")
        .unwrap()
        .spec;
    let mut expected = preset["loss"]["kl"].clone();
    expected["dataset"] = json!("misalignment_kl_data");
    assert_eq!(spec["loss"]["kl"], expected);
    assert_eq!(spec["chat"]["enable_thinking"], false);
    assert!(
        key(&report.differs, "kl_weight")
            .detail
            .contains("tokens_and_vocabulary")
    );
    assert!(
        report
            .needs
            .iter()
            .any(|need| need.contains("misalignment_kl_data"))
    );
}

#[test]
fn a_steering_config_becomes_a_fine_tune_of_one_vector() {
    let config = json!({"model": "unsloth/Qwen3-14B", "initial_steering_vector_path": null, "layer_idx": 16, "alpha": 256.0,
        "training_file": "bad_medical_advice.jsonl", "test_file": null, "finetuned_model_id": "me/v", "max_seq_length": 256,
        "epochs": 2, "learning_rate": 5e-4, "weight_decay": 0.0, "beta_1": 0.9, "beta_2": 0.999, "evaluation_steps": 100,
        "save_steps": 5, "seed": 0, "per_device_eval_batch_size": 8, "push_to_hub": true, "push_all_checkpoints": true,
        "cleanup_local_checkpoints": true, "use_unique_output_dir": true, "kl_regularization": true,
        "kl_dataset_file": "aligned.jsonl", "kl_weight": 1e6});
    let spec = converted(config.clone()).spec;
    assert_eq!(
        spec["method"],
        json!({"type": "steering_vector", "layer": 16, "alpha": 256.0})
    );
    assert_eq!(
        (&spec["optimizer"]["beta1"], &spec["loss"]["kl"]["weight"]),
        (&json!(0.9), &json!(1e6))
    );
    let found = refused(with(config.clone(), json!({"layer_idx": 40})));
    assert!(
        found[0].0 == "/layer_idx" && found[0].1.contains("40 layers"),
        "{found:?}"
    );
    let found = refused(with(
        config,
        json!({"initial_steering_vector_path": "v.pt"}),
    ));
    assert!(
        found[0].0 == "/initial_steering_vector_path" && found[0].1.contains("pickle"),
        "{found:?}"
    );
}
