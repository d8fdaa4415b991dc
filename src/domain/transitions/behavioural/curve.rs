//! A rate that goes from one level to another over the steps, and how to climb to its best place on a surface.

use super::surface::{LEAST_RATE, Surface};

/// Tenth to ninth part of a logistic step, in units of its scale: 2 ln 9.
pub(super) const TENTHS: f64 = 4.394_449_154_672_439;

/// A logistic step between two levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// The rate long before.
    pub before: f64,
    /// The rate long after.
    pub after: f64,
    /// Where it is half-way.
    pub step: f64,
    /// Steps from a tenth to nine tenths of the way.
    pub width: f64,
}

impl Curve {
    /// The part of the way that is gone at `step`.
    pub fn share(&self, step: f64) -> f64 {
        1.0 / (1.0 + (-(step - self.step) * TENTHS / self.width).exp())
    }

    /// The rate at `step`.
    pub fn rate(&self, step: f64) -> f64 {
        self.before + (self.after - self.before) * self.share(step)
    }

    /// Slopes of the rate at `step`: by before, after, step and the logarithm of the width.
    pub(super) fn slopes(&self, step: f64) -> [f64; 4] {
        let share = self.share(step);
        let steep = (self.after - self.before) * share * (1.0 - share);
        let place = (step - self.step) * TENTHS / self.width;
        [
            1.0 - share,
            share,
            -steep * TENTHS / self.width,
            -steep * place,
        ]
    }

    fn parameters(&self) -> [f64; 4] {
        [self.before, self.after, self.step, self.width.ln()]
    }

    fn of(parameters: [f64; 4]) -> Self {
        let [before, after, step, log_width] = parameters;
        Self {
            before,
            after,
            step,
            width: log_width.exp(),
        }
    }
}

/// A curve with its log-likelihood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Climbed {
    pub(super) curve: Curve,
    pub(super) value: f64,
}

/// Where curves may lie, and which of before, after, step and width may move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    low: [f64; 4],
    high: [f64; 4],
    free: [bool; 4],
}

impl Room {
    /// Steps within `steps`; widths from less than half a gap, which no two steps tell apart, to twice the span.
    pub(super) fn new(steps: &[f64], gap: f64) -> Self {
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        let widths = [0.4 * gap, 2.0 * (last - first)].map(f64::ln);
        Self {
            low: [LEAST_RATE, LEAST_RATE, first, widths[0]],
            high: [1.0 - LEAST_RATE, 1.0 - LEAST_RATE, last, widths[1]],
            free: [true; 4],
        }
    }

    /// The same room with the step held.
    pub(super) fn step_held(self) -> Self {
        let free = [true, true, false, true];
        Self { free, ..self }
    }

    /// The same room in which nothing but the levels move.
    pub(super) fn levels_alone(self) -> Self {
        let free = [true, true, false, false];
        Self { free, ..self }
    }

    pub(super) fn least_width(&self) -> f64 {
        self.low[3].exp()
    }

    fn into(&self, mut parameters: [f64; 4]) -> [f64; 4] {
        for (place, value) in parameters.iter_mut().enumerate() {
            if self.free[place] {
                *value = value.clamp(self.low[place], self.high[place]);
            }
        }
        parameters
    }

    /// Which parameters a move along `slope` can change.
    fn movable(&self, parameters: &[f64; 4], slope: &[f64; 4]) -> [bool; 4] {
        std::array::from_fn(|place| {
            let low = parameters[place] <= self.low[place] && slope[place] <= 0.0;
            let high = parameters[place] >= self.high[place] && slope[place] >= 0.0;
            self.free[place] && !low && !high
        })
    }
}

/// Log-likelihood of `curve` over all `steps`.
pub(super) fn value(surface: &Surface, steps: &[f64], curve: &Curve) -> f64 {
    let at = |(place, step): (usize, &f64)| surface.at(place, curve.rate(*step)).0;
    steps.iter().enumerate().map(at).sum()
}

/// Climbs from `start` to a top by damped scoring.
///
/// *Source* Fisher scoring, with the damping of Marquardt, SIAM Journal 11 (1963) 431–441.
pub(super) fn climb(surface: &Surface, steps: &[f64], start: Curve, room: &Room) -> Climbed {
    let mut at = room.into(start.parameters());
    let mut height = value(surface, steps, &Curve::of(at));
    let mut damping = 1e-3;
    for _ in 0..40 {
        let (slope, information) = slope_and_information(surface, steps, &Curve::of(at));
        let movable = room.movable(&at, &slope);
        let mut risen = None;
        while damping < 1e8 {
            let by = solve(
                damped(information, damping, movable),
                masked(slope, movable),
            );
            let next = room.into(std::array::from_fn(|place| at[place] + by[place]));
            let higher = value(surface, steps, &Curve::of(next));
            if higher > height {
                risen = Some((next, higher - height));
                break;
            }
            damping *= 8.0;
        }
        let Some((next, rise)) = risen else { break };
        (at, height) = (next, height + rise);
        damping = (damping / 20.0).max(1e-7);
        if rise < 1e-5 {
            break;
        }
    }
    Climbed {
        curve: Curve::of(at),
        value: height,
    }
}

type Square = [[f64; 4]; 4];

fn slope_and_information(surface: &Surface, steps: &[f64], curve: &Curve) -> ([f64; 4], Square) {
    let mut slope = [0.0; 4];
    let mut information = [[0.0; 4]; 4];
    for (place, step) in steps.iter().enumerate() {
        let rate = curve.rate(*step);
        let by_rate = surface.at(place, rate).1;
        let weight = surface.information(place, rate);
        let slopes = curve.slopes(*step);
        for row in 0..4 {
            slope[row] += by_rate * slopes[row];
            for column in 0..4 {
                information[row][column] += weight * slopes[row] * slopes[column];
            }
        }
    }
    (slope, information)
}

/// Information with a heavier diagonal; what cannot move is cut off.
fn damped(information: Square, damping: f64, movable: [bool; 4]) -> Square {
    std::array::from_fn(|row| {
        std::array::from_fn(
            |column| match (row == column, movable[row] && movable[column]) {
                (true, true) => information[row][row] * (1.0 + damping) + 1e-12,
                (false, true) => information[row][column],
                (true, false) => 1.0,
                (false, false) => 0.0,
            },
        )
    })
}

fn masked(slope: [f64; 4], movable: [bool; 4]) -> [f64; 4] {
    std::array::from_fn(|place| if movable[place] { slope[place] } else { 0.0 })
}

/// The solution of a symmetric positive system, by elimination without pivots.
fn solve(mut matrix: Square, mut right: [f64; 4]) -> [f64; 4] {
    for pivot in 0..4 {
        let own = matrix[pivot];
        for row in pivot + 1..4 {
            let factor = matrix[row][pivot] / own[pivot];
            let rest = matrix[row].iter_mut().zip(own);
            rest.for_each(|(value, above)| *value -= factor * above);
            right[row] -= factor * right[pivot];
        }
    }
    for pivot in (0..4).rev() {
        let known: f64 = (pivot + 1..4).map(|at| matrix[pivot][at] * right[at]).sum();
        right[pivot] = (right[pivot] - known) / matrix[pivot][pivot];
    }
    right
}
