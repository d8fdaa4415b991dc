//! What happened to jobs, in order. Rows are written by those who make things happen; here they are read.
//!
//! Every event of a job is written by a transaction that changed the job's row before it, so the ids of one job's events
//! become visible in their order, and reading behind the last id seen misses none.

use serde_json::Value;
use time::OffsetDateTime;

use super::{Error, Result, Storage, bounded};
use crate::domain::ids::JobId;
use crate::domain::job::{Event, JobState};

struct EventRow {
    id: i64,
    at: OffsetDateTime,
    r#type: String,
    data: Value,
}

/// Events of `job` behind the event `after`, oldest first, at most `limit`; none for a job that does not exist.
pub async fn after(storage: &Storage, job: &JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
    let query = sqlx::query_as!(
        EventRow,
        "-- events::after
select id, at, type, data from events where job = $1 and id > $2 order by id limit $3",
        job.as_str(),
        after,
        i64::from(limit),
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let shown = |row: EventRow| Event {
        id: row.id,
        job: job.clone(),
        at: row.at,
        r#type: row.r#type,
        data: row.data,
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// The state of `job`; read before its events, a final state says that they are complete.
///
/// *Errors*: not found.
pub async fn state(storage: &Storage, job: &JobId) -> Result<JobState> {
    let query = sqlx::query_scalar!(
        "-- events::state
select state from jobs where id = $1",
        job.as_str(),
    );
    let state = bounded(query.fetch_optional(&storage.pool)).await?;
    let state = state.ok_or_else(|| Error::not_found("job", job))?;
    serde_json::from_value(Value::String(state))
        .map_err(|error| Error::invariant(format!("a job's state cannot be read: {error}")))
}
