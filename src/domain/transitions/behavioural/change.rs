//! Whether a rate changes at all: the best step through the questions' shares against no step.
//!
//! Each step's shares are put on the scale of arcsines, where they scatter alike at every rate and one question with many hits does
//! not stand for all, and averaged over questions. How much they scatter, and for how long a deviation lasts, is read from what the
//! best step leaves over; so nothing is supposed about questions or answers that stay the same from step to step.

use super::curve::TENTHS;
use super::path::Path;
use super::persistence::{inflation, persistence};
use crate::domain::statistics::{Cluster, t_beyond};

/// Fewer steps say nothing of what a rate does between them.
pub const LEAST_STEPS: usize = 8;

/// Steps, or what counts for as many, that both levels must have: a burst at an end is no level.
fn least_side(steps: usize) -> f64 {
    f64::max(3.0, 0.1 * steps as f64)
}

/// Widths tried, as parts of the span; 0 is a jump.
const WIDTHS: [f64; 5] = [0.0, 0.05, 0.1, 0.2, 0.4];

/// The best step in a mean of arcsines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Change {
    /// Where.
    pub(super) step: f64,
    /// From a tenth to nine tenths; 0 is a jump.
    pub(super) width: f64,
    /// The chance of a step as clear as this one in a constant rate.
    pub(super) p: f64,
    /// How alike neighbouring steps deviate, at least 0.
    pub(super) persistence: f64,
}

/// The clearest step of `path`; none with too few steps.
pub(super) fn change(path: &Path) -> Option<Change> {
    let arcsines: Vec<Vec<f64>> = path.counts().iter().map(|row| arcsines(row)).collect();
    let means: Vec<f64> = path
        .counts()
        .iter()
        .zip(&arcsines)
        .map(|(row, of)| mean_asked(row, of))
        .collect();
    if means.len() < LEAST_STEPS {
        return None;
    }
    let total = squares(&means, mean(&means));
    let (first, span) = (path.steps()[0], path.span());
    let mut best: Option<(f64, f64, f64)> = None;
    for pair in path.steps().windows(2) {
        let step = (pair[0] + pair[1]) / 2.0;
        for width in WIDTHS.map(|part| part * span) {
            let shares = shares(path.steps(), step, width);
            let gain = explained(&means, &shares).unwrap_or(0.0);
            if best.is_none_or(|(most, ..)| gain > most) {
                best = Some((gain, step, width));
            }
        }
    }
    let (gain, step, width) = best.unwrap_or((0.0, first + span / 2.0, 0.0));
    let shares = shares(path.steps(), step, width);
    let left = residuals(&means, &shares);
    let persistence = persistence(&arcsines, &shares);
    Some(Change {
        step,
        width,
        persistence,
        p: chance(gain, total, &left, persistence, floor(path)),
    })
}

fn arcsines(row: &[Cluster]) -> Vec<f64> {
    // *Source* Anscombe, Biometrika 35 (1948) 246–254
    let arcsine = |one: &Cluster| {
        ((one.yes as f64 + 0.375) / (one.of as f64 + 0.75))
            .sqrt()
            .asin()
    };
    row.iter().map(arcsine).collect()
}

fn mean_asked(row: &[Cluster], arcsines: &[f64]) -> f64 {
    let asked = row
        .iter()
        .zip(arcsines)
        .filter(|(cluster, _)| cluster.of > 0);
    let (sum, count) = asked.fold((0.0, 0.0), |(sum, count), (_, one)| {
        (sum + one, count + 1.0)
    });
    sum / f64::max(count, 1.0)
}

/// The part of the way that is gone at each step.
fn shares(steps: &[f64], step: f64, width: f64) -> Vec<f64> {
    let share = |at: &f64| match width > 0.0 {
        true => 1.0 / (1.0 + (-(at - step) * TENTHS / width).exp()),
        false => f64::from(u8::from(*at > step)),
    };
    steps.iter().map(share).collect()
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

fn squares(of: &[f64], about: f64) -> f64 {
    of.iter().map(|one| (one - about).powi(2)).sum()
}

/// The squares that the regression on `shares` takes away; none where a level has too few steps.
fn explained(means: &[f64], shares: &[f64]) -> Option<f64> {
    let after: f64 = shares.iter().sum();
    let side = after.min(shares.len() as f64 - after);
    let middle = after / shares.len() as f64;
    let (mut across, mut along) = (0.0, 0.0);
    for (mean, share) in means.iter().zip(shares) {
        across += mean * (share - middle);
        along += (share - middle).powi(2);
    }
    // a rate that only begins to rise at the end of the run leaves a share that hardly varies
    (side >= least_side(shares.len()) && along > 0.0).then(|| across * across / along)
}

fn residuals(means: &[f64], shares: &[f64]) -> Vec<f64> {
    let (middle, level) = (mean(shares), mean(means));
    let along = squares(shares, middle);
    let across: f64 = means
        .iter()
        .zip(shares)
        .map(|(m, s)| m * (s - middle))
        .sum();
    let slope = if along > 0.0 { across / along } else { 0.0 };
    let left = |(m, s): (&f64, &f64)| m - level - slope * (s - middle);
    means.iter().zip(shares).map(left).collect()
}

/// Half an answer's worth of squares a step: counts that never change are not infinitely sure.
fn floor(path: &Path) -> f64 {
    let half = |row: &Vec<Cluster>| {
        let of: u64 = row.iter().map(|cluster| cluster.of).sum();
        (0.25 / of as f64).powi(2)
    };
    path.counts().iter().map(half).sum()
}

/// How many places are as good as independent: fitted to constant rates (see the tests).
fn places(steps: usize) -> f64 {
    8.0 * (steps as f64).ln()
}

fn chance(gain: f64, total: f64, left: &[f64], persistence: f64, floor: f64) -> f64 {
    if total <= 0.0 {
        return 1.0;
    }
    let degrees = left.len() as f64 - 4.0;
    let rest = left.iter().map(|one| one * one).sum::<f64>() + floor;
    let ratio = gain / (rest / degrees) / inflation(persistence);
    (places(left.len()) * t_beyond(ratio.sqrt(), degrees)).min(1.0)
}
