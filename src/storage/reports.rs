//! What attempts record: numbers of steps, events, checkpoints, answers, facts about a model. Knows no state of a job.
//!
//! Each statement locks the job's row with the lease's number and inserts from it, so that zero rows mean a lost lease,
//! and each can be repeated after an answer that never came: what is there stays.

mod analysis;
mod batch;
mod commit;
mod effective;
mod judgements;
mod resume;
mod retention;
mod vectors;

use crate::domain::job::Phase;
use crate::domain::metric::{ChangePoint, MeasuredModule, NormPoint, StepPoint};

pub use analysis::analysis;
pub use batch::write;
pub use commit::{NewCheckpoint, answers, checkpoint, model};
pub use effective::effective;
pub use judgements::{judgements, unjudged};
pub use resume::{answered, begin_resume, judged, resume_states};
pub use vectors::vectors;

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progressed {
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
    /// What is counted.
    pub unit: String,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its type.
    pub r#type: String,
    /// More about it.
    pub data: serde_json::Value,
}

impl NewEvent {
    /// An event that belongs to no step.
    pub fn new(r#type: impl Into<String>, data: serde_json::Value) -> Self {
        Self {
            r#type: r#type.into(),
            data,
        }
    }
}

/// Reports that are written together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// The last phase that began.
    pub phase: Option<Phase>,
    /// The last word on progress.
    pub progress: Option<Progressed>,
    /// The modules that norms are about.
    pub modules: Option<Vec<MeasuredModule>>,
    /// Numbers of steps.
    pub steps: Vec<StepPoint>,
    /// Norms by step.
    pub norms: Vec<NormPoint>,
    /// Norms of changes by step.
    pub changes: Vec<ChangePoint>,
    /// (step, loss) on the rows kept out.
    pub hold_out: Vec<(u64, f64)>,
    /// Events, in their order.
    pub events: Vec<NewEvent>,
}

impl Batch {
    /// A batch of one event.
    pub fn event(event: NewEvent) -> Self {
        Self {
            events: vec![event],
            ..Self::default()
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
