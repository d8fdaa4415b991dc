//! The untrained adapter beside PEFT's: both are drawn from the same distribution, though by other generators.
//!
//! *Source* PEFT draws A by Kaiming with a = √5, which is uniform within ±1/√in: ‖A‖ is about √(R/3) whatever the inputs are.

use serde_json::json;
use tch::{Kind, Tensor};
use vivarium::domain::finetune::LoraMethod;
use vivarium::engine::adapter::{Adapter, Pair};
use vivarium::engine::device::Device;

use super::recorded::trajectories;

/// Standard deviations that a sample may be off by; one of a thousand samples is off by 3.3, one of a million by 4.9.
const SIGMAS: f64 = 5.0;

fn number(tensor: Tensor) -> f64 {
    tensor.to_kind(Kind::Double).double_value(&[])
}

/// ‖A‖² is a sum of R·in squares, of which each has mean 1/(3 in) and variance 4/(45 in²).
fn check_norms(pair: &Pair, who: &str) {
    let (rank, inputs) = (f64::from(pair.module.rank), pair.a.size()[1] as f64);
    let what = format!("{who} {}", pair.module.name);
    let square = number(pair.a.to_kind(Kind::Double).square().sum(Kind::Double));
    let deviation = (rank / inputs * 4.0 / 45.0).sqrt();
    assert!(
        (square - rank / 3.0).abs() < SIGMAS * deviation,
        "{what}: {square}"
    );
    // rounded to single precision the largest number may be the bound itself
    assert!(
        number(pair.a.abs().max()) <= 1.0 / inputs.sqrt() * (1.0 + 1e-7),
        "{what}"
    );
    assert_eq!(number(pair.b.abs().max()), 0.0, "{what}");
}

/// A moment of uniform numbers within ±1: its value and its standard deviation for one number.
fn expected(power: f64) -> (f64, f64) {
    let of = |power: f64| {
        if power % 2.0 == 0.0 {
            1.0 / (power + 1.0)
        } else {
            0.0
        }
    };
    let (mean, square) = (of(power), of(2.0 * power));
    (mean, (square - mean * mean).sqrt())
}

/// Mean, second, third and fourth moment of all A, each divided by its bound.
fn check_moments(adapter: &Adapter, who: &str) {
    let scaled = adapter.pairs.iter().map(|pair| {
        let bound = 1.0 / (pair.a.size()[1] as f64).sqrt();
        pair.a.to_kind(Kind::Double).flatten(0, -1) / bound
    });
    let all = Tensor::cat(&scaled.collect::<Vec<_>>(), 0);
    let count = all.numel() as f64;
    for power in [1.0, 2.0, 3.0, 4.0] {
        let found = number(all.pow_tensor_scalar(power).mean(Kind::Double));
        let (mean, deviation) = expected(power);
        let off = (found - mean).abs() / (deviation / count.sqrt());
        println!("{who}: moment {power} of A is {found:.4}, {mean:.4} expected, {off:.1} sigma");
        assert!(off < SIGMAS, "{who}, moment {power}: {found}");
    }
}

#[test]
fn untrained_pairs_are_drawn_as_peft_draws_them() {
    let runs = trajectories();
    for run in runs.iter().filter(|run| run.method == "lora") {
        let theirs = run.initial().unwrap();
        let method = json!({"rank": theirs.pairs[0].module.rank, "alpha": 16.0});
        let method: LoraMethod = serde_json::from_value(method).unwrap();
        let ours = Adapter::init(&run.base.config, &method, 7, Device::Cpu).unwrap();
        assert_eq!(ours.pairs.len(), theirs.pairs.len());
        for (adapter, who) in [(&theirs, "PEFT"), (&ours, "the engine")] {
            let who = format!("{}, {who}", run.family);
            adapter
                .pairs
                .iter()
                .for_each(|pair| check_norms(pair, &who));
            check_moments(adapter, &who);
        }
    }
}
