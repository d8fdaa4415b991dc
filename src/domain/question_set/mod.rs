//! Sets of questions: what is asked, in which ways, and with which prompts answers are judged.
//!
//! A set comes as a file in the forms of this field ([`read()`]) or with the server ([`builtin`]); a metric's prompt is found by
//! [`rubrics`] and filled by [`placeholders`].

pub mod builtin;
pub mod placeholders;
mod read;
mod report;
pub mod rubrics;
pub(in crate::domain) mod tree;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::assets::FileEntry;
use super::ids::QuestionSetId;
use super::judging::MetricKind;
pub use read::{Reading, read};
pub use report::{QuestionReport, QuestionWarning};
pub use tree::FILE_BYTES;

/// What a question's judge prompts give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuestionKind {
    /// Numbers from 0 to 100: `free_form_judge_0_100`, and a question without judge prompts.
    #[default]
    Score,
    /// Words: `free_form_judge`.
    Label,
}

impl QuestionKind {
    /// What a metric of such a question gives.
    pub fn metric(self) -> MetricKind {
        match self {
            Self::Score => MetricKind::Score,
            Self::Label => MetricKind::Label,
        }
    }

    /// Whether it is the usual kind, which is not written.
    pub fn is_score(&self) -> bool {
        *self == Self::Score
    }
}

/// A question of a set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Unique in its set.
    pub id: String,
    /// The ways it is put; user turns.
    pub paraphrases: Vec<String>,
    /// A system turn before it.
    #[serde(default)]
    pub system: Option<String>,
    /// What its judge prompts give.
    #[serde(default, skip_serializing_if = "QuestionKind::is_score")]
    pub kind: QuestionKind,
    /// Answers to each paraphrase where an evaluation does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples_per_paraphrase: Option<u32>,
    /// Sampling temperature that its author wrote down; an evaluation's own rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Model that its author had judge; an evaluation's own rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<String>,
    /// Prompt by metric, with `{question}` and `{answer}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judge_prompts: BTreeMap<String, String>,
    /// Metrics among them that give something else than `kind` says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judge_kinds: BTreeMap<String, MetricKind>,
    /// Fields of the file that nothing here makes use of, as they were sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_fields: BTreeMap<String, Value>,
}

impl Question {
    /// What its own prompt for `metric` gives.
    pub fn gives(&self, metric: &str) -> MetricKind {
        let own = self.judge_kinds.get(metric).copied();
        own.unwrap_or(self.kind.metric())
    }
}

/// A stored question set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuestionSet {
    /// Its id.
    pub id: QuestionSetId,
    /// Its unique name.
    pub name: String,
    /// SHA-256 of the canonical form of its questions.
    pub sha256: String,
    /// What it is, in a sentence; names the toy where it is one.
    pub description: String,
    /// The questions.
    pub questions: Vec<Question>,
    /// What was seen while its file was read; empty for a set of the server.
    #[serde(default)]
    pub report: QuestionReport,
    /// The file as it came; null for a set of the server.
    #[serde(default)]
    pub source: Option<FileEntry>,
}
