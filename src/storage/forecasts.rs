//! What finished jobs took, for forecasts of others. Running attempts write it; here it is only read.

use super::{Result, Storage, bounded};
use crate::domain::forecast::estimate::PastRuns;

/// The last twenty succeeded fine-tunes by `method` of the base with the id or name `base`.
pub async fn past(storage: &Storage, base: &str, method: &str) -> Result<PastRuns> {
    let query = sqlx::query!(
        r#"-- forecasts::past
with base as (select id, name from base_models where id = $1 or name = $1 order by id = $1 desc limit 1),
run as (
  select jobs.id from jobs, base
  where kind = 'finetune' and jobs.state = 'succeeded' and spec ->> 'base_model' in (base.id, base.name)
    and spec -> 'method' ->> 'type' = $2
  order by finished_at desc limit 20),
seen as (
  select
    (select max(peak_memory_bytes) from timings where job = run.id) as peak,
    (select percentile_cont(0.5) within group (order by tokens_per_second) from timings where job = run.id) as speed,
    (select (data ->> 'memory_bytes')::bigint from events where job = run.id and type = 'forecast' order by id desc limit 1)
      as forecast
  from run)
select count(*) as "runs!", max(peak - forecast) as excess,
  percentile_cont(0.5) within group (order by speed) as speed
from seen"#,
        base,
        method,
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    Ok(PastRuns {
        runs: row.runs.unsigned_abs(),
        excess_bytes: row.excess,
        tokens_per_second: row.speed,
    })
}

/// The number of the last succeeded evaluations of the base with the id or name `base` under `judge`, twenty at most and none of
/// them begun twice, with the median of their answers a second.
pub async fn evaluated(storage: &Storage, base: &str, judge: &str) -> Result<(u64, Option<f64>)> {
    let query = sqlx::query!(
        r#"-- forecasts::evaluated
with base as (select id, name from base_models where id = $1 or name = $1 order by id = $1 desc limit 1),
run as (
  select e.id, extract(epoch from jobs.finished_at - jobs.started_at)::float8 as seconds
  from evaluations e join jobs on jobs.id = e.job, base
  where e.judge = $2 and e.answers_of is null and e.targets -> 0 ->> 'base_model' in (base.id, base.name)
    and jobs.state = 'succeeded' and jobs.attempt = 1 and jobs.finished_at > jobs.started_at
  order by jobs.finished_at desc limit 20),
seen as (select (select count(*) from completions where evaluation = run.id) / seconds as speed from run)
select count(*) as "runs!", percentile_cont(0.5) within group (order by speed) as speed from seen"#,
        base,
        judge,
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    Ok((row.runs.unsigned_abs(), row.speed))
}
