//! Handed-in adapters as rows.

use sqlx::types::Json;
use time::OffsetDateTime;

use super::{Stored, Stretch};
use crate::domain::adapter::{Adapter, AdapterFacts};
use crate::domain::assets::FileEntry;
use crate::domain::ids::{AdapterId, BaseModelId};
use crate::storage::queue::id_of;
use crate::storage::{Error, Result, Storage, bounded};

struct Row {
    id: String,
    name: String,
    base_model: String,
    sha256: String,
    facts: Json<AdapterFacts>,
    files: Json<Vec<FileEntry>>,
    created_at: OffsetDateTime,
}

fn adapter_of(row: Row) -> Result<Adapter> {
    Ok(Adapter {
        id: id_of(row.id)?,
        name: row.name,
        base_model: id_of(row.base_model)?,
        sha256: row.sha256,
        facts: row.facts.0,
        files: row.files.0,
        created_at: row.created_at,
    })
}

/// The adapter with this name or id, if there is one.
pub async fn adapter_named(storage: &Storage, key: &str) -> Result<Option<Adapter>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::adapter
select id, name, base_model, sha256, facts as "facts: Json<AdapterFacts>", files as "files: Json<Vec<FileEntry>>", created_at
from adapters where id = $1 or name = $1"#,
        key
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    row.map(adapter_of).transpose()
}

/// The adapter with this name or id.
///
/// *Errors*: not found.
pub async fn adapter(storage: &Storage, key: &str) -> Result<Adapter> {
    let found = adapter_named(storage, key).await?;
    found.ok_or_else(|| Error::not_found("adapter", key.escape_debug()))
}

/// Adapters, the newest first.
pub async fn adapters(storage: &Storage, stretch: Stretch<'_>) -> Result<Vec<Adapter>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::adapters
select id, name, base_model, sha256, facts as "facts: Json<AdapterFacts>", files as "files: Json<Vec<FileEntry>>", created_at
from adapters where $1::text is null or id < $1 order by id desc limit $2"#,
        stretch.before,
        stretch.limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(adapter_of).collect()
}

/// An adapter whose files are in the artifact store.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAdapter {
    /// Its id, should it be made.
    pub id: AdapterId,
    /// Its unique name.
    pub name: String,
    /// The base that it was checked against.
    pub base_model: BaseModelId,
    /// Hash of its files' names and hashes.
    pub sha256: String,
    /// What the check found out.
    pub facts: AdapterFacts,
    /// Its files.
    pub files: Vec<FileEntry>,
}

/// Records an adapter, unless its name is taken.
pub async fn insert_adapter(storage: &Storage, new: &NewAdapter) -> Result<Stored<Adapter>> {
    let query = sqlx::query_as!(
        Row,
        r#"-- registry::insert_adapter
insert into adapters (id, name, base_model, sha256, facts, files) values ($1, $2, $3, $4, $5, $6)
on conflict on constraint adapters_name_key do nothing
returning id, name, base_model, sha256, facts as "facts: Json<AdapterFacts>", files as "files: Json<Vec<FileEntry>>", created_at"#,
        new.id.as_str(),
        &new.name,
        new.base_model.as_str(),
        &new.sha256,
        Json(&new.facts) as _,
        Json(&new.files) as _
    );
    match bounded(query.fetch_optional(&storage.pool)).await? {
        Some(row) => Ok(Stored::Created(adapter_of(row)?)),
        None => Ok(Stored::Existing(adapter(storage, &new.name).await?)),
    }
}
