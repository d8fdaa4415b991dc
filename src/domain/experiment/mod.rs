//! Experiments: a question, the arms that answer it, and the jobs that these become.
//!
//! Knows the words of an experiment, how a spec is read and planned into jobs, and how their states become one. Knows no queue, no
//! database and no clock; what exists (datasets, bases, question sets) is told to the planner as plain facts.

mod analysis;
mod arms;
mod plan;
pub mod presets;
mod read;
mod run;
mod spec;
mod state;
mod yaml;

pub use analysis::{Member, analysis_body};
pub use arms::{DatasetFacts, Facts, Names, names};
pub use plan::{Origin, Plan, PlannedJob, plan};
pub use read::{Addition, addition, request};
pub use yaml::Document;

pub use spec::{
    ArmSpec, Checkpoints, CheckpointsName, Controls, EvaluationPlan, ExperimentSpec, Grid, InDomain,
};
pub use state::{
    Experiment, ExperimentAnalysis, ExperimentArm, ExperimentJob, ExperimentState, Members,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Most jobs of one experiment.
pub const MOST_JOBS: usize = 1000;

/// What an arm is for.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What the experiment is about.
    #[default]
    Treatment,
    /// The same protocol on the dataset's declared twin.
    GoodTwin,
    /// The base without any training.
    Base,
    /// An arm in which nothing should turn: a base without the trait that a treatment could bring out.
    Null,
}

impl Role {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Treatment => "treatment",
            Self::GoodTwin => "good_twin",
            Self::Base => "base",
            Self::Null => "null",
        }
    }
}

/// What a job does for its experiment.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobRole {
    /// Makes an organism.
    Train,
    /// Asks the questions of the experiment.
    Evaluate,
    /// Asks questions of the data's own domain.
    EvaluateInDomain,
    /// Reads what all others left behind.
    Analyze,
}

impl JobRole {
    /// Its name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Evaluate => "evaluate",
            Self::EvaluateInDomain => "evaluate_in_domain",
            Self::Analyze => "analyze",
        }
    }
}
