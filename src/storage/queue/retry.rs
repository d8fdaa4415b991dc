//! A user's wish that a job that failed or was cancelled be tried again, and what that means for the jobs that needed it.

use sqlx::PgConnection;

use super::cancel::state_of;
use super::{Result, word};
use crate::domain::ids::JobId;
use crate::domain::job::JobState;
use crate::storage::{CALL_LIMIT, Error, Storage, within};

/// Puts a job that failed or was cancelled back to where it waits; what it kept is kept, and the jobs that were cancelled
/// because of it wait for it again. The state it has now: queued, or blocked.
///
/// *Errors*: not found; state changed when it has succeeded or not ended; conflict when a parent did not succeed either, or
/// another job does the same work meanwhile.
pub async fn request_retry(storage: &Storage, job: &JobId) -> Result<JobState> {
    let state = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        if let Some(parent) = ended_parent(&mut transaction, job).await? {
            return Err(conflict(format!(
                "{job} needs {parent}, which failed or was cancelled; retry {parent} and {job} waits for it again"
            )));
        }
        if let Some(twin) = twin(&mut transaction, job).await? {
            return Err(same_work(job, &twin));
        }
        let state = reopen(&mut transaction, job).await?;
        if state.is_some() {
            reopen_descendants(&mut transaction, job).await?;
        }
        transaction.commit().await?;
        Ok(state)
    })
    .await;
    let state = state.map_err(|error| match error.violates("jobs_spec_hash_key") {
        true => conflict(format!(
            "another job does the same work as {job} since a moment ago; use that one, or retry again to learn which"
        )),
        false => error,
    })?;
    match state {
        Some(state) => {
            storage.hints().ring_work();
            word(state)
        }
        None => Err(refused(job, state_of(storage, job).await?)),
    }
}

fn conflict(what: String) -> Error {
    Error::Conflict {
        what,
        constraint: None,
    }
}

fn same_work(job: &JobId, twin: &str) -> Error {
    conflict(format!(
        "{twin} does the same work as {job} meanwhile; use that one, or submit the spec again with dedup \"force\""
    ))
}

fn refused(job: &JobId, state: JobState) -> Error {
    Error::StateChanged {
        job: job.clone(),
        state: state.name(),
        remedy: match state {
            JobState::Succeeded => {
                "it did what it should; submit its spec with dedup \"force\" to do the work again"
            }
            JobState::Paused => "it stands still; resume lets it go on",
            JobState::Pausing | JobState::Cancelling => "its attempt ends soon; ask again then",
            _ => "it has not ended and is tried as it is",
        },
    }
}

/// A parent that did not succeed either; parents cannot end before this transaction does.
async fn ended_parent(connection: &mut PgConnection, job: &JobId) -> Result<Option<String>> {
    let lock = sqlx::query!(
        "-- queue::lock_parents_of
select id, state from jobs where id in (select parent from job_parents where job = $1) order by id for share",
        job.as_str(),
    );
    let parents = lock.fetch_all(connection).await?;
    let ended = |state: &str| matches!(state, "failed" | "cancelled");
    Ok(parents
        .into_iter()
        .find(|parent| ended(&parent.state))
        .map(|parent| parent.id))
}

/// A job that does the same work and has not failed.
async fn twin(connection: &mut PgConnection, job: &JobId) -> Result<Option<String>> {
    let query = sqlx::query_scalar!(
        "-- queue::twin
select other.id from jobs one join jobs other on other.spec_hash = one.spec_hash and other.dedup_salt = one.dedup_salt
where one.id = $1 and one.state in ('failed', 'cancelled') and other.id <> one.id
  and other.state not in ('failed', 'cancelled') and not other.retired",
        job.as_str(),
    );
    Ok(query.fetch_optional(connection).await?)
}

async fn reopen(connection: &mut PgConnection, job: &JobId) -> Result<Option<String>> {
    let query = sqlx::query_scalar!(
        r#"-- queue::request_retry
with asked as (
  update jobs set finished_at = null, error = null, pause = null, phase = null, updated_at = queue_now(),
    queued_at = queue_now(), crashes_without_progress = 0, retried_after = attempt,
    state = case when exists (
      select 1 from job_parents p join jobs parent on parent.id = p.parent
      where p.job = jobs.id and parent.state <> 'succeeded') then 'blocked' else 'queued' end
  where id = $1 and state in ('failed', 'cancelled')
  returning id, state),
models as (
  update base_models set state = 'registering' from asked where base_models.job = asked.id and base_models.state = 'failed'),
told as (insert into events (job, type, data) select id, 'retried', jsonb_build_object('state', state) from asked)
select state from asked"#,
        job.as_str(),
    );
    Ok(query.fetch_optional(connection).await?)
}

/// Blocks again, level by level, what was cancelled because of `job` and has no other parent that did not succeed.
async fn reopen_descendants(connection: &mut PgConnection, job: &JobId) -> Result<()> {
    let mut reopened = vec![job.to_string()];
    while !reopened.is_empty() {
        reopened = reopen_children(connection, &reopened).await?;
    }
    Ok(())
}

/// The children of `parents` that wait again; of equal ones only the newest, and none whose work another job does.
async fn reopen_children(connection: &mut PgConnection, parents: &[String]) -> Result<Vec<String>> {
    let query = sqlx::query_scalar!(
        r#"-- queue::reopen_children
with candidates as (
  select distinct on (spec_hash, dedup_salt) id from jobs
  where state = 'cancelled' and error ->> 'code' = 'parent_failed' and not retired
    and id in (select job from job_parents where parent = any($1))
    and not exists (select 1 from job_parents p join jobs parent on parent.id = p.parent
      where p.job = jobs.id and parent.state in ('failed', 'cancelled'))
    and not exists (select 1 from jobs twin where twin.spec_hash = jobs.spec_hash and twin.dedup_salt = jobs.dedup_salt
      and twin.state not in ('failed', 'cancelled') and not twin.retired)
  order by spec_hash, dedup_salt, created_at desc, id desc),
asked as (
  update jobs set state = 'blocked', finished_at = null, error = null, updated_at = queue_now(),
    crashes_without_progress = 0, retried_after = attempt
  from candidates where jobs.id = candidates.id and jobs.state = 'cancelled'
  returning jobs.id),
models as (
  update base_models set state = 'registering' from asked where base_models.job = asked.id and base_models.state = 'failed'),
told as (
  insert into events (job, type, data) select id, 'retried', jsonb_build_object('state', 'blocked') from asked)
select id as "id!" from asked"#,
        parents,
    );
    Ok(query.fetch_all(connection).await?)
}
