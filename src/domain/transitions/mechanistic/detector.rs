//! How often the markers of the weights turn in made-up runs that do, and how often in ones that do not.
//!
//! A run is one module of rank 1 with its A and B or nine of them, half of the runs with vectors at every step and half at every
//! fifth; lengths, rates, noise and its unevenness differ from run to run. Only a transition counts as a false alarm of the weights:
//! a run that slows down or drifts does change, which is what `gradual` says.

use super::planted::{Made, Motion, made};
use super::*;
use crate::domain::geometry::{Movement, Trajectory, norms};
use crate::domain::statistics::wilson;
use crate::domain::transitions::behavioural::detector::behavioural_alarm;

/// Keys of the table. The limits were chosen on `TUNING`.
const JUDGED: u64 = 0x6a75_6467;
const TUNING: u64 = 0x7475_6e65;
const RUNS: u64 = 1000;

/// What the three markers say of one made-up run.
struct Said {
    markers: [Found; 3],
    /// Whether two gaps of one vector have a local cosine where the run turns: where a vector moves too little they are masked.
    seen: bool,
}

const MARKERS: [&str; 3] = ["local_cosine", "grad_norm", "norm_growth"];

fn said(run: &Made) -> Said {
    let path =
        |values: &Vec<f32>| Trajectory::new(run.steps.clone(), run.width, values.clone()).unwrap();
    let paths: Vec<Trajectory> = run.paths.iter().map(path).collect();
    let looked: Vec<VectorPath> = paths.iter().map(|path| looked_at(run, path)).collect();
    // ‖B‖, every second one of the vectors
    let lengths: Vec<Vec<Option<f64>>> = paths
        .iter()
        .skip(1)
        .step_by(2)
        .map(|path| norms(path).into_iter().map(Some).collect())
        .collect();
    let growing: Vec<Norms> = lengths
        .iter()
        .map(|norms| Norms {
            name: "‖B‖".into(),
            steps: &run.steps,
            norms,
        })
        .collect();
    let steps: Vec<u64> = (1..=run.grad_norm.len() as u64).collect();
    let gradient: Vec<Option<f64>> = run.grad_norm.iter().copied().map(Some).collect();
    let seen = looked.iter().any(|path| gaps_at(path, run.turn) >= 2);
    Said {
        seen,
        markers: [
            local_cosine(&looked),
            grad_norm(&steps, &gradient, run.warmup),
            norm_growth(&growing, run.warmup),
        ],
    }
}

fn looked_at<'a>(run: &Made, path: &'a Trajectory) -> VectorPath<'a> {
    use crate::domain::geometry::local_cosine as cosines_of;
    let cosine = |gap: &u64| cosines_of(path, None, *gap, Movement::default());
    let values: Vec<Vec<Option<f64>>> = run.gaps.iter().map(cosine).collect();
    let gaps = run.gaps.iter().zip(&values);
    let cosines: Vec<Cosines> = gaps
        .map(|(gap, values)| Cosines { gap: *gap, values })
        .collect();
    VectorPath::new("a vector".into(), path, &cosines, run.warmup)
}

/// Gaps with a local cosine at the kept step before `step`.
fn gaps_at(path: &VectorPath, step: f64) -> usize {
    let known = |one: &&Scaled| {
        let place = one.steps.partition_point(|other| *other <= step);
        place > 0 && one.values[place - 1].is_some()
    };
    path.gaps.iter().filter(known).count()
}

fn key(base: u64, round: u64) -> u64 {
    base.wrapping_mul(1_000_003).wrapping_add(round)
}

fn runs(base: u64, count: u64, motion: Motion, vectors: usize) -> Vec<(Made, Said)> {
    let one = |round| {
        let run = made(key(base, round), motion, vectors);
        let said = said(&run);
        (run, said)
    };
    (0..count).map(one).collect()
}

fn has(said: &Said, verdict: Verdict) -> bool {
    said.markers.iter().any(|found| found.verdict == verdict)
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of as f64
}

/// One-sided 95 % upper bound of a share, in percent.
fn upper(part: usize, of: usize) -> f64 {
    let share = part as f64 / of as f64;
    wilson(share, of as f64, 0.90).map_or(f64::NAN, |[_, high]| 100.0 * high)
}

const NULLS: [(&str, Motion); 4] = [
    ("saturating path", Motion::Straight),
    ("random walk", Motion::RandomWalk),
    ("jitter at the end", Motion::EndJitter),
    ("gradient drift", Motion::GradientDrift),
];

/// False alarms of the weights alone, and of all markers together with rates that stay constant.
fn null_lines(base: u64, count: u64, broken: &mut Vec<String>) {
    println!(
        "\nfalse alarms: runs without a turn of which any marker is called a transition, {count} a row"
    );
    println!(
        "                              transitions by marker                 any, weights   gradual,   with constant rates of 0, 2, 20 %"
    );
    println!(
        " null               vectors   cosine   gradient   growth            (upper bound)  weights    (upper bound)"
    );
    let constant = [0.0, 0.02, 0.2].map(|rate| {
        let alarm = |round| behavioural_alarm(base, round, rate);
        (rate, (0..count).map(alarm).collect())
    });
    for null in NULLS {
        for vectors in [2, 18] {
            let all = runs(base, count, null.1, vectors);
            null_line(&all, &constant, (null.0, vectors), broken);
        }
    }
}

/// A constant rate, and which runs of it give an alarm.
type Constant = (f64, Vec<bool>);

fn null_line(
    all: &[(Made, Said)],
    constant: &[Constant],
    (name, vectors): (&str, usize),
    broken: &mut Vec<String>,
) {
    let of = all.len();
    let own = [0, 1, 2].map(|place: usize| {
        let turned = |(_, said): &&(Made, Said)| said.markers[place].verdict == Verdict::Transition;
        percent(all.iter().filter(turned).count(), of)
    });
    let turned: Vec<bool> = all
        .iter()
        .map(|(_, said)| has(said, Verdict::Transition))
        .collect();
    let alarms = turned.iter().filter(|turned| **turned).count();
    let gradual = all
        .iter()
        .filter(|(_, said)| has(said, Verdict::Gradual))
        .count();
    print!(
        " {:<19} {vectors:>4}   {:>5.1} %   {:>5.1} %   {:>5.1} %        {:>4.1} % ({:.1} %)  {:>5.1} %  ",
        name,
        own[0],
        own[1],
        own[2],
        percent(alarms, of),
        upper(alarms, of),
        percent(gradual, of)
    );
    for (rate, behaviour) in constant {
        let either = turned
            .iter()
            .zip(behaviour)
            .filter(|(weights, said)| **weights || **said);
        let both = either.count();
        print!("  {:>4.1} % ({:.1} %)", percent(both, of), upper(both, of));
        if percent(both, of) > 5.0 || upper(both, of) > 6.5 {
            broken.push(format!(
                "{name} with {vectors} vectors and a rate of {rate}: {both} of {of}"
            ));
        }
    }
    println!();
}

/// A marker's place, and what turns in the runs.
type Planted = (usize, &'static str, Motion);

fn planted_lines(base: u64, count: u64, broken: &mut Vec<String>) {
    let turn = |degrees| Motion::Turn { degrees };
    let burst = |times| Motion::Burst { times };
    let rows: [Planted; 12] = [
        (0, "30 degrees", turn(30.0)),
        (0, "60 degrees", turn(60.0)),
        (0, "90 degrees", turn(90.0)),
        (0, "120 degrees", turn(120.0)),
        (0, "150 degrees", turn(150.0)),
        (1, "1.7 times", turn(30.0)),
        (1, "2.3 times", turn(60.0)),
        (1, "3 times", turn(90.0)),
        (1, "4.3 times", turn(150.0)),
        (2, "1.5 times", burst(1.5)),
        (2, "2 times", burst(2.0)),
        (2, "4 times", burst(4.0)),
    ];
    println!(
        "\nplanted turns: one module, {count} runs a row; noise is that of one step beside its way ahead"
    );
    println!(
        " marker         size          power   noise .3-.6   .6-1.2   1.2-3   not masked   error in steps: median   9 of 10   at most a gap"
    );
    for row in rows {
        planted_line(base, count, row, broken);
    }
}

fn planted_line(base: u64, count: u64, (place, size, motion): Planted, broken: &mut Vec<String>) {
    let all = runs(base, count, motion, 2);
    let found = |said: &Said| said.markers[place].verdict == Verdict::Transition;
    let power = |inside: &dyn Fn(&(Made, Said)) -> bool| {
        let part: Vec<&(Made, Said)> = all.iter().filter(|one| inside(one)).collect();
        percent(
            part.iter().filter(|(_, said)| found(said)).count(),
            part.len(),
        )
    };
    let noise = |low: f64, high: f64| power(&move |(run, _)| (low..high).contains(&run.noise));
    let unmasked = power(&|(_, said)| said.seen);
    let mut errors: Vec<f64> = Vec::new();
    let mut gaps = Vec::new();
    for (run, said) in all.iter().filter(|(_, said)| found(said)) {
        let one = &said.markers[place];
        errors.push((one.step.unwrap() - run.turn).abs());
        gaps.push(one.resolution.unwrap().gap.unwrap() as f64);
    }
    let close = errors
        .iter()
        .zip(&gaps)
        .filter(|(error, gap)| error <= gap)
        .count();
    let middle = robust::median(&errors);
    println!(
        " {:<13}  {size:<12} {:>5.1} %    {:>5.1} %    {:>5.1} %   {:>5.1} %      {unmasked:>5.1} %               {middle:>8.1}   {:>8.1}   {:>5.1} %",
        MARKERS[place],
        noise(0.0, f64::MAX),
        noise(0.0, 0.6),
        noise(0.6, 1.2),
        noise(1.2, f64::MAX),
        nine_in_ten(&mut errors),
        percent(close, errors.len())
    );
    if middle > 5.0 {
        broken.push(format!(
            "{} {size}: a median error of {middle} steps is more than the least gap",
            MARKERS[place]
        ));
    }
}

fn nine_in_ten(errors: &mut [f64]) -> f64 {
    errors.sort_unstable_by(f64::total_cmp);
    errors
        .get(errors.len() * 9 / 10)
        .copied()
        .unwrap_or(f64::NAN)
}

fn gradual_lines(base: u64, count: u64, broken: &mut Vec<String>) {
    println!(
        "\nlinear rises: an arc of 120 degrees whose gradient norm rises fourfold in a straight line, {count} runs"
    );
    println!(" marker         transition   gradual    none");
    let all = runs(base, count, Motion::Arc { degrees: 120.0 }, 2);
    for (place, marker) in MARKERS.iter().enumerate().take(2) {
        let share = |verdict| {
            percent(
                all.iter()
                    .filter(|(_, said)| said.markers[place].verdict == verdict)
                    .count(),
                all.len(),
            )
        };
        let [turned, gradual, none] =
            [Verdict::Transition, Verdict::Gradual, Verdict::None].map(share);
        println!(" {marker:<13}     {turned:>5.1} %   {gradual:>5.1} %   {none:>5.1} %");
        if *marker == "grad_norm" && gradual < 95.0 {
            broken.push(format!(
                "{marker}: only {gradual} % of linear rises are called gradual"
            ));
        }
        if turned > 5.0 {
            broken.push(format!(
                "{marker}: {turned} % of linear rises are called a transition"
            ));
        }
    }
}

fn tables(base: u64, count: u64) -> Vec<String> {
    let mut broken = Vec::new();
    null_lines(base, count, &mut broken);
    planted_lines(base, count, &mut broken);
    gradual_lines(base, count, &mut broken);
    broken
}

#[test]
#[ignore = "prints a table; make detector runs it"]
fn mechanistic_detector_table() {
    let broken = tables(JUDGED, RUNS);
    assert!(broken.is_empty(), "bounds that are not met: {broken:#?}");
}

#[test]
#[ignore = "the same on the keys on which the limits were chosen"]
fn tuning() {
    println!("{:#?}", tables(TUNING, RUNS));
}
