//! A user's wish that a job stand still for a while, and that it go on.

use super::cancel::state_of;
use super::{Result, word};
use crate::domain::ids::JobId;
use crate::domain::job::JobState;
use crate::storage::{Error, Storage, bounded};

/// The reason of a pause that a user asked for.
const REQUESTED: &str = "requested";
const DETAIL: &str = "its owner paused it; resume lets it go on where it stopped";

/// Pauses a job that waits in the queue at once, and asks the attempt of one that runs to keep its state and stop; the state
/// it has now.
///
/// *Errors*: not found; state changed when it waits for parents, pauses already, or has ended.
pub async fn request_pause(storage: &Storage, job: &JobId) -> Result<JobState> {
    let query = sqlx::query_scalar!(
        r#"-- queue::request_pause
with asked as (
  update jobs set updated_at = queue_now(), state = case when state = 'queued' then 'paused' else 'pausing' end,
    pause = jsonb_build_object('reason', $2::text, 'detail', $3::text, 'since', queue_now(), 'eta', null)
  where id = $1 and (state in ('queued', 'running') or state = 'pausing' and pause ->> 'reason' = 'preempted')
  returning id, state, pause),
told as (
  insert into events (job, type, data)
  select id, state, jsonb_build_object('reason', pause ->> 'reason') from asked)
select state from asked"#,
        job.as_str(),
        REQUESTED,
        DETAIL,
    );
    match bounded(query.fetch_optional(&storage.pool)).await? {
        Some(state) => {
            storage.hints().ring_cancel();
            word(state)
        }
        None => Err(refused(job, state_of(storage, job).await?, pause_remedy)),
    }
}

/// Asks the attempt of a running job to keep its state and stop, because `by`, a job of a higher band, is to have its place; it then
/// waits in the line where it stood. False when it does not run any more.
pub async fn preempt(storage: &Storage, job: &JobId, by: &JobId, owner: &str) -> Result<bool> {
    let detail = format!(
        "{by} of {owner}, which is of a higher band, takes its place; it goes on where it stopped when its turn comes again"
    );
    let query = sqlx::query_scalar!(
        r#"-- queue::preempt
with asked as (
  update jobs set updated_at = queue_now(), state = 'pausing',
    pause = jsonb_build_object('reason', 'preempted', 'detail', $2::text, 'since', queue_now(), 'eta', null)
  where id = $1 and state = 'running'
  returning id, pause),
told as (
  insert into events (job, type, data) select id, 'preempting', jsonb_build_object('by', $3::text) from asked)
select id from asked"#,
        job.as_str(),
        detail,
        by.as_str(),
    );
    let asked = bounded(query.fetch_optional(&storage.pool))
        .await?
        .is_some();
    if asked {
        storage.hints().ring_cancel();
    }
    Ok(asked)
}

/// Puts a paused job back into the queue; with `accept_numerics` it may go on under another fingerprint.
///
/// *Errors*: not found; state changed when it is not paused.
pub async fn request_resume(storage: &Storage, job: &JobId, accept_numerics: bool) -> Result<()> {
    let query = sqlx::query_scalar!(
        r#"-- queue::request_resume
with asked as (
  update jobs set state = 'queued', pause = null, queued_at = queue_now(), updated_at = queue_now(),
    numerics_accepted = numerics_accepted or $2
  where id = $1 and state = 'paused'
  returning id),
told as (
  insert into events (job, type, data) select id, 'resumed', jsonb_build_object('accept_numerics', $2::bool) from asked)
select id from asked"#,
        job.as_str(),
        accept_numerics,
    );
    match bounded(query.fetch_optional(&storage.pool)).await? {
        Some(_) => {
            storage.hints().ring_work();
            Ok(())
        }
        None => Err(refused(job, state_of(storage, job).await?, resume_remedy)),
    }
}

fn refused(job: &JobId, state: JobState, remedy: fn(JobState) -> &'static str) -> Error {
    Error::StateChanged {
        job: job.clone(),
        state: state.name(),
        remedy: remedy(state),
    }
}

fn pause_remedy(state: JobState) -> &'static str {
    match state {
        JobState::Blocked => {
            "it waits for its parents and computes nothing; pause those, or cancel it"
        }
        JobState::Pausing => "it was asked before and pauses as soon as its state is kept",
        JobState::Paused => "it stands still already; resume lets it go on",
        JobState::Cancelling => "it was cancelled and ends soon",
        _ => "it has ended, so there is nothing to pause",
    }
}

fn resume_remedy(state: JobState) -> &'static str {
    match state {
        JobState::Pausing => "it still keeps its state; resume it once it is paused",
        JobState::Failed | JobState::Cancelled => {
            "it has ended; retry lets it go on from what it kept"
        }
        JobState::Succeeded => "it has ended, so there is nothing to go on with",
        JobState::Cancelling => "it was cancelled and ends soon",
        _ => "it is not paused and goes on by itself",
    }
}
