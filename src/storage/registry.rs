//! Assets as rows: datasets, question sets, base models, adapters, checkpoints. Files are named by hash and lie elsewhere.
//!
//! An asset is found by its id or by its unique name; no name looks like an id. Lists go from the newest to the oldest, in
//! the order of ids, those of question sets by name.

mod adapters;
mod base_models;
mod checkpoints;
mod datasets;
mod question_sets;

pub use adapters::{NewAdapter, adapter, adapter_named, adapters, insert_adapter};
pub use base_models::{
    BaseIdentity, NewModel, Registered, base_model, base_model_identity, base_models, job_identity,
    register,
};
pub use checkpoints::{checkpoint, checkpoints};
pub use datasets::{NewDataset, dataset, dataset_named, datasets, declare_twin, insert_dataset};
pub use question_sets::{
    NewQuestionSet, ensure_question_set, hash_of_questions, insert_question_set, question_set,
    question_set_named, question_sets,
};

/// A stretch of a list: items whose ids lie before `before`, at most `limit`.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// Id of the last item that was seen; none at the beginning.
    pub before: Option<&'a str>,
    /// Items at most.
    pub limit: i64,
}

/// What became of an asset that was handed in.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored<T> {
    /// It is new.
    Created(T),
    /// This one has its name already; whether it is the same is for the caller to see.
    Existing(T),
}

/// A count as the domain has it.
fn count(number: i64) -> u64 {
    number.unsigned_abs()
}
