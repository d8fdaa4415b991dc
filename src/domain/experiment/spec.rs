//! The spec of an experiment as it is stored and shown: defaults filled in, grids and controls still as asked for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Role;
use crate::domain::job::Priority;

/// Values by the path of what they replace, such as `method.rank`.
pub type Grid = BTreeMap<String, Vec<Value>>;

/// A complete experiment.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ExperimentSpec {
    /// What people call it.
    pub name: String,
    /// What it asks, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The preset that it began as; its fields are filled in already.
    pub preset: Option<String>,
    /// At least one.
    pub arms: Vec<ArmSpec>,
    /// What every arm is asked; null where arms are only trained.
    pub evaluation: Option<EvaluationPlan>,
    /// Parameters of the analysis, as an `analyze` job has them; null where nothing is analysed.
    #[schema(value_type = Option<Object>)]
    pub analysis: Option<Map<String, Value>>,
    /// Band of every job.
    pub priority: Priority,
    /// The owner's labels, on every job.
    pub tags: BTreeMap<String, String>,
}

/// A base, data and a protocol, trained once a seed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ArmSpec {
    /// Unique in its experiment.
    pub name: String,
    /// Id or name.
    pub base_model: String,
    /// As a fine-tune has them.
    #[schema(value_type = Vec<Object>)]
    pub datasets: Vec<Value>,
    /// Every other field of a fine-tune, `preset` among them.
    #[schema(value_type = Object)]
    pub protocol: Map<String, Value>,
    /// At least one.
    pub seeds: Vec<u64>,
    /// Each combination of values makes an arm of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub grid: Grid,
    /// Which control arms stand beside it.
    pub controls: Controls,
    /// `treatment` or `null`.
    pub role: Role,
    /// Questions of its data's own domain, before those of `evaluation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_domain: Option<InDomain>,
}

/// Control arms beside an arm; `true` in a body is all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Controls {
    /// The same protocol and seeds on the data's declared twin.
    pub good_twin: bool,
    /// The base alone, asked once.
    pub base: bool,
}

/// Which checkpoints are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Checkpoints {
    /// `"all"` or `"final"`.
    Named(CheckpointsName),
    /// `{"every":5}`: each multiple, and the last step.
    Every {
        /// Steps between two.
        every: u64,
    },
    /// These steps.
    Listed(Vec<u64>),
}

/// Names for checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointsName {
    /// Every kept one.
    All,
    /// The last one.
    Final,
}

/// What every arm is asked, and at which checkpoints and scales.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EvaluationPlan {
    /// What an evaluation's body has beside targets: `question_set`, `select`, `samples_per_question`, `chat`, `sampling`, `judge`,
    /// `metrics`, `rubrics`, `seed`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
    /// Which checkpoints of each run.
    pub checkpoints: Checkpoints,
    /// Checkpoints that were asked for later, each list as evaluations of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added_checkpoints: Vec<Vec<u64>>,
    /// Factors on the trained change.
    pub scales: Vec<f64>,
    /// Questions of the data's own domain; null where none are asked.
    pub in_domain: Option<InDomain>,
}

/// Questions of the data's own domain; what is not said is as in the evaluation, but that only scale 1 is asked.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InDomain {
    /// Fields that replace the evaluation's; `question_set` is one of them.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub body: Map<String, Value>,
    /// Other checkpoints than the evaluation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<Checkpoints>,
    /// Factors on the trained change.
    pub scales: Vec<f64>,
}
