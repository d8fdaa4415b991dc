//! Every field of a model's shape, switched off or to a wrong value: each must be seen in the logits.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};
use vivarium::engine::model::Model;
use vivarium::engine::model::config::{
    Activation, LayerType, ModelConfig, RopeConfig, RopeScaling,
};
use vivarium::engine::weights::Weights;

use super::fixture::{Fixture, POSITIONS, all};
use super::{FLOAT32, compare};

/// How many times the tolerance a wrong value must miss by.
const FOLD: f64 = 50.0;

/// What is switched, and the wrong shape; none where the family has no such thing.
type Switch = (&'static str, fn(&ModelConfig) -> Option<ModelConfig>);

const SWITCHES: [Switch; 29] = [
    ("num_hidden_layers, one less", |c| {
        changed(c, true, |c| c.num_hidden_layers -= 1)
    }),
    ("head_dim, heads half as many and twice as wide", |c| {
        changed(c, !c.qk_norm && c.num_key_value_heads == 2, |c| {
            (c.num_attention_heads, c.num_key_value_heads) = (c.num_attention_heads / 2, 1);
            c.head_dim *= 2;
        })
    }),
    ("rms_norm_eps", |c| {
        changed(c, true, |c| c.rms_norm_eps = 1e-6)
    }),
    ("layer_types, all full", |c| {
        changed(c, slides(c), |c| c.layer_types.fill(LayerType::Full))
    }),
    ("layer_types, all sliding", |c| {
        changed(
            c,
            slides(c) && c.layer_types.contains(&LayerType::Full),
            |c| c.layer_types.fill(LayerType::Sliding),
        )
    }),
    ("layer_types, one later", |c| {
        changed(
            c,
            slides(c) && c.layer_types.contains(&LayerType::Full),
            |c| c.layer_types.rotate_right(1),
        )
    }),
    ("sliding_window, one more", |c| {
        window(c, |window| window + 1)
    }),
    ("sliding_window, one less", |c| {
        window(c, |window| window - 1)
    }),
    ("rope, theta", |c| changed(c, true, |c| c.rope.theta *= 1.5)),
    ("rope, no scaling", |c| {
        let scaled = c.rope.scaling != RopeScaling::None;
        changed(c, scaled, |c| c.rope.scaling = RopeScaling::None)
    }),
    ("rope, factor", |c| {
        scaling(c, |factor, _, _, _| *factor *= 2.0)
    }),
    ("rope, low_freq_factor", |c| {
        llama3(c, |_, low, _, _| *low *= 1.5)
    }),
    ("rope, high_freq_factor", |c| {
        llama3(c, |_, _, high, _| *high *= 0.75)
    }),
    ("rope, original_max_position_embeddings", |c| {
        llama3(c, |_, _, _, original| *original *= 2.0)
    }),
    ("rope_local, theta", |c| {
        changed(c, c.rope_local.is_some(), |c| {
            c.rope_local = c.rope_local.map(|rope| RopeConfig::plain(rope.theta * 1.5))
        })
    }),
    ("rope_local, that of full layers", |c| {
        changed(c, c.rope_local.is_some(), |c| c.rope_local = None)
    }),
    ("query_pre_attn_scalar, the width of a head", |c| {
        let other = c.query_pre_attn_scalar != c.head_dim as f64;
        changed(c, other, |c| c.query_pre_attn_scalar = c.head_dim as f64)
    }),
    ("query_pre_attn_scalar", |c| {
        changed(c, true, |c| c.query_pre_attn_scalar *= 1.2)
    }),
    ("attn_logit_softcapping", |c| {
        changed(c, c.attn_logit_softcapping.is_some(), |c| {
            c.attn_logit_softcapping = None
        })
    }),
    ("final_logit_softcapping", |c| {
        changed(c, c.final_logit_softcapping.is_some(), |c| {
            c.final_logit_softcapping = None
        })
    }),
    ("activation", |c| {
        changed(c, true, |c| {
            c.activation = match c.activation {
                Activation::Silu => Activation::GeluTanh,
                _ => Activation::Silu,
            }
        })
    }),
    ("tie_word_embeddings", |c| {
        changed(c, !c.tie_word_embeddings, |c| c.tie_word_embeddings = true)
    }),
    ("qkv_bias", |c| {
        changed(c, c.qkv_bias, |c| c.qkv_bias = false)
    }),
    ("o_bias", |c| changed(c, c.o_bias, |c| c.o_bias = false)),
    ("mlp_bias", |c| {
        changed(c, c.mlp_bias, |c| c.mlp_bias = false)
    }),
    ("qk_norm", |c| changed(c, c.qk_norm, |c| c.qk_norm = false)),
    ("norm_plus_one", |c| {
        changed(c, c.norm_plus_one, |c| c.norm_plus_one = false)
    }),
    ("norm_outputs", |c| {
        changed(c, c.norm_outputs, |c| c.norm_outputs = false)
    }),
    ("scale_embeddings", |c| {
        changed(c, c.scale_embeddings, |c| c.scale_embeddings = false)
    }),
];

fn changed(
    config: &ModelConfig,
    applies: bool,
    change: impl FnOnce(&mut ModelConfig),
) -> Option<ModelConfig> {
    let mut other = config.clone();
    change(&mut other);
    applies.then_some(other)
}

fn slides(config: &ModelConfig) -> bool {
    config.layer_types.contains(&LayerType::Sliding)
}

fn window(config: &ModelConfig, change: fn(i64) -> i64) -> Option<ModelConfig> {
    let window = config.sliding_window.filter(|_| slides(config))?;
    changed(config, true, |config| {
        config.sliding_window = Some(change(window))
    })
}

/// Changes (factor, low, high, original) of whatever scaling there is.
fn scaling(
    config: &ModelConfig,
    change: fn(&mut f64, &mut f64, &mut f64, &mut f64),
) -> Option<ModelConfig> {
    let mut other = config.clone();
    match &mut other.rope.scaling {
        RopeScaling::None => return None,
        RopeScaling::Linear { factor } => change(factor, &mut 0.0, &mut 0.0, &mut 0.0),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => change(
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        ),
    }
    Some(other)
}

fn llama3(
    config: &ModelConfig,
    change: fn(&mut f64, &mut f64, &mut f64, &mut f64),
) -> Option<ModelConfig> {
    let is = matches!(config.rope.scaling, RopeScaling::Llama3 { .. });
    scaling(config, change).filter(|_| is)
}

/// Fails to compile when a field is added, so that it is thought of here.
fn every_field_is_switched_or_is_a_shape_that_strict_loading_refuses(config: ModelConfig) {
    let ModelConfig {
        // Shapes: another value is refused by the tensors, whose shapes it says.
        hidden_size: _,
        intermediate_size: _,
        vocab_size: _,
        // Said by the names of tensors.
        family: _,
        multimodal: _,
        // Bounds and ends, no part of a logit.
        max_position_embeddings: _,
        eos_token_ids: _,
        // Switched.
        num_hidden_layers: _,
        num_attention_heads: _,
        num_key_value_heads: _,
        head_dim: _,
        rms_norm_eps: _,
        layer_types: _,
        sliding_window: _,
        rope: _,
        rope_local: _,
        query_pre_attn_scalar: _,
        attn_logit_softcapping: _,
        final_logit_softcapping: _,
        activation: _,
        tie_word_embeddings: _,
        qkv_bias: _,
        o_bias: _,
        mlp_bias: _,
        qk_norm: _,
        norm_plus_one: _,
        norm_outputs: _,
        scale_embeddings: _,
    } = config;
}

/// The fixture's tensors as far as the other shape has a place for them.
fn model(fixture: &Fixture, other: &ModelConfig) -> Model {
    let weights = fixture.weights(Kind::Float);
    let tensors: BTreeMap<String, &Tensor> = weights.named().into_iter().collect();
    let other = Weights::assemble(other, |parameter| {
        Ok(tensors[&parameter.name].shallow_clone())
    });
    Model::new(other.unwrap(), POSITIONS).unwrap()
}

#[test]
fn every_field_of_the_shape_switched_off_misses_the_tolerance_fifty_fold() {
    let mut least: BTreeMap<&str, f64> = BTreeMap::new();
    for fixture in all() {
        every_field_is_switched_or_is_a_shape_that_strict_loading_refuses(fixture.config.clone());
        for (what, switch) in SWITCHES {
            let Some(other) = switch(&fixture.config) else {
                continue;
            };
            let gap = compare::single_gap(&fixture, &model(&fixture, &other));
            assert!(
                gap > FOLD * FLOAT32,
                "{}, {what}: {gap:e} is seen by nobody",
                fixture.name
            );
            let seen = least.entry(what).or_insert(f64::INFINITY);
            *seen = seen.min(gap);
        }
    }
    for (what, gap) in &least {
        eprintln!("{what}: at least {:.0} times the tolerance", gap / FLOAT32);
    }
    assert_eq!(
        least.len(),
        SWITCHES.len(),
        "a switch that no family has: {least:?}"
    );
}

#[test]
fn gelu_is_told_from_its_tanh_approximation() {
    for fixture in all() {
        let close = fixture.config.activation == Activation::GeluTanh;
        let Some(other) = changed(&fixture.config, close, |c| c.activation = Activation::Gelu)
        else {
            continue;
        };
        let gap = compare::single_gap(&fixture, &model(&fixture, &other));
        // The two differ by 5e-4 at most, so no model can show them fifty-fold.
        assert!(gap > 4.0 * FLOAT32, "{}: {gap:e}", fixture.name);
    }
}
