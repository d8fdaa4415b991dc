//! Where the weights turn: the path of an adapter's vectors, its norm and the gradient's norm over the steps of one run.
//!
//! Knows plain series by step; knows neither runs nor jobs. One run's step has no interval, since nothing is drawn again: what is said
//! of its sureness is how fine the steps are and how far the gaps lie apart.
//!
//! A marker turns where its series peaks above its own running median, at one step for two gaps at least, by so much more than it
//! scatters that runs without a turn rarely do; how rarely is counted over made-up runs by this module's detector test.

mod agree;
mod bend;
#[cfg(test)]
mod detector;
mod grad_norm;
mod local_cosine;
mod norm_growth;
mod peak;
#[cfg(test)]
mod planted;
mod robust;
mod words;

pub use grad_norm::grad_norm;
pub use local_cosine::{Cosines, VectorPath, local_cosine};
pub use norm_growth::{Norms, norm_growth};
pub use peak::Scaled;

use agree::Peak;

use super::{Resolution, Verdict};

/// Score that a single series must reach, chosen on made-up runs without a turn.
const CLEAR: f64 = 3.5;
/// The score's tail falls about with its fifth power, so among n series it must reach the fifth root of n times as much.
const TAIL: f64 = 0.2;

/// What a marker does in one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Whether it turns.
    pub verdict: Verdict,
    /// Where.
    pub step: Option<f64>,
    /// How finely that can be told.
    pub resolution: Option<Resolution>,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// The score that the clearest of so many series must reach.
fn clear(series: usize) -> f64 {
    CLEAR * (series.max(1) as f64).powf(TAIL)
}

fn turned(peak: &Peak, reasons: Vec<String>) -> Found {
    Found {
        verdict: Verdict::Transition,
        step: Some(peak.step),
        resolution: Some(Resolution {
            grid: Some(peak.grid.round() as u64),
            gap: Some(peak.gap.round() as u64),
            spread: Some(peak.spread),
        }),
        reasons,
    }
}

fn not_turned(verdict: Verdict, reasons: Vec<String>) -> Found {
    Found {
        verdict,
        reasons,
        ..Found::default()
    }
}

/// The clearest peak and whose it is.
fn strongest<'a>(peaks: &'a [(&'a str, Option<Peak>)]) -> Option<(&'a str, &'a Peak)> {
    let known = peaks
        .iter()
        .filter_map(|(name, peak)| Some((*name, peak.as_ref()?)));
    known.max_by(|(_, left), (_, right)| left.score.total_cmp(&right.score))
}

#[cfg(test)]
mod tests;
