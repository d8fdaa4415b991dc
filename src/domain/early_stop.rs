//! When a run ends before its last step: the rule, what it has seen so far, and what it found. Pure; knows no loop.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When to stop early; at least one of the two rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// Stops when the training loss was below this for `steps` steps in a row.
    #[serde(default)]
    pub loss_below: Option<f64>,
    /// How many steps in a row; given with `loss_below` and only with it.
    #[serde(default)]
    pub steps: Option<u64>,
    /// Stops when this many hold-out evaluations in a row have not improved on the best before them.
    #[serde(default)]
    pub patience: Option<u64>,
    /// By how much a hold-out loss must fall below the best to be an improvement.
    #[serde(default)]
    pub min_delta: f64,
}

/// Which rule ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The training loss stayed below `loss_below`.
    LossBelow,
    /// The hold-out loss stopped improving.
    HoldOutStalled,
}

/// That a run ended before its last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoppedEarly {
    /// Updates made.
    pub step: u64,
    /// Updates that were planned; the schedule was made for these.
    pub planned_steps: u64,
    /// Which rule.
    pub reason: StopReason,
    /// The rule and what it met, in words.
    pub detail: String,
}

/// What a rule has seen: all that its next verdict depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Watch {
    /// Steps in a row with a loss below the bound.
    pub below: u64,
    /// Lowest hold-out loss.
    pub best: Option<f64>,
    /// Evaluations in a row that did not improve on it.
    pub stalled: u64,
}

impl Watch {
    /// Takes in the training loss of a step.
    pub fn step(&mut self, rule: &EarlyStop, loss: f64) {
        let below = rule.loss_below.is_some_and(|bound| loss < bound);
        self.below = if below { self.below + 1 } else { 0 };
    }

    /// Takes in a hold-out loss; the first is an improvement.
    pub fn hold_out(&mut self, rule: &EarlyStop, loss: f64) {
        let improves = self.best.is_none_or(|best| loss < best - rule.min_delta);
        if improves {
            (self.best, self.stalled) = (Some(loss), 0);
        } else {
            self.stalled += 1;
        }
    }

    /// Whether the rule is met, by which of its halves, and in words.
    pub fn verdict(&self, rule: &EarlyStop) -> Option<(StopReason, String)> {
        if let (Some(bound), Some(steps)) = (rule.loss_below, rule.steps)
            && self.below >= steps
        {
            let detail = format!(
                "the training loss was below {bound} for {} steps in a row",
                self.below
            );
            return Some((StopReason::LossBelow, detail));
        }
        let patience = rule.patience?;
        if self.stalled < patience {
            return None;
        }
        let best = self.best.unwrap_or(f64::NAN);
        let detail = format!(
            "{} hold-out evaluations in a row were not below the best loss, {best}, by more than {}",
            self.stalled, rule.min_delta
        );
        Some((StopReason::HoldOutStalled, detail))
    }

    /// Itself as text that reads back to the bit.
    pub fn write(&self) -> String {
        let best = self
            .best
            .map_or("none".into(), |best| format!("{:016x}", best.to_bits()));
        format!("{} {best} {}\n", self.below, self.stalled)
    }

    /// What [`Watch::write`] wrote; none for any other text.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let below = words.next()?.parse().ok()?;
        let best = match words.next()? {
            "none" => None,
            bits => Some(f64::from_bits(u64::from_str_radix(bits, 16).ok()?)),
        };
        let stalled = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self {
            below,
            best,
            stalled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low_loss() -> EarlyStop {
        EarlyStop {
            loss_below: Some(0.01),
            steps: Some(6),
            patience: None,
            min_delta: 0.0,
        }
    }

    fn patient(patience: u64, min_delta: f64) -> EarlyStop {
        EarlyStop {
            loss_below: None,
            steps: None,
            patience: Some(patience),
            min_delta,
        }
    }

    fn steps_until_met(rule: &EarlyStop, losses: &[f64]) -> Option<usize> {
        let mut watch = Watch::default();
        losses.iter().position(|loss| {
            watch.step(rule, *loss);
            watch.verdict(rule).is_some()
        })
    }

    /// The paper's code stops when the loss was below 0.01 for more than 5 logs in a row, with one log a step.
    #[test]
    fn the_sixth_low_loss_in_a_row_stops_and_a_high_one_starts_the_count_again() {
        let rule = low_loss();
        assert_eq!(steps_until_met(&rule, &[0.009; 5]), None);
        assert_eq!(steps_until_met(&rule, &[0.009; 9]), Some(5));
        // the bound itself is not below it
        assert_eq!(steps_until_met(&rule, &[0.01; 9]), None);
        let broken = [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(steps_until_met(&rule, &broken), Some(11));
    }

    #[test]
    fn hold_out_losses_must_fall_by_more_than_the_delta_to_go_on() {
        for (rule, losses, expected) in [
            (patient(2, 0.0), vec![3.0, 2.0, 2.0, 2.5], Some(3)),
            (patient(2, 0.0), vec![3.0, 2.0, 2.0, 1.9, 2.0], None),
            (patient(1, 0.5), vec![3.0, 2.6], Some(1)),
            (patient(1, 0.5), vec![3.0, 2.4, 1.8], None),
            // small falls do not add up: the best stays what it was
            (patient(3, 0.5), vec![3.0, 2.8, 2.6, 2.4], None),
            (patient(3, 0.5), vec![3.0, 2.9, 2.8, 2.7], Some(3)),
        ] {
            let mut watch = Watch::default();
            let met = losses.iter().position(|loss| {
                watch.hold_out(&rule, *loss);
                watch.verdict(&rule).is_some()
            });
            assert_eq!(met, expected, "{losses:?}");
        }
    }

    #[test]
    fn the_verdict_names_the_rule_that_is_met() {
        let rule = EarlyStop {
            patience: Some(1),
            ..low_loss()
        };
        let mut watch = Watch::default();
        watch.hold_out(&rule, 0.5);
        watch.hold_out(&rule, 0.75);
        let (reason, detail) = watch.verdict(&rule).unwrap();
        assert_eq!(reason, StopReason::HoldOutStalled);
        assert!(detail.contains("0.5"), "{detail}");
        watch.below = 6;
        assert_eq!(watch.verdict(&rule).unwrap().0, StopReason::LossBelow);
    }

    #[test]
    fn what_was_seen_reads_back_to_the_bit() {
        for best in [None, Some(0.1 + 0.2), Some(f64::MIN_POSITIVE / 3.0)] {
            let watch = Watch {
                below: 4,
                best,
                stalled: 2,
            };
            assert_eq!(Watch::read(&watch.write()), Some(watch));
        }
        assert_eq!(Watch::read("1 none"), None);
        assert_eq!(Watch::read("1 none 2 3"), None);
    }
}
