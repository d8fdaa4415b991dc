//! What can be asked: ready base models and what fine-tunes keep. Knows rows, not addresses and not where bytes lie.

use time::OffsetDateTime;

use super::queue::id_of;
use super::{Result, Storage, bounded};
use crate::domain::ids::{AdapterId, BaseModelId, JobId};

/// A ready base model, or a kept state of a fine-tune on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Askable {
    /// Name of the base.
    pub base: String,
    /// When the base was posted.
    pub base_created_at: OffsetDateTime,
    /// The state; none for the base itself.
    pub trained: Option<TrainedState>,
}

/// A kept state of a fine-tune.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedState {
    /// The fine-tune.
    pub job: JobId,
    /// Updates made.
    pub step: u64,
    /// When it was recorded.
    pub created_at: OffsetDateTime,
}

/// Ready base models, each with the states of its fine-tunes behind it; the newest first, at most `limit` rows. A base
/// without any has one row, one with some has a row for each.
pub async fn askable(storage: &Storage, limit: i64) -> Result<Vec<Askable>> {
    let query = sqlx::query!(
        r#"-- models::askable
select b.name as base, b.created_at as base_created_at, t.job as "job?", t.step as "step?", t.created_at as "created_at?"
from base_models b left join (
  select j.spec ->> 'base_model' as base, j.id as job, c.step, c.created_at
  from jobs j join checkpoints c on c.job = j.id and c.retired_at is null where j.kind = 'finetune') t on t.base in (b.id, b.name)
where b.state = 'ready' order by b.id desc, t.job desc, t.step desc limit $1"#,
        limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter()
        .map(|row| {
            let trained = match (row.job, row.step, row.created_at) {
                (Some(job), Some(step), Some(created_at)) => Some(TrainedState {
                    job: id_of(job)?,
                    step: step.unsigned_abs(),
                    created_at,
                }),
                _ => None,
            };
            Ok(Askable {
                base: row.base,
                base_created_at: row.base_created_at,
                trained,
            })
        })
        .collect()
}

/// An adapter that was handed in and can be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct AskableAdapter {
    /// Name of the base that it stands on, which is ready.
    pub base: String,
    /// Its id.
    pub id: AdapterId,
    /// When it was handed in.
    pub created_at: OffsetDateTime,
}

/// Adapters on ready base models or on the one with this id, the newest first.
pub async fn askable_adapters(
    storage: &Storage,
    base: Option<&BaseModelId>,
    limit: i64,
) -> Result<Vec<AskableAdapter>> {
    let query = sqlx::query!(
        "-- models::askable_adapters
select b.name as base, a.id, a.created_at from adapters a join base_models b on b.id = a.base_model
where b.state = 'ready' and ($1::text is null or b.id = $1) order by a.id desc limit $2",
        base.map(BaseModelId::as_str),
        limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter()
        .map(|row| {
            Ok(AskableAdapter {
                base: row.base,
                id: id_of(row.id)?,
                created_at: row.created_at,
            })
        })
        .collect()
}

/// Names of ready base models, the newest first.
pub async fn ready_names(storage: &Storage, limit: i64) -> Result<Vec<String>> {
    let query = sqlx::query_scalar!(
        "-- models::ready_names
select name from base_models where state = 'ready' order by id desc limit $1",
        limit
    );
    bounded(query.fetch_all(&storage.pool)).await
}

/// Fine-tunes of a base that keep a checkpoint, the newest first.
pub async fn trained_jobs(
    storage: &Storage,
    base: (&BaseModelId, &str),
    limit: i64,
) -> Result<Vec<JobId>> {
    let query = sqlx::query_scalar!(
        "-- models::trained_jobs
select id from jobs where kind = 'finetune' and spec ->> 'base_model' in ($1, $2)
  and exists (select from checkpoints c where c.job = jobs.id and c.retired_at is null)
order by id desc limit $3",
        base.0.as_str(),
        base.1,
        limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(id_of).collect()
}
