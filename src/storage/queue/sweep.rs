//! What becomes of jobs whose attempt vanished. Looks at leases only, never at who holds them.

use sqlx::PgConnection;

use super::{Lease, Result, family, id_of, word};
use crate::domain::job::JobState;
use crate::domain::scheduling::CRASHES_WITHOUT_PROGRESS;
use crate::storage::{CALL_LIMIT, Storage, within};

/// A job whose lease had run out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The lease that is void now.
    pub lease: Lease,
    /// The job's state now: queued, paused, failed or cancelled.
    pub state: JobState,
}

struct SweptRow {
    id: String,
    lease_number: i64,
    state: String,
}

/// Takes back up to 100 jobs whose lease has run out, but none before the database has been up for one lease, since a
/// database that was away could not renew.
pub async fn sweep(storage: &Storage, lease_seconds: f64) -> Result<Vec<Swept>> {
    let rows = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        let rows = take_back(&mut transaction, lease_seconds).await?;
        for row in &rows {
            if !matches!(row.state.as_str(), "queued" | "paused") {
                family::after_end(&mut transaction, &row.id).await?;
            }
        }
        transaction.commit().await?;
        Ok(rows)
    })
    .await?;
    if !rows.is_empty() {
        storage.hints().ring_work();
    }
    rows.into_iter().map(swept).collect()
}

async fn take_back(connection: &mut PgConnection, lease_seconds: f64) -> Result<Vec<SweptRow>> {
    let query = sqlx::query_as!(
        SweptRow,
        r#"-- queue::sweep
with clock as materialized (select queue_now() as now),
lost as materialized (
  select id from jobs
  where lease_expires_at < (select now from clock)
    and (select now from clock) >= pg_postmaster_start_time() + make_interval(secs => $1)
  order by lease_expires_at limit 100 for no key update skip locked),
swept as (
  update jobs set lease_worker = null, lease_expires_at = null, phase = null, updated_at = queue_now(),
    state = case when state = 'cancelling' then 'cancelled' when crashes_without_progress >= $2 then 'failed'
      when state = 'pausing' and pause ->> 'reason' <> 'preempted' then 'paused' else 'queued' end,
    pause = case when pause ->> 'reason' <> 'preempted' then pause end,
    finished_at = case when state = 'cancelling' or crashes_without_progress >= $2 then queue_now() end,
    error = case when state <> 'cancelling' and crashes_without_progress >= $2 then jsonb_build_object(
      'class', 'worker_lost', 'code', 'worker_lost', 'retryable', true, 'attempt', attempt, 'message',
      'the server died during ' || crashes_without_progress || ' attempts in a row, each without progress; '
      || 'look for what this job asks too much of, such as memory') end
  from lost where jobs.id = lost.id
  returning jobs.id, jobs.attempt, jobs.lease_number, jobs.state, jobs.error),
closed as (
  update attempts set ended_at = queue_now(), outcome = 'lost', error = swept.error
  from swept where attempts.job = swept.id and attempts.attempt = swept.attempt),
told as (
  insert into events (job, type, data) select id, 'lost', jsonb_build_object('attempt', attempt) from swept
  union all
  select id, state, jsonb_strip_nulls(jsonb_build_object('error', error)) from swept)
select id as "id!", lease_number as "lease_number!", state as "state!" from swept"#,
        lease_seconds,
        CRASHES_WITHOUT_PROGRESS as i32,
    );
    Ok(query.fetch_all(connection).await?)
}

fn swept(row: SweptRow) -> Result<Swept> {
    Ok(Swept {
        lease: Lease {
            job: id_of(row.id)?,
            number: row.lease_number,
        },
        state: word(row.state)?,
    })
}
