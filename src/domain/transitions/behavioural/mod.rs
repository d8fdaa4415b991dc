//! Where the behaviour turns: a rate over the steps of one run, at one scale of its adapter.
//!
//! Knows counts by step and question, and answers by number where they are told; knows neither judges nor runs. A fit is a pure
//! function: the same counts give the same numbers.
//!
//! The questions are taken as independent of each other, the steps are not: the same questions are asked at every step and their
//! answers share random streams.

mod bootstrap;
mod change;
mod curve;
#[cfg(test)]
pub(super) mod detector;
mod fit;
mod path;
mod persistence;
mod profile;
mod scores;
mod surface;
mod words;

pub use bootstrap::{Hits, Resampling};
pub use change::LEAST_STEPS;
pub use curve::Curve;
pub use path::{NotAPath, Path};

use bootstrap::bootstrap;
use change::{Change, change};
use fit::Fitted;
use profile::{Reach, profile_interval};
use scores::cut;

use crate::domain::statistics::Interval;

/// The chance of a false alarm that all series of one run share.
pub const ALARM: f64 = 0.02;

/// Fewer questions say too little about how much questions vary.
const LEAST_QUESTIONS: usize = 5;

/// Answers of a checkpoint by which the levels must differ: with shared streams a single answer that changes stays changed, which
/// is sure and means nothing.
const LEAST_ANSWERS: f64 = 3.0;

/// A rise that takes more of the run than this is no transition.
const LONGEST: f64 = 0.5;

/// How much likelier than a straight line a step must be, as twice the logarithm: its two further parameters alone give as much
/// with a chance of about 1 in 400.
const CLEARER: f64 = 12.0;

/// What a rate does over the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It goes from one level to another in a part of the run.
    Transition,
    /// It changes, but no more suddenly than a straight line.
    Gradual,
    /// It does not change, or not more than chance may.
    None,
}

/// What is wanted of a search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Level of the intervals.
    pub level: f64,
    /// Series of the run that are searched together, this one included; they share one chance of a false alarm.
    pub together: usize,
    /// The bootstrap.
    pub resampling: Resampling,
}

/// A rate's change over the steps of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// What it does.
    pub turn: Turn,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// The chance of a step as clear in a constant rate, among all series searched together; none with too few steps.
    pub chance: Option<f64>,
    /// The fit; none where nothing changes.
    pub fit: Option<Fit>,
}

/// A logistic step, a jump, and how sure the step is.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The most likely logistic step.
    pub curve: Curve,
    /// The most likely jump lies between these two steps.
    pub jump: Interval,
    /// How many times likelier the logistic step is than the jump, as twice the logarithm.
    pub over_jump: f64,
    /// The same over a straight line, in units of how much the steps' counts scatter.
    pub over_line: f64,
    /// Correlation of two answers to one question at one step.
    pub correlation: f64,
    /// `profile_likelihood`: the step's interval over other questions and answers.
    pub interval: Option<Interval>,
    /// `bootstrap_questions`: the percentile interval over resampled questions, and answers where they are told.
    pub bootstrap: Option<Interval>,
}

/// Looks for a change in `path`; `hits`, if given, are the answers that its counts count.
pub fn search(path: &Path, hits: Option<&Hits>, how: &Search) -> Behaviour {
    let whole = path.answered();
    let Some(change) = change(&whole) else {
        return words::too_few_steps(whole.steps().len());
    };
    let chance = (change.p * how.together.max(1) as f64).min(1.0);
    if chance > ALARM {
        return words::no_change(&whole, chance);
    }
    // resampled answers must stand at the steps that are fitted
    let hits = hits.filter(|hits| hits.len() == whole.steps().len());
    let least = LEAST_ANSWERS / whole.answers();
    let (fit, reach) = fitted(whole, &change, hits, how);
    if (fit.curve.after - fit.curve.before).abs() < least {
        return words::too_little(chance);
    }
    words::changed(path, chance, fit, reach)
}

fn fitted(path: Path, change: &Change, hits: Option<&Hits>, how: &Search) -> (Fit, Option<Reach>) {
    let mut fitted = Fitted::new(path, change);
    let enough = fitted.path.questions() >= LEAST_QUESTIONS;
    let cut = cut(&fitted, how.level);
    let reach = enough.then(|| profile_interval(&mut fitted, cut));
    let jump = fitted.jump();
    let fit = Fit {
        curve: fitted.best.curve,
        jump: around(fitted.path.steps(), jump.curve.step),
        over_jump: 2.0 * (fitted.best.value - jump.value),
        over_line: fitted.against_line(),
        correlation: fitted.correlation,
        interval: reach.map(|reach| reach.interval),
        bootstrap: bootstrap(&fitted, hits, how.resampling, how.level),
    };
    (fit, reach)
}

/// The neighbouring steps on both sides of `step`.
fn around(steps: &[f64], step: f64) -> Interval {
    let pair = steps.windows(2).find(|pair| step <= pair[1]);
    pair.map_or([step, step], |pair| [pair[0], pair[1]])
}

#[cfg(test)]
mod tests;
