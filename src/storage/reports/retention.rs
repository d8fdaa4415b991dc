//! What goes when something newer is there: states beyond the number asked for, checkpoints that no rule keeps.
//!
//! Rows let go of their files in the transaction that records the newer one; the bytes go later, see [`crate::storage::garbage`].

use sqlx::PgConnection;

use crate::domain::checkpoints::CheckpointSpec;
use crate::storage::Result;

/// Lets all but the newest `kept` resumable states go.
pub(super) async fn drop_states(connection: &mut PgConnection, job: &str, kept: u32) -> Result<()> {
    let query = sqlx::query!(
        "-- reports::drop_states
with older as (
  delete from resume_states where job = $1 and step not in (
    select step from resume_states newest where newest.job = $1 order by step desc limit $2)
  returning files)
insert into dropped_files (sha256)
select distinct file ->> 'sha256' from older, jsonb_array_elements(older.files) file
on conflict (sha256) do update set dropped_at = queue_now()",
        job,
        i64::from(kept.max(1)),
    );
    query.execute(connection).await?;
    Ok(())
}

/// Retires the checkpoints up to `step` that no rule keeps now that the one of `step` is there.
pub(super) async fn retire(
    connection: &mut PgConnection,
    job: &str,
    step: i64,
    spec: &CheckpointSpec,
) -> Result<()> {
    let query = sqlx::query_scalar!(
        "-- reports::made
select step from checkpoints where job = $1 and step <= $2 and retired_at is null",
        job,
        step,
    );
    let made = query.fetch_all(&mut *connection).await?;
    let made: Vec<u64> = made.into_iter().map(i64::unsigned_abs).collect();
    let retired: Vec<i64> = spec
        .retired(&made)
        .into_iter()
        .map(|step| step as i64)
        .collect();
    if retired.is_empty() {
        return Ok(());
    }
    let query = sqlx::query!(
        "-- reports::retire
with old as (select id, files from checkpoints where job = $1 and step = any($2) for no key update),
gone as (update checkpoints set files = '[]', retired_at = queue_now() from old where checkpoints.id = old.id),
told as (insert into events (job, type, data, step) values ($1, 'retired', jsonb_build_object('steps', $2::bigint[]), $3))
insert into dropped_files (sha256)
select distinct file ->> 'sha256' from old, jsonb_array_elements(old.files) file
on conflict (sha256) do update set dropped_at = queue_now()",
        job,
        &retired,
        step,
    );
    query.execute(connection).await?;
    Ok(())
}
