//! Updates against the formula in float64, against torch.optim.AdamW's numbers, and against other ways to lay numbers out.

use tch::{Device, Kind, Tensor};

use super::codes::Map;
use super::*;
use crate::engine::device::set_threads;
use crate::engine::keyed::Stream;

fn spec(name: OptimizerName) -> OptimizerSpec {
    OptimizerSpec {
        name,
        weight_decay: 0.1,
        ..OptimizerSpec::default()
    }
}

fn numbers(count: i64, purpose: &str, spread: f64) -> Vec<f32> {
    let mut values = vec![0f32; count as usize];
    Stream::new(1, purpose).fill_normal(spread, &mut values);
    values
}

fn flat(lengths: &[i64], kind: Kind) -> Flat {
    let tensor = |(index, length): (usize, &i64)| {
        let name = format!("t{index}");
        (
            name.clone(),
            Tensor::from_slice(&numbers(*length, &name, 0.5)),
        )
    };
    let tensors: Vec<_> = lengths.iter().enumerate().map(tensor).collect();
    Flat::gather_as(&tensors, kind, Device::Cpu).unwrap()
}

/// Gradients of update `update`, of very different sizes within a block.
fn gradient(count: i64, update: u64) -> Tensor {
    let values = numbers(count, &format!("gradient {update}"), 1.0);
    let sized = |(index, value): (usize, &f32)| value * 10f32.powi(-(index as i32 % 4));
    let values: Vec<f32> = values.iter().enumerate().map(sized).collect();
    Tensor::from_slice(&values)
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(tensor.to_kind(Kind::Double).view([-1])).unwrap()
}

/// torch 2.11.0's `torch.optim.AdamW([w], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=…)` in float64 on the
/// weights 1, −2, 0.5 with the gradients 0.1, −3, 1e-4 and then −0.2, 1, 1e-4: the weights after each of two updates.
#[test]
fn updates_are_those_of_torchs_adamw() {
    for (decay, expected) in [
        (
            0.0,
            [
                [0.90000001, -1.900000000333, 0.400009999],
                [0.936610360388, -1.859978143317, 0.300019998],
            ],
        ),
        (
            0.1,
            [
                [0.89000001, -1.880000000333, 0.395009999],
                [0.917710360288, -1.821178143314, 0.29106989801],
            ],
        ),
    ] {
        let tensors = [("w".to_string(), Tensor::from_slice(&[1f32, -2.0, 0.5]))];
        let flat = Flat::gather(&tensors, Device::Cpu).unwrap();
        let spec = OptimizerSpec {
            weight_decay: decay,
            ..OptimizerSpec::default()
        };
        let mut optimizer = Optimizer::new(&spec, &flat, 0).unwrap();
        for (gradient, expected) in [[0.1f32, -3.0, 1e-4], [-0.2, 1.0, 1e-4]]
            .iter()
            .zip(expected)
        {
            let gradient = Tensor::from_slice(gradient);
            optimizer.update(&flat.weights, &gradient, 0.1).unwrap();
            for (found, expected) in floats(&flat.weights).iter().zip(expected) {
                // float32 keeps 6e-8 of a number, and an update has a handful of roundings
                assert!(
                    (found - expected).abs() < 3e-7,
                    "{found}, expected {expected}"
                );
            }
        }
    }
}

/// One block of moments in float64, with the nearest value found by trying all.
fn recoded(map: &Map, numbers: &[f64], signed: bool) -> Vec<f64> {
    let scale = numbers.iter().fold(0f64, |most, x| most.max(x.abs()));
    let nearest = |number: &f64| {
        let off = |value: &&f32| (f64::from(**value) - number / scale).abs();
        let value = map.values.iter().min_by(|a, b| off(a).total_cmp(&off(b)));
        let value = f64::from(*value.unwrap());
        let kept = if signed && *number < 0.0 && value == 0.0 {
            f64::from(map.values[126])
        } else {
            value
        };
        kept * scale
    };
    numbers.iter().map(nearest).collect()
}

/// The formula of the optimizer for one tensor, number by number and block by block.
fn reference(
    weights: &mut [f64],
    moments: [&mut Vec<f64>; 2],
    gradient: &[f64],
    update: i32,
    spec: &OptimizerSpec,
) {
    let (b1, b2, rate) = (spec.beta1, spec.beta2, spec.learning_rate);
    let [first, second] = moments;
    for (index, g) in gradient.iter().enumerate() {
        first[index] = b1 * first[index] + (1.0 - b1) * g;
        second[index] = b2 * second[index] + (1.0 - b2) * g * g;
        let m = first[index] / (1.0 - b1.powi(update));
        let v = second[index] / (1.0 - b2.powi(update));
        weights[index] -= rate * spec.weight_decay * weights[index];
        weights[index] -= rate * m / (v.sqrt() + spec.epsilon);
    }
    let (signed, unsigned) = (Map::signed(), Map::unsigned());
    *first = first
        .chunks(256)
        .flat_map(|block| recoded(&signed, block, true))
        .collect();
    *second = second
        .chunks(256)
        .flat_map(|block| recoded(&unsigned, block, false))
        .collect();
}

/// A first moment off by one code is off by at most a tenth of itself or so, which moves a weight by that share of the
/// rate. Only a number within rounding of a bound takes another code, so all but a few weights agree to float32.
#[test]
fn an_8_bit_update_is_the_formulas_in_float64() {
    let spec = OptimizerSpec {
        learning_rate: 0.01,
        ..spec(OptimizerName::Adamw8bit)
    };
    // the last block is short
    let count = 5000;
    let flat = flat(&[count], Kind::Float);
    let mut optimizer = Optimizer::new(&spec, &flat, 0).unwrap();
    let mut weights = floats(&flat.weights);
    let (mut first, mut second) = (vec![0.0; 5000], vec![0.0; 5000]);
    for update in 1..=20 {
        let gradient = gradient(count, update);
        optimizer.update(&flat.weights, &gradient, 0.01).unwrap();
        let moments = [&mut first, &mut second];
        reference(
            &mut weights,
            moments,
            &floats(&gradient),
            update as i32,
            &spec,
        );
        let off: Vec<f64> = floats(&flat.weights)
            .iter()
            .zip(&weights)
            .map(|(a, b)| (a - b).abs())
            .collect();
        let apart = off.iter().filter(|off| **off > 1e-6).count();
        assert!(apart <= 25, "{apart} of 5000 apart after update {update}");
        assert!(
            off.iter().all(|off| *off < 0.01 * update as f64),
            "update {update}"
        );
    }
}

#[test]
fn a_tensors_8_bit_update_does_not_depend_on_what_lies_beside_it() {
    let spec = spec(OptimizerName::Adamw8bit);
    let lengths = [4096, 5000, 5000, 5001, 100, 8192];
    let together = flat(&lengths, Kind::Float);
    let mut optimizer = Optimizer::new(&spec, &together, 0).unwrap();
    let total = lengths.iter().sum();
    for update in 1..=3 {
        optimizer
            .update(&together.weights, &gradient(total, update), 1e-3)
            .unwrap();
    }
    for part in &together.parts {
        let name = [(
            part.name.clone(),
            Tensor::from_slice(&numbers(part.len(), &part.name, 0.5)),
        )];
        let alone = Flat::gather(&name, Device::Cpu).unwrap();
        let mut optimizer = Optimizer::new(&spec, &alone, 0).unwrap();
        for update in 1..=3 {
            let gradient = gradient(total, update).narrow(0, part.offset, part.len());
            optimizer.update(&alone.weights, &gradient, 1e-3).unwrap();
        }
        let beside = together.view(&together.weights, part).unwrap();
        // the kernel's last few numbers go through scalar instructions, which may round otherwise
        let off = (beside - &alone.weights).abs().max().double_value(&[]);
        assert!(off < 1e-7, "{}: {off}", part.name);
    }
}

#[test]
fn pieces_of_any_size_give_the_same_bytes() {
    for (name, kind) in [
        (OptimizerName::Adamw8bit, Kind::Float),
        (OptimizerName::Adamw8bit, Kind::BFloat16),
        (OptimizerName::Adamw, Kind::BFloat16),
    ] {
        let run = |limit: Option<i64>| {
            let flat = flat(&[40_960, 5000, 5000, 64], kind);
            let mut optimizer = Optimizer::new(&spec(name), &flat, 3).unwrap();
            if let Some(limit) = limit {
                let cut = Cut {
                    decayed: flat.len(),
                    coded: name == OptimizerName::Adamw8bit,
                    limit,
                };
                optimizer.pieces = pieces::cut(&flat.parts, cut);
                optimizer.moments = Moments::new(&optimizer.pieces, Device::Cpu).unwrap();
            }
            for update in 1..=3 {
                optimizer
                    .update(&flat.weights, &gradient(flat.len(), update), 1e-3)
                    .unwrap();
            }
            flat.weights
        };
        let whole = run(None);
        for limit in [4096, 8192, 16_384] {
            assert!(run(Some(limit)).equal(&whole), "{name:?} {kind:?} {limit}");
        }
    }
}

#[test]
fn threads_change_no_byte_of_bfloat16_weights() {
    let run = |threads| {
        set_threads(threads);
        let flat = flat(&[100_000, 300], Kind::BFloat16);
        let mut optimizer = Optimizer::new(&spec(OptimizerName::Adamw8bit), &flat, 3).unwrap();
        for update in 1..=3 {
            optimizer
                .update(&flat.weights, &gradient(flat.len(), update), 1e-3)
                .unwrap();
        }
        flat.weights
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads).equal(&one), "{threads} threads");
    }
    set_threads(1);
}

#[test]
fn eight_bit_moments_take_two_bytes_a_number_and_a_scale_for_256() {
    let bytes = |name, lengths: &[i64]| {
        let flat = flat(lengths, Kind::Float);
        Optimizer::new(&spec(name), &flat, 0)
            .unwrap()
            .moments
            .bytes()
    };
    let blocks = 40_960 / 256;
    assert_eq!(
        bytes(OptimizerName::Adamw8bit, &[40_960]),
        2 * (40_960 + 4 * blocks)
    );
    // a short last block is stored whole
    assert_eq!(
        bytes(OptimizerName::Adamw8bit, &[5000]),
        2 * (20 * 256 + 4 * 20)
    );
    // small tensors keep float32
    assert_eq!(bytes(OptimizerName::Adamw8bit, &[4095]), 8 * 4095);
    assert_eq!(bytes(OptimizerName::Adamw, &[40_960]), 8 * 40_960);
}

/// Weights of 1 in bfloat16 have steps of 2⁻⁸ below and 2⁻⁷ above; updates of 1e-4 are a fortieth of one.
#[test]
fn updates_below_a_step_of_bfloat16_add_up_in_the_mean_and_would_be_lost_to_the_nearest() {
    let count = 4096;
    let ones = [(
        "w".to_string(),
        Tensor::ones([count], (Kind::Float, Device::Cpu)),
    )];
    let flat = Flat::gather_as(&ones, Kind::BFloat16, Device::Cpu).unwrap();
    let spec = OptimizerSpec {
        weight_decay: 0.0,
        ..OptimizerSpec::default()
    };
    let mut optimizer = Optimizer::new(&spec, &flat, 1).unwrap();
    let gradient = Tensor::ones([count], (Kind::Float, Device::Cpu));
    let mut nearest = flat.weights.copy();
    for _ in 0..100 {
        // a constant gradient makes every update the rate
        optimizer.update(&flat.weights, &gradient, 1e-4).unwrap();
        nearest = (nearest.to_kind(Kind::Float) - 1e-4).to_kind(Kind::BFloat16);
    }
    assert_eq!(nearest.to_kind(Kind::Float).min().double_value(&[]), 1.0);
    let mean = flat
        .weights
        .to_kind(Kind::Double)
        .mean(Kind::Double)
        .double_value(&[]);
    // 100 roundings to steps of 2⁻⁸ (p = 1/39) have a standard deviation of 0.0062; over 4096 weights 1e-4. Five of them:
    assert!((mean - 0.99).abs() < 5e-4, "{mean}");
}

#[test]
fn bfloat16_gradients_are_clipped_after_they_are_widened() {
    let run = |kind| {
        let flat = flat(&[5000], Kind::BFloat16);
        let mut optimizer = Optimizer::new(&spec(OptimizerName::Adamw8bit), &flat, 0).unwrap();
        let gradient = gradient(5000, 1).to_kind(Kind::BFloat16).to_kind(kind);
        let norm = gradient
            .norm_scalaropt_dtype(2, Kind::Float)
            .to_kind(Kind::Double);
        assert!(norm.double_value(&[]) > 1.0);
        optimizer.clip(&gradient, &norm).unwrap();
        optimizer.update(&flat.weights, &gradient, 1e-3).unwrap();
        // a factor is for one update only
        optimizer
            .update(&flat.weights, &gradient.zeros_like(), 1e-3)
            .unwrap();
        flat.weights
    };
    assert!(run(Kind::BFloat16).equal(&run(Kind::Float)));
}
