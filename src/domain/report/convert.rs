//! From what an analysis leaves behind to the lines of a report.

use serde_json::json;

use super::material::{PathFacts, TurnFacts, VectorFacts};
use super::value::{LagLine, TransitionLine};
use crate::domain::analysis::{RunSeries, VectorSeries};
use crate::domain::transitions::{Lag, TransitionRow};

impl From<&TransitionRow> for TransitionLine {
    fn from(row: &TransitionRow) -> Self {
        Self {
            arm: row.arm.clone(),
            seed: row.seed,
            marker: row.marker.clone(),
            scale: row.scale,
            verdict: json!(row.verdict).as_str().unwrap_or_default().to_owned(),
            step: row.step,
            interval: row.interval,
            source: row.source.clone(),
            resolution: json!(row.resolution),
            reasons: row.reasons.clone(),
        }
    }
}

impl From<&Lag> for LagLine {
    fn from(lag: &Lag) -> Self {
        Self {
            arm: lag.arm.clone(),
            seed: lag.seed,
            scale: lag.scale,
            mechanistic: json!(lag.mechanistic),
            behavioural: json!(lag.behavioural),
            lag: lag.lag,
            interval: lag.interval,
            source: lag.source.clone(),
        }
    }
}

/// The paths of all rank-1 vectors, run by run.
pub fn vectors(series: &[RunSeries]) -> Vec<VectorFacts> {
    let of_run = |run: &RunSeries| -> Vec<VectorFacts> {
        let modules = run.modules.iter().flat_map(|module| {
            let name = &module.module.name;
            module
                .vectors
                .iter()
                .map(move |vector| facts(run, name, vector))
        });
        modules.collect()
    };
    series.iter().flat_map(of_run).collect()
}

fn facts(run: &RunSeries, module: &str, vector: &VectorSeries) -> VectorFacts {
    let turns = vector.local_cosine.iter().map(|one| TurnFacts {
        gap: one.gap,
        steps: vector.steps.clone(),
        values: one.values.clone(),
    });
    let components = &vector.components;
    let score = |component: usize, place: usize| {
        let scores = components.scores.get(component);
        scores
            .and_then(|scores| scores.get(place))
            .copied()
            .unwrap_or(0.0)
    };
    let places = 0..components.steps.len();
    VectorFacts {
        arm: run.arm.clone(),
        seed: run.seed,
        module: module.to_owned(),
        vector: vector.vector.letter().into(),
        turns: turns.collect(),
        path: PathFacts {
            steps: components.steps.clone(),
            scores: places
                .map(|place| [score(0, place), score(1, place)])
                .collect(),
            explained: [0, 1].map(|component| components.explained.get(component).copied()),
        },
    }
}
