//! The interval of the step: every place at which the other parameters can make the counts nearly as likely.

use super::curve::{Climbed, Curve, Room, climb};
use super::fit::Fitted;
use crate::domain::statistics::Interval;

/// An interval whose ends may be those of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    pub(super) interval: Interval,
    /// Whether an end is where the run begins or ends, not where the likelihood falls.
    pub(super) cut_off: [bool; 2],
}

/// How far below the cut a walk gives up looking for another place as likely.
const VALLEY: f64 = 12.0;

/// All steps whose profile log-likelihood falls short of the best by at most `cut`/2; the best curve is replaced where the walk
/// finds a better one.
pub(super) fn profile_interval(fitted: &mut Fitted, cut: f64) -> Reach {
    profile_within(fitted, cut, fitted.room.step_held())
}

pub(super) fn profile_within(fitted: &mut Fitted, cut: f64, held: Room) -> Reach {
    // a better curve found on the way means walking again from there; more than a few are not met
    for _ in 0..4 {
        let sides = [false, true].map(|right| walk(fitted, cut, right, &held));
        match sides.iter().find_map(|side| side.better) {
            Some(better) => {
                let refined = climb(&fitted.surface, fitted.path.steps(), better, &fitted.room);
                fitted.best = refined;
            }
            None => return reach(sides),
        }
    }
    reach([false, true].map(|right| walk(fitted, cut, right, &held)))
}

fn reach(sides: [Side; 2]) -> Reach {
    Reach {
        interval: sides.map(|side| side.end),
        cut_off: sides.map(|side| side.cut_off),
    }
}

#[derive(Debug, Clone, Copy)]
struct Side {
    end: f64,
    cut_off: bool,
    better: Option<Curve>,
}

fn walk(fitted: &Fitted, cut: f64, right: bool, held: &Room) -> Side {
    let best = fitted.best;
    let mut at = best.curve;
    let mut inside = at;
    let mut outside: Option<f64> = None;
    let mut last = best.curve.step;
    for step in places(fitted.path.steps(), best.curve.step, right) {
        let found = highest_at(fitted, step, at, held);
        let short = 2.0 * (best.value - found.value);
        // the climb stops within 1e-5 of a top
        if short < -0.02 {
            let better = Some(found.curve);
            return Side {
                end: step,
                cut_off: false,
                better,
            };
        }
        if short <= cut {
            (inside, outside) = (found.curve, None);
        } else if outside.is_none() {
            outside = Some(step);
        }
        if short > cut + VALLEY {
            break;
        }
        (at, last) = (found.curve, step);
    }
    match outside {
        Some(outside) => {
            let end = edge(fitted, cut, inside, outside, held);
            Side {
                end,
                cut_off: false,
                better: None,
            }
        }
        None => Side {
            end: last,
            cut_off: true,
            better: None,
        },
    }
}

/// Each step of the run and two places between neighbours, going away from `from`.
fn places(steps: &[f64], from: f64, right: bool) -> Vec<f64> {
    let third = |pair: &[f64], part: f64| pair[0] + part * (pair[1] - pair[0]);
    let inner = steps
        .windows(2)
        .flat_map(|pair| [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|p| third(pair, p)));
    let all = inner.chain(steps.last().copied());
    let mut places: Vec<f64> = all
        .filter(|step| if right { *step > from } else { *step < from })
        .collect();
    if !right {
        places.reverse();
    }
    places
}

/// The best curve with its step held: from the neighbour's, from the best of all, and from a jump.
fn highest_at(fitted: &Fitted, step: f64, near: Curve, held: &Room) -> Climbed {
    let steps = fitted.path.steps();
    let sharp = Curve {
        width: 2.0 * held.least_width(),
        ..near
    };
    let starts = [near, sharp, fitted.best.curve].map(|curve| Curve { step, ..curve });
    let climbs = starts.map(|start| climb(&fitted.surface, steps, start, held));
    let [mut highest, ..] = climbs;
    for other in climbs {
        if other.value > highest.value {
            highest = other;
        }
    }
    highest
}

fn edge(fitted: &Fitted, cut: f64, inside: Curve, outside: f64, held: &Room) -> f64 {
    let (mut near, mut far, mut at) = (inside.step, outside, inside);
    for _ in 0..8 {
        let middle = (near + far) / 2.0;
        let found = highest_at(fitted, middle, at, held);
        if 2.0 * (fitted.best.value - found.value) <= cut {
            (near, at) = (middle, found.curve);
        } else {
            far = middle;
        }
    }
    (near + far) / 2.0
}
