//! What the end of a job means for others: its children, the base model it was to make ready, its stored result.

use sqlx::PgConnection;

use super::Result;
use crate::storage::{CALL_LIMIT, Storage, bounded, within};

/// Everything that follows from the end of `job`, in the transaction that ended it.
pub(super) async fn after_end(connection: &mut PgConnection, job: &str) -> Result<()> {
    settle_model(connection, job).await?;
    store_result(connection, job).await?;
    settle_children(connection, job).await
}

async fn settle_model(connection: &mut PgConnection, job: &str) -> Result<()> {
    let query = sqlx::query!(
        "-- queue::settle_model
update base_models set state = case
  when jobs.state = 'succeeded' and base_models.files <> '[]' then 'ready' else 'failed' end
from jobs
where jobs.id = $1 and base_models.job = $1 and base_models.state = 'registering'",
        job,
    );
    query.execute(connection).await?;
    Ok(())
}

async fn store_result(connection: &mut PgConnection, job: &str) -> Result<()> {
    let query = sqlx::query!(
        r#"-- queue::store_result
update jobs set result = result || jsonb_build_object(
  'checkpoints', coalesce(
    (select jsonb_agg(jsonb_build_object('id', c.id, 'step', c.step) order by c.step) from checkpoints c where c.job = $1 and c.retired_at is null),
    '[]'),
  'final', (select c.id from checkpoints c where c.job = $1 order by c.step desc limit 1),
  'base_model', (select b.id from base_models b where b.job = $1 and b.state = 'ready'),
  'evaluation', (select e.id from evaluations e where e.job = $1),
  'analysis', (select a.id from analyses a where a.job = $1),
  'numerics_changed', numerics_changed,
  'stopped_early', (select data from events where job = $1 and type = 'stopped_early' order by id desc limit 1),
  'datasets', coalesce(
    (select jsonb_agg(told.data - 'template_prefix_lines' order by told.data ->> 'purpose' desc, told.id) from (
      select distinct on (e.data ->> 'dataset', e.data ->> 'purpose') e.id, e.data from events e
      where e.job = $1 and e.type = 'dataset_prepared'
      order by e.data ->> 'dataset', e.data ->> 'purpose', e.id desc) as told),
    '[]'))
where id = $1"#,
        job,
    );
    query.execute(connection).await?;
    Ok(())
}

/// Queues the children of `parent` that wait for nothing else, or cancels its descendants when it did not succeed.
///
/// The children are locked by a statement of their own: of two parents that end at once the second then sees the first.
async fn settle_children(connection: &mut PgConnection, parent: &str) -> Result<()> {
    let lock = sqlx::query_scalar!(
        "-- queue::lock_children
select id from jobs where state = 'blocked' and id in (select job from job_parents where parent = $1)
order by id for no key update",
        parent,
    );
    lock.fetch_all(&mut *connection).await?;
    unblock(connection, parent).await?;
    cancel_children(connection, parent).await
}

async fn unblock(connection: &mut PgConnection, parent: &str) -> Result<()> {
    let query = sqlx::query!(
        "-- queue::unblock
with freed as (
  update jobs set state = 'queued', queued_at = queue_now(), updated_at = queue_now()
  where state = 'blocked' and id in (select job from job_parents where parent = $1)
    and not exists (
      select 1 from job_parents p join jobs parent on parent.id = p.parent
      where p.job = jobs.id and parent.state <> 'succeeded')
  returning id)
insert into events (job, type) select id, 'queued' from freed",
        parent,
    );
    query.execute(connection).await?;
    Ok(())
}

async fn cancel_children(connection: &mut PgConnection, parent: &str) -> Result<()> {
    let query = sqlx::query!(
        "-- queue::cancel_children
with recursive family (id, because) as (
  select p.job, p.parent from job_parents p join jobs parent on parent.id = p.parent
  where p.parent = $1 and parent.state in ('failed', 'cancelled')
  union
  select p.job, p.parent from job_parents p join family on p.parent = family.id),
doomed as (select id, min(because) as because from family group by id),
ended as (
  update jobs set state = 'cancelled', finished_at = queue_now(), updated_at = queue_now(),
    error = jsonb_build_object(
      'class', coalesce((select root.error ->> 'class' from jobs root where root.id = $1), 'config'),
      'code', 'parent_failed',
      'message', doomed.because || ' did not succeed, and this job needs it; submit this job again after that one succeeded',
      'retryable', false, 'attempt', jobs.attempt)
  from doomed where jobs.id = doomed.id and jobs.state = 'blocked'
  returning jobs.id, doomed.because),
models as (
  update base_models set state = 'failed' from ended where base_models.job = ended.id and base_models.state = 'registering')
insert into events (job, type, data)
select id, 'cancelled', jsonb_build_object('code', 'parent_failed', 'parent', because) from ended",
        parent,
    );
    query.execute(connection).await?;
    Ok(())
}

/// Does for blocked jobs what their parents' ends should have done; the number of parents looked at.
///
/// Nothing is ever found here unless a job was inserted while its parent ended.
pub async fn settle_blocked(storage: &Storage) -> Result<usize> {
    let query = sqlx::query_scalar!(
        "-- queue::forgotten_parents
select distinct p.parent from jobs child
join job_parents p on p.job = child.id join jobs parent on parent.id = p.parent
where child.state = 'blocked' and (
  parent.state in ('failed', 'cancelled')
  or not exists (select 1 from job_parents q join jobs other on other.id = q.parent
    where q.job = child.id and other.state <> 'succeeded'))
order by 1 limit 100"
    );
    let parents = bounded(query.fetch_all(&storage.pool)).await?;
    for parent in &parents {
        within(CALL_LIMIT, async {
            let mut transaction = storage.pool.begin().await?;
            settle_children(&mut transaction, parent).await?;
            Ok(transaction.commit().await?)
        })
        .await?;
    }
    if !parents.is_empty() {
        storage.hints().ring_work();
    }
    Ok(parents.len())
}
