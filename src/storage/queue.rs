//! The only place where a job changes its state: claims, renewals, ends, cancels, sweeps. Knows no spec and no result.
//!
//! A claim gives a lease with a number that only grows. Every later change carries it, is guarded by number and state,
//! and must touch exactly one row; a stale attempt changes nothing. Time is the database's.
//!
//! `crashes_without_progress` is raised at the claim, because a crash cannot write: durable progress sets it to 0, an
//! orderly end takes the raise back, and what is left when a lease runs out is the number of crashes in a row that got
//! nowhere.

mod cancel;
mod ending;
mod family;
mod fingerprint;
pub mod line;
mod pause;
mod retry;
mod sweep;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::PgConnection;

use super::{Error, Result, Storage, bounded};
use crate::domain::ids::JobId;
use crate::domain::job::JobKind;
use crate::domain::scheduling::line::Candidate;

pub use cancel::request_cancel;
pub use ending::{
    finish_cancelled, finish_drained, finish_failed, finish_held, finish_paused, finish_succeeded,
    requeue_failed,
};
pub use family::settle_blocked;
pub use fingerprint::{Recorded, recorded, set_fingerprint};
pub use pause::{preempt, request_pause, request_resume};
pub use retry::request_retry;
pub use sweep::{Swept, sweep};

/// The right of one attempt to write about its job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Larger than that of every earlier claim of the job.
    pub number: i64,
}

impl Lease {
    pub(crate) fn lost(&self) -> Error {
        Error::LeaseLost {
            job: self.job.clone(),
        }
    }
}

/// A job that was taken off the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The right to it.
    pub lease: Lease,
    /// What it does.
    pub kind: JobKind,
    /// As stored.
    pub spec: Value,
    /// Ordinal of this execution, from 1.
    pub attempt: u32,
    /// Attempts that failed before, since the last retry.
    pub failures: u32,
}

/// What a renewal tells an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Go on.
    Go,
    /// A user asked it to stop and keep its state.
    Pause,
    /// A user asked it to end.
    Cancel,
}

struct ClaimRow {
    id: String,
    kind: String,
    spec: Value,
    lease_number: i64,
    attempt: i32,
    failures: i64,
}

/// Lost races after which a claim leaves the queue to those who won them, until it is asked again.
const RACES: usize = 16;

/// Takes the first job of the line, see [`crate::domain::scheduling::line`], that no other worker takes at the same moment.
pub async fn claim(storage: &Storage, worker: &str, lease_seconds: f64) -> Result<Option<Claim>> {
    for _ in 0..RACES {
        let snapshot = line::snapshot(storage, None).await?;
        let Some(first) = snapshot.line(&storage.rules).first().copied() else {
            return Ok(None);
        };
        let candidate = &snapshot.candidates[first.index];
        let taken = take(storage, candidate, worker, lease_seconds).await?;
        if taken.is_some() {
            return Ok(taken);
        }
    }
    Ok(None)
}

/// Takes this job, unless it waits no more or somebody is taking it.
pub async fn take(
    storage: &Storage,
    candidate: &Candidate,
    worker: &str,
    lease_seconds: f64,
) -> Result<Option<Claim>> {
    let query = sqlx::query_as!(
        ClaimRow,
        r#"-- queue::claim
with next as materialized (
  select id from jobs where id = $3 and state = 'queued' and queued_at <= queue_now() for no key update skip locked),
claimed as (
  update jobs set state = 'running', attempt = attempt + 1, lease_number = lease_number + 1, lease_worker = $1,
    lease_expires_at = queue_now() + make_interval(secs => $2), started_at = coalesce(started_at, queue_now()),
    crashes_without_progress = crashes_without_progress + 1, phase = null, progress_done = null, progress_total = null,
    progress_unit = null, progress_since = null, progress_from = null, error = null, pause = null, updated_at = queue_now()
  from next where jobs.id = next.id
  returning jobs.id, jobs.owner, jobs.priority, jobs.kind, jobs.spec, jobs.lease_number, jobs.attempt, jobs.retried_after),
served as (
  insert into served (owner, priority, at) select owner, priority, queue_now() from claimed
  on conflict (owner, priority) do update set at = excluded.at),
attempted as (
  insert into attempts (job, attempt, lease_number, worker, share) select id, attempt, lease_number, $1, $4 from claimed),
told as (
  insert into events (job, type, data)
  select id, 'claimed', jsonb_build_object('attempt', attempt, 'worker', $1::text) from claimed)
select id as "id!", kind as "kind!", spec as "spec!", lease_number as "lease_number!", attempt as "attempt!",
  (select count(*) from attempts where job = claimed.id and outcome = 'failed' and attempt > retried_after) as "failures!"
from claimed"#,
        worker,
        lease_seconds,
        candidate.job.as_str(),
        candidate.share.clamp(1e-6, 1.0),
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(claim_of).transpose()
}

fn claim_of(row: ClaimRow) -> Result<Claim> {
    Ok(Claim {
        lease: Lease {
            job: id_of(row.id)?,
            number: row.lease_number,
        },
        kind: word(row.kind)?,
        spec: row.spec,
        attempt: row.attempt.unsigned_abs(),
        failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
    })
}

struct RenewedRow {
    id: String,
    lease_number: i64,
    state: String,
}

/// Gives each lease its full length again, in one statement. A lease that is missing in the answer is lost.
pub(crate) async fn renew_on(
    connection: &mut PgConnection,
    leases: &[Lease],
    lease_seconds: f64,
) -> Result<Vec<(Lease, Signal)>> {
    let jobs: Vec<&str> = leases.iter().map(|lease| lease.job.as_str()).collect();
    let numbers: Vec<i64> = leases.iter().map(|lease| lease.number).collect();
    let query = sqlx::query_as!(
        RenewedRow,
        r#"-- queue::renew
with held as (select job, number from unnest($1::text[], $2::bigint[]) as held (job, number))
update jobs set lease_expires_at = queue_now() + make_interval(secs => $3)
from held
where jobs.id = held.job and jobs.lease_number = held.number and jobs.state in ('running', 'pausing', 'cancelling')
returning jobs.id, jobs.lease_number, jobs.state"#,
        &jobs as &[&str],
        &numbers,
        lease_seconds,
    );
    let rows = bounded(query.fetch_all(connection)).await?;
    rows.into_iter().map(renewed).collect()
}

fn renewed(row: RenewedRow) -> Result<(Lease, Signal)> {
    let lease = Lease {
        job: id_of(row.id)?,
        number: row.lease_number,
    };
    let signal = match row.state.as_str() {
        "cancelling" => Signal::Cancel,
        "pausing" => Signal::Pause,
        _ => Signal::Go,
    };
    Ok((lease, signal))
}

/// Gives one lease its full length again.
///
/// *Errors*: lease lost.
pub async fn renew(storage: &Storage, lease: &Lease, lease_seconds: f64) -> Result<Signal> {
    let mut connection = bounded(storage.pool.acquire()).await?;
    let leases = std::slice::from_ref(lease);
    let answers = renew_on(&mut connection, leases, lease_seconds).await?;
    let signal = answers.first().map(|(_, signal)| *signal);
    signal.ok_or_else(|| lease.lost())
}

/// A connection for renewals alone, kept by the thread that made it.
pub struct Renewals(PgConnection);

impl Renewals {
    /// Connects, outside the pool.
    pub async fn connect(storage: &Storage) -> Result<Self> {
        Ok(Self(storage.single().await?))
    }

    /// Gives each lease its full length again; one that is missing in the answer is lost.
    pub async fn renew(
        &mut self,
        leases: &[Lease],
        lease_seconds: f64,
    ) -> Result<Vec<(Lease, Signal)>> {
        renew_on(&mut self.0, leases, lease_seconds).await
    }
}

/// A column's text as the id it is.
pub(crate) fn id_of<T>(text: String) -> Result<T>
where
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    T::try_from(text).map_err(|error| Error::invariant(error.to_string()))
}

/// A column's text as the enum whose snake_case name it is.
pub(crate) fn word<T: DeserializeOwned>(text: String) -> Result<T> {
    serde_json::from_value(Value::String(text))
        .map_err(|error| Error::invariant(format!("a stored word is not known: {error}")))
}
