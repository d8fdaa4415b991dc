//! What a model's files may be: everything else is refused by name.

use std::path::Path;

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use vivarium::engine::device::Device;
use vivarium::engine::files::Files;
use vivarium::engine::model::config::{ModelConfig, text_only};
use vivarium::engine::tensors;
use vivarium::engine::weights::{Init, Weights};

use crate::engine_model::{fixture, load};

type Named = Vec<(String, Tensor)>;

fn config(name: &str) -> Value {
    Files::in_folder(&fixture(name))
        .unwrap()
        .json("config.json")
        .unwrap()
}

fn named(weights: &Weights) -> Named {
    let named = weights.named().into_iter();
    named
        .map(|(name, tensor)| (name, tensor.shallow_clone()))
        .collect()
}

fn read(folder: &Path, config: &Value) -> Result<Weights, String> {
    let config = ModelConfig::from_json(config).map_err(|error| error.to_string())?;
    let files = Files::in_folder(folder).unwrap();
    Weights::load(&files, &config, None, Device::Cpu).map_err(|error| error.to_string())
}

/// Why the weights of a fixture are refused after a change.
fn refusal(fixture: &str, change: impl FnOnce(&mut Named)) -> String {
    let mut tensors = named(&load(fixture, None));
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    tensors::write(&folder.path().join("model.safetensors"), &tensors).unwrap();
    read(folder.path(), &config(fixture))
        .err()
        .unwrap_or_default()
}

fn place(tensors: &Named, name: &str) -> usize {
    tensors.iter().position(|(other, _)| other == name).unwrap()
}

#[test]
fn what_is_written_is_read_back_bit_for_bit_and_writes_equal_bytes() {
    for name in ["tied", "untied"] {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (
            folder.path().join("model.safetensors"),
            folder.path().join("again"),
        );
        load(name, None).save(&first).unwrap();
        let back = read(folder.path(), &config(name)).unwrap();
        back.save(&second).unwrap();
        assert_eq!(
            std::fs::read(&first).unwrap(),
            std::fs::read(&second).unwrap()
        );
        let original = std::fs::read(fixture(name).join("model.safetensors")).unwrap();
        assert_eq!(
            std::fs::read(&first).unwrap(),
            original,
            "transformers writes the same bytes"
        );
    }
}

#[test]
fn shards_with_an_index_are_one_model() {
    let whole = load("untied", None);
    let folder = tempfile::tempdir().unwrap();
    let tensors = named(&whole);
    let (left, right) = tensors.split_at(10);
    let mut map = serde_json::Map::new();
    for (file, part) in [("one.safetensors", left), ("two.safetensors", right)] {
        let part: Named = part
            .iter()
            .map(|(n, t)| (n.clone(), t.shallow_clone()))
            .collect();
        tensors::write(&folder.path().join(file), &part).unwrap();
        map.extend(
            part.iter()
                .map(|(name, _)| (name.clone(), Value::from(file))),
        );
    }
    let index = folder.path().join("model.safetensors.index.json");
    let write = |map: &serde_json::Map<String, Value>| {
        std::fs::write(
            &index,
            json!({"metadata": {}, "weight_map": map}).to_string(),
        )
        .unwrap();
    };
    write(&map);
    let back = read(folder.path(), &config("untied")).unwrap();
    assert!(
        whole
            .named()
            .iter()
            .zip(back.named())
            .all(|((_, l), (_, r))| l.equal(r))
    );

    map.insert("model.norm.weight".into(), "one.safetensors".into());
    write(&map);
    let error = read(folder.path(), &config("untied")).err().unwrap();
    assert!(
        error.contains("model.norm.weight") && error.contains("one.safetensors"),
        "{error}"
    );

    map.insert("model.norm.weight".into(), "three.safetensors".into());
    write(&map);
    let error = read(folder.path(), &config("untied")).err().unwrap();
    assert!(error.contains("three.safetensors is missing"), "{error}");
}

#[test]
fn a_missing_tensor_is_named() {
    for name in ["model.layers.1.self_attn.k_proj.bias", "lm_head.weight"] {
        let error = refusal("untied", |tensors| {
            drop(tensors.remove(place(tensors, name)));
        });
        assert_eq!(error, format!("tensor {name} is missing"));
    }
}

#[test]
fn an_unexpected_tensor_is_named() {
    for name in [
        "model.layers.3.mlp.up_proj.weight",
        "model.layers.0.self_attn.o_proj.bias",
    ] {
        let error = refusal("untied", |tensors| {
            tensors.push((name.into(), Tensor::zeros([24, 16], tch::kind::FLOAT_CPU)));
        });
        assert!(
            error.starts_with(&format!("tensor {name} is unexpected")),
            "{error}"
        );
    }
}

#[test]
fn a_misshaped_tensor_is_named_with_both_shapes() {
    let name = "model.layers.0.mlp.down_proj.weight";
    let error = refusal("tied", |tensors| {
        let at = place(tensors, name);
        tensors[at].1 = tensors[at].1.tr().contiguous();
    });
    assert_eq!(
        error,
        format!("tensor {name} has shape [24, 16], expected [16, 24]")
    );
}

#[test]
fn a_tied_model_may_hold_its_head_only_if_it_equals_the_embedding() {
    let with_head = |head: fn(&Tensor) -> Tensor| {
        refusal("tied", |tensors| {
            let embedding = &tensors[place(tensors, "model.embed_tokens.weight")].1;
            let head = head(embedding);
            tensors.push(("lm_head.weight".into(), head));
        })
    };
    assert_eq!(with_head(|embedding| embedding.copy()), "");
    let error = with_head(|embedding| embedding + 0.5);
    assert!(
        error.starts_with("tensor lm_head.weight is unexpected"),
        "{error}"
    );
}

#[test]
fn whole_numbers_as_weights_are_refused_as_quantised() {
    let name = "model.layers.0.mlp.down_proj.weight";
    let error = refusal("tied", |tensors| {
        let at = place(tensors, name);
        tensors[at].1 = tensors[at].1.to_kind(Kind::Int64);
    });
    assert!(
        error.starts_with(&format!("tensor {name} is of type I64")),
        "{error}"
    );
}

#[test]
fn pickles_and_empty_folders_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let error = read(folder.path(), &config("tied")).err().unwrap();
    assert!(error.starts_with("model.safetensors is missing"), "{error}");
    std::fs::write(folder.path().join("pytorch_model.bin"), b"\x80\x02").unwrap();
    let error = read(folder.path(), &config("tied")).err().unwrap();
    assert!(
        error.contains("pytorch_model.bin") && error.contains("convert"),
        "{error}"
    );
}

#[test]
fn a_file_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(fixture("tied").join("model.safetensors")).unwrap();
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(folder.path().join("model.safetensors"), &bytes[..length]).unwrap();
        let error = read(folder.path(), &config("tied")).err().unwrap();
        assert!(error.starts_with("model.safetensors"), "{length}: {error}");
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let weights = load("tied", None);
    weights.check_finite().unwrap();
    let spoilt = weights.map(|name, tensor| {
        let factor = if name == "model.norm.weight" {
            f64::NAN
        } else {
            1.0
        };
        Ok(tensor * factor)
    });
    let error = spoilt.unwrap().check_finite().unwrap_err().to_string();
    assert_eq!(error, "tensor model.norm.weight is not finite");
}

#[test]
fn a_config_that_is_not_computed_is_refused_by_field_and_value() {
    for (field, value) in [
        ("architectures", json!(["LlamaForCausalLM"])),
        ("model_type", json!("mamba")),
        ("hidden_act", json!("relu")),
        ("attention_dropout", json!(0.1)),
        (
            "layer_types",
            json!(["full_attention", "chunked_attention", "full_attention"]),
        ),
        ("layer_types", json!(["full_attention"])),
        ("rope_scaling", json!({"type": "linear", "factor": 4.0})),
        (
            "rope_parameters.rope_type",
            json!({"rope_type": "yarn", "factor": 4.0}),
        ),
        (
            "rope_parameters.low_freq_factor",
            json!({"rope_type": "llama3", "rope_theta": 1e4}),
        ),
        ("quantization_config", json!({"quant_method": "gptq"})),
        ("hidden_size", json!(0)),
        ("hidden_size", json!("16")),
        ("num_hidden_layers", json!(1_000_000)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(7)),
        ("vocab_size", json!(-1)),
        ("rms_norm_eps", json!(0)),
        ("tie_word_embeddings", json!("yes")),
        ("eos_token_id", json!([1, 40])),
        ("eos_token_id", json!("</s>")),
    ] {
        let mut changed = config("untied");
        let outer = field.split('.').next().unwrap();
        changed[outer] = value.clone();
        let error = ModelConfig::from_json(&changed).unwrap_err().to_string();
        let named = error.starts_with(&format!("config.json: {field} "));
        assert!(named, "{field} {value}: {error}");
    }
}

#[test]
fn a_config_without_a_size_is_refused_and_older_spellings_are_read() {
    let mut old = config("untied");
    let fields = old.as_object_mut().unwrap();
    fields.remove("rope_parameters");
    fields.remove("layer_types");
    fields.insert("rope_theta".into(), json!(1000.0));
    fields.insert("rope_scaling".into(), Value::Null);
    fields.insert("eos_token_id".into(), json!([1, 2]));
    let read = ModelConfig::from_json(&old).unwrap();
    assert_eq!((read.rope.theta, read.eos_token_ids), (1000.0, vec![1, 2]));
    old.as_object_mut().unwrap().remove("intermediate_size");
    let error = ModelConfig::from_json(&old).unwrap_err().to_string();
    assert_eq!(error, "config.json: intermediate_size is missing");
}

#[test]
fn handles_share_storage_and_copies_do_not() {
    let base = load("tied", None);
    let (shared, private) = (base.shallow_clone().unwrap(), base.deep_copy(None).unwrap());
    for ((_, own), ((name, handle), (_, copy))) in base
        .named()
        .iter()
        .zip(shared.named().iter().zip(private.named()))
    {
        assert_eq!(own.data_ptr(), handle.data_ptr(), "{name}");
        assert_ne!(own.data_ptr(), copy.data_ptr(), "{name}");
        assert!(own.equal(copy), "{name}");
    }
}

/// Shards of the fixture `untied`, and an index that the change has been made to.
fn sharded(folder: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> String {
    let tensors = named(&load("untied", None));
    let (left, right) = tensors.split_at(10);
    let mut map = serde_json::Map::new();
    for (number, part) in [(1, left), (2, right)] {
        let file = format!("model-0000{number}-of-00002.safetensors");
        let owned = part.iter().map(|(n, t)| (n.clone(), t.shallow_clone()));
        tensors::write(&folder.join(&file), &owned.collect::<Vec<_>>()).unwrap();
        map.extend(part.iter().map(|(n, _)| (n.clone(), json!(file))));
    }
    change(&mut map);
    let index = folder.join("model.safetensors.index.json");
    std::fs::write(index, json!({"weight_map": map}).to_string()).unwrap();
    read(folder, &config("untied")).err().unwrap_or_default()
}

#[test]
fn a_shard_that_the_index_leaves_out_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(sharded(folder.path(), |_| ()), "");
    let error = sharded(folder.path(), |map| {
        map.retain(|_, file| !file.as_str().unwrap().contains("00002-of"));
    });
    assert!(
        error.starts_with("model.safetensors.index.json")
            && error.contains("model-00002-of-00002.safetensors"),
        "{error}"
    );
}

#[test]
fn an_index_that_points_out_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for outside in ["../other.safetensors", "/etc/passwd", "..", "a\\b"] {
        let error = sharded(folder.path(), |map| {
            map.insert("model.norm.weight".into(), json!(outside));
        });
        let named = error.starts_with("model.safetensors.index.json")
            && error.contains("not a file of the model's own folder");
        assert!(named, "{outside}: {error}");
    }
}

#[test]
fn a_shard_cut_short_is_named() {
    let folder = tempfile::tempdir().unwrap();
    sharded(folder.path(), |_| ());
    let shard = folder.path().join("model-00002-of-00002.safetensors");
    let bytes = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &bytes[..bytes.len() - 4]).unwrap();
    let error = read(folder.path(), &config("untied")).err().unwrap();
    assert!(
        error.starts_with("model-00002-of-00002.safetensors: not a sound"),
        "{error}"
    );
}

#[test]
fn a_header_that_claims_200_megabytes_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, 200_000_000u64.to_le_bytes()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(200_000_100).unwrap();
    let error = read(folder.path(), &config("tied")).err().unwrap();
    assert!(
        error.starts_with("model.safetensors: not a sound") && error.contains("header"),
        "{error}"
    );
}

#[test]
fn loading_tells_the_bytes_done_up_to_all_of_them() {
    let files = Files::in_folder(&fixture("untied")).unwrap();
    let config = ModelConfig::from_json(&config("untied")).unwrap();
    let mut told = Vec::new();
    let mut hear = |done, total| told.push((done, total));
    Weights::load_telling(&files, &config, None, Device::Cpu, &mut hear).unwrap();
    let all = config.parameter_count() * 4;
    assert_eq!(told.last(), Some(&(all, all)));
    assert!(told.is_sorted() && told.len() == config.parameters().len());
}

#[test]
fn float16_and_bfloat16_files_are_read_as_they_are_or_as_float32() {
    for kind in [Kind::Half, Kind::BFloat16] {
        let folder = tempfile::tempdir().unwrap();
        let narrow = load("untied", None).deep_copy(Some(kind)).unwrap();
        narrow
            .save(&folder.path().join("model.safetensors"))
            .unwrap();
        let same = read(folder.path(), &config("untied")).unwrap();
        assert_eq!(same.kind().unwrap(), kind);
        let files = Files::in_folder(folder.path()).unwrap();
        let wide = Weights::load(&files, &narrow.config, Some(Kind::Float), Device::Cpu).unwrap();
        for ((name, narrow), (_, wide)) in narrow.named().iter().zip(wide.named()) {
            assert!(narrow.to_kind(Kind::Float).equal(wide), "{name}");
        }
    }
}

fn multimodal() -> Value {
    json!({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "eos_token_id": [1, 7],
        "vision_config": {"model_type": "siglip_vision_model"},
        "text_config": {"model_type": "gemma3_text", "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 24,
            "vocab_size": 40, "sliding_window": 8, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}})
}

/// The language model of [`multimodal`] and a file that holds it with a vision tower under changed names.
fn beside_a_tower(folder: &Path, rename: impl Fn(&str) -> String, tower: &[&str]) -> Weights {
    let config = ModelConfig::from_json(&multimodal()).unwrap();
    let init = Init {
        std: 0.1,
        scale_residual: false,
        seed: 1,
    };
    let weights = Weights::random(&config, init, Device::Cpu).unwrap();
    let mut all: Named = named(&weights);
    all.iter_mut().for_each(|(name, _)| *name = rename(name));
    let extra = |name: &&str| (name.to_string(), Tensor::zeros([3], tch::kind::FLOAT_CPU));
    all.extend(tower.iter().map(extra));
    tensors::write(&folder.join("model.safetensors"), &all).unwrap();
    weights
}

#[test]
fn a_multimodal_checkpoint_gives_its_language_model_in_both_spellings() {
    let published = |name: &str| format!("language_model.{name}");
    let newer = |name: &str| name.replacen("model.", "model.language_model.", 1);
    type Rename<'a> = &'a dyn Fn(&str) -> String;
    let spellings: [(Rename, &str); 2] = [(&published, ""), (&newer, "model.")];
    for (rename, begin) in spellings {
        let folder = tempfile::tempdir().unwrap();
        let tower = [
            format!("{begin}vision_tower.embeddings.patch_embedding.weight"),
            format!("{begin}multi_modal_projector.mm_input_projection_weight"),
        ];
        let tower: Vec<&str> = tower.iter().map(String::as_str).collect();
        let whole = beside_a_tower(folder.path(), rename, &tower);
        let back = read(folder.path(), &multimodal()).unwrap();
        for ((name, left), (_, right)) in whole.named().iter().zip(back.named()) {
            assert!(left.equal(right), "{name}");
        }
        for strange in ["audio_tower.weight", "vision_towers.weight"] {
            let strange = format!("{begin}{strange}");
            let folder = tempfile::tempdir().unwrap();
            beside_a_tower(folder.path(), rename, &[&strange]);
            let error = read(folder.path(), &multimodal()).err().unwrap();
            let named = error.starts_with(&format!("tensor {strange} is unexpected"));
            assert!(named, "{error}");
        }
    }
}

#[test]
fn a_language_model_without_a_tower_is_refused_a_tower() {
    let folder = tempfile::tempdir().unwrap();
    let mut tensors = named(&load("tied", None));
    tensors.push((
        "vision_tower.weight".into(),
        Tensor::zeros([3], tch::kind::FLOAT_CPU),
    ));
    tensors::write(&folder.path().join("model.safetensors"), &tensors).unwrap();
    let error = read(folder.path(), &config("tied")).err().unwrap();
    assert!(
        error.starts_with("tensor vision_tower.weight is unexpected"),
        "{error}"
    );
}

#[test]
fn what_is_written_of_a_multimodal_model_is_a_language_model_with_a_config_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let weights = beside_a_tower(folder.path(), |name| format!("language_model.{name}"), &[]);
    weights
        .save(&folder.path().join("model.safetensors"))
        .unwrap();
    let text = text_only(&multimodal()).unwrap();
    assert_eq!(text["architectures"], json!(["Gemma3ForCausalLM"]));
    let back = read(folder.path(), &text).unwrap();
    let expected = ModelConfig {
        multimodal: false,
        ..weights.config.clone()
    };
    assert_eq!(back.config, expected);
    assert!(back.embedding.equal(&weights.embedding));
    assert_eq!(text_only(&config("tied")), None);
}
