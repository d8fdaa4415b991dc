//! What owners wish of a whole experiment. Jobs that it shares with another experiment, or that were there before it, are not its to stop.

use super::id_of;
use crate::domain::ids::{ExperimentId, JobId};
use crate::storage::{Error, Result, Storage, bounded, queue};

/// Cancels every job of its own that has not ended.
///
/// *Errors*: not found; conflict where it was cancelled before.
pub async fn cancel(storage: &Storage, id: &ExperimentId) -> Result<()> {
    let query = sqlx::query!(
        "-- experiments::cancel
update experiments set cancelled_at = queue_now(), paused_at = null, updated_at = queue_now() where id = $1 and cancelled_at is null",
        id.as_str()
    );
    let changed = bounded(query.execute(&storage.pool)).await?.rows_affected();
    wished(storage, id, changed, "it was cancelled before").await?;
    // children first, so that none is told of a parent that failed
    for job in own(storage, id).await?.into_iter().rev() {
        unless_moved(queue::request_cancel(storage, &job).await)?;
    }
    Ok(())
}

/// Lets every job of its own stand still; those that wait for parents do so anyway.
///
/// *Errors*: not found; conflict where it is paused or cancelled.
pub async fn pause(storage: &Storage, id: &ExperimentId) -> Result<()> {
    let query = sqlx::query!(
        "-- experiments::pause
update experiments set paused_at = queue_now(), updated_at = queue_now() where id = $1 and paused_at is null and cancelled_at is null",
        id.as_str()
    );
    let changed = bounded(query.execute(&storage.pool)).await?.rows_affected();
    let remedy = "it is paused or cancelled already; resume or retry lets it go on";
    wished(storage, id, changed, remedy).await?;
    for job in own(storage, id).await? {
        unless_moved(queue::request_pause(storage, &job).await)?;
    }
    Ok(())
}

/// Lets every paused job of its own go on.
///
/// *Errors*: not found; conflict where it is not paused.
pub async fn resume(storage: &Storage, id: &ExperimentId) -> Result<()> {
    let query = sqlx::query!(
        "-- experiments::resume
update experiments set paused_at = null, updated_at = queue_now() where id = $1 and paused_at is not null",
        id.as_str()
    );
    let changed = bounded(query.execute(&storage.pool)).await?.rows_affected();
    wished(storage, id, changed, "it is not paused").await?;
    for job in own(storage, id).await? {
        unless_moved(queue::request_resume(storage, &job, false).await)?;
    }
    Ok(())
}

/// Tries every job again that failed or was cancelled, parents first.
///
/// *Errors*: not found; conflict where nothing failed or was cancelled.
pub async fn retry(storage: &Storage, id: &ExperimentId) -> Result<()> {
    let query = sqlx::query!(
        "-- experiments::retry
update experiments set cancelled_at = null, updated_at = queue_now() where id = $1 and exists (
  select 1 from experiment_jobs m join jobs j on j.id = m.job where m.experiment = $1 and j.state in ('failed', 'cancelled'))",
        id.as_str()
    );
    let changed = bounded(query.execute(&storage.pool)).await?.rows_affected();
    wished(
        storage,
        id,
        changed,
        "none of its jobs failed or was cancelled",
    )
    .await?;
    let query = sqlx::query_scalar!(
        "-- experiments::lost
select m.job from experiment_jobs m join jobs j on j.id = m.job
where m.experiment = $1 and j.state in ('failed', 'cancelled') order by m.position",
        id.as_str()
    );
    for job in bounded(query.fetch_all(&storage.pool)).await? {
        unless_moved(queue::request_retry(storage, &id_of(job)?).await)?;
    }
    Ok(())
}

/// Lets stand still what began to wait in the queue after its experiment was paused.
pub async fn settle(storage: &Storage) -> Result<()> {
    let query = sqlx::query_scalar!(
        "-- experiments::settle
select m.job from experiments e join experiment_jobs m on m.experiment = e.id join jobs j on j.id = m.job
where e.paused_at is not null and not m.reused and j.state in ('queued', 'running')
  and not exists (select 1 from experiment_jobs o join experiments other on other.id = o.experiment
    where o.job = m.job and o.experiment <> e.id and other.paused_at is null and other.cancelled_at is null)"
    );
    for job in bounded(query.fetch_all(&storage.pool)).await? {
        unless_moved(queue::request_pause(storage, &id_of(job)?).await)?;
    }
    Ok(())
}

/// Jobs of the experiment's own that have not ended, parents first.
async fn own(storage: &Storage, id: &ExperimentId) -> Result<Vec<JobId>> {
    let query = sqlx::query_scalar!(
        "-- experiments::own
select m.job from experiment_jobs m join jobs j on j.id = m.job
where m.experiment = $1 and not m.reused and j.state not in ('succeeded', 'failed', 'cancelled')
  and not exists (select 1 from experiment_jobs o join experiments other on other.id = o.experiment
    where o.job = m.job and o.experiment <> $1 and other.paused_at is null and other.cancelled_at is null)
order by m.position",
        id.as_str()
    );
    let jobs = bounded(query.fetch_all(&storage.pool)).await?;
    jobs.into_iter().map(id_of).collect()
}

async fn wished(
    storage: &Storage,
    id: &ExperimentId,
    changed: u64,
    remedy: &'static str,
) -> Result<()> {
    if changed > 0 {
        return Ok(());
    }
    super::arms(storage, id).await?;
    Err(Error::Conflict {
        what: format!("{id} cannot be changed so: {remedy}"),
        constraint: None,
    })
}

/// A job that moved on by itself meanwhile, or that another does the work of, needs nothing.
fn unless_moved<T>(done: Result<T>) -> Result<()> {
    match done {
        Ok(_) | Err(Error::StateChanged { .. } | Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
