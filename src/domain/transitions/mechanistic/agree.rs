//! One turn from several gaps: they must see it at one step.

use super::peak::{Candidate, Scaled, candidates};

/// A peak that at least two gaps see at one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Peak {
    /// Mean of the gaps' steps.
    pub step: f64,
    /// The second highest score of the gaps that agree: what two of them bear out.
    pub score: f64,
    /// Height above the running median at the gap that saw it best.
    pub prominence: f64,
    /// That gap.
    pub gap: f64,
    /// How many gaps agree.
    pub gaps: usize,
    /// Largest less smallest of their steps.
    pub spread: f64,
    /// Steps between numbers around it.
    pub grid: f64,
}

/// The peak that two gaps bear out best; none where no two agree.
///
/// Two steps are one where they lie no farther apart than the grid, or than half the smaller gap where the grid is finer.
pub fn best_peak(series: &[Scaled], least: f64) -> Option<Peak> {
    let found: Vec<Vec<Candidate>> = series
        .iter()
        .map(|one| {
            let mut own = candidates(one);
            own.retain(|candidate| candidate.prominence >= least);
            own
        })
        .collect();
    let peaks = found.iter().flatten().filter_map(|one| joined(one, &found));
    peaks.max_by(|left, right| left.score.total_cmp(&right.score))
}

/// `one` and, of every other gap, the clearest peak at its step.
fn joined(one: &Candidate, found: &[Vec<Candidate>]) -> Option<Peak> {
    let together: Vec<&Candidate> = found
        .iter()
        .filter_map(|own| {
            let near = own.iter().filter(|other| together(one, other));
            near.max_by(|left, right| left.score.total_cmp(&right.score))
        })
        .collect();
    let mut scores: Vec<f64> = together.iter().map(|each| each.score).collect();
    scores.sort_unstable_by(|left, right| right.total_cmp(left));
    let score = *scores.get(1)?;
    let steps = || together.iter().map(|each| each.step);
    let best = together
        .iter()
        .max_by(|left, right| left.score.total_cmp(&right.score))?;
    Some(Peak {
        step: steps().sum::<f64>() / together.len() as f64,
        score,
        prominence: best.prominence,
        gap: best.gap,
        gaps: together.len(),
        spread: steps().fold(f64::MIN, f64::max) - steps().fold(f64::MAX, f64::min),
        grid: together.iter().map(|each| each.grid).fold(0.0, f64::max),
    })
}

fn together(one: &Candidate, other: &Candidate) -> bool {
    let apart = (one.step - other.step).abs();
    if one.gap == other.gap {
        return apart == 0.0;
    }
    apart <= f64::max(one.grid.max(other.grid), one.gap.min(other.gap) / 2.0)
}
