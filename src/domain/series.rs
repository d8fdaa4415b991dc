//! Series over the steps of a fine-tune, as they are shown. Columns, not points; NaN and infinities are shown as null.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::JobId;
use super::metric::MeasuredModule;
use super::thinning::thinned;

/// A series with null where a number does not exist.
pub type Shown = Vec<Option<f64>>;

/// Names of the series of low-rank pairs, in the order of CSV columns.
pub const NORM_SERIES: [&str; 7] = [
    "a_norm",
    "b_norm",
    "ba_norm",
    "a_grad_norm",
    "b_grad_norm",
    "b_cosine_previous",
    "stable_rank",
];

/// Names of the series of a model that is trained whole, in the order of CSV columns.
pub const CHANGE_SERIES: [&str; 3] = ["change_norm", "grad_norm", "change_cosine_previous"];

/// The series that these modules have: those of pairs, or those of tensors that are trained whole.
pub fn series_of(modules: &[MeasuredModule]) -> &'static [&'static str] {
    match modules.first() {
        Some(module) if module.rank.is_none() => &CHANGE_SERIES,
        _ => &NORM_SERIES,
    }
}

/// Names of the step series, in the order of CSV columns.
pub const STEP_SERIES: [&str; 6] = [
    "loss",
    "learning_rate",
    "grad_norm",
    "target_tokens",
    "tokens_per_second",
    "peak_memory_bytes",
];

/// Name of the series that only a run with a KL term has, behind the others.
pub const KL_SERIES: &str = "kl_loss";

/// Columns over common steps; unknown numbers are NaN.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// The steps, ascending.
    pub steps: Vec<u64>,
    /// Each as long as `steps`.
    pub values: Vec<Vec<f64>>,
}

impl Columns {
    /// The same columns at fewer steps, see [`thinned`].
    pub fn thin(self, points: usize) -> Self {
        let kept = thinned(self.steps.len(), &self.values, points);
        let at = |column: &Vec<f64>| kept.iter().map(|&place| column[place]).collect();
        Self {
            steps: kept.iter().map(|&place| self.steps[place]).collect(),
            values: self.values.iter().map(at).collect(),
        }
    }
}

/// `values` with null for what is no number.
pub fn shown(values: &[f64]) -> Shown {
    values
        .iter()
        .map(|value| value.is_finite().then_some(*value))
        .collect()
}

/// Per-step numbers of a fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Metrics {
    /// The fine-tune.
    pub job: JobId,
    /// Steps, from 1; row t belongs to update t.
    pub steps: Vec<u64>,
    /// `loss`, `learning_rate`, `grad_norm`, `target_tokens`, and the timings `tokens_per_second` and `peak_memory_bytes`.
    ///
    /// A run with a KL term also has `kl_loss`, the term before its weight: the gradients and `grad_norm` are those of
    /// `loss` + weight × `kl_loss`.
    #[schema(value_type = BTreeMap<String, Vec<Option<f64>>>)]
    pub series: BTreeMap<String, Shown>,
    /// Loss on the rows kept out.
    pub hold_out: HoldOut,
}

/// Loss on the rows kept out, after so many updates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HoldOut {
    /// Updates made.
    pub steps: Vec<u64>,
    /// Mean over target tokens.
    #[schema(value_type = Vec<Option<f64>>)]
    pub loss: Shown,
}

/// Norms of the trained modules after every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoraNorms {
    /// The fine-tune.
    pub job: JobId,
    /// The modules; `series.X[i]` belongs to `modules[i]`.
    pub modules: Vec<MeasuredModule>,
    /// Updates made; 0 is the state before the first.
    pub steps: Vec<u64>,
    /// Of pairs `a_norm`, `b_norm`, `ba_norm`, `a_grad_norm`, `b_grad_norm`, `b_cosine_previous`, `stable_rank`; of a model
    /// that is trained whole `change_norm`, `grad_norm`, `change_cosine_previous`.
    #[schema(value_type = BTreeMap<String, Vec<Vec<Option<f64>>>>)]
    pub series: BTreeMap<String, Vec<Shown>>,
}

impl LoraNorms {
    /// From columns in the order of [`series_of`], and of `modules` inside each.
    pub fn new(job: JobId, modules: Vec<MeasuredModule>, columns: Columns) -> Self {
        let count = modules.len();
        let group = |place: usize| &columns.values[place * count..(place + 1) * count];
        let series = series_of(&modules).iter().enumerate().map(|(place, name)| {
            (
                (*name).to_owned(),
                group(place).iter().map(|column| shown(column)).collect(),
            )
        });
        let series = series.collect();
        Self {
            job,
            modules,
            steps: columns.steps,
            series,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_columns_together() {
        let columns = Columns {
            steps: vec![1, 2, 3, 4, 5, 6],
            values: vec![
                vec![0.0, 9.0, 1.0, 2.0, 3.0, 0.0],
                vec![1.0, 1.0, 1.0, -5.0, 1.0, 1.0],
            ],
        };
        let thin = columns.thin(4);
        assert_eq!(thin.steps, [1, 2, 3, 4, 6]);
        assert_eq!(thin.values[1], [1.0, 1.0, 1.0, -5.0, 1.0]);
    }

    #[test]
    fn what_is_no_number_is_null() {
        assert_eq!(
            shown(&[1.0, f64::NAN, f64::INFINITY]),
            [Some(1.0), None, None]
        );
    }
}
