//! What the numbers of a job depend on besides its spec: read by each attempt, written when it may go on.

use serde_json::Value;

use super::{Lease, Result};
use crate::storage::{Storage, bounded};

/// What earlier attempts left.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What they computed under; none before the first claim.
    pub fingerprint: Option<Value>,
    /// Whether there is a state or an answer that goes on would build upon.
    pub progressed: bool,
    /// Whether the owner lets it go on under another.
    pub accepted: bool,
}

/// What earlier attempts of the leased job computed under, and whether anything depends on it.
///
/// *Errors*: lease lost.
pub async fn recorded(storage: &Storage, lease: &Lease) -> Result<Recorded> {
    let query = sqlx::query_as!(
        Recorded,
        r#"-- queue::recorded
select fingerprint, numerics_accepted as accepted,
  exists (select 1 from resume_states where job = jobs.id)
    or exists (select 1 from completions c join evaluations e on e.id = c.evaluation where e.job = jobs.id) as "progressed!"
from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')"#,
        lease.job.as_str(),
        lease.number,
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.ok_or_else(|| lease.lost())
}

/// Stores what this attempt computes under; `changed` says for good that not all numbers were made under one.
///
/// *Errors*: lease lost.
pub async fn set_fingerprint(
    storage: &Storage,
    lease: &Lease,
    fingerprint: &Value,
    changed: bool,
) -> Result<()> {
    let query = sqlx::query!(
        r#"-- queue::set_fingerprint
update jobs set fingerprint = $3, numerics_changed = numerics_changed or $4, numerics_accepted = false
where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')"#,
        lease.job.as_str(),
        lease.number,
        fingerprint,
        changed,
    );
    match bounded(query.execute(&storage.pool)).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(lease.lost()),
    }
}
