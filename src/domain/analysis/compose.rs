//! All runs together: what each marker does in each run, over seeds, and whether it does so in the null as well.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::behaviour::{narrow_and_broad, rate_series};
use super::lags::{LEAST_SEEDS, OVER_SEEDS, lags};
use super::weights::mechanistic_rows;
use super::{
    AnalysisSettings, AngleTable, RateSeries, RunData, RunSeries, angles_between_runs,
    geometry_series,
};
use crate::domain::statistics::over_seeds;
use crate::domain::transitions::{TransitionRow, Transitions, Verdict};

/// Everything that an analysis leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Analysis {
    /// Of every run, in the order in which they were given.
    pub series: Vec<RunSeries>,
    /// Angles between the last vectors of different runs, one table a module and vector that several of them trained.
    pub angles: Vec<AngleTable>,
    /// Where the runs turn.
    pub transitions: Transitions,
}

/// Series and transitions of `runs`: the same runs and settings give the same numbers.
pub fn analyse(runs: &[RunData], settings: &AnalysisSettings) -> Analysis {
    let series: Vec<RunSeries> = runs.iter().map(|run| whole_series(run, settings)).collect();
    let each = runs.iter().zip(&series);
    let rows = each
        .flat_map(|(run, series)| rows_of_run(run, series))
        .collect();
    Analysis {
        angles: angles_between_runs(runs),
        transitions: transitions(rows, runs, settings.level),
        series,
    }
}

fn whole_series(run: &RunData, settings: &AnalysisSettings) -> RunSeries {
    let rates = rate_series(run, settings);
    RunSeries {
        narrow_and_broad: narrow_and_broad(&rates),
        rates,
        ..geometry_series(run, settings)
    }
}

/// What every marker does in one run, looked at alone.
fn rows_of_run(run: &RunData, series: &RunSeries) -> Vec<TransitionRow> {
    let behavioural = series.rates.iter().map(|rates| behavioural_row(run, rates));
    mechanistic_rows(run, series)
        .into_iter()
        .chain(behavioural)
        .collect()
}

/// The rows of single runs put together: the null's word, rows over seeds, lags.
fn transitions(mut rows: Vec<TransitionRow>, runs: &[RunData], level: f64) -> Transitions {
    mark_what_nulls_do_too(&mut rows, runs);
    let over = rows_over_seeds(&rows, level);
    let lags = lags(&rows, level);
    rows.extend(over);
    Transitions { rows, lags }
}

/// The row of a behavioural marker in one run.
fn behavioural_row(run: &RunData, series: &RateSeries) -> TransitionRow {
    let turn = &series.turn;
    let interval = turn.intervals.get_key_value("profile_likelihood");
    TransitionRow {
        arm: run.arm.clone(),
        seed: Some(run.seed),
        marker: series.marker.clone(),
        scale: Some(series.scale),
        verdict: turn.verdict,
        step: turn.logistic.map(|logistic| logistic.step),
        interval: interval.map(|(_, ends)| *ends),
        source: interval.map(|(source, _)| source.clone()),
        resolution: None,
        reasons: turn.reasons.clone(),
    }
}

/// Calls what also happens in a null run by that name.
fn mark_what_nulls_do_too(rows: &mut [TransitionRow], runs: &[RunData]) {
    let nulls: BTreeSet<(&str, u64)> = runs
        .iter()
        .filter(|run| run.null)
        .map(|run| (run.arm.as_str(), run.seed))
        .collect();
    let null = |row: &TransitionRow| {
        row.seed
            .is_some_and(|seed| nulls.contains(&(row.arm.as_str(), seed)))
    };
    let fired: Vec<TransitionRow> = rows
        .iter()
        .filter(|row| null(row) && fires(row))
        .cloned()
        .collect();
    for row in rows.iter_mut().filter(|row| fires(row)) {
        if null(row) {
            continue;
        }
        let same = fired
            .iter()
            .filter(|other| (&other.marker, other.scale) == (&row.marker, row.scale));
        let same: Vec<&TransitionRow> = same.collect();
        if same.iter().any(|other| does_as_much(other, row)) {
            row.verdict = Verdict::AlsoInTheNull;
        }
        row.reasons.extend(same.into_iter().map(in_the_null));
    }
}

/// Whether what a null run does is what `row` does: a gradual change there takes nothing from a turn at one step.
fn does_as_much(null: &TransitionRow, row: &TransitionRow) -> bool {
    null.verdict == Verdict::Transition || row.verdict == Verdict::Gradual
}

fn fires(row: &TransitionRow) -> bool {
    matches!(row.verdict, Verdict::Transition | Verdict::Gradual)
}

fn in_the_null(row: &TransitionRow) -> String {
    let place = row
        .step
        .map_or(String::new(), |step| format!(", at step {step:.1}"));
    let seed = row.seed.unwrap_or_default();
    let does = match row.verdict {
        Verdict::Transition => "turns",
        _ => "changes gradually",
    };
    format!(
        "the same marker {does} in the null run {}, seed {seed}{place}",
        row.arm
    )
}

/// One row for every arm, marker and scale with two seeds or more: the seeds' mean step and what most of them do.
fn rows_over_seeds(rows: &[TransitionRow], level: f64) -> Vec<TransitionRow> {
    let mut seen = Vec::new();
    let mut over = Vec::new();
    for first in rows {
        let group = group(first);
        if seen.contains(&group) {
            continue;
        }
        seen.push(group);
        let seeds: Vec<&TransitionRow> = rows
            .iter()
            .filter(|row| self::group(row) == group)
            .collect();
        if seeds.len() >= 2 {
            over.push(row_over_seeds(&seeds, level));
        }
    }
    over
}

fn group(row: &TransitionRow) -> (&str, &str, Option<u64>) {
    (&row.arm, &row.marker, row.scale.map(f64::to_bits))
}

fn row_over_seeds(seeds: &[&TransitionRow], level: f64) -> TransitionRow {
    let verdict = common_verdict(seeds);
    let turning: Vec<&&TransitionRow> = seeds
        .iter()
        .filter(|row| row.verdict != Verdict::None)
        .collect();
    let steps: Vec<f64> = turning.iter().filter_map(|row| row.step).collect();
    let mean = over_seeds(&steps, level);
    let interval = mean
        .and_then(|mean| mean.interval)
        .filter(|_| steps.len() >= LEAST_SEEDS);
    let first = seeds[0];
    TransitionRow {
        arm: first.arm.clone(),
        seed: None,
        marker: first.marker.clone(),
        scale: first.scale,
        verdict,
        step: mean.map(|mean| mean.mean),
        interval,
        source: interval.map(|_| OVER_SEEDS.into()),
        resolution: None,
        reasons: reasons(seeds, steps.len(), interval.is_some()),
    }
}

/// What most seeds do; where two are as many, the lesser.
fn common_verdict(seeds: &[&TransitionRow]) -> Verdict {
    let lesser_first = [
        Verdict::None,
        Verdict::AlsoInTheNull,
        Verdict::Gradual,
        Verdict::Transition,
    ];
    let count = |verdict: Verdict| seeds.iter().filter(|row| row.verdict == verdict).count();
    let most = lesser_first.map(count).into_iter().max().unwrap_or(0);
    let common = lesser_first
        .into_iter()
        .find(|verdict| count(*verdict) == most);
    common.unwrap_or(Verdict::None)
}

fn reasons(seeds: &[&TransitionRow], with_step: usize, interval: bool) -> Vec<String> {
    let verdicts: Vec<String> = seeds
        .iter()
        .map(|row| {
            format!(
                "seed {}: {}",
                row.seed.unwrap_or_default(),
                word(row.verdict)
            )
        })
        .collect();
    let mut reasons = vec![verdicts.join(", ")];
    reasons.push(match (with_step, interval) {
        (0, _) => "no seed has a step".into(),
        (n, true) => format!(
            "mean and interval over the {n} of {} seeds that have a step",
            seeds.len()
        ),
        (n, false) => format!(
            "no interval: {n} of {} seeds have a step; at least {LEAST_SEEDS} are needed",
            seeds.len()
        ),
    });
    reasons
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Transition => "transition",
        Verdict::Gradual => "gradual",
        Verdict::None => "none",
        Verdict::AlsoInTheNull => "also in the null",
    }
}

#[cfg(test)]
mod tests;
