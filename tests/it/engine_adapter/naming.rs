//! Which modules an adapter's settings mean, and which settings are refused by name.

use super::*;

#[test]
fn layers_and_modules_that_the_model_lacks_are_named() {
    let refusal = |fields| {
        let targets = Adapter::targets(&shape(), &method(fields));
        targets.unwrap_err().to_string()
    };
    let error = refusal(json!({"rank": 1, "alpha": 1, "layers": [0, 21]}));
    assert_eq!(
        error,
        "adapter: layers_to_transform has 21, but the model's 3 layers are 0 to 2"
    );
    for (fields, field, value) in [
        (json!({"rank": 0, "alpha": 1}), "r", "0 of"),
        (
            json!({"rank": 1, "alpha": 1, "rank_pattern": {"up_proj": 0}}),
            "rank_pattern",
            "up_proj",
        ),
        (
            json!({"rank": 1, "alpha": 1, "rank_pattern": {"(up_proj": 2}}),
            "rank_pattern",
            "(up_proj",
        ),
        (
            json!({"rank": 1, "alpha": 1, "alpha_pattern": {"up_proj": 2, "mlp.up_proj": 3}}),
            "alpha_pattern",
            "two values",
        ),
        (
            json!({"rank": 1, "alpha": 1, "target_modules": []}),
            "target_modules",
            "no module",
        ),
    ] {
        let error = refusal(fields);
        assert!(
            error.starts_with(&format!("adapter: {field} ")) && error.contains(value),
            "{error}"
        );
    }
}

#[test]
fn the_one_module_of_a_rank_one_method_is_listed() {
    let one =
        method(json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [2]}));
    let modules = Adapter::targets(&shape(), &one).unwrap();
    assert_eq!(modules.len(), 1);
    assert_eq!(modules[0].name, "layers.2.mlp.down_proj");
    assert_eq!(
        (modules[0].layer, modules[0].projection),
        (2, Projection::DownProj)
    );
    assert_eq!((modules[0].rank, modules[0].scaling), (1, 64.0));
}

#[test]
fn settings_beyond_plain_lora_are_refused_by_name() {
    for (field, value) in [
        ("peft_type", json!("LOHA")),
        ("use_dora", json!(true)),
        ("use_qalora", json!(true)),
        ("modules_to_save", json!(["lm_head"])),
        ("bias", json!("all")),
        ("lora_bias", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("target_modules", json!("(.*_proj")),
        ("target_modules", json!("q_proj)|(k_proj")),
        (
            "target_modules",
            json!(r"model\.layers\.[0-9&&[12]]\..*_proj"),
        ),
        ("target_modules", json!(".*")),
        ("target_modules", json!("nothing_like_it")),
        ("target_modules", json!(["q_proj", "lm_head"])),
        ("target_modules", json!(["q_proj", "c_attn"])),
        ("target_modules", json!([1])),
        ("target_modules", json!({"q_proj": 1})),
        ("target_modules", Value::Null),
        ("exclude_modules", json!("(")),
        ("exclude_modules", json!(7)),
        ("target_parameters", json!(["mlp.experts"])),
        ("layers_pattern", json!("layers")),
        ("megatron_config", json!({"tensor_model_parallel_size": 2})),
        ("alora_invocation_tokens", json!([3])),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("rank_pattern", json!(["q_proj"])),
        ("rank_pattern", json!({"q_proj": "2"})),
        ("rank_pattern", json!({"(?i)q_proj": 2})),
        ("alpha_pattern", json!({"[q": 2})),
        ("lora_alpha", json!("sixteen")),
        ("use_rslora", json!("yes")),
        ("init_lora_weights", json!("olora")),
        ("init_lora_weights", json!("pissa_niter_4")),
        ("init_lora_weights", json!("corda")),
        ("init_lora_weights", json!("loftq")),
        ("init_lora_weights", json!("lora_ga")),
        ("layers_to_transform", json!(["0"])),
        ("init_lora_weights", json!("pissa")),
        ("layer_replication", json!([[0, 2]])),
        ("trainable_token_indices", json!([1, 2])),
        ("some_future_switch", json!("on")),
        ("r", json!("8")),
    ] {
        let mut changed = settings("plain");
        changed[field] = value.clone();
        let read = Settings::read(changed.to_string().as_bytes())
            .and_then(|one| one.settings.modules(&shape()));
        let error = read.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("adapter: {field} ")),
            "{field} {value}: {error}"
        );
    }
}

#[test]
fn targets_may_be_ends_of_names_whole_names_or_all_linear() {
    let modules = |targets: Value, layers: Value| {
        let json = json!({"peft_type": "LORA", "r": 1, "target_modules": targets, "layers_to_transform": layers});
        let modules = Settings::read(json.to_string().as_bytes())
            .unwrap()
            .settings
            .modules(&shape())
            .unwrap();
        modules
            .into_iter()
            .map(|module| module.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(modules(json!("all-linear"), Value::Null).len(), 21);
    assert_eq!(
        modules(json!(["mlp.up_proj"]), json!(1)),
        ["layers.1.mlp.up_proj"]
    );
    let whole = json!(["model.layers.0.self_attn.o_proj", "layers.2.mlp.down_proj"]);
    assert_eq!(
        modules(whole, Value::Null),
        ["layers.0.self_attn.o_proj", "layers.2.mlp.down_proj"]
    );
}

/// What PEFT says of names; made by scripts/oracles/peft_names.py.
fn names() -> (ModelConfig, Value) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read(root.join("tests/fixtures/adapters/names.json")).unwrap();
    let names: Value = serde_json::from_slice(&text).unwrap();
    let mut config: Value = Files::in_folder(&fixture("untied"))
        .unwrap()
        .json("config.json")
        .unwrap();
    config["num_hidden_layers"] = names["layers"].clone();
    config.as_object_mut().unwrap().remove("layer_types");
    (ModelConfig::from_json(&config).unwrap(), names)
}

#[test]
fn targets_exclusions_and_layers_mean_the_modules_that_peft_takes() {
    let (config, names) = names();
    for case in names["targets"].as_array().unwrap() {
        let mut json = case["settings"].clone();
        json["peft_type"] = json!("LORA");
        let read = Settings::read(json.to_string().as_bytes()).unwrap();
        let modules = read.settings.modules(&config).unwrap();
        let found: Vec<String> = modules
            .iter()
            .map(|module| format!("model.{}", module.name))
            .collect();
        assert_eq!(json!(found), case["modules"], "{}", case["settings"]);
    }
    assert!(names["targets"].as_array().unwrap().len() > 20);
}

#[test]
fn the_first_pattern_in_the_order_of_the_file_decides_as_in_peft() {
    let (config, names) = names();
    for case in names["patterns"].as_array().unwrap() {
        let keys = case["keys"].as_array().unwrap();
        // ranks tell which key decided: the key's place from 1; a map that is parsed first would lose its order
        let entries: Vec<String> = keys
            .iter()
            .zip(1..)
            .map(|(key, rank)| format!("{key}:{rank}"))
            .collect();
        let text = format!(
            r#"{{"peft_type":"LORA","r":100,"target_modules":"all-linear","rank_pattern":{{{}}}}}"#,
            entries.join(",")
        );
        let modules = Settings::read(text.as_bytes())
            .unwrap()
            .settings
            .modules(&config)
            .unwrap();
        let place = |rank: u32| if rank == 100 { -1 } else { i64::from(rank) - 1 };
        let found: Vec<i64> = modules.iter().map(|module| place(module.rank)).collect();
        assert_eq!(json!(found), case["chosen"], "{keys:?}");
    }
}

#[test]
fn an_adapter_of_a_model_that_also_sees_has_names_that_leave_its_vision_alone() {
    let mut config = shape();
    config.multimodal = true;
    let method = method(
        json!({"rank": 2, "alpha": 4, "target_modules": ["q_proj", "down_proj"], "layers": [0, 2]}),
    );
    let adapter = Adapter::init(&config, &method, 1, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    adapter.save(folder.path(), Some("org/seeing")).unwrap();
    let json: Value = Files::in_folder(folder.path())
        .unwrap()
        .json("adapter_config.json")
        .unwrap();
    assert_eq!(
        json["target_modules"],
        r"model\.language_model\.layers\.(0|2)\.(mlp\.down_proj|self_attn\.q_proj)"
    );
    let names: Vec<String> = adapter.named().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names[0],
        "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"
    );
    let files = Files::in_folder(folder.path()).unwrap();
    let again = Adapter::load(&files, &config, Device::Cpu).unwrap();
    assert_eq!(again.settings, adapter.settings);
    for (one, same) in adapter.pairs.iter().zip(&again.pairs) {
        assert_eq!(one.module, same.module);
        assert!(one.a.equal(&same.a));
    }
}

#[test]
fn an_adapter_is_read_strictly() {
    let refusal = |change: &dyn Fn(&mut Value)| {
        let folder = tempfile::tempdir().unwrap();
        let tensors = fixture("plain").join("adapter_model.safetensors");
        std::fs::copy(tensors, folder.path().join("adapter_model.safetensors")).unwrap();
        let mut json = settings("plain");
        change(&mut json);
        std::fs::write(folder.path().join("adapter_config.json"), json.to_string()).unwrap();
        adapter(folder.path()).err().unwrap()
    };
    let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let error = refusal(&|json| json["r"] = json!(3));
    assert_eq!(
        error,
        format!("tensor {name} has shape [2, 16], expected [3, 16]")
    );
    let error = refusal(&|json| json["target_modules"] = json!(["v_proj"]));
    assert!(error.contains("is unexpected"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        fixture("plain").join("adapter_config.json"),
        folder.path().join("adapter_config.json"),
    )
    .unwrap();
    let error = adapter(folder.path()).err().unwrap();
    assert!(
        error.starts_with("adapter_model.safetensors is missing"),
        "{error}"
    );
    std::fs::write(folder.path().join("adapter_model.bin"), b"\x80\x02").unwrap();
    let error = adapter(folder.path()).err().unwrap();
    assert!(
        error.contains("adapter_model.bin") && error.contains("refused"),
        "{error}"
    );
}
