//! Jobs as rows: how they come to be and how they are read. Changes of state are the queue's.

mod analysed;
mod answers;
mod reading;
mod references;
mod submission;

pub use analysed::analysed;
pub use answers::{AnswerFacts, accept_errors, answers, asked};
pub use reading::{Filter, attempts, get, list, several};
pub use references::{
    Named, QuestionFacts, References, adapters as named_adapters, base_model, find,
    jobs as named_jobs,
};
pub(crate) use submission::submit_on;
pub use submission::{NewAnalysis, NewEvaluation, NewJob, Submitted, same_work, submit};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, Result};

/// A word of a column as the value that it stands for.
fn word<T: DeserializeOwned>(text: String) -> Result<T> {
    column(Value::String(text))
}

/// JSON of a column as the value that it stands for.
fn column<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value)
        .map_err(|error| Error::invariant(format!("a column cannot be read: {error}")))
}

/// Text of a column as the id that it is.
fn id<T: TryFrom<String>>(text: String) -> Result<T>
where
    T::Error: std::fmt::Display,
{
    T::try_from(text).map_err(|error| Error::invariant(format!("a column holds no id: {error}")))
}
