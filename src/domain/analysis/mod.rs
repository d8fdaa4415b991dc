//! What an analysis makes of a list of runs: series of their geometry over the steps, and angles between them.
//!
//! Pure and deterministic: plain numbers in, plain numbers out. Knows no job, no file and no clock.

mod behaviour;
mod compose;
mod lags;
mod run;
mod series;
mod settings;

pub use behaviour::{Logistic, NarrowAndBroad, RateTurn, SideBySide};
pub use compose::{Analysis, analyse};
pub use run::{
    BehaviourPoint, BehaviourSeries, MetricSeries, ModuleRun, NormSeries, QuestionCount, RunData,
};
pub use series::{
    AngleTable, Centring, CompSeries, ComponentSeries, LocalCosineSeries, ModuleSeries, RateSeries,
    RunSeries, VectorName, VectorSeries, angles_between_runs, geometry_series,
};
pub use settings::{AnalysisSettings, MOST_GAPS, check_gaps, read};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transitions::Transitions;

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

/// Series and transitions of `runs`.
pub fn analyse(runs: &[RunData], settings: &AnalysisSettings) -> Analysis {
    let series = runs.iter().map(|run| geometry_series(run, settings));
    Analysis {
        series: series.collect(),
        angles: angles_between_runs(runs),
        transitions: Transitions::default(),
    }
}
