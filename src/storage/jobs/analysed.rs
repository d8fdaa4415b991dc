//! What an analysis names: fine-tunes with what is recorded of their vectors, and evaluations with what they are about.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::types::Json;

use super::{id, references, word};
use crate::domain::ids::JobId;
use crate::domain::requests::fit::{Analysed, EvaluationFacts, RunFacts};
use crate::storage::{Result, Storage, bounded};

/// Those of `jobs` and of `evaluations`, each an id or a name or a job's id, that exist.
pub async fn analysed(
    storage: &Storage,
    jobs: &[JobId],
    evaluations: &[String],
) -> Result<Analysed> {
    Ok(Analysed {
        runs: runs(storage, jobs).await?,
        evaluations: evaluated(storage, evaluations).await?,
    })
}

async fn runs(storage: &Storage, jobs: &[JobId]) -> Result<BTreeMap<JobId, RunFacts>> {
    let mut facts = references::jobs(storage, jobs).await?;
    let ids: Vec<&str> = jobs.iter().map(JobId::as_str).collect();
    let query = sqlx::query!(
        r#"-- jobs::recorded_vectors
select id, exists (select from vectors v where v.job = jobs.id) as "vectors!",
  exists (select from norm_modules n, jsonb_array_elements(n.modules) m where n.job = jobs.id and m ->> 'rank' = '1') as "rank_one!",
  (select (data ->> 'every')::bigint from events e where e.job = jobs.id and e.type = 'vectors_thinned' order by e.id desc limit 1)
    as every
from jobs where id = any($1)"#,
        ids.as_slice() as _
    );
    let mut found = BTreeMap::new();
    for row in bounded(query.fetch_all(&storage.pool)).await? {
        let job: JobId = id(row.id)?;
        if let Some(facts) = facts.remove(&job) {
            let run = RunFacts {
                job: facts,
                vectors: row.vectors,
                rank_one: row.rank_one,
                every: row.every.map_or(1, i64::unsigned_abs),
            };
            found.insert(job, run);
        }
    }
    Ok(found)
}

struct EvaluatedRow {
    wanted: String,
    id: String,
    accepted: bool,
    metrics: Json<Vec<String>>,
    job: Option<String>,
    state: Option<String>,
    numerics_hash: Option<String>,
    dedup_salt: Option<String>,
    targets: Vec<String>,
}

async fn evaluated(
    storage: &Storage,
    names: &[String],
) -> Result<BTreeMap<String, EvaluationFacts>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let query = sqlx::query_as!(
        EvaluatedRow,
        r#"-- jobs::evaluated
select wanted.name as "wanted!", e.id, e.errors_accepted_at is not null as "accepted!", e.metrics as "metrics: Json<Vec<String>>",
  own.id as "job?", own.state as "state?", own.numerics_hash as "numerics_hash?", own.dedup_salt as "dedup_salt?",
  array(select distinct target ->> 'job'
    from jsonb_array_elements(root.targets || coalesce(drew.spec -> 'targets', '[]')) target
    where target ->> 'job' is not null) as "targets!"
from unnest($1::text[]) as wanted (name)
join evaluations e on e.id = wanted.name or e.job = wanted.name or e.name = wanted.name
join evaluations root on root.id = coalesce(e.answers_of, e.id)
left join jobs own on own.id = e.job
left join jobs drew on drew.id = root.job"#,
        names
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(facts).collect()
}

fn facts(row: EvaluatedRow) -> Result<(String, EvaluationFacts)> {
    let identity = match (&row.numerics_hash, &row.dedup_salt) {
        (Some(hash), Some(salt)) => json!({"identity": hash, "salt": salt}),
        _ => json!({"evaluation": row.id}),
    };
    let job = match (row.job, row.state) {
        (Some(job), Some(state)) => Some((id(job)?, word(state)?)),
        _ => None,
    };
    let facts = EvaluationFacts {
        id: id(row.id)?,
        job,
        accepted: row.accepted,
        identity,
        metrics: row.metrics.0,
        jobs: row
            .targets
            .into_iter()
            .map(id)
            .collect::<Result<BTreeSet<_>>>()?,
    };
    Ok((row.wanted, facts))
}
