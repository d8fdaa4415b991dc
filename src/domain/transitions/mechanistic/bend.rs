//! Whether a path that is straight from gap to gap goes elsewhere in the end than in the beginning.

use super::local_cosine::VectorPath;
use super::peak::Scaled;
use super::robust::median;

/// Local cosines of a stretch that is straight, at its median.
const STRAIGHT: f64 = -0.5;
/// Cosine between the ways of the first and the last third, below which the path has bent: noise that leaves the thirds straight
/// leaves it higher.
const BENT: f64 = 0.7;

/// The angle in degrees between the ways of the first and the last third; none where the path is not straight in both, or not bent.
pub(super) fn bend(path: &VectorPath) -> Option<f64> {
    let widest = path
        .gaps
        .iter()
        .max_by(|left, right| left.gap.total_cmp(&right.gap))?;
    let known: Vec<(f64, f64)> = known(widest);
    let third = known.len() / 3;
    let (first, last) = (known.get(..third)?, known.get(known.len() - third..)?);
    let straight = |part: &[(f64, f64)]| {
        let cosines: Vec<f64> = part.iter().map(|(_, value)| *value).collect();
        !cosines.is_empty() && median(&cosines) < STRAIGHT
    };
    if !(straight(first) && straight(last)) {
        return None;
    }
    let (start, end) = (way(path, first)?, way(path, last)?);
    let cosine = dot(&start, &end) / (dot(&start, &start) * dot(&end, &end)).sqrt();
    (cosine < BENT).then(|| cosine.clamp(-1.0, 1.0).acos().to_degrees())
}

fn known(series: &Scaled) -> Vec<(f64, f64)> {
    let pairs = series.steps.iter().zip(&series.values);
    pairs
        .filter_map(|(step, value)| Some((*step, (*value)?)))
        .collect()
}

fn way(path: &VectorPath, part: &[(f64, f64)]) -> Option<Vec<f64>> {
    let at = |step: f64| path.path.at(step as u64);
    let (from, to) = (at(part.first()?.0)?, at(part.last()?.0)?);
    let apart = to
        .iter()
        .zip(from)
        .map(|(to, from)| f64::from(*to) - f64::from(*from));
    Some(apart.collect())
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}
