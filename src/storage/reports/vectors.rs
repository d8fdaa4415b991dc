//! Files of rank-1 vectors, recorded under the lease.

use std::ops::RangeInclusive;

use sqlx::types::Json;

use crate::domain::assets::FileEntry;
use crate::storage::queue::Lease;
use crate::storage::{Result, Storage, bounded};

/// Records a file with the vectors of `steps`; one that begins at the same step is replaced.
///
/// *Errors*: lease lost.
pub async fn vectors(
    storage: &Storage,
    lease: &Lease,
    steps: &RangeInclusive<u64>,
    file: &FileEntry,
) -> Result<()> {
    let query = sqlx::query_scalar!(
        r#"-- reports::vectors
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
kept as (
  insert into vectors (job, first_step, last_step, file) select id, $3, $4, $5 from held
  on conflict (job, first_step) do update set last_step = excluded.last_step, file = excluded.file)
select count(*) as "count!" from held"#,
        lease.job.as_str(),
        lease.number,
        *steps.start() as i64,
        *steps.end() as i64,
        Json(file) as _,
    );
    match bounded(query.fetch_one(&storage.pool)).await? {
        1 => Ok(()),
        _ => Err(lease.lost()),
    }
}
