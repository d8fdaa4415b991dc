//! What an experiment says at its end: one value, and its words as Markdown and CSV.
//!
//! Knows how plain facts (jobs, judged answers, series, verdicts) become rows and sentences. Everything is ordered by the plan and
//! by numbers, never by ids or by when something happened, so that two ways to the same end make the same report: times stand
//! in fields that end in `_at` or `_seconds` alone. It reads nothing and knows no clock.

mod build;
mod cells;
mod convert;
mod findings;
mod geometry;
mod markdown;
mod material;
mod numbers;
mod paper;
mod rates;
mod sections;
mod tables;
mod value;
mod warnings;

pub use build::build;
pub use convert::{masked, vectors};
pub use markdown::markdown;
pub use material::{
    AnalysisFacts, EvaluationFacts, Expectation, Head, JobFacts, Material, Measure, ModuleFacts,
    PathFacts, PresetFacts, RunFacts, TurnFacts, VectorFacts,
};
pub use sections::{Section, Table, sections};
pub use tables::{DataTable, data_tables};
pub use value::*;
