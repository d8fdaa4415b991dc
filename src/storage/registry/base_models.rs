//! Base models as rows; facts about them are written by their register job.

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::Stretch;
use crate::domain::assets::{BaseModel, FileEntry};
use crate::domain::ids::{BaseModelId, JobId};
use crate::domain::job::{JobKind, JobState};
use crate::storage::jobs::{NewJob, Submitted, submit_on};
use crate::storage::queue::{id_of, word};
use crate::storage::{CALL_LIMIT, Error, Result, Storage, bounded, within};

struct Row {
    id: String,
    name: String,
    state: String,
    source: Value,
    source_hash: String,
    job: Option<String>,
    family: Option<String>,
    parameters: Option<i64>,
    layers: Option<i32>,
    hidden_size: Option<i32>,
    vocab_size: Option<i32>,
    files: Json<Vec<FileEntry>>,
    created_at: OffsetDateTime,
}

/// A base model with the identity of its source.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseIdentity {
    /// As shown.
    pub model: BaseModel,
    /// Equal for equal models.
    pub source_hash: String,
}

fn model_of(row: Row) -> Result<BaseIdentity> {
    let size = |number: Option<i32>| number.map(i32::unsigned_abs);
    let model = BaseModel {
        id: id_of(row.id)?,
        name: row.name,
        state: word(row.state)?,
        source: row.source,
        job: row.job.map(id_of).transpose()?,
        family: row.family,
        parameters: row.parameters.map(i64::unsigned_abs),
        layers: size(row.layers),
        hidden_size: size(row.hidden_size),
        vocab_size: size(row.vocab_size),
        files: row.files.0,
        created_at: row.created_at,
    };
    Ok(BaseIdentity {
        model,
        source_hash: row.source_hash,
    })
}

/// The base model with this name or id and the identity of its source, if there is one.
pub async fn base_model_identity(storage: &Storage, key: &str) -> Result<Option<BaseIdentity>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::base_model
select id, name, state, source, source_hash, job, family, parameters, layers, hidden_size, vocab_size,
  files as "files: Json<Vec<FileEntry>>", created_at
from base_models where id = $1 or name = $1"#,
        key
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(model_of).transpose()
}

/// The base model with this name or id.
///
/// *Errors*: not found.
pub async fn base_model(storage: &Storage, key: &str) -> Result<BaseModel> {
    let found = base_model_identity(storage, key).await?;
    let missing = || Error::not_found("base model", key.escape_debug());
    found.map(|identity| identity.model).ok_or_else(missing)
}

/// Base models, the newest first.
pub async fn base_models(storage: &Storage, stretch: Stretch<'_>) -> Result<Vec<BaseModel>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::base_models
select id, name, state, source, source_hash, job, family, parameters, layers, hidden_size, vocab_size,
  files as "files: Json<Vec<FileEntry>>", created_at
from base_models where $1::text is null or id < $1 order by id desc limit $2"#,
        stretch.before,
        stretch.limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter()
        .map(|row| model_of(row).map(|identity| identity.model))
        .collect()
}

/// What a registration has to know about the job that a model is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFacts {
    /// What it does.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
    /// `method.type` of a fine-tune.
    pub method: Option<String>,
    /// Of all that changes its numbers.
    pub numerics_hash: String,
    /// Not empty for a job that was made in spite of an equal one.
    pub salt: String,
}

/// What a model that is made from `job` depends on; none when there is no such job.
pub async fn job_identity(storage: &Storage, job: &JobId) -> Result<Option<JobFacts>> {
    let query = sqlx::query!(
        "-- registry::job_identity
select kind, state, spec #>> '{method,type}' as method, numerics_hash, dedup_salt from jobs where id = $1",
        job.as_str()
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(|row| {
        Ok(JobFacts {
            kind: word(row.kind)?,
            state: word(row.state)?,
            method: row.method,
            numerics_hash: row.numerics_hash,
            salt: row.dedup_salt,
        })
    })
    .transpose()
}

/// A base model that is to be made.
#[derive(Debug, Clone)]
pub struct NewModel {
    /// Its id, should it be made.
    pub id: BaseModelId,
    /// Its unique name.
    pub name: String,
    /// As stored and shown.
    pub source: Value,
    /// Equal for equal models.
    pub source_hash: String,
    /// The register job that makes it ready.
    pub job: NewJob,
    /// Whether it is there already and failed.
    pub again: bool,
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq)]
pub enum Registered {
    /// The model and its job are there.
    Created,
    /// The name was taken meanwhile, or the failed model is failed no more; nothing was made.
    NameTaken,
    /// As many jobs wait as may; nothing was made.
    QueueFull,
    /// This parent failed or was cancelled meanwhile; nothing was made.
    ParentEnded(JobId),
}

/// Makes a base model and the job that makes it ready, both or neither.
pub async fn register(storage: &Storage, model: &NewModel, bound: u32) -> Result<Registered> {
    let registered = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        let registered = register_on(&mut transaction, model, bound).await?;
        if registered == Registered::Created {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        Ok(registered)
    })
    .await?;
    storage.hints.ring_work();
    Ok(registered)
}

async fn register_on(
    connection: &mut PgConnection,
    model: &NewModel,
    bound: u32,
) -> Result<Registered> {
    match submit_on(connection, &model.job, bound).await? {
        Submitted::Created => {}
        Submitted::QueueFull => return Ok(Registered::QueueFull),
        Submitted::ParentEnded(parent) => return Ok(Registered::ParentEnded(parent)),
        // the hash of a register job holds the model's own id
        Submitted::Existing(job) => {
            return Err(Error::invariant(format!(
                "{job} registers a model that is new"
            )));
        }
    }
    let changed = match model.again {
        true => begin_again(connection, model).await?,
        false => insert(connection, model).await?,
    };
    Ok(match changed {
        1 => Registered::Created,
        _ => Registered::NameTaken,
    })
}

/// A failed model goes back to its beginning, with the new job in place of the one that failed.
async fn begin_again(connection: &mut PgConnection, model: &NewModel) -> Result<u64> {
    let query = sqlx::query!(
        "-- registry::begin_again
update base_models set state = 'registering', source = $2, job = $3, family = null, parameters = null, layers = null,
  hidden_size = null, vocab_size = null, projections = '{}', files = '[]'
where id = $1 and state = 'failed' and source_hash = $4",
        model.id.as_str(),
        &model.source,
        model.job.id.as_str(),
        &model.source_hash
    );
    Ok(query.execute(connection).await?.rows_affected())
}

async fn insert(connection: &mut PgConnection, model: &NewModel) -> Result<u64> {
    let query = sqlx::query!(
        "-- registry::insert_base_model
insert into base_models (id, name, state, source, source_hash, job) values ($1, $2, 'registering', $3, $4, $5)
on conflict on constraint base_models_name_key do nothing",
        model.id.as_str(),
        &model.name,
        &model.source,
        &model.source_hash,
        model.job.id.as_str()
    );
    Ok(query.execute(connection).await?.rows_affected())
}
