//! A new job, or the one that does the same work already.

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::analysis::AnalysisSettings;
use crate::domain::ids::{AnalysisId, EvaluationId, JobId};
use crate::domain::job::{Dedup, JobEnvelope, JobKind, JobResult, Priority};
use crate::domain::judging::RubricUse;
use crate::domain::requests::identity::Hashes;
use crate::storage::{CALL_LIMIT, Error, Result, Storage, within};

/// Everything that a job is made of.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id, should it be made.
    pub id: JobId,
    /// Who submits it.
    pub owner: String,
    /// What comes beside the spec.
    pub envelope: JobEnvelope,
    /// What it does.
    pub kind: JobKind,
    /// As stored and shown.
    pub spec: Value,
    /// What makes it the same work as another.
    pub hashes: Hashes,
    /// Jobs that must succeed first, whether they have or not.
    pub parents: Vec<JobId>,
    /// The evaluation that it fills; of `evaluate` jobs only.
    pub evaluation: Option<NewEvaluation>,
    /// The analysis that it fills; of `analyze` jobs only.
    pub analysis: Option<NewAnalysis>,
}

/// The head of an analysis whose job is new.
#[derive(Debug, Clone)]
pub struct NewAnalysis {
    /// Its id.
    pub id: AnalysisId,
    /// What is computed, and how.
    pub settings: AnalysisSettings,
}

/// The head of an evaluation whose job is new.
#[derive(Debug, Clone)]
pub struct NewEvaluation {
    /// Its id.
    pub id: EvaluationId,
    /// Name of the judge.
    pub judge: String,
    /// What it scores.
    pub metrics: Vec<String>,
    /// Key of every random draw, within a `bigint`.
    pub seed: u64,
    /// The evaluation that has the answers; none where this one's job draws them.
    pub answers_of: Option<EvaluationId>,
    /// The prompts that answers are judged with.
    pub rubrics: Vec<RubricUse>,
    /// Everything that scores depend on besides prompt and answer, where the judge tells.
    pub judge_definition: Option<Value>,
}

/// What became of a new job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submitted {
    /// It is a job now.
    Created,
    /// This one does the same work; nothing was made.
    Existing(JobId),
    /// As many jobs wait as may; nothing was made.
    QueueFull,
    /// This parent failed or was cancelled meanwhile; nothing was made.
    ParentEnded(JobId),
}

/// Makes a job unless the same work exists or `bound` jobs wait already, and lets idle workers know.
///
/// The bound is looked at without a lock, so submissions at the same instant may pass it by their own number.
pub async fn submit(storage: &Storage, job: &NewJob, bound: u32) -> Result<Submitted> {
    let submitted = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        let submitted = submit_on(&mut transaction, job, bound).await?;
        transaction.commit().await?;
        Ok(submitted)
    })
    .await?;
    storage.hints.ring_work();
    Ok(submitted)
}

/// The same within the caller's transaction, who rings the bell after its end.
pub(crate) async fn submit_on(
    connection: &mut PgConnection,
    job: &NewJob,
    bound: u32,
) -> Result<Submitted> {
    let parents = match job.parents.as_slice() {
        [] => Vec::new(),
        parents => lock_parents(connection, parents).await?,
    };
    let ended = |state: &str| matches!(state, "failed" | "cancelled");
    if let Some((parent, _)) = parents.iter().find(|(_, state)| ended(state)) {
        return Ok(Submitted::ParentEnded(super::id(parent.clone())?));
    }
    let blocked = parents.iter().any(|(_, state)| state != "succeeded");
    // What stands in the way of the insertion may fail before it is read; then there is room for this one.
    for _ in 0..3 {
        if insert(connection, job, blocked, bound).await? {
            return Ok(Submitted::Created);
        }
        match existing(connection, job).await? {
            Some(id) => return Ok(Submitted::Existing(super::id(id)?)),
            None if is_full(connection, bound).await? => return Ok(Submitted::QueueFull),
            None => {}
        }
    }
    Err(Error::Timeout { seconds: 0 })
}

/// States of the parents, which cannot end before this transaction does.
async fn lock_parents(
    connection: &mut PgConnection,
    parents: &[JobId],
) -> Result<Vec<(String, String)>> {
    let ids: Vec<&str> = parents.iter().map(JobId::as_str).collect();
    let query = sqlx::query!(
        "-- jobs::lock_parents
select id, state from jobs where id = any($1) order by id for share",
        ids.as_slice() as _
    );
    let rows = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.state)).collect())
}

async fn insert(
    connection: &mut PgConnection,
    job: &NewJob,
    blocked: bool,
    bound: u32,
) -> Result<bool> {
    let evaluation = job.evaluation.as_ref();
    let analysis = job.analysis.as_ref();
    let parents: Vec<&str> = job.parents.iter().map(JobId::as_str).collect();
    let query = sqlx::query_scalar!(
        r#"-- jobs::insert
with made as (
  insert into jobs (id, kind, name, owner, state, priority, tags, spec, numerics_hash, spec_hash, dedup_salt, result, queued_at)
  select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, case when $5 = 'queued' then queue_now() end
  where (select count(*) from (select 1 from jobs where state in ('queued', 'blocked') limit $13) waiting) < $13
  on conflict (spec_hash, dedup_salt) where state not in ('failed', 'cancelled') and not retired do nothing
  returning id, state),
parents as (insert into job_parents (job, parent) select made.id, parent from made, unnest($14::text[]) as parent),
told as (insert into events (job, type) select id, state from made),
evaluation as (
  insert into evaluations (id, job, judge, metrics, seed, answers_of, rubrics, judge_definition)
  select $15, made.id, $16, $17, $18, $19, $20, $21 from made where $15::text is not null),
analysis as (
  insert into analyses (id, job, settings) select $22, made.id, $23 from made where $22::text is not null)
select count(*) as "made!" from made"#,
        job.id.as_str(),
        job.kind.name(),
        job.envelope.name.as_deref(),
        &job.owner,
        if blocked { "blocked" } else { "queued" },
        band(job.envelope.priority),
        Json(&job.envelope.tags) as _,
        &job.spec,
        &job.hashes.numerics,
        &job.hashes.spec,
        salt(job),
        Json(first_result(job)) as _,
        i64::from(bound),
        parents.as_slice() as _,
        evaluation.map(|new| new.id.as_str()),
        evaluation.map(|new| new.judge.as_str()),
        evaluation.map(|new| Json(&new.metrics)) as _,
        evaluation.map(|new| i64::try_from(new.seed).unwrap_or(i64::MAX)),
        evaluation
            .and_then(|new| new.answers_of.as_ref())
            .map(EvaluationId::as_str),
        evaluation.map(|new| Json(&new.rubrics)) as _,
        evaluation.and_then(|new| new.judge_definition.clone()),
        analysis.map(|new| new.id.as_str()),
        analysis.map(|new| Json(&new.settings)) as _
    );
    Ok(query.fetch_one(connection).await? == 1)
}

/// What a job has before it did anything: the evaluation or the analysis that it fills.
fn first_result(job: &NewJob) -> JobResult {
    JobResult {
        evaluation: job.evaluation.as_ref().map(|new| new.id.clone()),
        analysis: job.analysis.as_ref().map(|new| new.id.clone()),
        ..JobResult::default()
    }
}

/// The place of a priority among the bands.
fn band(priority: Priority) -> i16 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// What keeps a job apart from equal ones: nothing, or its own id.
fn salt(job: &NewJob) -> &str {
    match job.envelope.dedup {
        Dedup::Force => job.id.as_str(),
        Dedup::Reuse | Dedup::Error => "",
    }
}

/// The job that does the same work as `job` would, where there is one now.
pub async fn same_work(storage: &Storage, job: &NewJob) -> Result<Option<JobId>> {
    let found = within(CALL_LIMIT, async {
        let mut connection = storage.pool.acquire().await?;
        existing(&mut connection, job).await
    });
    found.await?.map(super::id).transpose()
}

async fn existing(connection: &mut PgConnection, job: &NewJob) -> Result<Option<String>> {
    let query = sqlx::query_scalar!(
        "-- jobs::existing
select id from jobs where spec_hash = $1 and dedup_salt = $2 and state not in ('failed', 'cancelled') and not retired",
        &job.hashes.spec,
        salt(job)
    );
    Ok(query.fetch_optional(connection).await?)
}

async fn is_full(connection: &mut PgConnection, bound: u32) -> Result<bool> {
    let query = sqlx::query_scalar!(
        r#"-- jobs::waiting
select count(*) >= $1 as "full!" from (select 1 from jobs where state in ('queued', 'blocked') limit $1) waiting"#,
        i64::from(bound)
    );
    Ok(query.fetch_one(connection).await?)
}
