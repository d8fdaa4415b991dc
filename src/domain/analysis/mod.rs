//! What an analysis makes of a list of runs: series of their geometry over the steps, and angles between them.
//!
//! Pure and deterministic: plain numbers in, plain numbers out. Knows no job, no file and no clock.

mod behaviour;
mod compose;
mod lags;
mod run;
mod series;
mod settings;
mod weights;

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
