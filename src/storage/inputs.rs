//! What a claimed job's spec refers to, by id or name. Knows which rows there are, not where their bytes lie.

use sqlx::types::Json;

use super::queue::{Lease, id_of, word};
use super::{Error, Result, Storage, bounded};
use crate::domain::adapter::{Provenance, Published};
use crate::domain::assets::{BaseModelState, DatasetFormat, FileEntry, WeightsKind};
use crate::domain::evaluation::Target;
use crate::domain::ids::{AdapterId, AnalysisId, BaseModelId, EvaluationId, JobId};
use crate::domain::job::JobState;
use crate::domain::question_set::Question;

/// A dataset's one file.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetInput {
    /// Its bytes.
    pub entry: FileEntry,
    /// Form of its rows.
    pub format: DatasetFormat,
    /// Number of its rows.
    pub examples: u64,
}

/// The dataset with this id or name.
pub async fn dataset(storage: &Storage, reference: &str) -> Result<Option<DatasetInput>> {
    let query = sqlx::query!(
        "-- inputs::dataset
select name, sha256, bytes, format, examples from datasets where id = $1 or name = $1 order by id = $1 desc limit 1",
        reference,
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(|row| {
        Ok(DatasetInput {
            entry: FileEntry {
                name: format!("{}.jsonl", row.name),
                sha256: row.sha256,
                bytes: row.bytes.unsigned_abs(),
            },
            format: word(row.format)?,
            examples: row.examples.unsigned_abs(),
        })
    })
    .transpose()
}

/// A base model's files, complete only when it is ready.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInput {
    /// Its id.
    pub id: BaseModelId,
    /// Its name.
    pub name: String,
    /// Whether it can be used.
    pub state: BaseModelState,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// The base model with this id or name.
pub async fn base_model(storage: &Storage, reference: &str) -> Result<Option<ModelInput>> {
    let query = sqlx::query!(
        r#"-- inputs::base_model
select id, name, state, files as "files: Json<Vec<FileEntry>>"
from base_models where id = $1 or name = $1 order by id = $1 desc limit 1"#,
        reference,
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(|row| {
        Ok(ModelInput {
            id: id_of(row.id)?,
            name: row.name,
            state: word(row.state)?,
            files: row.files.0,
        })
    })
    .transpose()
}

/// A kept state of a fine-tune.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointInput {
    /// Updates made.
    pub step: u64,
    /// What it holds.
    pub kind: WeightsKind,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// A fine-tune as others use it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedInput {
    /// Where it is.
    pub state: JobState,
    /// Its base, as its spec names it.
    pub base_model: String,
    /// What it keeps, by step.
    pub checkpoints: Vec<CheckpointInput>,
}

struct TrainedRow {
    state: String,
    base_model: Option<String>,
    checkpoints: Json<Vec<(u64, WeightsKind, Vec<FileEntry>)>>,
}

/// The fine-tune `job` with all its checkpoints.
pub async fn trained(storage: &Storage, job: &JobId) -> Result<Option<TrainedInput>> {
    let query = sqlx::query_as!(
        TrainedRow,
        r#"-- inputs::trained
select state, spec ->> 'base_model' as base_model, coalesce(
  (select jsonb_agg(jsonb_build_array(c.step, c.kind, c.files) order by c.step) from checkpoints c where c.job = jobs.id and c.retired_at is null),
  '[]') as "checkpoints!: _"
from jobs where id = $1 and kind = 'finetune'"#,
        job.as_str(),
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(|row| {
        let checkpoints = row.checkpoints.0.into_iter();
        Ok(TrainedInput {
            state: word(row.state)?,
            base_model: row
                .base_model
                .ok_or_else(|| Error::invariant(format!("{job} names no base model")))?,
            checkpoints: checkpoints
                .map(|(step, kind, files)| CheckpointInput { step, kind, files })
                .collect(),
        })
    })
    .transpose()
}

/// What the files of a fine-tune say of their origin.
pub async fn provenance(storage: &Storage, job: &JobId, base: &BaseModelId) -> Result<Provenance> {
    let query = sqlx::query!(
        "-- inputs::provenance
select jobs.numerics_hash, base_models.source from jobs, base_models where jobs.id = $1 and base_models.id = $2",
        job.as_str(),
        base.as_str(),
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    let row = row.ok_or_else(|| Error::not_found("job", job))?;
    Ok(Provenance {
        numerics_hash: row.numerics_hash,
        published: Published::of_source(&row.source),
    })
}

/// An adapter that was handed in.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterInput {
    /// Its id.
    pub id: AdapterId,
    /// The base that it stands on.
    pub base_model: BaseModelId,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// The adapter with this id or name.
pub async fn adapter(storage: &Storage, reference: &str) -> Result<Option<AdapterInput>> {
    let query = sqlx::query!(
        r#"-- inputs::adapter
select id, base_model, files as "files: Json<Vec<FileEntry>>"
from adapters where id = $1 or name = $1 order by id = $1 desc limit 1"#,
        reference,
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(|row| {
        Ok(AdapterInput {
            id: id_of(row.id)?,
            base_model: id_of(row.base_model)?,
            files: row.files.0,
        })
    })
    .transpose()
}

/// The questions of the set with this id or name.
pub async fn questions(storage: &Storage, reference: &str) -> Result<Option<Vec<Question>>> {
    let query = sqlx::query_scalar!(
        r#"-- inputs::questions
select questions as "questions: Json<Vec<Question>>"
from question_sets where id = $1 or name = $1 order by id = $1 desc limit 1"#,
        reference,
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    Ok(row.map(|questions| questions.0))
}

/// What an evaluation is about, known when every target is.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationPlan<'a> {
    /// The base of every target.
    pub base_model: &'a BaseModelId,
    /// What is asked.
    pub targets: &'a [Target],
    /// Answers in all.
    pub planned: u64,
}

/// Records that the evaluation of the leased job is about what the one whose answers it scores is about; its id and the number
/// of answers.
///
/// *Errors*: lease lost.
pub async fn plan_rejudge(storage: &Storage, lease: &Lease) -> Result<(EvaluationId, u64)> {
    let query = sqlx::query!(
        r#"-- inputs::plan_rejudge
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
planned as (
  update evaluations own set base_model = root.base_model, targets = root.targets,
    planned = (select count(*) from completions where evaluation = root.id)
  from held, evaluations root where own.job = held.id and root.id = own.answers_of
  returning own.id, own.planned)
select (select count(*) from held) as "held!", (select id from planned) as id, (select planned from planned) as planned"#,
        lease.job.as_str(),
        lease.number,
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    match (row.held, row.id, row.planned) {
        (1, Some(id), Some(planned)) => Ok((id_of(id)?, planned.unsigned_abs())),
        (1, ..) => Err(Error::invariant(format!("{} has no answers", lease.job))),
        _ => Err(lease.lost()),
    }
}

/// Records what the evaluation of the leased job is about; its id.
///
/// *Errors*: lease lost.
pub async fn plan_evaluation(
    storage: &Storage,
    lease: &Lease,
    plan: &EvaluationPlan<'_>,
) -> Result<EvaluationId> {
    let query = sqlx::query!(
        r#"-- inputs::plan_evaluation
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
planned as (
  update evaluations set base_model = $3, targets = $4, planned = $5
  from held where evaluations.job = held.id returning evaluations.id)
select (select count(*) from held) as "held!", (select id from planned) as id"#,
        lease.job.as_str(),
        lease.number,
        plan.base_model.as_str(),
        Json(plan.targets) as _,
        i64::try_from(plan.planned).unwrap_or(i64::MAX),
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    match (row.held, row.id) {
        (1, Some(id)) => id_of(id),
        (1, None) => Err(Error::invariant(format!("{} has no evaluation", lease.job))),
        _ => Err(lease.lost()),
    }
}

/// The analysis that this job fills.
pub async fn analysis_of(storage: &Storage, job: &JobId) -> Result<Option<AnalysisId>> {
    let query = sqlx::query_scalar!(
        "-- inputs::analysis_of
select id from analyses where job = $1",
        job.as_str(),
    );
    let id = bounded(query.fetch_optional(&storage.pool)).await?;
    id.map(id_of).transpose()
}
