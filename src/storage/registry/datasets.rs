//! Datasets as rows.

use sqlx::types::Json;
use time::OffsetDateTime;

use super::{Stored, Stretch, count};
use crate::domain::assets::{Dataset, DatasetReport};
use crate::domain::dataset::Facts;
use crate::domain::ids::DatasetId;
use crate::storage::queue::{id_of, word};
use crate::storage::{Error, Result, Storage, bounded};

struct Row {
    id: String,
    name: String,
    sha256: String,
    bytes: i64,
    examples: i64,
    format: String,
    report: Json<DatasetReport>,
    twin: Option<String>,
    created_at: OffsetDateTime,
}

fn dataset_of(row: Row) -> Result<Dataset> {
    Ok(Dataset {
        id: id_of(row.id)?,
        name: row.name,
        sha256: row.sha256,
        bytes: count(row.bytes),
        examples: count(row.examples),
        format: word(row.format)?,
        report: row.report.0,
        twin: row.twin,
        created_at: row.created_at,
    })
}

/// The dataset with this name or id, if there is one.
pub async fn dataset_named(storage: &Storage, key: &str) -> Result<Option<Dataset>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::dataset
select id, name, sha256, bytes, examples, format, report as "report: Json<DatasetReport>", twin, created_at
from datasets where id = $1 or name = $1"#,
        key
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(dataset_of).transpose()
}

/// The dataset with this name or id.
///
/// *Errors*: not found.
pub async fn dataset(storage: &Storage, key: &str) -> Result<Dataset> {
    let found = dataset_named(storage, key).await?;
    found.ok_or_else(|| Error::not_found("dataset", key.escape_debug()))
}

/// Datasets, the newest first.
pub async fn datasets(storage: &Storage, stretch: Stretch<'_>) -> Result<Vec<Dataset>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::datasets
select id, name, sha256, bytes, examples, format, report as "report: Json<DatasetReport>", twin, created_at
from datasets where $1::text is null or id < $1 order by id desc limit $2"#,
        stretch.before,
        stretch.limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(dataset_of).collect()
}

/// A dataset whose bytes are in the artifact store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDataset {
    /// Its id, should it be made.
    pub id: DatasetId,
    /// Its unique name.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// What it holds.
    pub facts: Facts,
    /// Name or id of the dataset that control arms learn in its place.
    pub twin: Option<String>,
}

/// Declares another twin of a dataset, or none.
///
/// *Errors*: not found.
pub async fn declare_twin(storage: &Storage, key: &str, twin: Option<&str>) -> Result<Dataset> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::declare_twin
update datasets set twin = $2 where id = $1 or name = $1
returning id, name, sha256, bytes, examples, format, report as "report: Json<DatasetReport>", twin, created_at"#,
        key,
        twin
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    dataset_of(row.ok_or_else(|| Error::not_found("dataset", key.escape_debug()))?)
}

/// Records a dataset, unless its name is taken.
pub async fn insert_dataset(storage: &Storage, new: &NewDataset) -> Result<Stored<Dataset>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::insert_dataset
insert into datasets (id, name, sha256, bytes, examples, format, report, twin) values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict on constraint datasets_name_key do nothing
returning id, name, sha256, bytes, examples, format, report as "report: Json<DatasetReport>", twin, created_at"#,
        new.id.as_str(),
        &new.name,
        &new.sha256,
        i64::try_from(new.bytes).unwrap_or(i64::MAX),
        i64::try_from(new.facts.examples).unwrap_or(i64::MAX),
        new.facts.format.name(),
        Json(&new.facts.report) as _,
        new.twin
    );
    match bounded(query.fetch_optional(&storage.pool)).await? {
        Some(row) => Ok(Stored::Created(dataset_of(row)?)),
        None => Ok(Stored::Existing(dataset(storage, &new.name).await?)),
    }
}
