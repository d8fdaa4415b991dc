//! The numbers of an analysis, recorded under the lease; a repeated attempt finds the same and writes them again.

use sqlx::types::Json;

use crate::domain::analysis::Analysis;
use crate::storage::queue::Lease;
use crate::storage::{Error, Result, Storage, bounded};

/// Records what was computed.
///
/// *Errors*: lease lost.
pub async fn analysis(storage: &Storage, lease: &Lease, computed: &Analysis) -> Result<()> {
    let query = sqlx::query!(
        r#"-- reports::analysis
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
told as (
  update analyses set result = $3 from held where analyses.job = held.id returning 1)
select (select count(*) from held) as "held!", (select count(*) from told) as "told!""#,
        lease.job.as_str(),
        lease.number,
        Json(computed) as _,
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    match (row.held, row.told) {
        (1, 1) => Ok(()),
        (1, _) => Err(Error::invariant(format!("{} has no analysis", lease.job))),
        _ => Err(lease.lost()),
    }
}
