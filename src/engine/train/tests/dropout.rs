//! Dropout in training: the same numbers however a step is cut, none where nothing is learnt.

use tch::{Kind, Tensor};

use super::*;

/// The fixture's adapter after it has moved (its B begins at 0), with this share of dropout.
fn dropping(share: f64, setup: Setup) -> Trainer {
    let oracle = oracle();
    let mut moved = oracle.lora(SETUP);
    (0..4).for_each(|step| drop(oracle.step(&mut moved, step)));
    let folder = tempfile::tempdir().unwrap();
    moved.save_weights(folder.path(), "tiny").unwrap();
    let base = base();
    let files = Files::in_folder(folder.path()).unwrap();
    let mut adapter = Adapter::load(&files, &base.config, Device::Cpu).unwrap();
    adapter.settings.dropout = share;
    Trainer::lora(&base, &adapter, &oracle.optimizer(), setup).unwrap()
}

/// Loss and gradients of a step that is learnt from.
fn learnt(trainer: &mut Trainer) -> (f64, Vec<f64>) {
    let examples = oracle().examples(5);
    let examples: Vec<&Example> = examples.iter().collect();
    let weight = size_of(&examples).weight;
    for round in trainer.rounds(&examples) {
        trainer.accumulate(&round, weight).unwrap();
    }
    let add = |sum: Tensor, lane: &super::super::lane::Lane| sum + &lane.grad;
    let zeros = trainer.lanes[0].grad.zeros_like();
    let grad = trainer.lanes.iter().fold(zeros, add).to_kind(Kind::Double);
    let loss = trainer.update(0.0).unwrap().loss;
    (loss, Vec::try_from(grad).unwrap())
}

#[test]
fn masks_do_not_know_how_a_step_is_cut_into_passes() {
    set_threads(1);
    let (loss, gradient) = learnt(&mut dropping(0.3, SETUP));
    let largest = gradient
        .iter()
        .fold(0.0f64, |most, value| most.max(value.abs()));
    for (lanes, micro_batch) in [(1, 1), (1, 2), (2, 1), (3, 4)] {
        let mut trainer = dropping(
            0.3,
            Setup {
                lanes,
                micro_batch,
                ..SETUP
            },
        );
        trainer.limit.tokens = 0;
        let (found, parts) = learnt(&mut trainer);
        near(found, loss, "loss");
        // sums in another order; another mask would change the gradient by its own size
        for (found, expected) in parts.iter().zip(&gradient) {
            assert!(
                (found - expected).abs() < 2e-5 * largest,
                "{found}, expected {expected}"
            );
        }
    }
}

#[test]
fn each_step_and_each_seed_drops_other_inputs() {
    set_threads(1);
    let mut trainer = dropping(0.3, SETUP);
    let first = learnt(&mut trainer);
    // the rate is 0, so only the number of the step has changed
    assert_ne!(learnt(&mut trainer), first);
    assert_ne!(
        learnt(&mut dropping(0.3, Setup { seed: 18, ..SETUP })),
        first
    );
    assert_eq!(learnt(&mut dropping(0.3, SETUP)), first);
    assert_ne!(learnt(&mut dropping(0.0, SETUP)).0, first.0);
}

#[test]
fn nothing_is_dropped_where_nothing_is_learnt() {
    set_threads(1);
    let examples = oracle().examples(5);
    let examples: Vec<&Example> = examples.iter().collect();
    let weight = size_of(&examples).weight;
    let measured = |share| {
        let mut trainer = dropping(share, SETUP);
        learnt(&mut trainer);
        let rounds = trainer.rounds(&examples);
        rounds
            .iter()
            .map(|round| trainer.measure(round, weight).unwrap())
            .sum::<f64>()
    };
    assert_eq!(measured(0.5), measured(0.0));
}
