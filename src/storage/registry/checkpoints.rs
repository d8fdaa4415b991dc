//! Checkpoints as rows; written by running attempts only.

use sqlx::types::Json;
use time::OffsetDateTime;

use super::count;
use crate::domain::assets::{Checkpoint, FileEntry};
use crate::domain::ids::{CheckpointId, JobId};
use crate::storage::metrics::require_job;
use crate::storage::queue::{id_of, word};
use crate::storage::{Error, Result, Storage, bounded};

struct Row {
    id: String,
    job: String,
    step: i64,
    kind: String,
    files: Json<Vec<FileEntry>>,
    retired: bool,
    created_at: OffsetDateTime,
}

fn checkpoint_of(row: Row) -> Result<Checkpoint> {
    Ok(Checkpoint {
        id: id_of(row.id)?,
        job: id_of(row.job)?,
        step: count(row.step),
        kind: word(row.kind)?,
        files: row.files.0,
        retired: row.retired,
        created_at: row.created_at,
    })
}

/// The checkpoint with this id.
///
/// *Errors*: not found.
pub async fn checkpoint(storage: &Storage, id: &CheckpointId) -> Result<Checkpoint> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::checkpoint
select id, job, step, kind, files as "files: Json<Vec<FileEntry>>", retired_at is not null as "retired!", created_at from checkpoints where id = $1"#,
        id.as_str()
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    checkpoint_of(row.ok_or_else(|| Error::not_found("checkpoint", id))?)
}

/// The checkpoints of a job by step; none for jobs that make none.
///
/// *Errors*: not found when the job is not there.
pub async fn checkpoints(storage: &Storage, job: &JobId) -> Result<Vec<Checkpoint>> {
    require_job(storage, job).await?;
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::checkpoints
select id, job, step, kind, files as "files: Json<Vec<FileEntry>>", retired_at is not null as "retired!", created_at
from checkpoints where job = $1 order by step"#,
        job.as_str()
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(checkpoint_of).collect()
}
