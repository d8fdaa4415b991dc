//! What the order of the line is computed from: who waits, what each user has had, what runs. Reads only.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Result, id_of, word};
use crate::domain::job::JobKind;
use crate::domain::scheduling::line::{self, Candidate, Rules, Use};
use crate::domain::scheduling::snapshot::{Running, Snapshot};
use crate::storage::{Storage, bounded};

/// Jobs of each user and band that a claim looks at; behind so many of his own none can be next.
const LOOKED_AT: i64 = 64;

/// The queue now, with at most so many jobs of each user and band.
pub async fn snapshot(storage: &Storage, each: Option<i64>) -> Result<Snapshot> {
    let rules = &storage.rules;
    let mut connection = bounded(storage.pool.acquire()).await?;
    let now = now(&mut connection).await?;
    let candidates = candidates(&mut connection, each.unwrap_or(LOOKED_AT)).await?;
    let running = running(&mut connection).await?;
    let mut uses = past(&mut connection, rules).await?;
    for run in &running {
        let used = uses.entry(run.owner.clone()).or_default();
        used.seconds += line::running(run.share, run.elapsed_seconds, rules);
    }
    Ok(Snapshot {
        now,
        candidates,
        uses,
        running,
    })
}

async fn candidates(connection: &mut PgConnection, each: i64) -> Result<Vec<Candidate>> {
    let query = sqlx::query!(
        r#"-- queue::candidates
with recursive clock as materialized (select queue_now() as now),
owners as (
  (select owner from jobs where state = 'queued' order by owner limit 1)
  union all
  select (select j.owner from jobs j where j.state = 'queued' and j.owner > owners.owner order by j.owner limit 1)
  from owners where owners.owner is not null)
select one.id as "id!", one.name, one.kind as "kind!", one.owner as "owner!", one.priority as "priority!", one.queued_at as "since!",
  extract(epoch from (select now from clock) - one.queued_at)::float8 as "waited!",
  extract(epoch from (select now from clock) - greatest(one.queued_at, served.at))::float8 as "denied!"
from owners cross join (values (0::smallint), (1::smallint), (2::smallint)) band (priority)
cross join lateral (
  select id, name, kind, owner, priority, queued_at from jobs
  where state = 'queued' and owner = owners.owner and priority = band.priority and queued_at <= (select now from clock)
  order by queued_at, id limit $1) one
left join served on served.owner = one.owner and served.priority = one.priority
where owners.owner is not null"#,
        each
    );
    let rows = bounded(query.fetch_all(connection)).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Candidate {
                job: id_of(row.id)?,
                name: row.name,
                kind: word(row.kind)?,
                owner: row.owner,
                band: band_of(row.priority),
                since: row.since,
                waited_seconds: row.waited,
                denied_seconds: row.denied,
                share: 1.0,
                seconds: None,
            })
        })
        .collect()
}

async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime> {
    let query = sqlx::query_scalar!(
        r#"-- queue::now
select queue_now() as "now!""#
    );
    bounded(query.fetch_one(connection)).await
}

/// The same with how long everything is expected to take.
pub async fn expected(storage: &Storage, each: i64) -> Result<Snapshot> {
    let mut snapshot = snapshot(storage, Some(each)).await?;
    snapshot.expect(&usual(storage).await?);
    Ok(snapshot)
}

/// Seconds that the newest successful attempts of each kind took, their median.
pub async fn usual(storage: &Storage) -> Result<BTreeMap<JobKind, f64>> {
    let query = sqlx::query!(
        r#"-- queue::usual
select kind, percentile_cont(0.5) within group (order by recent.seconds) as "seconds!"
from (
  select job, extract(epoch from ended_at - started_at)::float8 as seconds from attempts
  where outcome = 'succeeded' order by ended_at desc limit 200) recent
join jobs on jobs.id = recent.job group by kind"#
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter()
        .map(|row| Ok((word(row.kind)?, row.seconds)))
        .collect()
}

/// Queued and blocked jobs in all.
pub async fn counts(storage: &Storage) -> Result<(u64, u64)> {
    let query = sqlx::query!(
        r#"-- queue::counts
select count(*) filter (where state = 'queued') as "queued!", count(*) filter (where state = 'blocked') as "blocked!"
from jobs where state in ('queued', 'blocked')"#
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    Ok((row.queued.unsigned_abs(), row.blocked.unsigned_abs()))
}

async fn running(connection: &mut PgConnection) -> Result<Vec<Running>> {
    let query = sqlx::query!(
        r#"-- queue::running
select j.id, j.kind, j.owner, j.priority, j.lease_worker as "worker!", a.share, a.started_at as "since!", j.state <> 'running' as "leaving!",
  extract(epoch from queue_now() - a.started_at)::float8 as "elapsed!",
  case when progress_done > progress_from and progress_total >= progress_done and j.updated_at > progress_since then
    j.updated_at + (j.updated_at - progress_since) * ((progress_total - progress_done)::float8 / (progress_done - progress_from))
    end as until
from jobs j join attempts a on a.job = j.id and a.attempt = j.attempt
where j.lease_expires_at is not null order by j.id"#
    );
    let rows = bounded(query.fetch_all(connection)).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Running {
                job: id_of(row.id)?,
                kind: word(row.kind)?,
                owner: row.owner,
                band: band_of(row.priority),
                worker: row.worker,
                since: row.since,
                elapsed_seconds: row.elapsed.max(0.0),
                until: row.until,
                share: row.share,
                leaving: row.leaving,
            })
        })
        .collect()
}

/// What ended, as far back as ten half-lives.
async fn past(connection: &mut PgConnection, rules: &Rules) -> Result<BTreeMap<String, Use>> {
    let query = sqlx::query!(
        r#"-- queue::past_use
select owner, device_seconds,
  greatest(0, extract(epoch from queue_now() - (day + 1)::timestamp at time zone 'UTC'))::float8 as "ago!"
from device_use where day >= (queue_now() at time zone 'UTC')::date - $1::int"#,
        (10.0 * rules.half_life_seconds / 86_400.0)
            .ceil()
            .min(36_500.0) as i32
    );
    let rows = bounded(query.fetch_all(connection)).await?;
    let mut uses: BTreeMap<String, Use> = BTreeMap::new();
    for row in rows {
        let used = uses.entry(row.owner).or_default();
        used.seconds += line::decayed(row.device_seconds, row.ago, rules);
    }
    Ok(uses)
}

/// A column's priority as the band it is.
pub(super) fn band_of(priority: i16) -> u8 {
    u8::try_from(priority).unwrap_or(u8::MAX)
}
