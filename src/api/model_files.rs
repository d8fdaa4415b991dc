//! From a base model's id or name to its files on this machine, and questions about its tokens. Knows no tokenizer.

use std::sync::Arc;

use super::ApiState;
use super::error::{Answer, Problem};
use crate::artifacts;
use crate::domain::assets::{BaseModelState, FileEntry};
use crate::domain::job::ErrorClass;
use crate::execution::files::{checked, identity, is_weights};
use crate::execution::inspect::Inspect;
use crate::execution::{Failure, ModelFiles};
use crate::storage::inputs::{self, ModelInput};

/// Questions to the inspector at once; the others wait their turn.
pub const MOST_INSPECTIONS: usize = 2;

/// Every file of a ready base model, each with its hash checked, the weights included.
///
/// *Errors*: 404 for an unknown id or name, 409 for a model that is not ready, 422 for damaged files.
pub async fn of_base(state: &ApiState, reference: &str) -> Answer<ModelFiles> {
    found(state, reference, |_| true).await
}

/// The files of a ready base model that are not weights, enough to understand text; the identity is the whole model's.
///
/// *Errors*: as [`of_base`].
pub async fn of_base_without_weights(state: &ApiState, reference: &str) -> Answer<ModelFiles> {
    found(state, reference, |entry| !is_weights(&entry.name)).await
}

/// The ready base model with this id or name.
///
/// *Errors*: 404 for an unknown id or name, 409 for a model that is not ready.
pub async fn ready_base(state: &ApiState, reference: &str) -> Answer<ModelInput> {
    let model = inputs::base_model(&state.storage, reference).await?;
    let shown = reference.escape_debug();
    let model = model.ok_or_else(|| Problem::not_found("base model", &shown))?;
    let reason = match model.state {
        BaseModelState::Ready => return Ok(model),
        BaseModelState::Registering => "is still being registered; wait until its state is ready",
        BaseModelState::Failed => "could not be registered; its register job says why",
    };
    Err(Problem::conflict(format!(
        "base model \"{shown}\" {reason}"
    )))
}

async fn found(
    state: &ApiState,
    reference: &str,
    wanted: impl Fn(&FileEntry) -> bool,
) -> Answer<ModelFiles> {
    let model = ready_base(state, reference).await?;
    let identity = identity(&model.files);
    let entries: Vec<FileEntry> = model.files.into_iter().filter(wanted).collect();
    let files = gathered(state.files.clone(), model.name, entries).await?;
    Ok(ModelFiles { identity, ..files })
}

/// Checks hashes on a thread that may wait.
async fn gathered(
    store: Arc<artifacts::Store>,
    name: String,
    entries: Vec<FileEntry>,
) -> Answer<ModelFiles> {
    let check = move || {
        let file = |entry: &FileEntry| checked(store.as_ref(), entry);
        ModelFiles::gathered(name, &entries, file)
    };
    let gathered = tokio::task::spawn_blocking(check).await;
    Ok(gathered.map_err(Problem::internal)??)
}

/// The inspector's answer to a question, asked on a thread that may wait.
pub async fn inspected<T: Send + 'static>(
    state: &ApiState,
    question: impl FnOnce(&dyn Inspect) -> Result<T, Failure> + Send + 'static,
) -> Answer<T> {
    let turn = state.inspections.clone().acquire_owned().await;
    let turn = turn.map_err(Problem::internal)?;
    let inspect = state.inspect.clone();
    // The place is given back by the thread, since the request may be gone before it ends.
    let ask = move || {
        let answer = question(inspect.as_ref());
        drop(turn);
        answer
    };
    let answer = tokio::task::spawn_blocking(ask).await;
    Ok(answer.map_err(Problem::internal)??)
}

/// What the engine or the store refuses, as a client hears of it: its own words where the data or the request are at fault.
impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure.class {
            ErrorClass::Config | ErrorClass::Data => {
                Self::new(&super::error::INVALID, failure.message)
            }
            _ if failure.retryable => {
                Self::unavailable("the server cannot answer just now", failure.message, 2)
            }
            _ => Self::internal(failure.message),
        }
    }
}
