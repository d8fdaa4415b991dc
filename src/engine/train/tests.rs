//! Training of a tiny model: against PEFT's trajectory, against itself cut otherwise, and against itself resumed.

mod dropout;
mod kl;
mod memory;
mod narrow;
mod on_a_gpu;
mod steering;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::batch::{Example, size_of};
use super::schedule::share;
use super::{Measured, Setup, Trainer};
use crate::domain::finetune::{OptimizerSpec, ScheduleName, ScheduleSpec, WarmupFrom};
use crate::engine::adapter::Adapter;
use crate::engine::device::{Device, set_threads};
use crate::engine::files::Files;
use crate::engine::model::config::ModelConfig;
use crate::engine::weights::Weights;

/// What `scripts/oracles/peft_training.py` wrote.
#[derive(Deserialize)]
struct Oracle {
    spec: Spec,
    batches: Vec<Vec<Row>>,
    modules: Vec<String>,
    lora: Vec<PairStep>,
    full: Vec<FullStep>,
}

#[derive(Deserialize)]
struct Spec {
    steps: u64,
    warmup: u64,
    rate: f64,
    clip: f64,
    decay: f64,
}

#[derive(Deserialize)]
struct Row {
    tokens: Vec<u32>,
    target: Vec<bool>,
    weight: f32,
}

#[derive(Deserialize)]
struct PairStep {
    loss: f64,
    grad_norm: f64,
    a_norm: Vec<f64>,
    b_norm: Vec<f64>,
    ba_norm: Vec<f64>,
    a_grad_norm: Vec<f64>,
    b_grad_norm: Vec<f64>,
    b_cosine_previous: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct FullStep {
    loss: f64,
    grad_norm: f64,
    norms: std::collections::BTreeMap<String, f64>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine/peft_training")
}

fn oracle() -> Oracle {
    let text = std::fs::read_to_string(folder().join("trajectory.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn base() -> Weights {
    base_on(Device::Cpu, None)
}

fn base_on(device: Device, kind: Option<tch::Kind>) -> Weights {
    let files = Files::in_folder(&folder().join("base")).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    Weights::load(&files, &config, kind, device).unwrap()
}

impl Oracle {
    fn optimizer(&self) -> OptimizerSpec {
        OptimizerSpec {
            learning_rate: self.spec.rate,
            weight_decay: self.spec.decay,
            max_grad_norm: Some(self.spec.clip),
            ..OptimizerSpec::default()
        }
    }

    fn rate(&self, step: usize) -> f64 {
        let schedule = ScheduleSpec {
            name: ScheduleName::Linear,
            warmup_steps: self.spec.warmup,
            warmup_from: WarmupFrom::First,
            final_ratio: 0.0,
        };
        self.spec.rate * share(&schedule, step as u64, self.spec.steps)
    }

    fn examples(&self, step: usize) -> Vec<Example> {
        let example = |row: &Row| Example {
            tokens: row.tokens.clone(),
            target: row.target.clone(),
            weight: row.weight,
        };
        self.batches[step].iter().map(example).collect()
    }

    fn lora(&self, setup: Setup) -> Trainer {
        let base = base();
        let files = Files::in_folder(&folder().join("initial")).unwrap();
        let adapter = Adapter::load(&files, &base.config, Device::Cpu).unwrap();
        Trainer::lora(&base, &adapter, &self.optimizer(), setup).unwrap()
    }

    fn full(&self, setup: Setup) -> Trainer {
        Trainer::full(&base(), &self.optimizer(), setup).unwrap()
    }

    fn step(&self, trainer: &mut Trainer, step: usize) -> Measured {
        let examples = self.examples(step);
        let examples: Vec<&Example> = examples.iter().collect();
        let weight = size_of(&examples).weight;
        for round in trainer.rounds(&examples) {
            trainer.accumulate(&round, weight).unwrap();
        }
        trainer.update(self.rate(step)).unwrap()
    }

    fn run(&self, trainer: &mut Trainer) -> Vec<Measured> {
        (trainer.updates() as usize..self.batches.len())
            .map(|step| self.step(trainer, step))
            .collect()
    }
}

const SETUP: Setup = Setup {
    lanes: 1,
    positions: 64,
    micro_batch: 4,
    recompute: false,
    norms: true,
    seed: 17,
};

/// Single precision keeps 6e-8 of each number; sums of some hundred terms, in another order on the other side, and ten
/// updates that feed rounding back leave two more digits. A wrong formula is off by far more than 2e-5.
fn near(found: f64, expected: f64, what: &str) {
    let scale = expected.abs().max(1e-3);
    assert!(
        (found - expected).abs() < 2e-5 * scale,
        "{what}: {found}, expected {expected}"
    );
}

fn all_near(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        near(*found, *expected, what);
    }
}

#[test]
fn pairs_take_the_path_that_peft_and_adamw_take() {
    set_threads(1);
    let oracle = oracle();
    let mut trainer = oracle.lora(SETUP);
    let names: Vec<String> = trainer
        .modules()
        .into_iter()
        .map(|module| module.name)
        .collect();
    assert_eq!(names, oracle.modules);
    for (step, (found, expected)) in oracle
        .run(&mut trainer)
        .iter()
        .zip(&oracle.lora)
        .enumerate()
    {
        let at = |what: &str| format!("{what} of step {}", step + 1);
        near(found.loss, expected.loss, &at("loss"));
        near(found.grad_norm, expected.grad_norm, &at("grad_norm"));
        let norms = found.norms.as_ref().unwrap();
        assert_eq!(norms.step, step as u64 + 1);
        all_near(&norms.a_norm, &expected.a_norm, &at("a_norm"));
        all_near(&norms.b_norm, &expected.b_norm, &at("b_norm"));
        all_near(&norms.ba_norm, &expected.ba_norm, &at("ba_norm"));
        all_near(
            &norms.a_grad_norm,
            &expected.a_grad_norm,
            &at("a_grad_norm"),
        );
        all_near(
            &norms.b_grad_norm,
            &expected.b_grad_norm,
            &at("b_grad_norm"),
        );
        for (found, expected) in norms
            .b_cosine_previous
            .iter()
            .zip(&expected.b_cosine_previous)
        {
            match expected {
                Some(expected) => near(*found, *expected, &at("cosine")),
                None => assert!(found.is_nan()),
            }
        }
    }
}

#[test]
fn all_weights_take_the_path_that_transformers_and_adamw_take() {
    set_threads(1);
    let oracle = oracle();
    let mut trainer = oracle.full(SETUP);
    for (step, expected) in oracle.full.iter().enumerate() {
        let found = oracle.step(&mut trainer, step);
        near(
            found.loss,
            expected.loss,
            &format!("loss of step {}", step + 1),
        );
        near(
            found.grad_norm,
            expected.grad_norm,
            &format!("grad_norm of step {}", step + 1),
        );
        assert_eq!(found.norms, None);
        for (name, tensor) in trainer.flat.named().unwrap() {
            let norm = tensor.to_kind(tch::Kind::Double).norm().double_value(&[]);
            near(
                norm,
                expected.norms[&name],
                &format!("norm of {name} after step {}", step + 1),
            );
        }
    }
}

#[test]
fn how_a_step_is_cut_into_passes_changes_no_number_beyond_rounding() {
    set_threads(1);
    let oracle = oracle();
    let whole = oracle.run(&mut oracle.lora(SETUP));
    for (lanes, micro_batch, tokens) in [(1, 1, 0), (1, 3, 0), (2, 4, 1000), (3, 1, 0)] {
        let mut trainer = oracle.lora(Setup {
            lanes,
            micro_batch,
            ..SETUP
        });
        trainer.limit.tokens = tokens;
        for (found, expected) in oracle.run(&mut trainer).iter().zip(&whole) {
            near(found.loss, expected.loss, "loss");
            near(found.grad_norm, expected.grad_norm, "grad_norm");
        }
    }
}

fn files_of(trainer: &Trainer) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let names = trainer.save_weights(folder.path(), "tiny").unwrap();
    names
        .into_iter()
        .map(|name| {
            (
                name.to_string(),
                std::fs::read(folder.path().join(name)).unwrap(),
            )
        })
        .collect()
}

/// Equal to the bit, NaN included.
fn same(found: &[Measured], expected: &[Measured]) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn a_run_resumed_at_any_step_gives_the_numbers_and_the_bytes_of_an_uninterrupted_one() {
    set_threads(1);
    let oracle = oracle();
    let setup = Setup { lanes: 2, ..SETUP };
    let makers: [&dyn Fn() -> Trainer; 2] = [&|| oracle.lora(setup), &|| oracle.full(setup)];
    for make in makers {
        let mut whole = make();
        let expected = oracle.run(&mut whole);
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut stopped = make();
        for start in 0..expected.len() {
            stopped.save_state(&state).unwrap();
            let mut resumed = make();
            resumed.restore(&state, start as u64).unwrap();
            same(&oracle.run(&mut resumed), &expected[start..]);
            assert_eq!(files_of(&resumed), files_of(&whole));
            oracle.step(&mut stopped, start);
        }
    }
}

#[test]
fn a_state_of_another_run_or_without_moments_is_refused() {
    let oracle = oracle();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    oracle.full(SETUP).save_state(&state).unwrap();
    let error = oracle
        .lora(SETUP)
        .restore(&state, 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains("weights has shape"), "{error}");
    let weights = vec![("weights".to_string(), oracle.full(SETUP).flat.weights)];
    crate::engine::tensors::write(&state, &weights).unwrap();
    let error = oracle
        .full(SETUP)
        .restore(&state, 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains("first_moments is missing"), "{error}");
}

#[test]
fn the_base_is_unchanged_by_training_beside_it_and_on_a_copy_of_it() {
    set_threads(1);
    let (oracle, base) = (oracle(), base());
    let before = base.deep_copy(None).unwrap();
    let files = Files::in_folder(&folder().join("initial")).unwrap();
    let adapter = Adapter::load(&files, &base.config, Device::Cpu).unwrap();
    let first = adapter.pairs[0].a.copy();
    oracle.run(&mut Trainer::lora(&base, &adapter, &oracle.optimizer(), SETUP).unwrap());
    oracle.run(&mut Trainer::full(&base, &oracle.optimizer(), SETUP).unwrap());
    for ((name, now), (_, then)) in base.named().into_iter().zip(before.named()) {
        assert!(now.equal(then), "{name}");
        assert!(!now.requires_grad(), "{name}");
    }
    assert!(adapter.pairs[0].a.equal(&first));
}

#[test]
fn what_users_load_holds_the_trained_numbers() {
    set_threads(1);
    let oracle = oracle();
    let (mut lora, mut full) = (oracle.lora(SETUP), oracle.full(SETUP));
    oracle.step(&mut lora, 0);
    oracle.step(&mut full, 0);
    let folder = tempfile::tempdir().unwrap();
    lora.save_weights(folder.path(), "tiny").unwrap();
    full.save_weights(folder.path(), "tiny").unwrap();
    let files = Files::in_folder(folder.path()).unwrap();
    let adapter = Adapter::load(&files, &base().config, Device::Cpu).unwrap();
    let norms = lora.norms().unwrap().unwrap();
    for (pair, norm) in adapter.pairs.iter().zip(&norms.b_norm) {
        near(pair.b.norm().double_value(&[]), *norm, &pair.module.name);
    }
    let weights = Weights::load(&files, &base().config, None, Device::Cpu).unwrap();
    let named: std::collections::HashMap<_, _> = full.flat.named().unwrap().into_iter().collect();
    assert!(
        weights
            .named()
            .into_iter()
            .all(|(name, tensor)| tensor.equal(&named[&name]))
    );
}

#[test]
fn a_loss_that_is_not_finite_names_its_step() {
    set_threads(1);
    let oracle = oracle();
    let mut trainer = oracle.full(SETUP);
    oracle.step(&mut trainer, 0);
    let _ = trainer.flat.weights.narrow(0, 0, 100).fill_(f64::INFINITY);
    let examples = oracle.examples(1);
    let examples: Vec<&Example> = examples.iter().collect();
    let round = trainer.rounds(&examples).remove(0);
    trainer
        .accumulate(&round, size_of(&examples).weight)
        .unwrap();
    let error = trainer.update(1e-3).unwrap_err().to_string();
    assert!(
        error.starts_with("step 2: loss NaN, gradient norm "),
        "{error}"
    );
}

#[test]
fn vectors_are_spared_by_decay_on_matrices() {
    set_threads(1);
    let oracle = oracle();
    let spec = OptimizerSpec {
        weight_decay_on: crate::domain::finetune::DecayOn::Matrices,
        ..oracle.optimizer()
    };
    let mut trainer = Trainer::full(&base(), &spec, SETUP).unwrap();
    let before = trainer.flat.weights.copy();
    // without a gradient only decay moves a weight: by the factor 1 − rate · decay
    trainer.update(0.5).unwrap();
    let ratio = Vec::<f32>::try_from(&trainer.flat.weights / before).unwrap();
    for part in &trainer.flat.parts {
        let expected = if part.shape.len() >= 2 {
            1.0 - 0.5 * 0.1
        } else {
            1.0
        };
        let found = f64::from(ratio[part.offset as usize]);
        near(found, expected, &part.name);
    }
}
