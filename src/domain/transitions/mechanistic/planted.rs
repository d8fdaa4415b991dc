//! Made-up paths of vectors and gradient norms: some turn at a step that is known, the others never do.

use crate::domain::statistics::coverage::Draws;

/// How a made-up run moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Motion {
    /// Straight ahead, ever slower.
    Straight,
    /// Nowhere in particular.
    RandomWalk,
    /// Straight ahead, then to and fro about a point.
    EndJitter,
    /// Straight ahead while the gradient norm rises or falls several times over.
    GradientDrift,
    /// Straight ahead, then by so many degrees elsewhere; the gradient norm peaks as the path turns.
    Turn { degrees: f64 },
    /// Straight ahead, and from a step on so many times as fast.
    Burst { times: f64 },
    /// Along an arc of so many degrees over the whole run, while the gradient norm rises in a straight line.
    Arc { degrees: f64 },
}

/// One vector's path, and the run's gradient norm.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) steps: Vec<u64>,
    pub(super) width: usize,
    /// Of each vector, one row a step.
    pub(super) paths: Vec<Vec<f32>>,
    /// Of every step from 1.
    pub(super) grad_norm: Vec<f64>,
    /// Where it turns.
    pub(super) turn: f64,
    /// Size of a step's noise beside its way ahead.
    pub(super) noise: f64,
    pub(super) gaps: [u64; 3],
    pub(super) warmup: u64,
}

/// Numbers that all vectors of a run share.
struct Plan {
    length: u64,
    grid: u64,
    warmup: u64,
    turn: f64,
    /// Steps that the turn takes.
    sharp: f64,
    /// Size of a step's noise beside its way ahead.
    noise: f64,
    /// The last step's rate beside the first one's.
    last_rate: f64,
    /// Steps in which the way ahead fades by a factor e, beside the length.
    fading: f64,
    /// How unevenly noise is spread over the numbers.
    uneven: f64,
    /// When the jitter begins, and how much of a deviation lasts a step.
    still: f64,
    lasting: f64,
}

pub(super) fn between(draws: &mut Draws, low: f64, high: f64) -> f64 {
    low + (high - low) * draws.uniform()
}

fn log_between(draws: &mut Draws, low: f64, high: f64) -> f64 {
    between(draws, low.ln(), high.ln()).exp()
}

fn plan(draws: &mut Draws) -> Plan {
    let length = between(draws, 120.0, 400.0) as u64;
    Plan {
        length,
        grid: if draws.uniform() < 0.5 { 1 } else { 5 },
        warmup: 5,
        turn: between(draws, 0.35, 0.65) * length as f64,
        sharp: log_between(draws, 1.0, 10.0),
        noise: log_between(draws, 0.3, 3.0),
        last_rate: between(draws, 0.0, 0.5),
        fading: between(draws, 0.4, 3.0),
        uneven: between(draws, 0.0, 0.5),
        still: between(draws, 0.4, 0.8),
        lasting: between(draws, 0.0, 0.9),
    }
}

/// A run with `vectors` paths of 64 numbers, vectors and norms of every step or of every fifth.
pub(super) fn made(key: u64, motion: Motion, vectors: usize) -> Made {
    let mut draws = Draws(key.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let plan = plan(&mut draws);
    let width = 64;
    Made {
        steps: (0..=plan.length)
            .filter(|step| step % plan.grid == 0)
            .collect(),
        width,
        paths: (0..vectors)
            .map(|place| path(&mut draws, &plan, motion, width, place % 2 == 1))
            .collect(),
        grad_norm: grad_norm(&mut draws, &plan, motion),
        turn: plan.turn,
        noise: plan.noise,
        gaps: [5, 10, 15],
        warmup: plan.warmup,
    }
}

fn rate(plan: &Plan, step: f64) -> f64 {
    let part = step / plan.length as f64;
    let warm = (step / plan.warmup as f64).min(1.0);
    warm * (1.0 - (1.0 - plan.last_rate) * part)
}

fn after_turn(plan: &Plan, step: f64) -> f64 {
    1.0 / (1.0 + (-4.0 * (step - plan.turn) / plan.sharp).exp())
}

fn burst(plan: &Plan, motion: Motion, step: f64) -> f64 {
    match motion {
        Motion::Burst { times } => 1.0 + (times - 1.0) * after_turn(plan, step),
        _ => 1.0,
    }
}

/// How much of the new direction has replaced the old one, as an angle.
fn angle(plan: &Plan, motion: Motion, step: f64) -> f64 {
    match motion {
        Motion::Turn { degrees } => degrees.to_radians() * after_turn(plan, step),
        Motion::Arc { degrees } => degrees.to_radians() * step / plan.length as f64,
        _ => 0.0,
    }
}

fn path(draws: &mut Draws, plan: &Plan, motion: Motion, width: usize, from_zero: bool) -> Vec<f32> {
    let ahead = unit(draws, width);
    let aside = across(unit(draws, width), &ahead);
    let sizes = sizes(width, plan.uneven);
    let way = match motion {
        Motion::RandomWalk => 0.0,
        _ => 1.0,
    };
    let mut here: Vec<f64> = match from_zero {
        true => vec![0.0; width],
        false => unit(draws, width).iter().map(|x| 30.0 * x).collect(),
    };
    let mut off = vec![0.0; width];
    let mut rows = Vec::new();
    for step in 0..=plan.length {
        if step % plan.grid == 0 {
            rows.extend(here.iter().zip(&off).map(|(x, off)| (x + off) as f32));
        }
        let time = step as f64 + 1.0;
        let part = time / plan.length as f64;
        let pace = rate(plan, time) * burst(plan, motion, time);
        let (sin, cos) = angle(plan, motion, time).sin_cos();
        let jitter = motion == Motion::EndJitter && part > plan.still;
        let forward = match jitter {
            true => 0.0,
            false => way * (-part / plan.fading).exp(),
        };
        for place in 0..width {
            let noise = plan.noise * sizes[place] * draws.normal();
            if jitter {
                off[place] = plan.lasting * off[place] + noise;
            } else {
                here[place] += pace * (forward * (cos * ahead[place] + sin * aside[place]) + noise);
            }
        }
    }
    rows
}

fn unit(draws: &mut Draws, width: usize) -> Vec<f64> {
    let drawn: Vec<f64> = (0..width).map(|_| draws.normal()).collect();
    scaled(drawn)
}

fn scaled(vector: Vec<f64>) -> Vec<f64> {
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.iter().map(|x| x / length).collect()
}

fn across(vector: Vec<f64>, ahead: &[f64]) -> Vec<f64> {
    let along: f64 = vector.iter().zip(ahead).map(|(x, y)| x * y).sum();
    scaled(
        vector
            .iter()
            .zip(ahead)
            .map(|(x, y)| x - along * y)
            .collect(),
    )
}

/// Standard deviations whose squares sum to 1.
fn sizes(width: usize, uneven: f64) -> Vec<f64> {
    scaled(
        (1..=width)
            .map(|place| (place as f64).powf(-uneven))
            .collect(),
    )
}

fn grad_norm(draws: &mut Draws, plan: &Plan, motion: Motion) -> Vec<f64> {
    let ends = match motion {
        Motion::GradientDrift => [log_between(draws, 0.2, 5.0), log_between(draws, 0.2, 5.0)],
        Motion::Arc { .. } => [1.0, 4.0],
        _ => [1.0, log_between(draws, 0.5, 2.0)],
    };
    let peak = match motion {
        Motion::Turn { degrees } => degrees / 45.0,
        _ => 0.0,
    };
    let wide = between(draws, 0.02, 0.08) * plan.length as f64;
    let scatter = between(draws, 0.05, 0.4);
    let (lasting, wild) = (between(draws, 0.0, 0.6), between(draws, 0.0, 0.02));
    let mut off = 0.0;
    let one = |step: u64| {
        let part = step as f64 / plan.length as f64;
        let from_turn = (step as f64 - plan.turn) / wide;
        let level = ends[0] + (ends[1] - ends[0]) * part;
        off = lasting * off + scatter * (1.0 - lasting * lasting).sqrt() * draws.normal();
        let spike = match draws.uniform() < wild {
            true => log_between(draws, 2.0, 10.0),
            false => 1.0,
        };
        level * (1.0 + peak * (-0.5 * from_turn * from_turn).exp()) * f64::exp(off) * spike
    };
    (1..=plan.length).map(one).collect()
}
