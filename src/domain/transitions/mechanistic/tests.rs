//! Small series whose turns are known.

use super::*;

/// A number in −1..1 that looks random, the same for the same place.
fn rough(place: u64) -> f64 {
    let mixed = (place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn gradient(level: impl Fn(f64) -> f64) -> Found {
    let steps: Vec<u64> = (1..=200).collect();
    let norms: Vec<Option<f64>> = steps
        .iter()
        .map(|step| Some(level(*step as f64) * (1.0 + 0.1 * rough(*step))))
        .collect();
    grad_norm(&steps, &norms, 5)
}

#[test]
fn a_bump_of_the_gradient_is_a_transition_at_its_top_and_names_its_resolution() {
    let found = gradient(|step| 1.0 + 3.0 * (-((step - 80.0) / 10.0).powi(2)).exp());
    assert_eq!(found.verdict, Verdict::Transition, "{:?}", found.reasons);
    assert!(
        (found.step.unwrap() - 80.0).abs() <= 5.0,
        "{:?}",
        found.step
    );
    let resolution = found.resolution.unwrap();
    assert_eq!(resolution.grid, Some(1));
    assert!(resolution.spread.is_some() && resolution.gap.is_some());
    assert!(
        found.reasons[0].contains("gradient norm peaks at step"),
        "{:?}",
        found.reasons
    );
}

#[test]
fn a_linear_rise_of_the_gradient_is_gradual_and_a_wild_step_is_nothing() {
    let rise = gradient(|step| 1.0 + step / 50.0);
    assert_eq!(
        (rise.verdict, rise.step),
        (Verdict::Gradual, None),
        "{:?}",
        rise.reasons
    );
    assert!(rise.reasons[0].contains("rises from"), "{:?}", rise.reasons);
    let spike = gradient(|step| if step == 100.0 { 50.0 } else { 1.0 });
    assert_eq!(
        (spike.verdict, spike.step),
        (Verdict::None, None),
        "{:?}",
        spike.reasons
    );
}

#[test]
fn a_series_that_is_too_short_says_so() {
    let found = grad_norm(&[1, 2, 3], &[Some(1.0); 3], 0);
    assert_eq!(found.verdict, Verdict::None);
    assert!(
        found.reasons[0].contains("at least 24"),
        "{:?}",
        found.reasons
    );
    assert!(local_cosine(&[]).reasons[0].contains("two must see"));
}

#[test]
fn a_norm_that_begins_to_grow_faster_turns_there_and_one_that_slows_does_not() {
    let steps: Vec<u64> = (0..=200).collect();
    let growth = |norm: fn(f64) -> f64| {
        let norms: Vec<Option<f64>> = steps
            .iter()
            .map(|step| Some(norm(*step as f64) + 0.05 * rough(*step)))
            .collect();
        let one = Norms {
            name: "‖B‖ of up".into(),
            steps: &steps,
            norms: &norms,
        };
        norm_growth(&[one], 5)
    };
    let knee = growth(|step| step * 0.1 + 0.3 * (step - 90.0).max(0.0));
    assert_eq!(knee.verdict, Verdict::Transition, "{:?}", knee.reasons);
    assert!((knee.step.unwrap() - 90.0).abs() <= 4.0, "{:?}", knee.step);
    let slows = growth(|step| 10.0 * (1.0 - (-step / 60.0).exp()));
    assert_eq!(slows.verdict, Verdict::None, "{:?}", slows.reasons);
    let rises = growth(|step| 0.1 * step + 0.002 * step * step);
    assert_eq!(rises.verdict, Verdict::Gradual, "{:?}", rises.reasons);
}
