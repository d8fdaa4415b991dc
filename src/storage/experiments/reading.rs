//! Experiments as the API shows them, and what their planner has to know of the assets that they name.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::{id_of, word};
use crate::domain::experiment::{
    DatasetFacts, Experiment, ExperimentAnalysis, ExperimentArm, ExperimentJob, Facts, JobRole,
    Members, Names,
};
use crate::domain::ids::{ExperimentId, JobId};
use crate::domain::job::{Job, JobState, Priority};
use crate::storage::registry::Stretch;
use crate::storage::{Error, Result, Storage, bounded, jobs as job_rows};

/// Which experiments a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this name.
    pub name: Option<String>,
}

struct Row {
    id: String,
    name: String,
    owner: String,
    priority: i16,
    tags: Json<BTreeMap<String, String>>,
    spec: Value,
    arms: Json<Vec<ExperimentArm>>,
    analysed: bool,
    asks_analysis: bool,
    analysis_problem: Option<String>,
    paused: bool,
    cancelled: bool,
    counts: Json<BTreeMap<JobState, u64>>,
    reused: i64,
    analyze_job: Option<String>,
    analyze_state: Option<String>,
    analysis: Option<String>,
    created_at: OffsetDateTime,
    finished_at: Option<OffsetDateTime>,
}

/// Experiments with everything that the API shows of them; `$1` an id, `$2` a cursor, `$3` a name, each or null, `$4` a number.
macro_rules! shown {
    ($name:tt, $($parameters:tt)+) => {
        sqlx::query_as!(
            Row,
            "-- experiments::" + $name + r#"
select e.id, e.name, e.owner, e.priority, e.tags as "tags: Json<BTreeMap<String, String>>", e.spec,
  e.arms as "arms: Json<Vec<ExperimentArm>>", e.settings is not null as "asks_analysis!", e.analysis_problem,
  e.analysed is not null and e.analysed is not distinct from now.ends as "analysed!",
  e.paused_at is not null as "paused!", e.cancelled_at is not null as "cancelled!",
  coalesce(now.counts, '{}') as "counts!: Json<BTreeMap<JobState, u64>>", coalesce(now.reused, 0) as "reused!",
  last.job as "analyze_job?", last.state as "analyze_state?", last.analysis as "analysis?", e.created_at, now.finished_at
from experiments e
left join lateral (
  select jsonb_object_agg(m.key, m.job || ' ' || j.state) filter (where m.role <> 'analyze') as ends,
    (select jsonb_object_agg(state, n) from (
      select j.state, count(*) as n from experiment_jobs m join jobs j on j.id = m.job where m.experiment = e.id group by j.state
    ) by_state) as counts,
    count(*) filter (where m.reused) as reused, max(j.finished_at) as finished_at
  from experiment_jobs m join jobs j on j.id = m.job where m.experiment = e.id) now on true
left join lateral (
  select m.job, j.state, a.id as analysis from experiment_jobs m join jobs j on j.id = m.job left join analyses a on a.job = m.job
  where m.experiment = e.id and m.role = 'analyze') last on true
where ($1::text is null or e.id = $1) and ($2::text is null or e.id < $2) and ($3::text is null or e.name = $3)
order by e.id desc limit $4"#,
            $($parameters)+
        )
    };
}

/// One experiment.
///
/// *Errors*: not found.
pub async fn get(storage: &Storage, id: &ExperimentId) -> Result<Experiment> {
    let none: Option<&str> = None;
    let query = shown!("get", id.as_str(), none, none, 1);
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    experiment_of(row.ok_or_else(|| Error::not_found("experiment", id))?)
}

/// Experiments, the newest first.
pub async fn list(
    storage: &Storage,
    filter: &Filter,
    stretch: Stretch<'_>,
) -> Result<Vec<Experiment>> {
    let none: Option<&str> = None;
    let name = filter.name.as_deref();
    let query = shown!("list", none, stretch.before, name, stretch.limit);
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(experiment_of).collect()
}

fn experiment_of(row: Row) -> Result<Experiment> {
    let awaits = row.asks_analysis && !row.cancelled && !row.analysed;
    let members = Members {
        counts: row.counts.0,
        awaits_analysis: awaits,
        cancelled: row.cancelled,
        paused: row.paused,
    };
    let state = members.state();
    let analysis = row.asks_analysis.then_some(ExperimentAnalysis {
        job: row.analyze_job.map(id_of).transpose()?,
        state: row.analyze_state.map(word).transpose()?,
        analysis: row.analysis,
        problem: row.analysis_problem,
    });
    Ok(Experiment {
        id: id_of(row.id)?,
        name: row.name,
        owner: row.owner,
        state,
        done: members.done(),
        total: members.total(),
        counts: members.counts,
        reused: row.reused.unsigned_abs(),
        preset: row.spec["preset"].as_str().map(str::to_owned),
        arms: row.arms.0,
        analysis,
        priority: match row.priority {
            0 => Priority::High,
            1 => Priority::Normal,
            _ => Priority::Low,
        },
        tags: row.tags.0,
        spec: row.spec,
        created_at: row.created_at,
        finished_at: row.finished_at.filter(|_| state.is_final()),
    })
}

/// The spec as posted, defaults filled in.
///
/// *Errors*: not found.
pub async fn spec(storage: &Storage, id: &ExperimentId) -> Result<Value> {
    let query = sqlx::query_scalar!(
        "-- experiments::spec
select spec from experiments where id = $1",
        id.as_str()
    );
    let spec = bounded(query.fetch_optional(&storage.pool)).await?;
    spec.ok_or_else(|| Error::not_found("experiment", id))
}

/// The arms as planned.
///
/// *Errors*: not found.
pub async fn arms(storage: &Storage, id: &ExperimentId) -> Result<Vec<ExperimentArm>> {
    let query = sqlx::query_scalar!(
        r#"-- experiments::arms
select arms as "arms: Json<Vec<ExperimentArm>>" from experiments where id = $1"#,
        id.as_str()
    );
    let arms = bounded(query.fetch_optional(&storage.pool)).await?;
    let arms = arms.ok_or_else(|| Error::not_found("experiment", id))?;
    Ok(arms.0)
}

struct MemberRow {
    key: String,
    role: String,
    arm: Option<String>,
    seed: Option<i64>,
    job: String,
    reused: bool,
}

async fn rows(storage: &Storage, id: &ExperimentId) -> Result<Vec<MemberRow>> {
    let query = sqlx::query_as!(
        MemberRow,
        "-- experiments::members
select key, role, arm, seed, job, reused from experiment_jobs where experiment = $1 order by role = 'analyze', position",
        id.as_str()
    );
    bounded(query.fetch_all(&storage.pool)).await
}

/// The jobs of an experiment, parents first and the analysis last, each with everything that is known of it.
///
/// *Errors*: not found.
pub async fn members(
    storage: &Storage,
    id: &ExperimentId,
) -> Result<Vec<(JobRole, ExperimentJob, Job)>> {
    arms(storage, id).await?;
    let rows = rows(storage, id).await?;
    let ids: Vec<&str> = rows.iter().map(|row| row.job.as_str()).collect();
    let found = job_rows::several(storage, &ids).await?;
    let jobs: BTreeMap<JobId, Job> = found.into_iter().map(|job| (job.id.clone(), job)).collect();
    rows.into_iter()
        .map(|row| {
            let id: JobId = id_of(row.job.clone())?;
            let job = jobs.get(&id).cloned();
            let job = job.ok_or_else(|| Error::invariant(format!("{id} is gone")))?;
            let member = member_of(row, &job)?;
            Ok((member.role, member, job))
        })
        .collect()
}

/// The jobs of an experiment as the API shows them.
///
/// *Errors*: not found.
pub async fn jobs(storage: &Storage, id: &ExperimentId) -> Result<Vec<ExperimentJob>> {
    let members = members(storage, id).await?;
    Ok(members.into_iter().map(|(_, member, _)| member).collect())
}

fn member_of(row: MemberRow, job: &Job) -> Result<ExperimentJob> {
    Ok(ExperimentJob {
        key: row.key,
        role: word(row.role)?,
        arm: row.arm,
        seed: row.seed.map(i64::unsigned_abs),
        job: job.id.clone(),
        kind: job.kind,
        name: job.name.clone(),
        reused: row.reused,
        state: job.state,
        phase: job.phase,
        progress: job.progress.clone(),
        error: job.error.clone(),
        parents: job.parents.clone(),
        evaluation: job.result.evaluation.clone(),
        analysis: job.result.analysis.as_ref().map(ToString::to_string),
    })
}

/// What the planner has to know of what a spec names, twins of named datasets among it.
pub async fn facts(storage: &Storage, names: &Names) -> Result<Facts> {
    let bases: Vec<String> = names.bases.iter().cloned().collect();
    let query = sqlx::query_scalar!(
        r#"-- experiments::bases
select wanted.name as "name!" from unnest($1::text[]) as wanted (name)
where exists (select from base_models b where b.id = wanted.name or b.name = wanted.name)"#,
        &bases
    );
    let bases = bounded(query.fetch_all(&storage.pool)).await?;
    let wanted: Vec<String> = names.datasets.iter().cloned().collect();
    let mut datasets = named(storage, &wanted).await?;
    let twins: Vec<String> = datasets
        .values()
        .filter_map(|facts| facts.twin.clone())
        .collect();
    datasets.extend(named(storage, &twins).await?);
    Ok(Facts {
        datasets,
        bases: bases.into_iter().collect(),
    })
}

async fn named(storage: &Storage, names: &[String]) -> Result<BTreeMap<String, DatasetFacts>> {
    let query = sqlx::query!(
        r#"-- experiments::datasets
select wanted.name as "wanted!", d.examples as "examples!", d.twin
from unnest($1::text[]) as wanted (name) join datasets d on d.id = wanted.name or d.name = wanted.name"#,
        names
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let facts = rows.into_iter().map(|row| {
        let facts = DatasetFacts {
            examples: row.examples.unsigned_abs(),
            twin: row.twin,
        };
        (row.wanted, facts)
    });
    Ok(facts.collect())
}
