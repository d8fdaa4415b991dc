//! Rows with steering vectors: beside the base, beside adapters, at other layers and scales.

use super::*;
use crate::engine::steering::Steering;

/// A vector that changes answers.
fn steering(model: &Model, layer: u32, seed: u64) -> Rc<Steering> {
    let mut values = vec![0f32; model.config().hidden_size as usize];
    Stream::new(seed, "v").fill_normal(0.05, &mut values);
    Rc::new(Steering {
        layer,
        alpha: 16.0,
        vector: Tensor::from_slice(&values),
    })
}

#[test]
fn steered_rows_are_bit_equal_alone_and_among_others() {
    let model = model();
    let (first, last) = (steering(&model, 0, 1), steering(&model, 2, 2));
    let variants = [
        Variant::Base,
        Variant::Steered(first.clone(), 1.0),
        Variant::Steered(first, -0.5),
        Variant::Steered(last, 2.0),
        Variant::Adapted(adapter(&model, 4, 1, 0.3), 1.0),
    ];
    let all = rows(&prompts(), &variants, 6, &plain(&[2, 7]));
    let together = run(&model, &all, 64);
    let mut backwards = all.clone();
    backwards.reverse();
    let other_order = run(&model, &backwards, 32);
    for (row, drawn) in together.iter().enumerate() {
        let other = &other_order[all.len() - 1 - row];
        assert_eq!(drawn.tokens, other.tokens, "row {row} in another order");
    }
    for row in (0..all.len()).step_by(11) {
        let alone = run(&model, &all[row..=row], 64);
        assert_eq!(bits(&together[row]), bits(&alone[0]), "row {row} alone");
    }
    let of =
        |variant: usize| -> Vec<_> { together[variant * 30..][..30].iter().map(bits).collect() };
    for variant in 1..5 {
        let same = of(variant)
            .iter()
            .zip(of(0))
            .filter(|(a, b)| **a == *b)
            .count();
        assert!(same < 10, "variant {variant} answers as the base does");
    }
}

#[test]
fn scale_0_and_the_zero_vector_answer_as_the_base_does() {
    let model = model();
    let trained = steering(&model, 1, 3);
    let zero = Rc::new(trained.with(trained.vector.zeros_like()));
    let variants = [
        Variant::Base,
        Variant::Steered(trained.clone(), 0.0),
        Variant::Steered(zero, 1.0),
        Variant::Steered(trained, 1.0),
    ];
    let all = rows(&prompts(), &variants, 4, &plain(&[2]));
    let drawn = run(&model, &all, 64);
    let base_alone = run(&model, &all[..20], 64);
    for row in 0..20 {
        let base = bits(&drawn[row]);
        assert_eq!(base, bits(&base_alone[row]), "without vectors nearby");
        assert_eq!(base, bits(&drawn[20 + row]), "scale 0");
        assert_eq!(base, bits(&drawn[40 + row]), "the zero vector");
    }
}
