//! A user's wish that a job end.

use super::{Result, family, word};
use crate::domain::ids::JobId;
use crate::domain::job::JobState;
use crate::storage::{CALL_LIMIT, Error, Storage, bounded, within};

/// Cancels a job that waits at once, and asks the attempt of one that runs to end; the state it has now.
///
/// *Errors*: not found; state changed when it has ended or is being cancelled already.
pub async fn request_cancel(storage: &Storage, job: &JobId) -> Result<JobState> {
    let state = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        let query = sqlx::query_scalar!(
            r#"-- queue::request_cancel
with asked as (
  update jobs set updated_at = queue_now(),
    state = case when state in ('running', 'pausing') then 'cancelling' else 'cancelled' end,
    finished_at = case when state in ('running', 'pausing') then null else queue_now() end
  where id = $1 and state in ('blocked', 'queued', 'paused', 'running', 'pausing')
  returning id, state),
told as (insert into events (job, type) select id, state from asked)
select state as "state!" from asked"#,
            job.as_str(),
        );
        let state = query.fetch_optional(&mut *transaction).await?;
        if state.as_deref() == Some("cancelled") {
            family::after_end(&mut transaction, job.as_str()).await?;
        }
        transaction.commit().await?;
        Ok(state)
    })
    .await?;
    match state {
        Some(state) => {
            storage.hints().ring_cancel();
            word(state)
        }
        None => Err(refusal(storage, job).await?),
    }
}

async fn refusal(storage: &Storage, job: &JobId) -> Result<Error> {
    let state = state_of(storage, job).await?;
    Ok(Error::StateChanged {
        job: job.clone(),
        state: state.name(),
        remedy: match state {
            JobState::Cancelling => "it was cancelled before and ends soon",
            _ => "it has ended, so there is nothing to cancel",
        },
    })
}

/// The state of a job to which a wish could not be granted.
///
/// *Errors*: not found.
pub(super) async fn state_of(storage: &Storage, job: &JobId) -> Result<JobState> {
    let query = sqlx::query_scalar!(
        "-- queue::state
select state from jobs where id = $1",
        job.as_str(),
    );
    match bounded(query.fetch_optional(&storage.pool)).await? {
        Some(state) => word(state),
        None => Err(Error::not_found("job", job)),
    }
}
