//! Where a noisy series peaks: how far it stands above its own running median on both sides, and whether several gaps agree.
//!
//! A peak of gap k is as wide as a turn makes it, up to k steps on either side. So the medians are those of the stretches from k to
//! 4k steps before and behind, and the higher of the two counts: a series that only rises or falls never stands above both.

use super::robust::{median, spread};

/// Flanks reach so many gaps away.
const REACH: f64 = 4.0;
/// Known numbers that a flank must have, and the part of a gap that it must cover.
const LEAST_FLANK: usize = 3;

/// A series that is looked at on the scale of one gap.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    /// The gap, in steps.
    pub gap: f64,
    /// Rising.
    pub steps: Vec<f64>,
    /// As long.
    pub values: Vec<Option<f64>>,
}

/// What stands out in a series on one scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Where.
    pub step: f64,
    /// Height above the higher of the two flanks' medians.
    pub prominence: f64,
    /// That height in units of how much the series scatters about its running median.
    pub score: f64,
    /// The scale.
    pub gap: f64,
    /// Steps to the neighbouring numbers.
    pub grid: f64,
}

/// All places where `series` is highest within a gap and stands above both flanks.
pub fn candidates(series: &Scaled) -> Vec<Candidate> {
    let known: Vec<(f64, f64)> = series
        .steps
        .iter()
        .zip(&series.values)
        .filter_map(|(step, value)| Some((*step, (*value)?)))
        .collect();
    let smooth = smoothed(&known, series.gap / 4.0);
    let left: Vec<f64> = off_median(&smooth, series.gap);
    let overall = spread(&left);
    (0..smooth.len())
        .filter(|place| highest(&smooth, *place, series.gap))
        .filter_map(|place| candidate(&smooth, place, series.gap, overall))
        .collect()
}

/// Means over the numbers at most `half` steps away.
fn smoothed(known: &[(f64, f64)], half: f64) -> Vec<(f64, f64)> {
    let mean = |(step, _): &(f64, f64)| {
        let near = within(known, step - half, step + half);
        let sum: f64 = near.iter().map(|(_, value)| value).sum();
        (*step, sum / near.len() as f64)
    };
    known.iter().map(mean).collect()
}

/// The numbers from one step to another, ends included.
fn within(of: &[(f64, f64)], from: f64, to: f64) -> &[(f64, f64)] {
    let start = of.partition_point(|(step, _)| *step < from);
    let end = of.partition_point(|(step, _)| *step <= to);
    &of[start..end.max(start)]
}

fn values(of: &[(f64, f64)]) -> Vec<f64> {
    of.iter().map(|(_, value)| *value).collect()
}

/// What is left of each number beyond the running median.
fn off_median(smooth: &[(f64, f64)], gap: f64) -> Vec<f64> {
    let reach = REACH * gap / 2.0;
    let off = |(step, value): &(f64, f64)| {
        value - median(&values(within(smooth, step - reach, step + reach)))
    };
    smooth.iter().map(off).collect()
}

fn highest(smooth: &[(f64, f64)], place: usize, gap: f64) -> bool {
    let (step, value) = smooth[place];
    let near = within(smooth, step - gap, step + gap);
    // of equal ones the first
    near.iter()
        .all(|(other, height)| *height < value || (*height == value && *other >= step))
}

fn candidate(smooth: &[(f64, f64)], place: usize, gap: f64, overall: f64) -> Option<Candidate> {
    let (step, value) = smooth[place];
    let before = within(smooth, step - REACH * gap, step - gap);
    let behind = within(smooth, step + gap, step + REACH * gap);
    let (left, right) = (flank(before, gap)?, flank(behind, gap)?);
    let off = |of: &[(f64, f64)], middle: f64| -> Vec<f64> {
        of.iter().map(|(_, value)| value - middle).collect()
    };
    let local = f64::max(spread(&off(before, left)), spread(&off(behind, right)));
    let scatter = f64::max(local, overall).max(f64::MIN_POSITIVE);
    let prominence = value - f64::max(left, right);
    Some(Candidate {
        step,
        prominence,
        score: (prominence / scatter).min(1e6),
        gap,
        grid: grid(smooth, place),
    })
}

/// The median of a flank that is long enough.
fn flank(of: &[(f64, f64)], gap: f64) -> Option<f64> {
    let (first, last) = (of.first()?, of.last()?);
    let long = of.len() >= LEAST_FLANK && last.0 - first.0 >= gap;
    long.then(|| median(&values(of)))
}

fn grid(smooth: &[(f64, f64)], place: usize) -> f64 {
    let back = place
        .checked_sub(1)
        .map(|before| smooth[place].0 - smooth[before].0);
    let ahead = smooth.get(place + 1).map(|next| next.0 - smooth[place].0);
    back.into_iter().chain(ahead).fold(0.0, f64::max)
}
