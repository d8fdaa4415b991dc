//! The marker of a turn in the path of a vector.

use super::agree::{Peak, best_peak};
use super::bend::bend;
use super::peak::Scaled;
use super::words;
use super::{Found, Verdict, clear, not_turned, strongest, turned};
use crate::domain::geometry::Trajectory;

/// Height above the running median below which a peak means nothing, however still the rest is.
const LEAST: f64 = 0.1;

/// Gaps that the limit was chosen for: more have more chances that two agree.
const USUAL_GAPS: f64 = 3.0;

/// One gap's local cosines, as long as the path's steps; null where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cosines<'a> {
    /// The gap, in steps.
    pub gap: u64,
    /// −1 straight, +1 a way back.
    pub values: &'a [Option<f64>],
}

/// A vector's path and its local cosines.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorPath<'a> {
    /// Whose, in words.
    pub name: String,
    /// The path.
    pub path: &'a Trajectory,
    /// By gap, warm-up left out.
    pub gaps: Vec<Scaled>,
}

impl<'a> VectorPath<'a> {
    /// The local cosines of `path` behind `warmup` updates.
    pub fn new(name: String, path: &'a Trajectory, cosines: &[Cosines], warmup: u64) -> Self {
        let steps: Vec<f64> = path.steps().iter().map(|step| *step as f64).collect();
        let scaled = |one: &Cosines| Scaled {
            gap: one.gap as f64,
            steps: steps.clone(),
            values: path
                .steps()
                .iter()
                .zip(one.values)
                .map(|(step, value)| value.filter(|_| *step > warmup))
                .collect(),
        };
        Self {
            name,
            path,
            gaps: cosines.iter().map(scaled).collect(),
        }
    }
}

/// Where the clearest of `paths` turns; all of them share one chance of a false alarm.
pub fn local_cosine(paths: &[VectorPath]) -> Found {
    let gaps = paths.iter().map(|path| path.gaps.len()).max().unwrap_or(0);
    if gaps < 2 {
        let reason = format!("{gaps} gaps; at least two must see a turn at one step");
        return not_turned(Verdict::None, vec![reason]);
    }
    let peaks: Vec<(&str, Option<Peak>)> = paths
        .iter()
        .map(|path| (path.name.as_str(), best_peak(&path.gaps, LEAST)))
        .collect();
    let pairs = (gaps as f64 - 1.0) / (USUAL_GAPS - 1.0);
    let least = clear((paths.len() as f64 * pairs).ceil() as usize);
    match strongest(&peaks) {
        Some((name, peak)) if peak.score >= least => {
            let mut reasons = vec![words::peaks("the local cosine", peak, gaps)];
            reasons.extend(Some(words::stands_out(peak, least)));
            reasons.extend(words::of_several(name, paths.len()));
            turned(peak, reasons)
        }
        best => without_peak(paths, best.map(|(_, peak)| peak), least),
    }
}

fn without_peak(paths: &[VectorPath], peak: Option<&Peak>, least: f64) -> Found {
    let no_peak = words::no_peak(peak, least);
    let bends = paths
        .iter()
        .filter_map(|path| Some((&path.name, bend(path)?)));
    let most = bends.max_by(|(_, left), (_, right)| left.total_cmp(right));
    match most {
        Some((name, degrees)) => not_turned(
            Verdict::Gradual,
            vec![
                format!(
                    "the last third of {name} leads {degrees:.0} degrees away from the first, with no step at which it turns"
                ),
                no_peak,
            ],
        ),
        None => not_turned(Verdict::None, vec![no_peak]),
    }
}
