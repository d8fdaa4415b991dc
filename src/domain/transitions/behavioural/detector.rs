//! How well the search finds planted steps, how often its intervals hold them, and how often it cries wolf.
//!
//! Questions' own rates are beta-distributed about a logistic step. They are drawn anew at every checkpoint (`anew`, what the
//! likelihood supposes), kept for five checkpoints on average (`lasting`), or kept for the whole run (`kept`); answers are drawn anew
//! or share one stream over all checkpoints (`shared`), as those of one question and number do.

use super::surface::Surface;
use super::*;
use crate::domain::statistics::coverage::Draws;
use crate::domain::statistics::{Cluster, wilson};

/// Keys of the table. The constants of the search were chosen on `TUNING`.
const JUDGED: u64 = 0x6a75_6467;
const TUNING: u64 = 0x7475_6e65;

const QUESTIONS: usize = 8;
const ANSWERS: usize = 50;
const TRAJECTORIES: u64 = 1000;
/// Scales times markers of a run.
const SERIES: usize = 8;

/// What stays the same from checkpoint to checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Design {
    name: &'static str,
    /// The chance that a question keeps its own rates to the next checkpoint.
    keep: f64,
    /// Whether an answer keeps its uniform number.
    shared: bool,
}

pub(super) const DESIGNS: [Design; 4] = [
    Design {
        name: "anew",
        keep: 0.0,
        shared: false,
    },
    Design {
        name: "lasting",
        keep: 0.8,
        shared: false,
    },
    Design {
        name: "kept",
        keep: 1.0,
        shared: false,
    },
    Design {
        name: "shared",
        keep: 1.0,
        shared: true,
    },
];

/// The rates of its questions do wander, by as much as a step of the mean: it is shown, and no bound is set for it.
const WANDERING: Design = DESIGNS[1];

/// A trajectory whose truth is known.
#[derive(Debug, Clone)]
struct Planted {
    truth: Curve,
    correlation: f64,
    path: Path,
}

fn between(draws: &mut Draws, low: f64, high: f64) -> f64 {
    low + (high - low) * draws.uniform()
}

fn log_between(draws: &mut Draws, low: f64, high: f64) -> f64 {
    between(draws, low.ln(), high.ln()).exp()
}

/// A run of 400 steps with 40 or 80 checkpoints; its step is planted in the middle two fifths.
fn planted(key: u64, design: Design) -> Planted {
    let mut draws = Draws(key.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let gap = if draws.uniform() < 0.5 { 5 } else { 10 };
    let steps: Vec<u64> = (1..=400 / gap).map(|place| place * gap).collect();
    let truth = Curve {
        before: between(&mut draws, 0.0, 0.02),
        after: log_between(&mut draws, 0.05, 0.8),
        step: between(&mut draws, 120.0, 280.0),
        width: log_between(&mut draws, 5.0, 200.0),
    };
    let correlation = between(&mut draws, 0.05, 0.35);
    let path = drawn_path(&mut draws, &steps, &truth, correlation, design);
    Planted {
        truth,
        correlation,
        path,
    }
}

fn own_rate(draws: &mut Draws, mean: f64, correlation: f64) -> f64 {
    let size = surface::concentration(correlation);
    let rate = draws.beta(mean * size, (1.0 - mean) * size);
    // two gammas of tiny shape may both vanish
    if rate.is_finite() {
        rate
    } else {
        f64::from(u8::from(draws.uniform() < mean))
    }
}

/// Counts about a rate that is a function of the part of a run of 400 steps that is gone, for tests of other shapes.
pub(super) fn planted_path(key: u64, icc: f64, design: Design, rate: impl Fn(f64) -> f64) -> Path {
    let mut draws = Draws(key.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let steps: Vec<u64> = (1..=40).map(|place| place * 10).collect();
    let rows = steps.iter().map(|step| {
        let level = rate(*step as f64 / 400.0);
        let flat = Curve {
            before: level,
            after: level,
            step: 0.0,
            width: 1.0,
        };
        drawn_path(&mut draws, &[*step], &flat, icc, design).counts()[0].clone()
    });
    Path::new(&steps, rows.collect()).unwrap()
}

fn drawn_path(draws: &mut Draws, steps: &[u64], truth: &Curve, icc: f64, design: Design) -> Path {
    // a place in the distribution for each level: only where rates are kept do they belong to the question
    let mut rates = [(0.0, 0.0); QUESTIONS];
    let numbers: Vec<Vec<f64>> = (0..QUESTIONS)
        .map(|_| (0..ANSWERS).map(|_| draws.uniform()).collect())
        .collect();
    let mut counts = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let mut row = Vec::new();
        let share = truth.share(*step as f64);
        for (question, own) in rates.iter_mut().enumerate() {
            if place == 0 || draws.uniform() >= design.keep {
                *own = match design.keep {
                    _ if truth.before == truth.after => {
                        [own_rate(draws, truth.before, icc); 2].into()
                    }
                    0.0 => [own_rate(draws, truth.rate(*step as f64), icc); 2].into(),
                    _ => (
                        own_rate(draws, truth.before, icc),
                        own_rate(draws, truth.after, icc),
                    ),
                };
            }
            let rate = own.0 + (own.1 - own.0) * share;
            let yes = match design.shared {
                true => numbers[question]
                    .iter()
                    .filter(|number| **number < rate)
                    .count() as u64,
                false => draws.binomial(ANSWERS as u64, rate),
            };
            row.push(Cluster {
                yes,
                of: ANSWERS as u64,
            });
        }
        counts.push(row);
    }
    Path::new(steps, counts).unwrap()
}

pub(super) fn how(together: usize) -> Search {
    let resampling = Resampling {
        seed: 0,
        resamples: 0,
    };
    Search {
        level: 0.95,
        together,
        resampling,
    }
}

/// The interval of somebody who knows levels, width and correlation: where the likelihood falls by half of 3.84.
fn oracle(planted: &Planted) -> Interval {
    let steps = planted.path.steps();
    let surface = Surface::new(&planted.path, planted.correlation);
    let at = |step: f64| {
        curve::value(
            &surface,
            steps,
            &Curve {
                step,
                ..planted.truth
            },
        )
    };
    let places: Vec<(f64, f64)> = (0..=1600)
        .map(|place| f64::from(place) / 4.0)
        .map(|step| (step, at(step)))
        .collect();
    let most = places
        .iter()
        .map(|(_, value)| *value)
        .fold(f64::MIN, f64::max);
    let mut inside = places
        .iter()
        .filter(|(_, value)| 2.0 * (most - value) <= 3.841_458_820_694_124);
    let low = inside.next().unwrap().0;
    [low, inside.next_back().map_or(low, |(step, _)| *step)]
}

/// What was found of one planted trajectory.
#[derive(Debug, Clone)]
struct Judged {
    planted: Planted,
    found: Behaviour,
    oracle: Interval,
}

fn judged(base: u64, count: u64, design: Design) -> Vec<Judged> {
    let one = |round: u64| {
        let planted = planted(base.wrapping_mul(1_000_003).wrapping_add(round), design);
        Judged {
            found: search(&planted.path, None, &how(SERIES)),
            oracle: oracle(&planted),
            planted,
        }
    };
    (0..count).map(one).collect()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}

fn share(of: impl Iterator<Item = bool>) -> (f64, u64) {
    let (yes, all) = of.fold((0, 0), |(yes, all), one| (yes + u64::from(one), all + 1));
    (yes as f64 / all as f64, all)
}

fn holds(judged: &Judged) -> Option<bool> {
    let [low, high] = judged.found.fit.as_ref()?.interval?;
    Some((low..=high).contains(&judged.planted.truth.step))
}

fn widths(judged: &[Judged]) -> [f64; 2] {
    let seen = || {
        judged
            .iter()
            .filter_map(|one| Some((one.found.fit.as_ref()?.interval?, one.oracle)))
    };
    let width = |[low, high]: Interval| high - low;
    [
        median(seen().map(|(own, _)| width(own)).collect()),
        median(seen().map(|(_, oracle)| width(oracle)).collect()),
    ]
}

fn coverage_lines(base: u64, count: u64, broken: &mut Vec<String>) {
    println!(
        "\nplanted steps: 95 % intervals of the step (profile_likelihood), {count} trajectories a row"
    );
    println!(
        " questions   found   gradual   interval holds (95 % interval)   width   oracle's   ratio   median error"
    );
    for design in DESIGNS {
        let judged = judged(base, count, design);
        let (found, _) = share(judged.iter().map(|one| one.found.turn != Turn::None));
        let (gradual, _) = share(judged.iter().map(|one| one.found.turn == Turn::Gradual));
        let (held, of) = share(judged.iter().filter_map(holds));
        let [low, high] = wilson(held, of as f64, 0.95).unwrap();
        let [own, oracle] = widths(&judged);
        let error = |one: &Judged| {
            Some((one.found.fit.as_ref()?.curve.step - one.planted.truth.step).abs())
        };
        println!(
            " {:<9} {:>5.1} %   {:>5.1} %   {:>8.1} % ({:.1}-{:.1})          {own:>6.1}   {oracle:>6.1}     {:.2}    {:>5.1}",
            design.name,
            100.0 * found,
            100.0 * gradual,
            100.0 * held,
            100.0 * low,
            100.0 * high,
            own / oracle,
            median(judged.iter().filter_map(error).collect()),
        );
        parts(&judged);
        if design == DESIGNS[0] && !(0.93..=0.97).contains(&held) {
            broken.push(format!("intervals hold {held:.3} of the steps"));
        }
        if design == DESIGNS[0] && own / oracle > 1.5 {
            broken.push(format!(
                "intervals are {:.2} times as wide as the oracle's",
                own / oracle
            ));
        }
    }
}

/// Some of the trajectories, and which.
type Part = (&'static str, fn(&Planted) -> bool);

fn parts(judged: &[Judged]) {
    let cells: [Part; 10] = [
        ("plateau  5-10 %", |p| p.truth.after < 0.10),
        ("plateau 10-20 %", |p| (0.10..0.20).contains(&p.truth.after)),
        ("plateau 20-40 %", |p| (0.20..0.40).contains(&p.truth.after)),
        ("plateau 40-80 %", |p| p.truth.after >= 0.40),
        ("ICC .05-.15", |p| p.correlation < 0.15),
        ("ICC .15-.25", |p| (0.15..0.25).contains(&p.correlation)),
        ("ICC .25-.35", |p| p.correlation >= 0.25),
        ("width 5-15", |p| p.truth.width < 15.0),
        ("width 15-60", |p| (15.0..60.0).contains(&p.truth.width)),
        ("width 60-200", |p| p.truth.width >= 60.0),
    ];
    for (name, inside) in cells {
        let own: Vec<Judged> = judged
            .iter()
            .filter(|one| inside(&one.planted))
            .cloned()
            .collect();
        let (found, all) = share(own.iter().map(|one| one.found.turn != Turn::None));
        let (held, _) = share(own.iter().filter_map(holds));
        let [width, oracle] = widths(&own);
        println!(
            "     {name:<16} of {all:>4}: power {:>5.1} %   holds {:>5.1} %   width {width:>6.1}   ratio {:.2}",
            100.0 * found,
            100.0 * held,
            width / oracle
        );
    }
}

/// How many of `count` runs of constant rate have any series that is not called constant.
fn alarms(base: u64, count: u64, rate: f64, design: Design) -> u64 {
    (0..count)
        .filter(|round| any_alarm(base, *round, rate, design))
        .count() as u64
}

/// Whether any series of one run of constant rate is not called constant.
fn any_alarm(base: u64, round: u64, rate: f64, design: Design) -> bool {
    let mut draws = Draws(
        base.wrapping_mul(7_368_787)
            .wrapping_add(round)
            .wrapping_mul(0x2545_f491_4f6c_dd1d),
    );
    let gap = if draws.uniform() < 0.5 { 5 } else { 10 };
    let steps: Vec<u64> = (1..=400 / gap).map(|place| place * gap).collect();
    let truth = Curve {
        before: rate,
        after: rate,
        step: 200.0,
        width: 50.0,
    };
    let icc = between(&mut draws, 0.05, 0.35);
    (0..SERIES).any(|_| {
        let path = match rate > 0.0 {
            true => drawn_path(&mut draws, &steps, &truth, icc, design),
            false => zero(&steps),
        };
        search(&path, None, &how(SERIES)).turn != Turn::None
    })
}

/// The same, in turn with rates drawn anew, kept, and kept with shared answers.
pub(in crate::domain::transitions) fn behavioural_alarm(base: u64, round: u64, rate: f64) -> bool {
    let design = [DESIGNS[0], DESIGNS[2], DESIGNS[3]][round as usize % 3];
    any_alarm(base, round, rate, design)
}

fn zero(steps: &[u64]) -> Path {
    let none = Cluster {
        yes: 0,
        of: ANSWERS as u64,
    };
    Path::new(steps, vec![vec![none; QUESTIONS]; steps.len()]).unwrap()
}

fn alarm_lines(base: u64, count: u64, broken: &mut Vec<String>) {
    println!(
        "\nfalse alarms: runs of constant rate with any of {SERIES} series called a transition or gradual, of {count}"
    );
    println!(" rate    questions   alarms   one-sided 95 % upper bound");
    for rate in [0.0, 0.02, 0.2] {
        for design in DESIGNS {
            let found = alarms(base, count, rate, design);
            let share = found as f64 / count as f64;
            let [_, high] = wilson(share, count as f64, 0.90).unwrap();
            println!(
                " {:>4.0} %  {:<9} {:>6.1} %   {:>6.1} %",
                100.0 * rate,
                design.name,
                100.0 * share,
                100.0 * high
            );
            if design != WANDERING && (share > 0.05 || high > 0.065) {
                broken.push(format!(
                    "{found} of {count} runs of constant rate {rate}, {}",
                    design.name
                ));
            }
        }
    }
}

/// Rates that rise in a straight line over the whole run, questions' own drawn anew.
fn linear_lines(base: u64, count: u64, broken: &mut Vec<String>) {
    println!("\nlinear rises over the whole run, {count} a row");
    println!(" to       transition   gradual    none");
    for top in [0.2, 0.4, 0.8] {
        let turns = linear_turns(base, count, top);
        let part = |turn| 100.0 * share(turns.iter().map(|one| *one == turn)).0;
        let [turned, gradual, none] = [Turn::Transition, Turn::Gradual, Turn::None].map(part);
        println!(
            " {:>4.0} %      {turned:>5.1} %   {gradual:>5.1} %   {none:>5.1} %",
            100.0 * top
        );
        if turned > 5.0 {
            broken.push(format!(
                "{turned} % of linear rises to {top} are called a transition"
            ));
        }
    }
}

fn linear_turns(base: u64, count: u64, top: f64) -> Vec<Turn> {
    let one = |round| {
        let icc = 0.05 + 0.3 * (round as f64 / count as f64);
        let key = base.wrapping_mul(9_176_311).wrapping_add(round);
        let path = planted_path(key, icc, DESIGNS[0], |part| top * part);
        search(&path, None, &how(SERIES)).turn
    };
    (0..count).map(one).collect()
}

#[test]
#[ignore = "prints a table; make detector runs it"]
fn behavioural_detector_table() {
    let mut broken = Vec::new();
    coverage_lines(JUDGED, TRAJECTORIES, &mut broken);
    alarm_lines(JUDGED, TRAJECTORIES, &mut broken);
    linear_lines(JUDGED, TRAJECTORIES, &mut broken);
    assert!(broken.is_empty(), "bounds that are not met: {broken:#?}");
}

#[test]
#[ignore = "the same on the keys on which the search's constants were chosen"]
fn tuning() {
    let mut broken = Vec::new();
    coverage_lines(TUNING, 1000, &mut broken);
    alarm_lines(TUNING, 300, &mut broken);
    linear_lines(TUNING, 300, &mut broken);
    println!("{broken:#?}");
}
