//! The marker of a burst in the growth of the adapter's norm.

use super::agree::{Peak, best_peak};
use super::grad_norm::scales;
use super::peak::Scaled;
use super::robust::{median, spread};
use super::words;
use super::{Found, Verdict, clear, not_turned, strongest, turned};

/// A burst makes the norm grow faster by at least so much of its usual growth.
const LEAST: f64 = 0.2;
/// Growth that is so many times as fast in the end has risen.
const RISEN: f64 = 1.5;
/// A rise must be so many times what chance makes of a stretch.
const SURE: f64 = 3.0;
/// Steps behind the warm-up without which nothing is said.
const LEAST_STEPS: usize = 24;

/// The norm of one module over the steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Norms<'a> {
    /// Whose, in words.
    pub name: String,
    /// Updates made, rising.
    pub steps: &'a [u64],
    /// As long.
    pub norms: &'a [Option<f64>],
}

/// Where the clearest of `modules` begins to grow faster; all of them share one chance of a false alarm.
///
/// Growth that only becomes slower is what a falling learning rate makes, and no turn.
pub fn norm_growth(modules: &[Norms], warmup: u64) -> Found {
    let known: Vec<(&str, Vec<(f64, f64)>)> = modules
        .iter()
        .map(|one| (one.name.as_str(), behind(one, warmup)))
        .filter(|(_, known)| known.len() >= LEAST_STEPS)
        .collect();
    if known.is_empty() {
        let reason = format!("norms at fewer than {LEAST_STEPS} steps behind the warm-up");
        return not_turned(Verdict::None, vec![reason]);
    }
    let peaks: Vec<(&str, Option<Peak>)> = known
        .iter()
        .map(|(name, known)| (*name, best_peak(&changes(known), LEAST)))
        .collect();
    let least = clear(known.len());
    match strongest(&peaks) {
        Some((name, peak)) if peak.score >= least => {
            let what = "the change of the norm's growth";
            let mut reasons = vec![words::peaks(what, peak, 3), words::stands_out(peak, least)];
            reasons.extend(words::of_several(name, known.len()));
            turned(peak, reasons)
        }
        best => without_peak(&known, words::no_peak(best.map(|(_, peak)| peak), least)),
    }
}

fn behind(one: &Norms, warmup: u64) -> Vec<(f64, f64)> {
    let pairs = one.steps.iter().zip(one.norms);
    pairs
        .filter(|(step, _)| **step >= warmup)
        .filter_map(|(step, norm)| Some((*step as f64, (*norm)?)))
        .collect()
}

/// How much more the norm grows behind each step than before it, in units of its usual growth, on every scale.
fn changes(known: &[(f64, f64)]) -> Vec<Scaled> {
    let span = known[known.len() - 1].0 - known[0].0;
    let grid = span / (known.len() - 1) as f64;
    let paces: Vec<f64> = known
        .windows(2)
        .map(|pair| ((pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0)).abs())
        .collect();
    let usual = median(&paces).max(f64::MIN_POSITIVE);
    let at = |step: f64| {
        let place = known.partition_point(|(other, _)| *other < step - grid / 2.0);
        known
            .get(place)
            .filter(|(other, _)| (other - step).abs() <= grid / 2.0)
            .copied()
    };
    let one = |scale: f64| Scaled {
        gap: scale,
        steps: known.iter().map(|(step, _)| *step).collect(),
        values: known
            .iter()
            .map(|(step, norm)| {
                let (back, ahead) = (at(step - scale)?, at(step + scale)?);
                let pace = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0);
                let here = (*step, *norm);
                Some((pace(here, ahead) - pace(back, here)) / usual)
            })
            .collect(),
    };
    scales(span, grid).into_iter().map(one).collect()
}

fn without_peak(known: &[(&str, Vec<(f64, f64)>)], no_peak: String) -> Found {
    let rises = known
        .iter()
        .filter_map(|(name, known)| Some((*name, risen(known)?)));
    match rises.max_by(|(_, left), (_, right)| left.total_cmp(right)) {
        Some((name, times)) => not_turned(
            Verdict::Gradual,
            vec![
                format!(
                    "{name} grows {times:.1} times as fast in the last third as in the first, with no step at which it begins to"
                ),
                no_peak,
            ],
        ),
        None => not_turned(Verdict::None, vec![no_peak]),
    }
}

/// How many times as fast it grows in the last third as in the first, where that is more than chance makes of it.
fn risen(known: &[(f64, f64)]) -> Option<f64> {
    let third = known.len() / 3;
    let (first, last) = (&known[..=third], &known[known.len() - third - 1..]);
    let pace = |part: &[(f64, f64)]| {
        let (from, to) = (part[0], part[part.len() - 1]);
        (to.1 - from.1) / (to.0 - from.0)
    };
    let steps: Vec<f64> = known.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let chance = spread(&steps) * (third as f64).sqrt() / (last[third].0 - last[0].0);
    let (before, after) = (pace(first), pace(last));
    let risen = after > RISEN * before.max(0.0) && after - before > SURE * chance;
    (risen && before > 0.0).then(|| after / before)
}
