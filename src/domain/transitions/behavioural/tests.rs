//! The search on counts whose answer is plain, through its public face.

use super::detector::{DESIGNS, how, planted_path};
use super::*;
use crate::domain::statistics::Cluster;

fn path(counts: impl Fn(u64, u64) -> u64) -> Path {
    let steps: Vec<u64> = (1..=40).map(|place| 10 * place).collect();
    let row = |step: &u64| {
        (0..8)
            .map(|question| Cluster {
                yes: counts(*step, question),
                of: 50,
            })
            .collect()
    };
    Path::new(&steps, steps.iter().map(row).collect()).unwrap()
}

/// Rates of questions that differ, with a small ripple that is no chance.
fn rippled(level: u64, step: u64, question: u64) -> u64 {
    level * (question + 2) / 6 + (step / 10 * 7 + question * 3) % 4
}

#[test]
fn a_jump_is_a_transition_between_its_two_checkpoints() {
    let found = search(
        &path(|step, question| rippled(if step > 200 { 12 } else { 0 }, step, question)),
        None,
        &how(1),
    );
    let fit = found.fit.unwrap();
    assert_eq!(found.turn, Turn::Transition, "{:?}", found.reasons);
    assert_eq!(fit.jump, [200.0, 210.0]);
    let [low, high] = fit.interval.unwrap();
    assert!(
        (195.0..=210.0).contains(&low) && (200.0..=215.0).contains(&high),
        "{low} {high}"
    );
    assert!(fit.curve.width < 15.0, "{:?}", fit.curve);
}

#[test]
fn a_fall_is_found_as_a_rise_is() {
    let found = search(
        &path(|step, question| rippled(if step > 200 { 0 } else { 12 }, step, question)),
        None,
        &how(1),
    );
    assert_eq!(found.turn, Turn::Transition);
    assert!(found.reasons[0].contains("falls"), "{:?}", found.reasons);
}

#[test]
fn a_linear_rise_is_gradual() {
    for high in [0.1, 0.4, 0.8] {
        for round in 0..10 {
            let line = |share: f64| 0.01 + (high - 0.01) * share;
            let path = planted_path(round, 0.15, DESIGNS[0], line);
            let found = search(&path, None, &how(1));
            assert_eq!(
                found.turn,
                Turn::Gradual,
                "{high} {round}: {:?}",
                found.reasons
            );
        }
    }
}

#[test]
fn a_constant_rate_has_no_step_and_says_why() {
    let none = search(&path(|_, _| 0), None, &how(1));
    assert_eq!((none.turn, none.fit), (Turn::None, None));
    assert_eq!(none.reasons, ["no answer at any step does"]);
    let same = search(&path(|_, question| question), None, &how(1));
    assert_eq!(same.turn, Turn::None);
    assert!(
        same.reasons[0].contains("constant rate"),
        "{:?}",
        same.reasons
    );
}

#[test]
fn few_steps_and_few_questions_have_their_reasons() {
    let rows = |steps: u64, questions: usize| {
        let row = |step| {
            vec![
                Cluster {
                    yes: if step > steps / 2 { 20 } else { 0 },
                    of: 50
                };
                questions
            ]
        };
        let steps: Vec<u64> = (1..=steps).collect();
        Path::new(&steps, steps.iter().map(|step| row(*step)).collect()).unwrap()
    };
    let short = search(&rows(7, 8), None, &how(1));
    assert_eq!(short.reasons, ["answers at 7 steps; at least 8 are needed"]);
    let narrow = search(&rows(20, 4), None, &how(1));
    assert_eq!(narrow.fit.unwrap().interval, None);
    assert!(
        narrow
            .reasons
            .iter()
            .any(|reason| reason.starts_with("no interval: 4 questions"))
    );
}

#[test]
fn checkpoints_without_answers_do_not_count() {
    let full = path(|step, question| rippled(if step > 200 { 12 } else { 0 }, step, question));
    let mut steps: Vec<u64> = full.steps().iter().map(|step| *step as u64).collect();
    let mut counts = full.counts().to_vec();
    steps.push(1000);
    counts.push(vec![Cluster::default(); 8]);
    let longer = Path::new(&steps, counts).unwrap();
    let [one, other] = [&full, &longer].map(|path| search(path, None, &how(1)).fit);
    assert_eq!(one, other);
}

#[test]
fn a_key_fixes_the_bootstrap_which_draws_answers_where_they_are_told() {
    let path = path(|step, question| rippled(if step > 200 { 12 } else { 0 }, step, question));
    let hit = |cluster: &Cluster| {
        (0..cluster.of)
            .map(|answer| Some(answer < cluster.yes))
            .collect()
    };
    let hits: Hits = path
        .counts()
        .iter()
        .map(|row| row.iter().map(hit).collect())
        .collect();
    let of = |seed, hits: Option<&Hits>| {
        let resampling = Resampling {
            seed,
            resamples: 20,
        };
        let how = Search {
            level: 0.95,
            together: 1,
            resampling,
        };
        search(&path, hits, &how).fit.unwrap().bootstrap.unwrap()
    };
    assert_eq!(of(3, Some(&hits)), of(3, Some(&hits)));
    assert_ne!(of(3, Some(&hits)), of(3, None));
    let [low, high] = of(3, None);
    assert!(190.0 < low && low <= high && high < 220.0, "{low} {high}");
}

#[test]
fn counts_that_are_no_path_are_refused() {
    let one = |yes| vec![Cluster { yes, of: 5 }];
    assert_eq!(
        Path::new(&[1, 2], vec![one(1)]),
        Err(NotAPath::Rows { rows: 1, steps: 2 })
    );
    assert_eq!(
        Path::new(&[2, 2], vec![one(1), one(1)]),
        Err(NotAPath::Order(2))
    );
    assert_eq!(
        Path::new(&[1, 2], vec![one(1), vec![]]),
        Err(NotAPath::Questions(2))
    );
    assert_eq!(Path::new(&[1], vec![one(6)]), Err(NotAPath::Hits(1)));
}
