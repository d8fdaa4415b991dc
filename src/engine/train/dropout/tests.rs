//! Masks: what they depend on, and how much they drop.

use std::collections::HashMap;

use super::*;
use crate::domain::finetune::Projection;

fn module(layer: u32) -> NormModule {
    NormModule {
        name: format!("layers.{layer}.mlp.down_proj"),
        layer,
        projection: Projection::DownProj,
        rank: 1,
        scaling: 1.0,
    }
}

fn keyed(seed: u64, layer: u32, share: f64) -> Keyed {
    let stream = Stream::new(seed, "dropout").text(&module(layer).name);
    Keyed {
        stream,
        share,
        now: Now::default(),
    }
}

fn rows(step: u64, examples: &[(u32, i64)]) -> Rows {
    Rows {
        step,
        purpose: Purpose::Learn,
        examples: examples.iter().map(|(example, _)| *example).collect(),
        lengths: examples.iter().map(|(_, length)| *length).collect(),
    }
}

fn bits(mask: &Tensor) -> Vec<Vec<bool>> {
    let width = mask.size()[1] as usize;
    let flat = Vec::<bool>::try_from(mask.reshape([-1])).unwrap();
    flat.chunks(width).map(<[bool]>::to_vec).collect()
}

/// The line of every (example, token).
fn lines(keyed: &Keyed, rows: &Rows, width: i64) -> HashMap<(u32, i64), Vec<bool>> {
    let mut mask = bits(&keyed.on_host(rows, width).unwrap()).into_iter();
    let mut found = HashMap::new();
    for (&example, &length) in rows.examples.iter().zip(&rows.lengths) {
        (0..length).for_each(|token| drop(found.insert((example, token), mask.next().unwrap())));
    }
    found
}

#[test]
fn a_token_keeps_its_mask_in_whatever_company_and_order_it_comes() {
    let keyed = keyed(3, 1, 0.4);
    let whole = lines(&keyed, &rows(7, &[(2, 9), (0, 5), (1, 3)]), 21);
    for part in [vec![(1, 3), (0, 5)], vec![(2, 9)], vec![(0, 2)]] {
        for (key, line) in lines(&keyed, &rows(7, &part), 21) {
            assert_eq!(line, whole[&key], "{key:?}");
        }
    }
    let wider = lines(&keyed, &rows(7, &[(2, 9)]), 40);
    assert_eq!(wider[&(2, 4)][..21], whole[&(2, 4)]);
}

#[test]
fn every_part_of_the_key_makes_another_mask() {
    let of = |keyed: Keyed, rows: Rows| bits(&keyed.on_host(&rows, 64).unwrap());
    let learnt = rows(7, &[(0, 2)]);
    let compared = Rows {
        purpose: Purpose::Compare,
        ..learnt.clone()
    };
    let masks = [
        of(keyed(3, 1, 0.5), learnt.clone()),
        of(keyed(4, 1, 0.5), learnt.clone()),
        of(keyed(3, 2, 0.5), learnt.clone()),
        of(keyed(3, 1, 0.5), rows(8, &[(0, 2)])),
        of(keyed(3, 1, 0.5), rows(7, &[(1, 2)])),
        of(keyed(3, 1, 0.5), compared),
    ];
    for (index, mask) in masks.iter().enumerate() {
        assert!(!masks[..index].contains(mask), "{index}");
        assert_ne!(mask[0], mask[1], "tokens of mask {index}");
    }
}

#[test]
fn the_operations_of_a_device_draw_the_bits_of_the_host() {
    let keyed = keyed(5, 0, 0.3);
    let rows = rows(u64::MAX, &[(u32::MAX, 3), (0, 70), (7, 1)]);
    for width in [1, 4, 37] {
        let host = keyed.on_host(&rows, width).unwrap();
        let device = keyed.on_device(&rows, width, Device::Cpu).unwrap();
        assert_eq!(bits(&device), bits(&host), "{width}");
    }
}

#[test]
fn what_is_kept_is_scaled_so_that_the_mean_stays_and_the_spread_is_that_of_the_share() {
    for share in [0.05, 0.5] {
        let now = Now::default();
        let dropout = of_module(11, share, &module(0), &now).unwrap();
        let pass = Pass {
            examples: vec![0, 1],
            lengths: vec![300, 100],
            ..Pass::default()
        };
        now.say(2, Purpose::Learn, &pass);
        let ones = Tensor::ones([400, 500], (Kind::Float, Device::Cpu));
        let found = dropout.apply(&ones).unwrap();
        let (mean, variance) = (
            found.mean(Kind::Double).double_value(&[]),
            found.to_kind(Kind::Double).var(true).double_value(&[]),
        );
        // 200,000 draws; five standard errors of the mean, and of the variance about as many hundredths
        let expected = share / (1.0 - share);
        assert!((mean - 1.0).abs() < 5.0 * (expected / 2e5).sqrt(), "{mean}");
        assert!((variance / expected - 1.0).abs() < 0.05, "{variance}");
        now.silent();
        assert!(dropout.apply(&ones).unwrap().equal(&ones));
    }
    assert!(of_module(11, 0.0, &module(0), &Now::default()).is_none());
}

#[test]
fn rows_that_are_not_the_pass_are_refused() {
    let now = Now::default();
    let dropout = of_module(1, 0.5, &module(0), &now).unwrap();
    now.say(
        0,
        Purpose::Learn,
        &Pass {
            examples: vec![0],
            lengths: vec![3],
            ..Pass::default()
        },
    );
    let x = Tensor::ones([4, 2], (Kind::Float, Device::Cpu));
    let error = dropout.apply(&x).unwrap_err().to_string();
    assert!(error.contains("4 rows") && error.contains("3"), "{error}");
}
