//! From what an analysis leaves behind to the lines of a report.

use serde_json::json;

use super::material::{PathFacts, TurnFacts, VectorFacts};
use super::value::{LagLine, TransitionLine};
use crate::domain::analysis::{RunSeries, VectorSeries};
use crate::domain::geometry::{Movement, MovementRule, MovementThreshold};
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

/// Which steps have no local cosine, in words.
pub fn masked(movement: Movement) -> String {
    let far = match movement.threshold {
        MovementThreshold::Absolute(length) => format!("{length}"),
        MovementThreshold::Relative(share) => format!("{} % of the vector's length", 100.0 * share),
    };
    let which = match movement.rule {
        MovementRule::Max => "neither of its ways, back or ahead over the gap, is",
        MovementRule::Min => "one of its ways, back or ahead over the gap, is not",
        MovementRule::BothVectorsBelow => "no way of A or of B, back or ahead over the gap, is",
    };
    format!(
        "a step has no value where {which} as long as {far}, or where the run has no step so far back or ahead"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_masked_is_told_by_its_rule_and_its_length() {
        let of = |threshold, rule| masked(Movement { threshold, rule });
        let told = of(MovementThreshold::Relative(0.05), MovementRule::Min);
        assert!(
            told.contains("one of its ways") && told.contains("5 % of the vector's length"),
            "{told}"
        );
        let told = of(
            MovementThreshold::Absolute(0.0035),
            MovementRule::BothVectorsBelow,
        );
        assert!(
            told.contains("A or of B") && told.contains("0.0035"),
            "{told}"
        );
    }
}
