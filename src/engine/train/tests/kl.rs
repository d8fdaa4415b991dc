//! The KL term against logits that are written out, against itself cut otherwise, and against itself averaged otherwise.

use tch::{Kind, Tensor};

use super::*;
use crate::engine::model::Model;
use crate::engine::model::projection::Deltas;
use crate::engine::train::kl::{Compared, Share};
use crate::engine::train::lane::Lane;
use crate::engine::train::loss::Way;

/// A trainer whose weights have moved, so that the term is not 0, held to the base.
fn moved(full: bool, setup: Setup) -> Trainer {
    let oracle = oracle();
    let mut trainer = match full {
        true => oracle.full(setup),
        false => oracle.lora(setup),
    };
    (0..4).for_each(|step| drop(oracle.step(&mut trainer, step)));
    trainer.hold_to(&base()).unwrap();
    trainer
}

fn log_probabilities(model: &Model, deltas: &Deltas, example: &Example) -> Tensor {
    let tokens: Vec<i64> = example.tokens.iter().map(|&id| i64::from(id)).collect();
    let tokens = Tensor::from_slice(&tokens).view([1, -1]);
    let hidden = model.hidden(&tokens, deltas).unwrap();
    let rows = hidden.view([-1, model.config().hidden_size]);
    let logits = model.logits(&rows).unwrap().to_kind(Kind::Double);
    logits.log_softmax(-1, Kind::Double)
}

/// Σ p_ref (log p_ref − log p) of whole sequences, one example at a time in double precision, over the places before targets.
fn written_out(lane: &Lane, examples: &[&Example]) -> Tensor {
    let mut sum = Tensor::zeros([], (Kind::Double, tch::Device::Cpu));
    for example in examples {
        let reference = lane.reference.as_ref().unwrap();
        let expected = log_probabilities(reference, &Deltas::none(), example).detach();
        let found = log_probabilities(&lane.model, &lane.deltas, example);
        let by_place =
            (expected.exp() * (expected - found)).sum_dim_intlist(1, false, Kind::Double);
        for place in (1..example.tokens.len()).filter(|&place| example.target[place]) {
            sum += by_place.get(place as i64 - 1);
        }
    }
    sum
}

fn gradient(trainer: &Trainer) -> Vec<f64> {
    let sums = trainer
        .lanes
        .iter()
        .fold(None, |sum: Option<Tensor>, lane| {
            Some(sum.map_or(lane.grad.copy(), |sum| sum + &lane.grad))
        });
    Vec::try_from(sums.unwrap().to_kind(Kind::Double)).unwrap()
}

/// Single precision keeps 6e-8 of each number; the difference of two log-probabilities near each other loses two digits.
fn all_within(found: &[f64], expected: &[f64]) {
    let largest = expected
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    assert!(largest > 1e-6, "no gradient at all");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 2e-5 * largest,
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn the_term_and_its_gradient_are_those_of_logits_written_out() {
    set_threads(1);
    let examples = oracle().examples(5);
    let examples: Vec<&Example> = examples.iter().collect();
    let tokens = size_of(&examples).targets as f64;
    for full in [false, true] {
        let mut trainer = moved(full, SETUP);
        let expected = written_out(&trainer.lanes[0], &examples) / tokens;
        (&expected * 0.7).backward();
        let gradients = gradient(&trainer);
        let expected = expected.double_value(&[]);
        assert!(expected > 1e-6, "{expected}");
        for (lanes, micro_batch) in [(1, 4), (1, 1), (2, 2)] {
            trainer = moved(
                full,
                Setup {
                    lanes,
                    micro_batch,
                    ..SETUP
                },
            );
            trainer.limit.tokens = 0;
            for round in trainer.rounds(&examples) {
                trainer.compare(&round, tokens, 0.7).unwrap();
            }
            all_within(&gradient(&trainer), &gradients);
            let found = trainer.update(0.0).unwrap().kl_loss.unwrap();
            assert!(
                (found - expected).abs() < 1e-4 * expected,
                "{found}, expected {expected}"
            );
        }
    }
}

#[test]
fn logits_of_a_few_rows_at_a_time_give_what_those_of_all_give() {
    set_threads(1);
    let examples = oracle().examples(5);
    let examples: Vec<&Example> = examples.iter().collect();
    let trainer = moved(true, SETUP);
    let pass = &trainer.rounds(&examples)[0][0];
    let share = Share {
        denominator: 3.0,
        weight: 2.0,
    };
    let mut whole = None;
    for (rows_at_once, recompute) in [(1000, false), (1, false), (6, false), (6, true)] {
        let lane = &trainer.lanes[0];
        let compared = Compared {
            model: &lane.model,
            deltas: &lane.deltas,
            reference: lane.reference.as_ref().unwrap(),
            way: Way {
                rows_at_once,
                recompute,
            },
        };
        let _ = lane.grad.shallow_clone().zero_();
        let term = compared.learn(pass, share).unwrap().double_value(&[]);
        let found = (term, gradient(&trainer));
        let expected = whole.get_or_insert_with(|| found.clone());
        near(found.0, expected.0, "term");
        all_within(&found.1, &expected.1);
    }
}

#[test]
fn an_untrained_adapter_is_where_the_base_is() {
    set_threads(1);
    let oracle = oracle();
    let mut trainer = oracle.lora(SETUP);
    trainer.hold_to(&base()).unwrap();
    let examples = oracle.examples(0);
    let examples: Vec<&Example> = examples.iter().collect();
    for round in trainer.rounds(&examples) {
        trainer.compare(&round, 1.0, 1.0).unwrap();
    }
    // B is 0 in this fixture; what is left is rounding, of a hundred tokens
    let found = trainer.update(1e-3).unwrap();
    assert!(found.kl_loss.unwrap().abs() < 1e-4, "{found:?}");
    assert_eq!(found.loss, 0.0);
}
