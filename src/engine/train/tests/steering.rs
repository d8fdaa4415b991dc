//! A steering vector in training: against a forward hook and torch's AdamW, cut otherwise, resumed.

use serde_json::Value;
use tch::Kind;

use super::*;
use crate::domain::finetune::SteeringMethod;
use crate::engine::steering::{CONFIG, Steering, VECTOR};

/// What `scripts/oracles/steering.py` wrote.
fn expected() -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine/steering");
    serde_json::from_slice(&std::fs::read(folder.join("steering.json")).unwrap()).unwrap()
}

/// The batches and the schedule of the pairs with the settings of the vector.
fn given(expected: &Value) -> Oracle {
    let mut oracle = oracle();
    let number = |key: &str| expected[key].as_f64().unwrap();
    oracle.spec.rate = number("rate");
    oracle.spec.clip = number("clip");
    oracle.spec.decay = number("decay");
    oracle
}

fn trainer(oracle: &Oracle, expected: &Value, setup: Setup) -> Trainer {
    let base = base();
    let method = SteeringMethod {
        layer: expected["layer"].as_u64().unwrap() as u32,
        alpha: expected["alpha"].as_f64().unwrap(),
        init_adapter: None,
    };
    let steering = Steering::init(&base.config, &method, Device::Cpu).unwrap();
    Trainer::steering(&base, &steering, &oracle.optimizer(), setup).unwrap()
}

#[test]
fn a_vector_takes_the_path_that_a_hook_on_the_down_projection_and_adamw_take() {
    set_threads(1);
    let expected = expected();
    let oracle = given(&expected);
    let mut trainer = trainer(&oracle, &expected, SETUP);
    let module = trainer.modules().remove(0);
    assert_eq!(module.name, "layers.0.steering_vector");
    let first = trainer.norms().unwrap().unwrap();
    assert_eq!((first.step, first.b_norm[0]), (0, 0.0));
    for (step, found) in oracle.run(&mut trainer).iter().enumerate() {
        let wanted = &expected["steps"][step];
        let number = |key: &str| wanted[key].as_f64().unwrap();
        let at = |what: &str| format!("{what} of step {}", step + 1);
        near(found.loss, number("loss"), &at("loss"));
        near(found.grad_norm, number("grad_norm"), &at("grad_norm"));
        let norms = found.norms.as_ref().unwrap();
        near(norms.b_norm[0], number("norm"), &at("norm"));
        near(norms.ba_norm[0], 64.0 * number("norm"), &at("scaled norm"));
        near(norms.b_grad_norm[0], number("grad_norm"), &at("gradient"));
        assert!(norms.a_norm[0].is_nan() && norms.a_grad_norm[0].is_nan());
        match wanted["cosine"].as_f64() {
            Some(cosine) => near(norms.b_cosine_previous[0], cosine, &at("cosine")),
            None => assert!(norms.b_cosine_previous[0].is_nan()),
        }
    }
    let vector: Vec<f64> = serde_json::from_value(expected["vector"].clone()).unwrap();
    let found = trainer.flat.weights.to_kind(Kind::Double);
    let found = Vec::<f64>::try_from(&found).unwrap();
    // each number is a sum of ten updates of at most the rate, so it is measured against the rate
    for (found, expected) in found.iter().zip(&vector) {
        assert!((found - expected).abs() < 2e-5 * oracle.spec.rate * 10.0);
    }
}

#[test]
fn cut_otherwise_a_vectors_step_is_the_same_beyond_rounding() {
    set_threads(1);
    let expected = expected();
    let oracle = given(&expected);
    for (lanes, micro_batch) in [(1, 1), (2, 4), (3, 1)] {
        let setup = Setup {
            lanes,
            micro_batch,
            ..SETUP
        };
        let mut trainer = trainer(&oracle, &expected, setup);
        for (step, found) in oracle.run(&mut trainer).iter().enumerate() {
            let wanted = expected["steps"][step]["loss"].as_f64().unwrap();
            near(found.loss, wanted, "loss");
        }
    }
}

#[test]
fn a_vectors_run_resumed_at_any_step_gives_equal_numbers_and_bytes() {
    set_threads(1);
    let expected = expected();
    let oracle = given(&expected);
    let make = || trainer(&oracle, &expected, Setup { lanes: 2, ..SETUP });
    let mut whole = make();
    let measured = oracle.run(&mut whole);
    let names: Vec<String> = files_of(&whole).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [CONFIG, VECTOR]);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut stopped = make();
    for start in 0..measured.len() {
        stopped.save_state(&state).unwrap();
        let mut resumed = make();
        resumed.restore(&state, start as u64).unwrap();
        same(&oracle.run(&mut resumed), &measured[start..]);
        assert_eq!(files_of(&resumed), files_of(&whole));
        oracle.step(&mut stopped, start);
    }
}
