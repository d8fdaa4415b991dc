//! The most likely logistic step of a path, the correlation inside questions with it, and the jump and the line beside it.

use super::change::Change;
use super::curve::{Climbed, Curve, Room, climb};
use super::path::Path;
use super::persistence::inflation;
use super::scores::lasting;
use super::surface::{LEAST_RATE, Ladder, Surface};

/// A path with the curve that suits it best.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    pub(super) path: Path,
    pub(super) surface: Surface,
    pub(super) correlation: f64,
    pub(super) room: Room,
    pub(super) best: Climbed,
}

/// The bounds of the correlation inside questions.
const CORRELATIONS: [f64; 2] = [1e-4, 0.95];

impl Fitted {
    /// Climbs from where the change was seen; levels, step, width and correlation are fitted in turns.
    pub(super) fn new(path: Path, change: &Change) -> Self {
        let room = Room::new(path.steps(), path.gap());
        let mut correlation = 0.1;
        let mut surface = Surface::new(&path, correlation);
        let mut best = first(&path, &surface, &room, change);
        for _ in 0..2 {
            correlation = likeliest_correlation(&path, &best.curve);
            surface = Surface::new(&path, correlation);
            best = climb(&surface, path.steps(), best.curve, &room);
        }
        Self {
            path,
            surface,
            correlation,
            room,
            best,
        }
    }

    /// The same correlation and room with other counts, climbed from the same curve.
    pub(super) fn again(&self, path: &Path) -> Curve {
        let surface = Surface::new(path, self.correlation);
        climb(&surface, path.steps(), self.best.curve, &self.room).curve
    }

    /// The likeliest jump: between which two steps, and its log-likelihood.
    pub(super) fn jump(&self) -> Climbed {
        let steps = self.path.steps();
        let room = self.room.levels_alone();
        let at = |pair: &[f64]| {
            let step = (pair[0] + pair[1]) / 2.0;
            let width = (pair[1] - pair[0]) / 1e3;
            let start = Curve {
                step,
                width,
                ..self.best.curve
            };
            climb(&self.surface, steps, start, &room)
        };
        let jumps = steps.windows(2).map(at);
        jumps
            .reduce(|one, other| if other.value > one.value { other } else { one })
            .unwrap_or(self.best)
    }

    /// How many times likelier the logistic step is than a straight line over the whole run, as twice the logarithm, over how much
    /// the steps' counts really scatter.
    pub(super) fn against_line(&self) -> f64 {
        2.0 * (self.best.value - self.line()) / self.scatter()
    }

    /// Log-likelihood of the likeliest straight line: coordinates climb in turns, each by golden sections.
    fn line(&self) -> f64 {
        let steps = self.path.steps();
        let (first, span) = (steps[0], self.path.span());
        let of = |ends: [f64; 2]| -> f64 {
            let rate = |step: &f64| ends[0] + (ends[1] - ends[0]) * (step - first) / span;
            let at = |(place, step): (usize, &f64)| self.surface.at(place, rate(step)).0;
            steps.iter().enumerate().map(at).sum()
        };
        let curve = &self.best.curve;
        let mut ends = [curve.rate(first), curve.rate(first + span)];
        let mut height = of(ends);
        for _ in 0..40 {
            for (left, right) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, -1.0)] {
                let moved = |by: f64| {
                    [ends[0] + by * left, ends[1] + by * right]
                        .map(|end| end.clamp(LEAST_RATE, 1.0 - LEAST_RATE))
                };
                let by = highest(|by| of(moved(by)), [-0.3, 0.3], 24);
                if of(moved(by)) > of(ends) {
                    ends = moved(by);
                }
            }
            let higher = of(ends);
            if higher - height < 1e-3 {
                break;
            }
            height = higher;
        }
        of(ends)
    }

    /// How many times the variance that the model gives, its lasting included, the steps' pooled counts have about the curve.
    fn scatter(&self) -> f64 {
        let steps = self.path.steps();
        let standard = |(place, row): (usize, &Vec<crate::domain::statistics::Cluster>)| {
            let rate = self
                .best
                .curve
                .rate(steps[place])
                .clamp(LEAST_RATE, 1.0 - LEAST_RATE);
            let of: u64 = row.iter().map(|cluster| cluster.of).sum();
            let yes: u64 = row.iter().map(|cluster| cluster.yes).sum();
            (yes as f64 / of as f64 - rate) * self.surface.information(place, rate).sqrt()
        };
        let residuals: Vec<f64> = self
            .path
            .counts()
            .iter()
            .enumerate()
            .map(standard)
            .collect();
        let degrees = (residuals.len() as f64 - 4.0).max(1.0);
        let variance = residuals.iter().map(|one| one * one).sum::<f64>() / degrees;
        (variance * inflation(lasting(self))).max(1e-3)
    }
}

/// The best climb from the place where the change was seen, sharp, middling and wide.
fn first(path: &Path, surface: &Surface, room: &Room, change: &Change) -> Climbed {
    let [before, after] = sides(path, change.step);
    let widths = [
        room.least_width() * 2.0,
        change.width,
        0.1 * path.span(),
        0.4 * path.span(),
    ];
    let start = |width: f64| Curve {
        before,
        after,
        step: change.step,
        width: width.max(room.least_width()),
    };
    let climbs = widths.map(|width| climb(surface, path.steps(), start(width), room));
    climbs
        .into_iter()
        .reduce(|one, other| if other.value > one.value { other } else { one })
        .unwrap_or(climbs[0])
}

/// The pooled rates on both sides, kept off 0 and 1 by half an answer.
fn sides(path: &Path, step: f64) -> [f64; 2] {
    let side = |after: bool| {
        let rows = path.steps().iter().zip(path.counts());
        let rows = rows.filter(|(at, _)| (**at > step) == after);
        let (yes, of) = rows
            .flat_map(|(_, row)| row)
            .fold((0.5, 1.0), |(yes, of), one| {
                (yes + one.yes as f64, of + one.of as f64)
            });
        yes / of
    };
    [side(false), side(true)]
}

fn likeliest_correlation(path: &Path, curve: &Curve) -> f64 {
    let rates: Vec<f64> = path.steps().iter().map(|step| curve.rate(*step)).collect();
    let logit = |share: f64| (share / (1.0 - share)).ln();
    let share = |logit: f64| 1.0 / (1.0 + (-logit).exp());
    let value = |at: f64| {
        let of = |(row, rate): (&Vec<_>, &f64)| row_value(row, *rate, share(at));
        path.counts().iter().zip(&rates).map(of).sum()
    };
    share(highest(value, CORRELATIONS.map(logit), 14))
}

fn row_value(row: &[crate::domain::statistics::Cluster], rate: f64, correlation: f64) -> f64 {
    let most = row.iter().map(|cluster| cluster.of).max().unwrap_or(0);
    let rate = rate.clamp(LEAST_RATE, 1.0 - LEAST_RATE);
    let ladder = Ladder::new(rate, correlation, most as usize);
    row.iter().map(|cluster| ladder.of(*cluster).0).sum()
}

/// The highest place of a function with one top, by `rounds` golden sections.
///
/// *Source* Kiefer, Proceedings of the AMS 4 (1953) 502–506.
pub(super) fn highest(value: impl Fn(f64) -> f64, within: [f64; 2], rounds: u32) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let [mut low, mut high] = within;
    let mut inner = [high - golden * (high - low), low + golden * (high - low)];
    let mut heights = inner.map(&value);
    for _ in 0..rounds {
        if heights[0] > heights[1] {
            high = inner[1];
            inner = [high - golden * (high - low), inner[0]];
            heights = [value(inner[0]), heights[0]];
        } else {
            low = inner[0];
            inner = [inner[1], low + golden * (high - low)];
            heights = [heights[1], value(inner[1])];
        }
    }
    (low + high) / 2.0
}
