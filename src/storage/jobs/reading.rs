//! Jobs as the API shows them, with why they wait and when they may end.

use std::collections::HashMap;

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::{column, id, word};
use crate::domain::ids::JobId;
use crate::domain::job::{
    Attempt, Job, JobError, JobKind, JobResult, JobState, Priority, Progress, Waiting,
};
use crate::domain::queue::QueuedJob;
use crate::domain::scheduling::line::Rules;
use crate::domain::scheduling::snapshot::Snapshot;
use crate::storage::queue::line;
use crate::storage::{Error, Result, Storage, bounded};

/// Which jobs a list shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Only these kinds; all where empty.
    pub kinds: Vec<JobKind>,
    /// Only these states; all where empty.
    pub states: Vec<JobState>,
    /// Only jobs of this name.
    pub name: Option<String>,
    /// Only jobs with all of these tags; a tag without value has any.
    pub tags: Vec<(String, Option<String>)>,
    /// Only jobs that were made before this one.
    pub before: Option<JobId>,
}

struct JobRow {
    id: String,
    kind: String,
    name: Option<String>,
    owner: String,
    state: String,
    priority: i16,
    tags: Value,
    spec: Value,
    numerics_hash: String,
    spec_hash: String,
    phase: Option<String>,
    progress_done: Option<i64>,
    progress_total: Option<i64>,
    progress_unit: Option<String>,
    progress_since: Option<OffsetDateTime>,
    progress_from: Option<i64>,
    error: Option<Value>,
    pause: Option<Value>,
    attempt: i32,
    result: Value,
    created_at: OffsetDateTime,
    queued_at: Option<OffsetDateTime>,
    started_at: Option<OffsetDateTime>,
    finished_at: Option<OffsetDateTime>,
    updated_at: OffsetDateTime,
    postponed: bool,
    parents: Vec<String>,
    pending: Vec<String>,
}

/// A query of whole jobs: its name, what comes behind `from jobs`, its parameters.
macro_rules! shown {
    ($name:tt, $rest:tt, $($parameters:tt)+) => {
        sqlx::query_as!(
            JobRow,
            "-- jobs::" + $name + r#"
select id, kind, name, owner, state, priority, tags, spec, numerics_hash, spec_hash, phase, progress_done,
  progress_total, progress_unit, progress_since, progress_from, error, pause, attempt, result, created_at, queued_at,
  started_at, finished_at, updated_at, coalesce(state = 'queued' and queued_at > queue_now(), false) as "postponed!",
  array(select parent from job_parents where job = jobs.id order by parent) as "parents!",
  case when state = 'blocked' then array(
    select parent from job_parents join jobs p on p.id = parent where job = jobs.id and p.state <> 'succeeded' order by parent)
  else '{}' end as "pending!"
from jobs "# + $rest,
            $($parameters)+
        )
    };
}

/// One job.
///
/// *Errors*: not found.
pub async fn get(storage: &Storage, job: &JobId) -> Result<Job> {
    let query = shown!("get", "where id = $1", job.as_str());
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    let row = row.ok_or_else(|| Error::not_found("job", job))?;
    let queue = match row.state == "queued" {
        true => Some(line::expected(storage, LOOKED_AT).await?),
        false => None,
    };
    let mut job = job_of(row)?;
    if let Some(queue) = queue {
        tell_why(std::slice::from_mut(&mut job), &queue, storage.rules());
    }
    Ok(job)
}

/// Jobs of each user and band among which a queued one is looked for.
const LOOKED_AT: i64 = 256;

/// Fills in why those of `jobs` that are in the line wait.
fn tell_why(jobs: &mut [Job], queue: &Snapshot, rules: &Rules) {
    let waiting = queue.waiting(rules).into_iter();
    let mut waits: HashMap<JobId, QueuedJob> = waiting
        .filter_map(|it| Some((it.job.clone()?, it)))
        .collect();
    for job in jobs {
        if let Some(found) = waits.remove(&job.id) {
            job.waiting = Some(Waiting {
                reason: found.reason,
                detail: found.detail,
                since: found.since,
                eta: found.start,
            });
        }
    }
}

/// The newest jobs that `filter` lets through, at most `limit`.
pub async fn list(storage: &Storage, filter: &Filter, limit: u32) -> Result<Vec<Job>> {
    let kinds: Vec<&str> = filter.kinds.iter().map(|kind| kind.name()).collect();
    let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
    let valued = filter.tags.iter().filter_map(|(key, value)| {
        let value = value.as_ref()?;
        Some((key.clone(), Value::from(value.as_str())))
    });
    let keys: Vec<&str> = filter.tags.iter().map(|(key, _)| key.as_str()).collect();
    let query = shown!(
        "list",
        "where ($1::text[] = '{}' or kind = any($1)) and ($2::text[] = '{}' or state = any($2))
  and ($3::text is null or name = $3) and tags @> $4 and tags ?& $5
  and ($6::text is null or (created_at, id) < (select b.created_at, b.id from jobs b where b.id = $6))
order by created_at desc, id desc limit $7",
        kinds.as_slice() as _,
        states.as_slice() as _,
        filter.name.as_deref(),
        Value::Object(valued.collect()),
        keys.as_slice() as _,
        filter.before.as_ref().map(JobId::as_str),
        i64::from(limit)
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let any = rows.iter().any(|row| row.state == "queued");
    let mut jobs: Vec<Job> = rows.into_iter().map(job_of).collect::<Result<_>>()?;
    if any {
        let queue = line::expected(storage, LOOKED_AT).await?;
        tell_why(&mut jobs, &queue, storage.rules());
    }
    Ok(jobs)
}

/// Those of `jobs` that exist, in no order; where they stand in the queue is not told.
pub async fn several(storage: &Storage, jobs: &[&str]) -> Result<Vec<Job>> {
    let query = shown!("several", "where id = any($1)", jobs as _);
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(job_of).collect()
}

fn job_of(row: JobRow) -> Result<Job> {
    let state: JobState = word(row.state.clone())?;
    let runs = matches!(
        state,
        JobState::Running | JobState::Pausing | JobState::Cancelling
    );
    let waiting = match state {
        JobState::Pausing | JobState::Paused => {
            row.pause.clone().map(column::<Waiting>).transpose()?
        }
        _ => waiting(&row, state),
    };
    let progress = progress(&row, runs);
    Ok(Job {
        kind: word(row.kind)?,
        state,
        phase: row.phase.filter(|_| runs).map(word).transpose()?,
        progress,
        waiting,
        error: row.error.map(column::<JobError>).transpose()?,
        attempt: row.attempt.unsigned_abs(),
        priority: match row.priority {
            0 => Priority::High,
            1 => Priority::Normal,
            _ => Priority::Low,
        },
        tags: column(row.tags)?,
        parents: row.parents.into_iter().map(id).collect::<Result<_>>()?,
        result: column::<JobResult>(row.result)?,
        id: id(row.id)?,
        name: row.name,
        owner: row.owner,
        spec: row.spec,
        spec_hash: row.spec_hash,
        numerics_hash: row.numerics_hash,
        deduplicated: false,
        created_at: row.created_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
    })
}

fn waiting(row: &JobRow, state: JobState) -> Option<Waiting> {
    let since = row.queued_at.unwrap_or(row.created_at);
    let reason = |reason: &str, detail: String, eta| {
        Some(Waiting {
            reason: reason.into(),
            detail,
            since,
            eta,
        })
    };
    match state {
        JobState::Blocked => {
            let detail = format!("waits for {} to succeed", row.pending.join(", "));
            reason("dependency", detail, None)
        }
        JobState::Queued if row.postponed => {
            let detail = "waits before another attempt, the last one having failed";
            reason("backoff", detail.into(), row.queued_at)
        }
        JobState::Queued => {
            let detail = format!("more than {LOOKED_AT} jobs of its owner's own come first");
            reason("slots", detail, None)
        }
        _ => None,
    }
}

fn progress(row: &JobRow, runs: bool) -> Option<Progress> {
    let (done, total) = (row.progress_done?, row.progress_total?);
    Some(Progress {
        done: done.unsigned_abs(),
        total: total.unsigned_abs(),
        unit: row.progress_unit.clone().unwrap_or_default(),
        eta: if runs { eta(row, done, total) } else { None },
    })
}

/// The end at the pace since this attempt's first report, as seen at the last one; so it stands still between two reports.
fn eta(row: &JobRow, done: i64, total: i64) -> Option<OffsetDateTime> {
    let (since, from) = (row.progress_since?, row.progress_from?);
    let seconds = (row.updated_at - since).as_seconds_f64();
    if done <= from || total < done || seconds <= 0.0 {
        return None;
    }
    let left = (total - done) as f64 * seconds / (done - from) as f64;
    row.updated_at
        .checked_add(Duration::checked_seconds_f64(left)?)
}

struct AttemptRow {
    attempt: i32,
    worker: String,
    lease_number: i64,
    started_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
    outcome: Option<String>,
    error: Option<Value>,
}

/// Every execution of a job, oldest first; none for a job that does not exist.
pub async fn attempts(storage: &Storage, job: &JobId) -> Result<Vec<Attempt>> {
    let query = sqlx::query_as!(
        AttemptRow,
        "-- jobs::attempts
select attempt, worker, lease_number, started_at, ended_at, outcome, error from attempts where job = $1 order by attempt",
        job.as_str()
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Attempt {
                attempt: row.attempt.unsigned_abs(),
                worker: row.worker,
                lease_number: row.lease_number,
                started_at: row.started_at,
                ended_at: row.ended_at,
                outcome: row.outcome,
                error: row.error.map(column::<JobError>).transpose()?,
            })
        })
        .collect()
}
