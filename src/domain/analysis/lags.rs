//! How many steps the behaviour turns after the weights do, run by run and over seeds.

use crate::domain::statistics::over_seeds;
use crate::domain::transitions::{Lag, TransitionRow, Verdict};

/// Fewer seeds say too little about how far seeds lie apart.
pub(super) const LEAST_SEEDS: usize = 3;

/// The source of an interval over seeds.
pub(super) const OVER_SEEDS: &str = "t_over_seeds";

/// Behavioural minus mechanistic step for every pair of markers that turn in one run, and their means over seeds.
///
/// One run's lag has no interval: its mechanistic step has none.
pub(super) fn lags(rows: &[TransitionRow], level: f64) -> Vec<Lag> {
    let single = || rows.iter().filter(|row| row.seed.is_some() && turns(row));
    let mut lags: Vec<Lag> = single()
        .filter(|row| row.scale.is_none())
        .flat_map(|mechanistic| {
            single()
                .filter(|row| row.scale.is_some())
                .filter(|row| (&row.arm, row.seed) == (&mechanistic.arm, mechanistic.seed))
                .filter_map(|behavioural| lag(mechanistic, behavioural))
        })
        .collect();
    let means = means(&lags, level);
    lags.extend(means);
    lags
}

fn turns(row: &TransitionRow) -> bool {
    matches!(row.verdict, Verdict::Transition | Verdict::AlsoInTheNull)
}

fn lag(mechanistic: &TransitionRow, behavioural: &TransitionRow) -> Option<Lag> {
    Some(Lag {
        arm: behavioural.arm.clone(),
        seed: behavioural.seed,
        scale: behavioural.scale,
        mechanistic: mechanistic.marker.clone(),
        behavioural: behavioural.marker.clone(),
        lag: Some(behavioural.step? - mechanistic.step?),
        interval: None,
        source: None,
    })
}

/// What lags of several seeds have in common.
fn group(lag: &Lag) -> (&str, &str, &str, Option<u64>) {
    let scale = lag.scale.map(f64::to_bits);
    (&lag.arm, &lag.mechanistic, &lag.behavioural, scale)
}

fn means(lags: &[Lag], level: f64) -> Vec<Lag> {
    let mut seen = Vec::new();
    let mut means = Vec::new();
    for first in lags {
        if seen.contains(&group(first)) {
            continue;
        }
        seen.push(group(first));
        let same = lags.iter().filter(|lag| group(lag) == group(first));
        let numbers: Vec<f64> = same.filter_map(|lag| lag.lag).collect();
        if numbers.len() < LEAST_SEEDS {
            continue;
        }
        means.extend(over_seeds(&numbers, level).map(|seeds| Lag {
            seed: None,
            lag: Some(seeds.mean),
            interval: seeds.interval,
            source: Some(OVER_SEEDS.into()),
            ..first.clone()
        }));
    }
    means
}
