//! The marker of a peak in the gradient's norm.

use super::agree::best_peak;
use super::peak::Scaled;
use super::robust::{median, spread};
use super::words;
use super::{Found, Verdict, clear, not_turned, turned};

/// A peak is at least so much above its running median, as a logarithm: a fifth.
const LEAST: f64 = 0.182_321_556_793_954_6;
/// A drift is at least so much, as a logarithm: by half.
const DRIFT: f64 = 0.405_465_108_108_164_4;
/// Parts of the run that peaks are sought on.
const PARTS: [f64; 3] = [32.0, 16.0, 8.0];
/// Steps behind the warm-up without which nothing is said.
const LEAST_STEPS: usize = 24;

/// Steps on which a run of this length is looked at.
pub(super) fn scales(span: f64, grid: f64) -> Vec<f64> {
    let mut scales: Vec<f64> = PARTS
        .iter()
        .map(|part| (span / part / grid).round().max(1.0) * grid)
        .map(|scale| scale.max(2.0))
        .collect();
    scales.dedup();
    scales
}

/// Where the gradient's norm peaks behind the warm-up.
///
/// The norm is taken as its logarithm's running median, so a single wild step counts for nothing.
pub fn grad_norm(steps: &[u64], norms: &[Option<f64>], warmup: u64) -> Found {
    let known: Vec<(f64, f64)> = steps
        .iter()
        .zip(norms)
        .filter_map(|(step, norm)| Some((*step, norm.filter(|norm| *norm > 0.0)?)))
        .filter(|(step, _)| *step > warmup)
        .map(|(step, norm)| (step as f64, norm.ln()))
        .collect();
    if known.len() < LEAST_STEPS {
        let few = known.len();
        let reason =
            format!("norms at {few} steps behind the warm-up; at least {LEAST_STEPS} are needed");
        return not_turned(Verdict::None, vec![reason]);
    }
    let span = known[known.len() - 1].0 - known[0].0;
    let grid = span / (known.len() - 1) as f64;
    let scales = scales(span, grid);
    let series: Vec<Scaled> = scales.iter().map(|scale| running(&known, *scale)).collect();
    let least = clear(1);
    match best_peak(&series, LEAST) {
        Some(peak) if peak.score >= least => {
            let times = peak.prominence.exp();
            let height = format!("{times:.1} times its running median");
            let first = words::peaks("the gradient norm", &peak, scales.len());
            turned(&peak, vec![first, height, words::stands_out(&peak, least)])
        }
        best => drift(&known, words::no_peak(best.as_ref(), least)),
    }
}

/// Running medians over half a scale to both sides.
fn running(known: &[(f64, f64)], scale: f64) -> Scaled {
    let half = (scale / 2.0).max(2.0);
    let one = |(step, _): &(f64, f64)| {
        let from = known.partition_point(|(other, _)| *other < step - half);
        let to = known.partition_point(|(other, _)| *other <= step + half);
        let near: Vec<f64> = known[from..to].iter().map(|(_, value)| *value).collect();
        Some(median(&near))
    };
    Scaled {
        gap: scale,
        steps: known.iter().map(|(step, _)| *step).collect(),
        values: known.iter().map(one).collect(),
    }
}

fn drift(known: &[(f64, f64)], no_peak: String) -> Found {
    let quarter = known.len() / 4;
    let values =
        |part: &[(f64, f64)]| -> Vec<f64> { part.iter().map(|(_, value)| *value).collect() };
    let (first, last) = (
        values(&known[..quarter]),
        values(&known[known.len() - quarter..]),
    );
    let change = median(&last) - median(&first);
    let scatter = f64::max(spread(&first), spread(&last));
    if change.abs() < DRIFT.max(scatter) {
        return not_turned(Verdict::None, vec![no_peak]);
    }
    let goes = if change > 0.0 { "rises" } else { "falls" };
    let reason = format!(
        "the gradient norm {goes} from {:.3} in the first quarter to {:.3} in the last, with no peak",
        median(&first).exp(),
        median(&last).exp()
    );
    not_turned(Verdict::Gradual, vec![reason, no_peak])
}
