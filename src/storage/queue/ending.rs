//! How an attempt gives its job back: done, failed, cancelled, drained, paused, or to be tried again.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Lease, family};
use crate::domain::job::JobError;
use crate::storage::{CALL_LIMIT, Error, Result, Storage, within};

/// Everything in which the ends differ.
struct Ending<'a> {
    /// The job's next state.
    state: &'static str,
    /// The states it may come from.
    from: &'static [&'static str],
    /// The attempt's outcome.
    outcome: &'static str,
    /// The event's type.
    event: &'static str,
    /// What went wrong in the attempt.
    error: Option<&'a JobError>,
    /// Seconds until the job may be claimed again; none keeps its place.
    delay: Option<f64>,
    /// Reason and detail of a pause that nobody asked for.
    hold: Option<(&'a str, &'a str)>,
}

/// What an attempt may end from, unless its job is being cancelled.
const AT_WORK: &[&str] = &["running", "pausing"];

async fn end(storage: &Storage, lease: &Lease, ending: Ending<'_>) -> Result<()> {
    let ended = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        let Some(state) = write_end(&mut transaction, lease, &ending).await? else {
            return Ok(false);
        };
        if !matches!(state.as_str(), "queued" | "paused") {
            family::after_end(&mut transaction, lease.job.as_str()).await?;
        }
        transaction.commit().await?;
        Ok(true)
    })
    .await?;
    if !ended {
        return Err(refusal(storage, lease).await);
    }
    storage.hints().ring_work();
    Ok(())
}

/// The state that the job has now; none when no row was touched. What goes back to the queue while its owner wants a pause is
/// paused instead, and what is paused only to make room goes back to the queue.
async fn write_end(
    connection: &mut PgConnection,
    lease: &Lease,
    ending: &Ending<'_>,
) -> Result<Option<String>> {
    let error = ending.error.map(serde_json::to_value).transpose();
    let error: Option<Value> = error.map_err(|error| Error::invariant(error.to_string()))?;
    let query = sqlx::query_scalar!(
        r#"-- queue::end
with ended as (
  update jobs set state = case when $3 not in ('queued', 'paused') then $3
      when state = 'pausing' and pause ->> 'reason' = 'preempted' and $9::text is null then 'queued'
      when state = 'pausing' then 'paused' else $3 end, phase = null,
    lease_worker = null, lease_expires_at = null, updated_at = queue_now(),
    error = case when $3 in ('failed', 'cancelled') then $5::jsonb end,
    finished_at = case when $3 not in ('queued', 'paused') then queue_now() end,
    queued_at = coalesce(queue_now() + make_interval(secs => $6), queued_at),
    pause = case when $9::text is not null
        then jsonb_build_object('reason', $9::text, 'detail', $10::text, 'since', queue_now(), 'eta', null)
      when state = 'pausing' and pause ->> 'reason' <> 'preempted' and $3 in ('queued', 'paused') then pause end,
    crashes_without_progress = greatest(crashes_without_progress - 1, 0)
  where id = $1 and lease_number = $2 and state = any($4)
  returning id, attempt, state, pause),
closed as (
  update attempts set ended_at = queue_now(), outcome = $7, error = $5::jsonb
  from ended where attempts.job = ended.id and attempts.attempt = ended.attempt),
told as (
  insert into events (job, type, data)
  select id, $8, jsonb_strip_nulls(jsonb_build_object('attempt', attempt, 'error', $5::jsonb)) from ended where $8 <> 'paused'
  union all
  select id, 'paused', jsonb_build_object('attempt', attempt, 'reason', pause ->> 'reason', 'detail', pause ->> 'detail')
  from ended where state = 'paused'
  union all
  select id, 'preempted', jsonb_build_object('attempt', attempt) from ended where state = 'queued' and $8 = 'paused')
select state as "state!" from ended"#,
        lease.job.as_str(),
        lease.number,
        ending.state,
        ending.from as &[&str],
        error,
        ending.delay,
        ending.outcome,
        ending.event,
        ending.hold.map(|(reason, _)| reason),
        ending.hold.map(|(_, detail)| detail),
    );
    Ok(query.fetch_optional(connection).await?)
}

/// Why an end touched no row: the job is being cancelled, or the lease is gone.
async fn refusal(storage: &Storage, lease: &Lease) -> Error {
    let query = sqlx::query_scalar!(
        r#"-- queue::refusal
select count(*) as "count!" from jobs where id = $1 and lease_number = $2 and state = 'cancelling'"#,
        lease.job.as_str(),
        lease.number,
    );
    match crate::storage::bounded(query.fetch_one(&storage.pool)).await {
        Ok(1) => Error::StateChanged {
            job: lease.job.clone(),
            state: "cancelling",
            remedy: "its attempt can only end as cancelled",
        },
        Ok(_) => lease.lost(),
        Err(error) => error,
    }
}

/// Ends a job that did what it should; its result is read from the rows that it committed.
///
/// *Errors*: state changed when it is being cancelled; lease lost.
pub async fn finish_succeeded(storage: &Storage, lease: &Lease) -> Result<()> {
    let ending = Ending {
        state: "succeeded",
        from: AT_WORK,
        outcome: "succeeded",
        event: "succeeded",
        error: None,
        delay: None,
        hold: None,
    };
    end(storage, lease, ending).await
}

/// Ends a job that cannot be done.
///
/// *Errors*: state changed when it is being cancelled; lease lost.
pub async fn finish_failed(storage: &Storage, lease: &Lease, error: &JobError) -> Result<()> {
    let ending = Ending {
        state: "failed",
        from: AT_WORK,
        outcome: "failed",
        event: "failed",
        error: Some(error),
        delay: None,
        hold: None,
    };
    end(storage, lease, ending).await
}

/// Puts a job whose attempt failed back, to be claimed after `delay` seconds.
///
/// *Errors*: state changed when it is being cancelled; lease lost.
pub async fn requeue_failed(
    storage: &Storage,
    lease: &Lease,
    error: &JobError,
    delay: f64,
) -> Result<()> {
    let ending = Ending {
        state: "queued",
        from: AT_WORK,
        outcome: "failed",
        event: "retrying",
        error: Some(error),
        delay: Some(delay),
        hold: None,
    };
    end(storage, lease, ending).await
}

/// Ends a job that a user cancelled, whatever its attempt came to.
///
/// *Errors*: lease lost, also when nobody asked for a cancel.
pub async fn finish_cancelled(storage: &Storage, lease: &Lease) -> Result<()> {
    let ending = Ending {
        state: "cancelled",
        from: &["cancelling"],
        outcome: "cancelled",
        event: "cancelled",
        error: None,
        delay: None,
        hold: None,
    };
    end(storage, lease, ending).await
}

/// Puts a job back to its place in the queue because the server stops; the attempt does not count.
///
/// *Errors*: state changed when it is being cancelled; lease lost.
pub async fn finish_drained(storage: &Storage, lease: &Lease) -> Result<()> {
    let ending = Ending {
        state: "queued",
        from: AT_WORK,
        outcome: "drained",
        event: "drained",
        error: None,
        delay: None,
        hold: None,
    };
    end(storage, lease, ending).await
}

/// Pauses a job whose owner asked for it and whose state is kept, or puts one whose place was taken back to where it stood in the line;
/// the attempt does not count.
///
/// *Errors*: state changed when it is being cancelled; lease lost, also when nobody asked for a pause.
pub async fn finish_paused(storage: &Storage, lease: &Lease) -> Result<()> {
    let ending = Ending {
        state: "paused",
        from: &["pausing"],
        outcome: "paused",
        event: "paused",
        error: None,
        delay: None,
        hold: None,
    };
    end(storage, lease, ending).await
}

/// Pauses a job that cannot go on until somebody does what `detail` says; the attempt does not count.
///
/// *Errors*: state changed when it is being cancelled; lease lost.
pub async fn finish_held(
    storage: &Storage,
    lease: &Lease,
    reason: &str,
    detail: &str,
) -> Result<()> {
    let ending = Ending {
        state: "paused",
        from: AT_WORK,
        outcome: "paused",
        event: "paused",
        error: None,
        delay: None,
        hold: Some((reason, detail)),
    };
    end(storage, lease, ending).await
}
