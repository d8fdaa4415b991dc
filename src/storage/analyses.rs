//! Analyses: their heads and their numbers. Running attempts write them; here they are only read.

use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::queue::{id_of, word};
use super::{Error, Result, Storage, bounded};
use crate::domain::analysis::{AnalysisSettings, AngleTable, RunSeries};
use crate::domain::analyze::{AnalysisHead, AnalyzedRun};
use crate::domain::ids::AnalysisId;
use crate::domain::transitions::Transitions;

struct HeadRow {
    id: String,
    job: String,
    state: String,
    runs: Json<Vec<AnalyzedRun>>,
    settings: Json<AnalysisSettings>,
    created_at: OffsetDateTime,
}

/// The analysis with this id, or the one that this job fills.
///
/// *Errors*: not found.
pub async fn head(storage: &Storage, key: &str) -> Result<AnalysisHead> {
    let query = sqlx::query_as!(
        HeadRow,
        r#"-- analyses::head
select a.id, a.job, jobs.state, jobs.spec -> 'runs' as "runs!: Json<Vec<AnalyzedRun>>",
  a.settings as "settings: Json<AnalysisSettings>", a.created_at
from analyses a join jobs on jobs.id = a.job where a.id = $1 or a.job = $1"#,
        key
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    let row = row.ok_or_else(|| Error::not_found("analysis", key.escape_debug()))?;
    Ok(AnalysisHead {
        id: id_of(row.id)?,
        job: id_of(row.job)?,
        state: word(row.state)?,
        runs: row.runs.0,
        settings: row.settings.0,
        created_at: row.created_at,
    })
}

/// The series of every run; none as long as they are not computed.
pub async fn series(storage: &Storage, id: &AnalysisId) -> Result<Option<Vec<RunSeries>>> {
    part(storage, id, "series").await
}

/// Angles between the last vectors of different runs; none as long as they are not computed.
pub async fn angles(storage: &Storage, id: &AnalysisId) -> Result<Option<Vec<AngleTable>>> {
    part(storage, id, "angles").await
}

/// The transitions; none as long as they are not computed.
pub async fn transitions(storage: &Storage, id: &AnalysisId) -> Result<Option<Transitions>> {
    part(storage, id, "transitions").await
}

async fn part<T: DeserializeOwned>(
    storage: &Storage,
    id: &AnalysisId,
    name: &str,
) -> Result<Option<T>> {
    let query = sqlx::query_scalar!(
        r#"-- analyses::part
select result -> $2 as "part: Value" from analyses where id = $1"#,
        id.as_str(),
        name
    );
    let part = bounded(query.fetch_optional(&storage.pool)).await?;
    let read = |part| {
        serde_json::from_value(part)
            .map_err(|error| Error::invariant(format!("{id}: {name} cannot be read: {error}")))
    };
    part.flatten().map(read).transpose()
}
