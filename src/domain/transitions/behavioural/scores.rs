//! How far the likelihood may fall at the ends of the step's interval.
//!
//! The likelihood takes every count as drawn anew. Where a question's deviations last for several checkpoints they say less than as
//! many independent ones, and the fall is stretched by as much.

use super::fit::Fitted;
use super::persistence::{inflation, persistence};
use super::surface::{LEAST_RATE, Ladder};
use crate::domain::statistics::normal_quantile;

/// By how much more the likelihood may fall for each unit of correlation inside questions: the more one question says the same, the
/// fewer counts there are and the farther off is the limit that Wilks speaks of. Chosen on planted steps (see the tests), on other
/// keys than those of the printed table.
const CORRELATED: f64 = 0.4;

/// Twice the fall of the log-likelihood at the ends of an interval.
///
/// *Source* Wilks, Annals of Mathematical Statistics 9 (1938) 60–62, stretched as by Kent, Biometrika 69 (1982) 19–27.
pub(super) fn cut(fitted: &Fitted, level: f64) -> f64 {
    let wilks = normal_quantile(0.5 + level / 2.0).powi(2);
    wilks * (1.0 + CORRELATED * fitted.correlation) * inflation(lasting(fitted))
}

/// For how long deviations from the fitted curve last.
pub(super) fn lasting(fitted: &Fitted) -> f64 {
    let steps = fitted.path.steps();
    let shares: Vec<f64> = steps
        .iter()
        .map(|step| fitted.best.curve.share(*step))
        .collect();
    persistence(&deviations(fitted), &shares)
}

/// By step and question: the score of the count, in units of what it scatters by.
fn deviations(fitted: &Fitted) -> Vec<Vec<f64>> {
    let rows = fitted
        .path
        .steps()
        .iter()
        .zip(fitted.path.counts())
        .enumerate();
    rows.map(|(place, (step, row))| {
        let rate = fitted
            .best
            .curve
            .rate(*step)
            .clamp(LEAST_RATE, 1.0 - LEAST_RATE);
        let most = row.iter().map(|cluster| cluster.of).max().unwrap_or(0);
        let ladder = Ladder::new(rate, fitted.correlation, most as usize);
        let scale = fitted
            .surface
            .information(place, rate)
            .sqrt()
            .max(f64::MIN_POSITIVE);
        row.iter()
            .map(|cluster| ladder.of(*cluster).1 / scale)
            .collect()
    })
    .collect()
}
