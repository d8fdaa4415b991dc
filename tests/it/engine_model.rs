//! The model's numbers against those of transformers, and its independence of everything they must not depend on.

use std::path::PathBuf;

use tch::{Kind, Tensor};
use vivarium::engine::device::Device;
use vivarium::engine::files::Files;
use vivarium::engine::model::attention::Causal;
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::model::projection::Deltas;
use vivarium::engine::model::{Model, pad_right};
use vivarium::engine::tensors::Archive;
use vivarium::engine::weights::{Init, Weights};

/// Measured differences to transformers are below 4e-6; rounding in another order makes them.
pub const TOLERANCE: f64 = 1e-5;

pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/engine")
        .join(name)
}

/// One thread, for parallel tests with parallel kernels get in each other's way.
pub fn load(name: &str, kind: Option<Kind>) -> Weights {
    vivarium::engine::device::set_threads(1);
    let files = Files::in_folder(&fixture(name)).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    Weights::load(&files, &config, kind, Device::Cpu).unwrap()
}

pub fn model(name: &str) -> Model {
    Model::new(load(name, None), 64).unwrap()
}

pub fn rows() -> Vec<Vec<u32>> {
    serde_json::from_slice(&std::fs::read(fixture("rows.json")).unwrap()).unwrap()
}

/// The reference's logits of the real tokens, row after row.
pub fn expected(name: &str) -> Tensor {
    let path = fixture(name).join("expected.safetensors");
    let tokens = rows().iter().map(Vec::len).sum::<usize>() as i64;
    let archive = Archive::open([("expected.safetensors", path.as_path())]).unwrap();
    archive
        .read("logits", &[tokens, 40], None, Device::Cpu)
        .unwrap()
}

/// Our logits of the real tokens of a right-padded batch, row after row.
pub fn logits(model: &Model, rows: &[Vec<u32>], deltas: &Deltas) -> Tensor {
    let _guard = tch::no_grad_guard();
    let slices: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
    let tokens = pad_right(&slices, tch::Device::Cpu).unwrap();
    let hidden = model.hidden(&tokens, deltas).unwrap();
    let real: Vec<Tensor> = (0..)
        .zip(rows)
        .map(|(row, tokens)| hidden.get(row).narrow(0, 0, tokens.len() as i64))
        .collect();
    model.logits(&Tensor::cat(&real, 0)).unwrap()
}

pub fn difference(left: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(left.size(), right.size());
    let both = (left.to_kind(Kind::Double) - right.to_kind(Kind::Double)).abs();
    both.max().double_value(&[])
}

#[test]
fn logits_equal_those_of_transformers_with_a_tied_and_with_an_untied_head() {
    for name in ["tied", "untied"] {
        let ours = logits(&model(name), &rows(), &Deltas::none());
        let gap = difference(&ours, &expected(name));
        eprintln!("{name}: largest difference to transformers {gap:e}");
        assert!(gap < TOLERANCE, "{name}: {gap:e}");
        assert!(
            ours.abs().max().double_value(&[]) > 1.0,
            "{name}: too small to tell"
        );
    }
}

#[test]
fn padding_on_the_right_changes_no_real_token() {
    let model = model("untied");
    let together = logits(&model, &rows(), &Deltas::none());
    let alone: Vec<Tensor> = rows()
        .iter()
        .map(|row| logits(&model, std::slice::from_ref(row), &Deltas::none()))
        .collect();
    // Kernels round differently by shape, so the comparison is by tolerance.
    assert!(difference(&together, &Tensor::cat(&alone, 0)) < TOLERANCE);
}

#[test]
fn positions_by_row_give_what_positions_from_zero_give() {
    let model = model("untied");
    let tokens = Tensor::from_slice(&[3i64, 17, 5, 31]).view([1, 4]);
    let positions = Tensor::from_slice(&[0i64, 1, 2, 3]).view([1, 4]);
    let angles = model.rope().at(&positions).unwrap();
    let ours = model
        .run(&tokens, &angles, &Deltas::none(), &mut Causal)
        .unwrap();
    let plain = model.hidden(&tokens, &Deltas::none()).unwrap();
    assert!(plain.view([4, -1]).equal(&ours));
}

#[test]
fn bfloat16_weights_give_nearly_the_same_logits() {
    let rounded = Model::new(load("untied", Some(Kind::BFloat16)), 64).unwrap();
    let ours = logits(&rounded, &rows(), &Deltas::none());
    assert_eq!(ours.kind(), Kind::BFloat16);
    let exact = expected("untied");
    // bfloat16 keeps 8 bits; three layers of it stay within a tenth of the logits' own spread.
    let spread = exact.std(true).double_value(&[]);
    let error = (ours.to_kind(Kind::Float) - &exact)
        .square()
        .mean(Kind::Float)
        .sqrt();
    assert!(
        error.double_value(&[]) < 0.1 * spread,
        "{error:?} of {spread}"
    );
}

#[test]
fn gradients_reach_every_weight_of_a_private_copy_and_none_of_the_base() {
    let base = load("tied", None);
    let copy = base.deep_copy(None).unwrap();
    let leaves = copy
        .map(|_, tensor| Ok(tensor.f_set_requires_grad(true)?))
        .unwrap();
    let model = Model::new(leaves, 64).unwrap();
    let tokens = pad_right(&[&[3, 17, 5], &[8, 2]], tch::Device::Cpu).unwrap();
    let hidden = model
        .hidden(&tokens, &Deltas::none())
        .unwrap()
        .view([-1, 16]);
    model
        .logits(&hidden)
        .unwrap()
        .square()
        .sum(Kind::Float)
        .backward();
    for (name, tensor) in model.weights().named() {
        let grad = tensor.grad();
        assert!(
            grad.defined() && grad.abs().sum(Kind::Float).double_value(&[]) > 0.0,
            "{name}"
        );
    }
    assert!(
        base.named()
            .iter()
            .all(|(_, tensor)| !tensor.requires_grad())
    );
}

#[test]
fn more_positions_than_the_model_has_are_refused() {
    let error = Model::new(load("tied", None), 65)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("max_position_embeddings 64"), "{error}");
}

fn toy() -> ModelConfig {
    ModelConfig::from_json(&serde_json::json!({
        "model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 200, "tie_word_embeddings": true,
    }))
    .unwrap()
}

fn random(seed: u64) -> Weights {
    let init = Init {
        std: 0.05,
        scale_residual: true,
        seed,
    };
    Weights::random(&toy(), init, Device::Cpu).unwrap()
}

fn same(left: &Weights, right: &Weights) -> bool {
    let (left, right) = (left.named(), right.named());
    left.iter().zip(&right).all(|((_, l), (_, r))| l.equal(r))
}

#[test]
fn a_seed_gives_the_same_weights_on_any_number_of_threads_and_another_seed_gives_others() {
    let drawn = |threads| {
        std::thread::spawn(move || {
            vivarium::engine::device::set_threads(threads);
            random(3)
        })
        .join()
        .unwrap()
    };
    let (one, two) = (drawn(1), drawn(2));
    assert!(same(&one, &two));
    for ((name, left), (_, right)) in one.named().iter().zip(random(4).named()) {
        let constant = name.ends_with("norm.weight") || name.ends_with("bias");
        assert_eq!(left.equal(right), constant, "{name}");
    }
}

#[test]
fn a_random_model_that_no_machine_here_could_hold_is_refused_before_memory_is_taken() {
    let mut config = toy();
    (config.hidden_size, config.vocab_size) = (1 << 16, 1 << 22);
    let init = Init {
        std: 0.05,
        scale_residual: true,
        seed: 0,
    };
    let error = Weights::random(&config, init, Device::Cpu)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("at most 1000000000"), "{error}");
}

#[test]
fn random_weights_have_the_spread_that_was_asked_for() {
    for (name, tensor) in random(0).named() {
        let (mean, std) = (tensor.mean(Kind::Double), tensor.std(true));
        let (mean, std) = (mean.double_value(&[]), std.double_value(&[]));
        if name.ends_with("norm.weight") {
            assert_eq!((mean, std), (1.0, 0.0), "{name}");
        } else if name.ends_with("bias") {
            assert_eq!((mean, std), (0.0, 0.0), "{name}");
        } else {
            let residual = name.contains("o_proj") || name.contains("down_proj");
            let want = if residual { 0.05 / 2.0 } else { 0.05 };
            // 2048 numbers and more: five standard errors are 8 % of the spread and 11 % of it for the mean.
            assert!((std / want - 1.0).abs() < 0.08, "{name}: {std}");
            assert!(mean.abs() < 0.11 * want, "{name}: {mean}");
        }
    }
}
