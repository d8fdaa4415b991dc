//! What config.json means in each family: what may be left out, what is honoured, what is refused by name.

use serde_json::{Value, json};
use tch::Kind;
use vivarium::engine::device::Device;
use vivarium::engine::model::config::{
    Activation, Family, LayerType, ModelConfig, RopeConfig, RopeScaling,
};
use vivarium::engine::model::projection::Deltas;
use vivarium::engine::model::{Model, pad_right};
use vivarium::engine::weights::{Init, Weights};

/// A small config of every family, as it is published: what transformers takes for granted is left out.
fn published(family: &str) -> Value {
    let sizes = json!({"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 6, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 40, "model_type": family});
    let more = match family {
        "qwen3" => json!({"head_dim": 8, "tie_word_embeddings": true}),
        "llama" => {
            json!({"rope_theta": 500_000.0, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}})
        }
        "mistral" => json!({"sliding_window": 4}),
        "gemma2" => {
            json!({"head_dim": 8, "query_pre_attn_scalar": 10, "hidden_act": "gelu_pytorch_tanh", "sliding_window": 4})
        }
        "gemma3_text" => {
            json!({"head_dim": 8, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 4})
        }
        _ => json!({}),
    };
    joined(sizes, more)
}

fn joined(mut left: Value, right: Value) -> Value {
    let fields = left.as_object_mut().unwrap();
    fields.extend(right.as_object().unwrap().clone());
    left
}

fn read(json: Value) -> ModelConfig {
    ModelConfig::from_json(&json).unwrap()
}

fn refusal(family: &str, change: Value) -> String {
    let json = joined(published(family), change);
    ModelConfig::from_json(&json).unwrap_err().to_string()
}

const ALL: [&str; 6] = [
    "qwen2",
    "qwen3",
    "llama",
    "mistral",
    "gemma2",
    "gemma3_text",
];

#[test]
fn llama_scales_its_frequencies_and_has_biases_where_they_are_asked_for() {
    let llama = read(published("llama"));
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192.0,
    };
    let theta = 500_000.0;
    assert_eq!(llama.rope, RopeConfig { theta, scaling });
    assert_eq!(
        (llama.qkv_bias, llama.o_bias, llama.mlp_bias),
        (false, false, false)
    );
    let biased = read(joined(
        published("llama"),
        json!({"attention_bias": true, "mlp_bias": true}),
    ));
    assert_eq!(
        (biased.qkv_bias, biased.o_bias, biased.mlp_bias),
        (true, true, true)
    );
    let mut old = published("llama");
    old.as_object_mut().unwrap().remove("num_key_value_heads");
    assert_eq!(read(old).num_key_value_heads, 4);
}

#[test]
fn the_newer_spelling_of_rotary_positions_means_what_the_older_one_does() {
    let older = published("llama");
    let mut newer = older.clone();
    let fields = newer.as_object_mut().unwrap();
    let mut inner = fields.remove("rope_scaling").unwrap();
    inner["rope_theta"] = fields.remove("rope_theta").unwrap();
    fields.insert("rope_parameters".into(), inner);
    assert_eq!(read(newer), read(older));

    let older = joined(
        published("gemma3_text"),
        json!({"rope_theta": 2e6, "rope_local_base_freq": 5000.0}),
    );
    let mut newer = published("gemma3_text");
    newer.as_object_mut().unwrap().remove("rope_scaling");
    newer["rope_parameters"] = json!({"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0}});
    assert_eq!(read(newer), read(older));
}

#[test]
fn a_window_is_absent_null_or_a_number_and_each_means_something_else() {
    let mut absent = published("mistral");
    absent.as_object_mut().unwrap().remove("sliding_window");
    assert_eq!(read(absent).sliding_window, Some(4096));
    let null = read(joined(
        published("mistral"),
        json!({"sliding_window": null}),
    ));
    assert_eq!((null.sliding_window, null.slides(0)), (None, false));
    let four = read(published("mistral"));
    assert_eq!((four.sliding_window, four.slides(5)), (Some(4), true));
    let unused = read(joined(
        published("qwen2"),
        json!({"sliding_window": 4, "use_sliding_window": false}),
    ));
    assert_eq!(unused.sliding_window, None);
    let late = json!({"sliding_window": 4, "use_sliding_window": true, "max_window_layers": 4});
    let late = read(joined(published("qwen2"), late));
    let sliding: Vec<bool> = (0..6).map(|layer| late.slides(layer)).collect();
    assert_eq!(sliding, [false, false, false, false, true, true]);
}

#[test]
fn gemma_alternates_caps_norms_and_scales() {
    let two = read(published("gemma2"));
    assert_eq!(
        (two.attn_logit_softcapping, two.final_logit_softcapping),
        (Some(50.0), Some(30.0))
    );
    assert_eq!(
        (two.slides(0), two.slides(1), two.query_pre_attn_scalar),
        (true, false, 10.0)
    );
    assert!(
        two.norm_plus_one && two.norm_outputs && two.scale_embeddings && two.tie_word_embeddings
    );
    assert_eq!((two.activation, two.qk_norm), (Activation::GeluTanh, false));
    let uncapped = read(joined(
        published("gemma2"),
        json!({"attn_logit_softcapping": null}),
    ));
    assert_eq!(
        (
            uncapped.attn_logit_softcapping,
            uncapped.final_logit_softcapping
        ),
        (None, Some(30.0))
    );

    let three = read(published("gemma3_text"));
    assert_eq!(
        (three.family, three.qk_norm, three.query_pre_attn_scalar),
        (Family::Gemma3, true, 256.0)
    );
    let full = [5].map(|layer| three.layer_types[layer]);
    assert_eq!(full, [LayerType::Full]);
    assert!((0..5).all(|layer| three.slides(layer)));
    let scaling = RopeScaling::Linear { factor: 8.0 };
    assert_eq!(
        three.rope,
        RopeConfig {
            theta: 1e6,
            scaling
        }
    );
    assert_eq!(three.rope_local, Some(RopeConfig::plain(1e4)));
    let every_third = read(joined(
        published("gemma3_text"),
        json!({"sliding_window_pattern": 3}),
    ));
    assert!(!every_third.slides(2) && every_third.slides(3));
}

#[test]
fn a_multimodal_config_may_leave_out_what_its_published_ones_do() {
    // what gemma-3-4b-it says of its language model
    let text = json!({"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024});
    let config = read(
        json!({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
        "eos_token_id": [1, 106], "text_config": text, "vision_config": {"hidden_size": 1152}}),
    );
    let heads = (
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
    );
    assert_eq!(heads, (8, 4, 256));
    assert_eq!(
        (config.vocab_size, config.max_position_embeddings),
        (262_208, 131_072)
    );
    assert!(config.multimodal && config.tie_word_embeddings);
    assert_eq!(config.eos_token_ids, [1, 106]);
    // as transformers counts the language model that it makes of this
    assert_eq!(config.parameter_count(), 3_880_263_168);
}

#[test]
fn what_no_family_or_not_this_one_computes_is_refused_by_field_and_value() {
    for (family, field, change) in [
        ("qwen2", "model_type", json!({"model_type": "mamba"})),
        (
            "qwen3",
            "architectures",
            json!({"architectures": ["Qwen3MoeForCausalLM"]}),
        ),
        (
            "mistral",
            "architectures",
            json!({"architectures": ["LlamaForCausalLM"]}),
        ),
        (
            "llama",
            "num_attention_heads",
            json!({"num_attention_heads": 0}),
        ),
        (
            "llama",
            "num_attention_heads",
            json!({"num_attention_heads": 6, "num_key_value_heads": 6}),
        ),
        (
            "llama",
            "num_key_value_heads",
            json!({"num_key_value_heads": 0}),
        ),
        ("llama", "hidden_act", json!({"hidden_act": "relu"})),
        (
            "gemma2",
            "hidden_activation",
            json!({"hidden_activation": "gelu_new"}),
        ),
        (
            "llama",
            "rope_scaling.rope_type",
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
        ),
        (
            "llama",
            "rope_scaling.rope_type",
            json!({"rope_scaling": {"type": "dynamic", "factor": 4.0}}),
        ),
        (
            "llama",
            "rope_scaling.factor",
            json!({"rope_scaling": {"rope_type": "linear"}}),
        ),
        (
            "llama",
            "rope_scaling.beta_fast",
            json!({"rope_scaling": {"rope_type": "default", "beta_fast": 32}}),
        ),
        (
            "llama",
            "rope_scaling",
            json!({"rope_parameters": {"rope_type": "default"}}),
        ),
        (
            "llama",
            "partial_rotary_factor",
            json!({"partial_rotary_factor": 0.5}),
        ),
        (
            "gemma3_text",
            "rope_parameters",
            json!({"rope_parameters": {"rope_theta": 1e6}}),
        ),
        (
            "gemma3_text",
            "attn_logit_softcapping",
            json!({"attn_logit_softcapping": 50.0}),
        ),
        (
            "gemma3_text",
            "use_bidirectional_attention",
            json!({"use_bidirectional_attention": true}),
        ),
        ("gemma2", "sliding_window", json!({"sliding_window": null})),
        (
            "gemma2",
            "layer_types",
            json!({"layer_types": ["full_attention"]}),
        ),
        (
            "mistral",
            "layer_types",
            json!({"layer_types": vec!["full_attention"; 6]}),
        ),
        (
            "mistral",
            "quantization_config",
            json!({"quantization_config": {"quant_method": "awq"}}),
        ),
        ("qwen3", "head_dim", json!({"head_dim": 9})),
        ("qwen3", "is_causal", json!({"is_causal": false})),
    ] {
        let error = refusal(family, change.clone());
        let named = error.starts_with(&format!("config.json: {field} "));
        assert!(named, "{family} {change}: {error}");
    }
}

fn model(family: &str) -> Model {
    vivarium::engine::device::set_threads(1);
    let init = Init {
        std: 0.3,
        scale_residual: false,
        seed: 4,
    };
    let weights = Weights::random(&read(published(family)), init, Device::Cpu).unwrap();
    let leaves = weights.map(|_, tensor| Ok(tensor.f_set_requires_grad(true)?));
    Model::new(leaves.unwrap(), 32).unwrap()
}

/// Half the sum of squared logits of one row, which every weight has a part in.
fn sum(model: &Model) -> tch::Tensor {
    let tokens = [3, 17, 5, 8, 2, 11, 30, 7, 9, 21];
    let tokens = pad_right(&[&tokens], tch::Device::Cpu).unwrap();
    let hidden = model.hidden(&tokens, &Deltas::none()).unwrap();
    let logits = model.logits(&hidden.view([-1, 32])).unwrap();
    logits.square().sum(Kind::Double) * 0.5
}

#[test]
fn gradients_of_every_family_are_the_slopes_of_what_is_computed() {
    for family in ALL {
        let model = model(family);
        sum(&model).backward();
        for (name, tensor) in model.weights().named() {
            let grad = tensor.grad();
            let length = grad.square().sum(Kind::Double).sqrt().double_value(&[]);
            assert!(length > 0.0, "{family} {name}");
            // a step along the gradient, small against the weights: central differences are good to its square
            let step = 1e-3 / length;
            let moved = |sign: f64| {
                let _guard = tch::no_grad_guard();
                let kept = tensor.copy();
                tensor
                    .shallow_clone()
                    .copy_(&(&kept + &grad * (sign * step)));
                let value = sum(&model).double_value(&[]);
                tensor.shallow_clone().copy_(&kept);
                value
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            let ratio = slope / (length * length);
            assert!((ratio - 1.0).abs() < 0.02, "{family} {name}: {ratio}");
        }
    }
}
