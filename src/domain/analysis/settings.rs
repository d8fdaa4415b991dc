//! The parameters of an analysis: words, defaults, bounds. Knows no run.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::decode::object_at;
use crate::domain::geometry::{Movement, MovementRule, MovementThreshold, has_gap};
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::rates::{Comparison, Cut};
use crate::domain::requests::bounds::{Check, LARGEST_SEED};
use crate::domain::requests::fields::Fields;

/// Most gaps of one analysis.
pub const MOST_GAPS: usize = 10;
const LONGEST_GAP: u64 = 1_000_000;
const RESAMPLES: std::ops::RangeInclusive<u64> = 100..=20_000;

/// Parameters of an analysis, defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisSettings {
    /// Gaps k of the local cosine, in training steps; none where runs have no vectors, as those of a higher rank.
    pub gaps: Vec<u64>,
    /// How long a movement must be: `{"relative": 0.05}` of the vector's own length, or `{"absolute": 0.0035}`.
    pub movement_threshold: MovementThreshold,
    /// Which movements must be so long.
    pub movement_rule: MovementRule,
    /// Scores that make an answer misaligned.
    #[schema(value_type = String)]
    pub aligned: Cut,
    /// Scores that make it coherent.
    #[schema(value_type = String)]
    pub coherent: Cut,
    /// Level of every interval.
    pub level: f64,
    /// Of the resampling.
    pub seed: u64,
    /// Resamples of a bootstrap.
    pub resamples: u32,
}

impl Default for AnalysisSettings {
    fn default() -> Self {
        let cut = |comparison, value| Cut { comparison, value };
        Self {
            gaps: vec![5, 10, 15],
            movement_threshold: MovementThreshold::default(),
            movement_rule: MovementRule::default(),
            aligned: cut(Comparison::Lt, 30.0),
            coherent: cut(Comparison::Gt, 50.0),
            level: 0.95,
            seed: 0,
            resamples: 1000,
        }
    }
}

impl AnalysisSettings {
    /// Which movements the local cosine counts.
    pub fn movement(&self) -> Movement {
        Movement {
            threshold: self.movement_threshold,
            rule: self.movement_rule,
        }
    }
}

/// The settings that `value` describes, null standing for all defaults; errors point below `pointer`.
///
/// *Errors* all that can be found without a run; see [`check_gaps`] for the rest.
pub fn read(pointer: &str, value: Value) -> Checked<AnalysisSettings> {
    if value.is_null() {
        return Ok(AnalysisSettings::default());
    }
    let usual = AnalysisSettings::default();
    let mut fields = Fields::new(pointer, object_at(pointer, value)?);
    let gaps = fields.or("gaps", usual.gaps);
    let movement_threshold = fields.or("movement_threshold", usual.movement_threshold);
    let movement_rule = fields.or("movement_rule", usual.movement_rule);
    let aligned = fields.or("aligned", usual.aligned);
    let coherent = fields.or("coherent", usual.coherent);
    let level = fields.or("level", usual.level);
    let seed = fields.or("seed", usual.seed);
    let resamples = fields.or("resamples", usual.resamples);
    let settings = (|| {
        Some(AnalysisSettings {
            gaps: gaps?,
            movement_threshold: movement_threshold?,
            movement_rule: movement_rule?,
            aligned: aligned?,
            coherent: coherent?,
            level: level?,
            seed: seed?,
            resamples: resamples?,
        })
    })();
    let settings = fields.finish(settings)?;
    check(pointer, &settings)?;
    Ok(settings)
}

fn check(pointer: &str, settings: &AnalysisSettings) -> Checked<()> {
    let mut findings = Findings::default();
    let mut place = Check::below(&mut findings, pointer);
    place.length("gaps", settings.gaps.len(), 0..=MOST_GAPS);
    place.unique("gaps", &settings.gaps, u64::to_string);
    for (index, gap) in settings.gaps.iter().enumerate() {
        place.whole(format_args!("gaps/{index}"), *gap, 1..=LONGEST_GAP);
    }
    let (name, value) = match settings.movement_threshold {
        MovementThreshold::Absolute(value) => ("absolute", value),
        MovementThreshold::Relative(value) => ("relative", value),
    };
    let key = format!("movement_threshold/{name}");
    place.number(key, value, |x| x >= 0.0, "give a number of 0 or more");
    let wanted = "give a number from 0.5 to 0.999";
    place.number(
        "level",
        settings.level,
        |x| (0.5..=0.999).contains(&x),
        wanted,
    );
    place.whole("seed", settings.seed, 0..=LARGEST_SEED);
    place.whole("resamples", settings.resamples, RESAMPLES);
    findings.finish()
}

/// Checks that every gap lies on the grid of the kept `steps`: that some step has kept ones so far before and behind it.
///
/// *Errors* each gap that does not, at its place below `pointer`, which is that of the settings.
pub fn check_gaps(pointer: &str, gaps: &[u64], steps: &[u64]) -> Checked<()> {
    let mut findings = Findings::default();
    for (index, gap) in gaps.iter().enumerate() {
        findings.require(has_gap(steps, *gap), || {
            let place = format!("{pointer}/gaps/{index}");
            let detail = format!("a gap of {gap} steps is not on the grid of the kept vectors");
            FieldError::at(place, detail).hint(grid_words(steps))
        });
    }
    findings.finish()
}

fn grid_words(steps: &[u64]) -> String {
    let apart: Vec<u64> = steps.windows(2).map(|pair| pair[1] - pair[0]).collect();
    match (steps, apart.iter().min()) {
        ([first, .., last], Some(least)) => format!(
            "vectors are kept at {} steps from {first} to {last}, at least {least} apart; give gaps by which such steps lie apart",
            steps.len()
        ),
        _ => {
            "the run keeps fewer than two vectors; keep vectors or checkpoints at more steps".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_and_nothing_stand_for_the_defaults_and_settings_read_back() {
        let usual = AnalysisSettings::default();
        for value in [
            Value::Null,
            json!({}),
            serde_json::to_value(&usual).unwrap(),
        ] {
            assert_eq!(read("/settings", value).unwrap(), usual);
        }
        let shown = serde_json::to_value(&usual).unwrap();
        assert_eq!(shown["movement_threshold"], json!({"relative": 0.05}));
        assert_eq!(
            (&shown["movement_rule"], &shown["aligned"]),
            (&json!("min"), &json!("lt:30"))
        );
    }

    #[test]
    fn each_value_out_of_bounds_is_refused_at_its_place() {
        for (value, place, word) in [
            (
                json!({"gaps": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]}),
                "/settings/gaps",
                "0 to 10",
            ),
            (json!({"gaps": [5, 0]}), "/settings/gaps/1", "from 1"),
            (json!({"gaps": [5, 5]}), "/settings/gaps/1", "once"),
            (json!({"gaps": [2.5]}), "/settings/gaps/0", "whole"),
            (
                json!({"movement_threshold": {"absolute": -1.0}}),
                "/settings/movement_threshold/absolute",
                "0 or more",
            ),
            (
                json!({"movement_threshold": {"share": 1.0}}),
                "/settings/movement_threshold",
                "absolute",
            ),
            (
                json!({"movement_rule": "median"}),
                "/settings/movement_rule",
                "both_vectors_below",
            ),
            (json!({"aligned": "30"}), "/settings/aligned", "lt:30"),
            (json!({"level": 1.0}), "/settings/level", "0.999"),
            (json!({"resamples": 5}), "/settings/resamples", "from 100"),
            (json!({"gap": [5]}), "/settings/gap", "gaps"),
        ] {
            let errors = read("/settings", value.clone()).unwrap_err().errors;
            let text = |error: &FieldError| {
                format!(
                    "{} {}",
                    error.detail,
                    error.hint.as_deref().unwrap_or_default()
                )
            };
            let hit = errors
                .iter()
                .any(|error| error.pointer.as_deref() == Some(place) && text(error).contains(word));
            assert!(hit, "{value}: {errors:?}");
        }
    }

    #[test]
    fn gaps_off_the_grid_are_named_with_the_grid() {
        let steps: Vec<u64> = (0..=60).map(|place| 5 * place).collect();
        check_gaps("/settings", &[5, 10, 150], &steps).unwrap();
        let errors = check_gaps("/settings", &[5, 7, 155], &steps)
            .unwrap_err()
            .errors;
        let places: Vec<&str> = errors
            .iter()
            .filter_map(|error| error.pointer.as_deref())
            .collect();
        assert_eq!(places, ["/settings/gaps/1", "/settings/gaps/2"]);
        assert!(
            errors[0]
                .hint
                .as_deref()
                .unwrap()
                .contains("at least 5 apart")
        );
    }
}
