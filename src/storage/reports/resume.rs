//! Where an earlier attempt left off.

use sqlx::types::Json;

use crate::domain::assets::FileEntry;
use crate::domain::ids::JobId;
use crate::storage::queue::Lease;
use crate::storage::{Result, Storage, bounded};

const STATES: &str = "-- reports::resume_states
select step, files from resume_states where job = $1 order by step desc";

/// The resumable states of a job, newest first.
pub async fn resume_states(storage: &Storage, job: &JobId) -> Result<Vec<(u64, Vec<FileEntry>)>> {
    let query = sqlx::query_as::<_, (i64, Json<Vec<FileEntry>>)>(STATES).bind(job.as_str());
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let states = rows.into_iter();
    Ok(states
        .map(|(step, files)| (step.unsigned_abs(), files.0))
        .collect())
}

const ANSWERED: &str = "-- reports::answered
select address, question, paraphrase, sample from completions
join evaluations on evaluations.id = completions.evaluation
where evaluations.job = $1";

/// The answers already recorded for a job: (address, question, paraphrase, sample).
pub async fn answered(storage: &Storage, job: &JobId) -> Result<Vec<(String, String, u32, u32)>> {
    let query = sqlx::query_as::<_, (String, String, i32, i32)>(ANSWERED).bind(job.as_str());
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let keys = rows
        .into_iter()
        .map(|(address, question, paraphrase, sample)| {
            (
                address,
                question,
                paraphrase.unsigned_abs(),
                sample.unsigned_abs(),
            )
        });
    Ok(keys.collect())
}

const BEGIN: &str = "-- reports::begin_resume
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
metric as (delete from metrics using held where job = held.id and step > $3),
timing as (delete from timings using held where job = held.id and step > $3),
norm as (delete from norms using held where job = held.id and step > $3),
loss as (delete from hold_out using held where job = held.id and step > $3),
event as (delete from events using held where job = held.id and step > $3),
state as (delete from resume_states using held where job = held.id and step > $3)
select count(*) from held";

/// Deletes what was recorded beyond the state at `step`, or all of it when there is no state.
///
/// *Errors*: lease lost.
pub async fn begin_resume(storage: &Storage, lease: &Lease, step: Option<u64>) -> Result<()> {
    // Norms have a row for step 0, before the first update.
    let last = step.map_or(-1, |step| step as i64);
    let query = sqlx::query_scalar::<_, i64>(BEGIN)
        .bind(lease.job.as_str())
        .bind(lease.number)
        .bind(last);
    match bounded(query.fetch_one(&storage.pool)).await? {
        1 => Ok(()),
        _ => Err(lease.lost()),
    }
}
