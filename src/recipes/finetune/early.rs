//! The rule that may end a run before its last step, as the loop and the kept states see it.

use crate::domain::early_stop::{EarlyStop, StoppedEarly, Watch};
use crate::domain::finetune::FinetuneSpec;

/// Name of the file beside a state that holds what the rule has seen.
pub(super) const SEEN: &str = "early_stop.txt";

/// The rule, if there is one, and what it has seen.
pub(super) struct Early<'a> {
    rule: Option<&'a EarlyStop>,
    watch: Watch,
    total: u64,
}

impl<'a> Early<'a> {
    pub(super) fn new(spec: &'a FinetuneSpec, total: u64) -> Self {
        Self {
            rule: spec.early_stop.as_ref(),
            watch: Watch::default(),
            total,
        }
    }

    /// Takes in the training loss of a step.
    pub(super) fn step(&mut self, loss: f64) {
        if let Some(rule) = self.rule {
            self.watch.step(rule, loss);
        }
    }

    /// Takes in a hold-out loss.
    pub(super) fn hold_out(&mut self, loss: f64) {
        if let Some(rule) = self.rule {
            self.watch.hold_out(rule, loss);
        }
    }

    /// Whether the run ends after `step`, which is not its last, and why.
    pub(super) fn stopped(&self, step: u64) -> Option<StoppedEarly> {
        let (reason, detail) = self.watch.verdict(self.rule?)?;
        (step < self.total).then_some(StoppedEarly {
            step,
            planned_steps: self.total,
            reason,
            detail,
        })
    }

    /// What a state keeps beside itself; none where there is no rule.
    pub(super) fn seen(&self) -> Option<String> {
        self.rule.map(|_| self.watch.write())
    }

    /// Goes on from what a state kept; whether that could be read.
    pub(super) fn restore(&mut self, seen: &str) -> bool {
        match Watch::read(seen) {
            Some(watch) => {
                self.watch = watch;
                true
            }
            None => false,
        }
    }

    /// Whether states must have kept what the rule has seen.
    pub(super) fn watches(&self) -> bool {
        self.rule.is_some()
    }
}
