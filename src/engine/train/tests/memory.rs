//! How a step is laid out in memory changes no number: packed or alone, all logits or some, kept or computed again.

use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::SETUP;
use crate::domain::finetune::{LoraMethod, OptimizerSpec};
use crate::engine::Error;
use crate::engine::adapter::Adapter;
use crate::engine::device::{Device, set_threads};
use crate::engine::keyed::Stream;
use crate::engine::model::config::ModelConfig;
use crate::engine::train::batch::{Example, size_of};
use crate::engine::train::body::Body;
use crate::engine::train::{ROOM, Setup, Sums, Trainer};
use crate::engine::weights::{Init, Weights};

const VOCABULARY: u64 = 48;

/// Small models of all families; examples are longer than their windows.
fn families() -> Vec<Value> {
    vec![
        json!({"model_type": "qwen2", "tie_word_embeddings": true}),
        json!({"model_type": "qwen3", "head_dim": 8}),
        json!({"model_type": "llama"}),
        json!({"model_type": "mistral", "sliding_window": 5}),
        json!({"model_type": "gemma2", "sliding_window": 5, "head_dim": 8, "query_pre_attn_scalar": 11,
            "attn_logit_softcapping": 2.0, "final_logit_softcapping": 6.0}),
        json!({"model_type": "gemma3_text", "sliding_window": 5, "sliding_window_pattern": 2, "head_dim": 8}),
    ]
}

fn base(family: &Value, kind: Kind) -> Weights {
    set_threads(1);
    let mut config = json!({
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "eos_token_id": 2
    });
    let fields = config.as_object_mut().unwrap();
    fields.extend(family.as_object().unwrap().clone());
    let config = ModelConfig::from_json(&config).unwrap();
    let init = Init {
        std: 0.2,
        scale_residual: true,
        seed: 5,
    };
    let weights = Weights::random(&config, init, Device::Cpu).unwrap();
    weights.deep_copy(Some(kind)).unwrap()
}

/// Pairs whose B is not zero, so that every A has a gradient.
fn adapter(base: &Weights, method: Value) -> Adapter {
    let method: LoraMethod = serde_json::from_value(method).unwrap();
    let fresh = Adapter::init(&base.config, &method, 3, Device::Cpu).unwrap();
    let trained = fresh.map(|pair| {
        let mut values = vec![0f32; pair.b.numel()];
        let stream = Stream::new(3, "b").text(&pair.module.name);
        stream.fill_normal(0.1, &mut values);
        let b = Tensor::from_slice(&values).view(pair.b.size().as_slice());
        Ok((pair.a.shallow_clone(), b))
    });
    trained.unwrap()
}

fn everywhere() -> Value {
    json!({"rank": 2, "alpha": 4.0})
}

/// Examples of many lengths, one of a single input token among them, with weights of two datasets.
fn examples() -> Vec<Example> {
    let example = |(index, &length): (u64, &usize)| Example {
        tokens: (0..length as u64)
            .map(|place| Stream::new(index, "token").below(place, VOCABULARY) as u32)
            .collect(),
        target: (0..length).map(|place| place >= length / 2).collect(),
        weight: if index % 2 == 0 { 1.0 } else { 0.5 },
    };
    let lengths = [7, 19, 2, 19, 12, 3, 18, 25, 6];
    (0..).zip(&lengths).map(example).collect()
}

/// Loss and gradients of one step, without an update.
fn sums(trainer: &mut Trainer) -> (f64, Tensor) {
    let examples = examples();
    let examples: Vec<&Example> = examples.iter().collect();
    let weight = size_of(&examples).weight;
    for round in trainer.rounds(&examples) {
        trainer.accumulate(&round, weight).unwrap();
    }
    let Sums { loss, grad, .. } = trainer.sums().unwrap();
    (loss.double_value(&[]), grad.copy())
}

fn lora(base: &Weights, method: Value, setup: Setup) -> Trainer {
    let adapter = adapter(base, method);
    Trainer::lora(base, &adapter, &OptimizerSpec::default(), setup).unwrap()
}

fn full(base: &Weights, setup: Setup) -> Trainer {
    Trainer::full(base, &OptimizerSpec::default(), setup).unwrap()
}

/// Both kinds of training of every family.
fn trainers(setup: Setup) -> impl Iterator<Item = (String, Trainer)> {
    families().into_iter().flat_map(move |family| {
        let base = base(&family, Kind::Float);
        let name = family["model_type"].as_str().unwrap().to_owned();
        [
            (format!("{name}, pairs"), lora(&base, everywhere(), setup)),
            (format!("{name}, all weights"), full(&base, setup)),
        ]
    })
}

/// Sums of at most some hundred numbers in another order, in float32.
fn near(found: (f64, Tensor), expected: &(f64, Tensor), what: &str) {
    let gap = (found.0 - expected.0).abs() / expected.0;
    assert!(gap < 1e-6, "{what}: losses part by {gap:e}");
    let gap = (&found.1 - &expected.1).norm() / expected.1.norm();
    let gap = gap.double_value(&[]);
    assert!(gap < 5e-6, "{what}: gradients part by {gap:e}");
    assert!(expected.1.norm().double_value(&[]) > 0.01, "{what}");
}

#[test]
fn examples_behind_one_another_give_what_each_alone_gives() {
    let passes = |trainer: &Trainer| trainer.rounds(&examples().iter().collect::<Vec<_>>()).len();
    for ((name, mut alone), (_, mut packed)) in trainers(SETUP).zip(trainers(SETUP)) {
        alone.limit.most = Some(1);
        assert_eq!((passes(&alone), passes(&packed)), (9, 1));
        let expected = sums(&mut alone);
        near(sums(&mut packed), &expected, &name);
    }
}

#[test]
fn logits_in_chunks_give_what_all_at_once_give() {
    for (name, mut whole) in trainers(SETUP) {
        let expected = sums(&mut whole);
        for rows in [1, 5, 1000] {
            whole.forget().unwrap();
            whole.lanes[0].way.rows_at_once = rows;
            near(sums(&mut whole), &expected, &format!("{name}, {rows} rows"));
        }
    }
}

/// To the bit: the same kernels make the same numbers, with a graph or without.
#[test]
fn layers_that_are_computed_a_second_time_give_the_same_bits() {
    let again = Setup {
        recompute: true,
        ..SETUP
    };
    for ((name, mut kept), (_, mut again)) in trainers(SETUP).zip(trainers(again)) {
        let (expected, found) = (sums(&mut kept), sums(&mut again));
        assert_eq!(found.0.to_bits(), expected.0.to_bits(), "{name}");
        assert!(found.1.equal(&expected.1), "{name}");
    }
    let base = base(&families()[0], Kind::Float);
    let dropping = json!({"rank": 2, "alpha": 4.0, "dropout": 0.3});
    let expected = sums(&mut lora(&base, dropping.clone(), SETUP));
    assert!(sums(&mut lora(&base, dropping, again)).1.equal(&expected.1));
    let one = json!({"rank": 1, "alpha": 4.0, "target_modules": ["down_proj"], "layers": [1]});
    let expected = sums(&mut lora(&base, one.clone(), SETUP));
    let found = sums(&mut lora(&base, one, again));
    assert!(found.1.equal(&expected.1) && found.1.norm().double_value(&[]) > 0.0);
}

#[test]
fn nothing_below_the_lowest_trained_layer_has_a_graph() {
    let base = base(&families()[0], Kind::Float);
    let one = json!({"rank": 1, "alpha": 4.0, "target_modules": ["down_proj"], "layers": [1]});
    let trainer = lora(&base, one, SETUP);
    let examples = examples();
    let pass = trainer
        .rounds(&examples.iter().collect::<Vec<_>>())
        .remove(0)
        .remove(0);
    let lane = &trainer.lanes[0];
    let body = Body::new(&lane.model, &lane.deltas, &pass, false).unwrap();
    let mut states = lane.model.embed(&body.sequences.tokens).unwrap();
    let mut learns = vec![states.requires_grad()];
    for index in body.layers() {
        states = body.layer(index, &states).unwrap();
        learns.push(states.requires_grad());
    }
    assert_eq!(learns, [false, false, true, true]);
    let mut again = Body::new(&lane.model, &lane.deltas, &pass, true).unwrap();
    let _ = again.forward().unwrap();
    assert_eq!(again.read_again(), [1, 2]);
}

#[test]
fn a_bfloat16_base_trains_float32_pairs_close_to_a_float32_base() {
    let wide = base(&families()[0], Kind::Float);
    let narrow = base(&families()[0], Kind::BFloat16);
    for recompute in [false, true] {
        let setup = Setup { recompute, ..SETUP };
        let (mut one, mut other) = (
            lora(&wide, everywhere(), setup),
            lora(&narrow, everywhere(), setup),
        );
        for step in 0..5 {
            let (expected, found) = (sums(&mut one), sums(&mut other));
            assert_eq!(found.1.kind(), Kind::Float);
            // bfloat16 keeps 8 bits: some dozen roundings a token are off by 2⁻⁹ each at most, and a mean over dozens of tokens
            // by a tenth of that; gradients of equal weights go through as many roundings once more
            let gap = (found.0 - expected.0).abs() / expected.0;
            assert!(gap < 5e-3, "loss of step {step}: {gap:e}");
            let cosine =
                (&found.1 * &expected.1).sum(Kind::Float) / (found.1.norm() * expected.1.norm());
            let cosine = cosine.double_value(&[]);
            assert!(step > 0 || cosine > 0.995, "gradients: {cosine}");
            one.update(1e-2).unwrap();
            let norms = other.update(1e-2).unwrap().norms.unwrap();
            assert!(
                norms
                    .b_norm
                    .iter()
                    .all(|norm| norm.is_finite() && *norm > 0.0)
            );
        }
        assert_eq!(other.flat.weights.kind(), Kind::Float);
        assert!(
            narrow
                .named()
                .iter()
                .all(|(_, tensor)| tensor.kind() == Kind::BFloat16)
        );
    }
}

#[test]
fn a_step_made_again_in_halves_after_memory_ran_out_gives_the_same_numbers() {
    let base = base(&families()[0], Kind::Float);
    let expected = sums(&mut lora(&base, everywhere(), SETUP));
    let mut trainer = lora(&base, everywhere(), SETUP);
    let examples = examples();
    let examples: Vec<&Example> = examples.iter().collect();
    let weight = size_of(&examples).weight;
    ROOM.set(40);
    let mut halvings = 0;
    while let Err(error) = trainer
        .rounds(&examples)
        .iter()
        .try_for_each(|round| trainer.accumulate(round, weight))
    {
        assert!(matches!(error, Error::OutOfMemory(_)), "{error}");
        assert!(trainer.halve(&examples).unwrap().is_some());
        halvings += 1;
    }
    ROOM.set(usize::MAX);
    // 102 tokens, 51, 25: the longest example has 24
    assert_eq!(halvings, 2);
    let Sums { loss, grad, .. } = trainer.sums().unwrap();
    near((loss.double_value(&[]), grad), &expected, "halved");
}
