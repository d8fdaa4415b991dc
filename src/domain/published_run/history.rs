//! The logs of a run's checkpoints joined: each repeats those before it, so the last word on a step counts and a contradiction
//! is told.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Most contradictions that are shown.
const MOST_SHOWN: usize = 20;
/// Most steps of a log.
const MOST_STEPS: usize = 2_000_000;

/// What the logs say, step by step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    steps: BTreeMap<u64, Logged>,
    /// Contradictions between logs, the first twenty.
    pub conflicts: Vec<Conflict>,
    /// Contradictions in all.
    pub conflict_count: u64,
}

/// A number that two logs of one run give differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// The step.
    pub step: u64,
    /// Such as `loss`.
    pub field: &'static str,
    /// As an earlier checkpoint's log has it.
    pub before: f64,
    /// As the log of `checkpoint` has it; this one counts.
    pub after: f64,
    /// The later checkpoint.
    pub checkpoint: u64,
}

/// Numbers of one step; those that the log lacks are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Logged {
    /// Of the training rows.
    pub loss: Option<f64>,
    /// Before clipping.
    pub grad_norm: Option<f64>,
    /// As logged; older trainers log the rate of the step that follows.
    pub learning_rate: Option<f64>,
    /// Of the rows kept out.
    pub eval_loss: Option<f64>,
}

impl Logged {
    fn fields(&mut self) -> [(&'static str, &mut Option<f64>); 4] {
        [
            ("loss", &mut self.loss),
            ("grad_norm", &mut self.grad_norm),
            ("learning_rate", &mut self.learning_rate),
            ("eval_loss", &mut self.eval_loss),
        ]
    }
}

impl History {
    /// Joins the log of `checkpoint`; call it in the order of steps, so that the later word counts.
    ///
    /// *Errors* in words: no log, an entry that is none.
    pub fn join(&mut self, checkpoint: u64, state: &Value) -> Result<(), String> {
        let log = state.get("log_history").and_then(Value::as_array);
        let log = log.ok_or("has no list log_history")?;
        for (place, entry) in log.iter().enumerate() {
            let entry = entry
                .as_object()
                .ok_or_else(|| format!("log_history[{place}] is no object"))?;
            self.entry(checkpoint, entry)
                .map_err(|why| format!("log_history[{place}] {why}"))?;
        }
        Ok(())
    }

    fn entry(&mut self, checkpoint: u64, entry: &Map<String, Value>) -> Result<(), String> {
        let step = entry.get("step").and_then(Value::as_u64);
        let step = step.ok_or("has no step")?;
        if self.steps.len() >= MOST_STEPS && !self.steps.contains_key(&step) {
            return Err(format!("is beyond {MOST_STEPS} steps, as many as are read"));
        }
        let row = self.steps.entry(step).or_default();
        for (field, slot) in row.fields() {
            let number = match entry.get(field) {
                None | Some(Value::Null) => continue,
                Some(value) => value
                    .as_f64()
                    .ok_or(format!("has a {field} that is no number"))?,
            };
            if let Some(before) = slot.filter(|before| *before != number) {
                self.conflict_count += 1;
                if self.conflicts.len() < MOST_SHOWN {
                    self.conflicts.push(Conflict {
                        step,
                        field,
                        before,
                        after: number,
                        checkpoint,
                    });
                }
            }
            *slot = Some(number);
        }
        Ok(())
    }

    /// Every step with its numbers, in order.
    pub fn steps(&self) -> impl Iterator<Item = (u64, Logged)> + '_ {
        self.steps.iter().map(|(step, row)| (*step, *row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn state(entries: Value) -> Value {
        json!({"global_step": 5, "log_history": entries})
    }

    #[test]
    fn the_longest_log_has_the_last_word_and_contradictions_are_told() {
        let mut history = History::default();
        let first = json!([{"step": 1, "loss": 3.0, "grad_norm": 1.5, "learning_rate": 0.0, "epoch": 0.1},
            {"step": 2, "loss": 2.5, "grad_norm": 1.0, "learning_rate": 2e-6}]);
        history.join(2, &state(first)).unwrap();
        let second = json!([{"step": 1, "loss": 3.0, "grad_norm": 1.5, "learning_rate": 0.0},
            {"step": 2, "loss": 2.25, "grad_norm": 1.0, "learning_rate": 2e-6},
            {"step": 2, "eval_loss": 2.75, "eval_runtime": 3.0}, {"step": 5, "loss": 2.0}]);
        history.join(5, &state(second)).unwrap();
        let steps: Vec<(u64, Logged)> = history.steps().collect();
        assert_eq!(steps.iter().map(|one| one.0).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(
            (steps[1].1.loss, steps[1].1.eval_loss),
            (Some(2.25), Some(2.75))
        );
        assert_eq!((steps[2].1.loss, steps[2].1.grad_norm), (Some(2.0), None));
        assert_eq!(history.conflict_count, 1);
        let told = &history.conflicts[0];
        assert_eq!(
            (
                told.step,
                told.field,
                told.before,
                told.after,
                told.checkpoint
            ),
            (2, "loss", 2.5, 2.25, 5)
        );
    }

    #[test]
    fn what_is_no_log_is_refused_in_words() {
        for (state, word) in [
            (json!({}), "log_history"),
            (state(json!([3])), "no object"),
            (state(json!([{"loss": 1.0}])), "no step"),
            (state(json!([{"step": -1}])), "no step"),
            (state(json!([{"step": 1, "loss": "low"}])), "loss"),
        ] {
            let why = History::default().join(1, &state).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
