//! Answers whose shapes are series over steps; fields that no caller reads are left out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::metric::NormModule;

/// A list behind `data`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
}

/// A series over steps; null where a number does not exist.
pub type StepSeries = Vec<Option<f64>>;

/// Per-step numbers of a fine-tune.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Metrics {
    /// Steps, from 1.
    pub steps: Vec<u64>,
    /// `loss`, `learning_rate`, `grad_norm` and others, each as long as `steps`.
    pub series: BTreeMap<String, StepSeries>,
}

impl Metrics {
    /// The step at which `series` is largest; the first of equals.
    pub fn peak(&self, series: &str) -> Option<u64> {
        let values = self.series.get(series)?;
        let numbers = self.steps.iter().zip(values);
        let known = numbers.filter_map(|(step, value)| value.map(|value| (*step, value)));
        let highest = known.fold(None, |best: Option<(u64, f64)>, (step, value)| match best {
            Some((_, top)) if top >= value => best,
            _ => Some((step, value)),
        });
        highest.map(|(step, _)| step)
    }
}

/// Norms of every adapted module.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LoraNorms {
    /// The modules.
    pub modules: Vec<NormModule>,
    /// Steps, from 0.
    pub steps: Vec<u64>,
    /// `b_norm` and others: one series a module.
    pub series: BTreeMap<String, Vec<StepSeries>>,
}

impl LoraNorms {
    /// ‖B‖ over all modules together, after the last step.
    pub fn final_b_norm(&self) -> Option<f64> {
        let last = |series: &StepSeries| series.last().copied().flatten();
        let norms: Option<Vec<f64>> = self.series.get("b_norm")?.iter().map(last).collect();
        Some(norms?.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
    }
}
