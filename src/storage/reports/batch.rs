//! Reports in batches: one transaction, one statement for each kind of row.

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Batch, NewEvent, Progressed};
use crate::domain::job::Phase;
use crate::domain::metric::{ChangePoint, MeasuredModule, NormPoint, StepPoint};
use crate::storage::queue::Lease;
use crate::storage::{Error, Result, Storage, within};

/// Time limit of one batch.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Records a batch, all of it or nothing.
///
/// *Errors*: lease lost. After an outage the same batch may be written again; only its events may then stand twice.
pub async fn write(storage: &Storage, lease: &Lease, batch: &Batch) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    within(LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        steps(&mut transaction, lease, &batch.steps).await?;
        if let Some(modules) = &batch.modules {
            write_modules(&mut transaction, lease, modules).await?;
        }
        norms(&mut transaction, lease, &batch.norms).await?;
        changes(&mut transaction, lease, &batch.changes).await?;
        hold_out(&mut transaction, lease, &batch.hold_out).await?;
        events(&mut transaction, lease, &batch.events).await?;
        standing(
            &mut transaction,
            lease,
            batch.phase,
            batch.progress.as_ref(),
        )
        .await?;
        Ok(transaction.commit().await?)
    })
    .await
}

/// A touched job, or the news that there was none.
fn held(lease: &Lease, touched: i64) -> Result<()> {
    if touched == 1 {
        Ok(())
    } else {
        Err(lease.lost())
    }
}

fn whole(numbers: impl Iterator<Item = u64>) -> Vec<i64> {
    numbers
        .map(|n| i64::try_from(n).unwrap_or(i64::MAX))
        .collect()
}

async fn steps(connection: &mut PgConnection, lease: &Lease, points: &[StepPoint]) -> Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let floats = |field: fn(&StepPoint) -> f64| points.iter().map(field).collect::<Vec<f64>>();
    let kl_losses: Vec<Option<f64>> = points.iter().map(|point| point.kl_loss).collect();
    let query = sqlx::query_scalar!(
        r#"-- reports::steps
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
given as (
  select * from unnest($3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[], $8::float8[], $9::bigint[],
    $10::float8[])
    as given (step, loss, learning_rate, grad_norm, target_tokens, tokens_per_second, peak_memory_bytes, kl_loss)),
metric as (
  insert into metrics (job, step, loss, learning_rate, grad_norm, target_tokens, kl_loss)
  select held.id, step, loss, learning_rate, grad_norm, target_tokens, kl_loss from held, given on conflict do nothing),
timing as (
  insert into timings (job, step, tokens_per_second, peak_memory_bytes)
  select held.id, step, tokens_per_second, peak_memory_bytes from held, given on conflict do nothing)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        &whole(points.iter().map(|point| point.step)),
        &floats(|point| point.loss),
        &floats(|point| point.learning_rate),
        &floats(|point| point.grad_norm),
        &whole(points.iter().map(|point| point.target_tokens)),
        &floats(|point| point.tokens_per_second),
        &whole(points.iter().map(|point| point.peak_memory_bytes)),
        &kl_losses as _,
    );
    held(lease, query.fetch_one(connection).await?)
}

async fn write_modules(
    connection: &mut PgConnection,
    lease: &Lease,
    modules: &[MeasuredModule],
) -> Result<()> {
    let query = sqlx::query_scalar!(
        r#"-- reports::modules
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
named as (
  insert into norm_modules (job, modules) select id, $3 from held
  on conflict (job) do update set modules = excluded.modules)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        Json(modules) as _,
    );
    held(lease, query.fetch_one(connection).await?)
}

/// Arrays have no arrays of their own kind as elements, so each series comes flat: `$4` numbers a step.
async fn norms(connection: &mut PgConnection, lease: &Lease, points: &[NormPoint]) -> Result<()> {
    let Some(width) = points.first().map(|point| point.a_norm.len()) else {
        return Ok(());
    };
    let query = sqlx::query_scalar!(
        r#"-- reports::norms
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
point as (
  insert into norms (job, step, a_norm, b_norm, ba_norm, a_grad_norm, b_grad_norm, b_cosine_previous, stable_rank)
  select held.id, step, ($5::float8[])[first:last], ($6::float8[])[first:last], ($7::float8[])[first:last],
    ($8::float8[])[first:last], ($9::float8[])[first:last], ($10::float8[])[first:last], ($11::float8[])[first:last]
  from held, (
    select step, ((place - 1) * $4 + 1)::int as first, (place * $4)::int as last
    from unnest($3::bigint[]) with ordinality as given (step, place)) as given
  on conflict do nothing)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        &whole(points.iter().map(|point| point.step)),
        width as i64,
        &flat(points, width, |point| &point.a_norm)?,
        &flat(points, width, |point| &point.b_norm)?,
        &flat(points, width, |point| &point.ba_norm)?,
        &flat(points, width, |point| &point.a_grad_norm)?,
        &flat(points, width, |point| &point.b_grad_norm)?,
        &flat(points, width, |point| &point.b_cosine_previous)?,
        &flat(points, width, |point| &point.stable_rank)?,
    );
    held(lease, query.fetch_one(connection).await?)
}

async fn changes(
    connection: &mut PgConnection,
    lease: &Lease,
    points: &[ChangePoint],
) -> Result<()> {
    let Some(width) = points.first().map(|point| point.change_norm.len()) else {
        return Ok(());
    };
    let query = sqlx::query_scalar!(
        r#"-- reports::changes
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
point as (
  insert into changes (job, step, change_norm, grad_norm, change_cosine_previous)
  select held.id, step, ($5::float8[])[first:last], ($6::float8[])[first:last], ($7::float8[])[first:last]
  from held, (
    select step, ((place - 1) * $4 + 1)::int as first, (place * $4)::int as last
    from unnest($3::bigint[]) with ordinality as given (step, place)) as given
  on conflict do nothing)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        &whole(points.iter().map(|point| point.step)),
        width as i64,
        &flat(points, width, |point| &point.change_norm)?,
        &flat(points, width, |point| &point.grad_norm)?,
        &flat(points, width, |point| &point.change_cosine_previous)?,
    );
    held(lease, query.fetch_one(connection).await?)
}

/// One series of all points in a row; every point must have `width` numbers.
fn flat<P>(points: &[P], width: usize, of: fn(&P) -> &Vec<f64>) -> Result<Vec<f64>> {
    if let Some(found) = points
        .iter()
        .map(|point| of(point).len())
        .find(|found| *found != width)
    {
        let what = format!("norms of a step have {found} numbers where {width} modules are");
        return Err(Error::invariant(what));
    }
    Ok(points.iter().flat_map(of).copied().collect())
}

async fn hold_out(
    connection: &mut PgConnection,
    lease: &Lease,
    points: &[(u64, f64)],
) -> Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let query = sqlx::query_scalar!(
        r#"-- reports::hold_out
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
point as (
  insert into hold_out (job, step, loss)
  select held.id, step, loss from held, unnest($3::bigint[], $4::float8[]) as given (step, loss) on conflict do nothing)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        &whole(points.iter().map(|point| point.0)),
        &points.iter().map(|point| point.1).collect::<Vec<f64>>(),
    );
    held(lease, query.fetch_one(connection).await?)
}

async fn events(connection: &mut PgConnection, lease: &Lease, events: &[NewEvent]) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let types: Vec<&str> = events.iter().map(|event| event.r#type.as_str()).collect();
    let data: Vec<Value> = events.iter().map(|event| event.data.clone()).collect();
    let query = sqlx::query_scalar!(
        r#"-- reports::events
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
told as (
  insert into events (job, type, data)
  select held.id, type, data from held, unnest($3::text[], $4::jsonb[]) with ordinality as given (type, data, place)
  order by place)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        &types as &[&str],
        &data,
    );
    held(lease, query.fetch_one(connection).await?)
}

async fn standing(
    connection: &mut PgConnection,
    lease: &Lease,
    phase: Option<Phase>,
    progress: Option<&Progressed>,
) -> Result<()> {
    if phase.is_none() && progress.is_none() {
        return Ok(());
    }
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let query = sqlx::query_scalar!(
        r#"-- reports::standing
with held as (
  update jobs set updated_at = queue_now(), phase = coalesce($3, phase),
    progress_since = case when $4::bigint is null or progress_unit = $6 then progress_since else queue_now() end,
    progress_from = case when $4 is null or progress_unit = $6 then progress_from else $4 end,
    progress_done = coalesce($4, progress_done), progress_total = coalesce($5, progress_total),
    progress_unit = coalesce($6, progress_unit)
  where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  returning id)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        phase.map(phase_name).transpose()?,
        progress.map(|progress| number(progress.done)),
        progress.map(|progress| number(progress.total)),
        progress.map(|progress| progress.unit.as_str()),
    );
    held(lease, query.fetch_one(connection).await?)
}

fn phase_name(phase: Phase) -> Result<String> {
    match serde_json::to_value(phase) {
        Ok(Value::String(name)) => Ok(name),
        other => Err(Error::invariant(format!("a phase became {other:?}"))),
    }
}
