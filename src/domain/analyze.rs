//! The spec of an `analyze` job, and the record that it fills. What is computed is [`super::analysis`]'s.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::analysis::{AnalysisSettings, AngleTable, RunSeries};
use super::ids::{AnalysisId, JobId};
use super::job::JobState;

/// One run of an analysis: a fine-tune, and what its checkpoints answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyzedRun {
    /// What the run is a repetition of; 1 to 200 characters. Runs of one arm differ in their seed.
    pub arm: String,
    /// The seed that it was trained with.
    #[serde(default)]
    pub seed: u64,
    /// The fine-tune, or the import of one.
    pub job: JobId,
    /// Answers of its checkpoints to questions far from its training data: an evaluation, or its job; several, whose checkpoints
    /// are put together, as a list.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub evaluation: Evaluations,
    /// Answers of its checkpoints to questions like its training data.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub in_domain: Evaluations,
    /// Whether it is a control in which nothing should turn.
    #[serde(default)]
    pub null: bool,
    /// Which steps geometry looks at.
    #[serde(default)]
    pub steps: RunSteps,
}

/// What recorded the answers of a run: null, one reference, or a list of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluations(pub Vec<String>);

impl Serialize for Evaluations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_none(),
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Evaluations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |value| match value {
            Value::String(text) => Ok(text),
            _ => Err(D::Error::custom(
                "expected an evaluation's id or its job's, or a list of them",
            )),
        };
        let all = match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(items) => items.into_iter().map(text).collect::<Result<_, _>>()?,
            one => vec![text(one)?],
        };
        Ok(Self(all))
    }
}

/// The steps of a run that geometry looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunSteps {
    /// All of which vectors and norms are recorded.
    #[default]
    All,
    /// Those of its checkpoints, which are all that a published run has.
    Checkpoints,
}

/// An analysis, complete.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AnalyzeSpec {
    /// At least one.
    pub runs: Vec<AnalyzedRun>,
    /// What is computed, and how.
    pub settings: AnalysisSettings,
}

/// What an `analyze` job leaves behind; its series and transitions have addresses of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisHead {
    /// Its id.
    pub id: AnalysisId,
    /// The job that fills it.
    pub job: JobId,
    /// Where the job is; the numbers are there when it has succeeded.
    pub state: JobState,
    /// What was analysed, in the order of the series.
    pub runs: Vec<AnalyzedRun>,
    /// What was computed, and how.
    pub settings: AnalysisSettings,
    /// When it was asked for.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// The series of an analysis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnalysisSeries {
    /// Every run over its steps, in the order of the analysis.
    pub runs: Vec<RunSeries>,
    /// Angles between the last vectors of different runs, one table a module and vector that several of them trained.
    pub angles: Vec<AngleTable>,
}
