//! Experiments as rows: how they come to be, grow, and what their owners wish. Jobs themselves are the queue's.

mod analysis;
mod reading;
mod wishes;

pub use analysis::{Due, analysed, due};
pub use reading::{Filter, arms, facts, get, jobs, list, members, spec};
pub use wishes::{cancel, pause, resume, retry, settle};

use serde_json::{Map, Value};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::jobs::{NewJob, Submitted, submit_on};
use super::queue::{id_of, word};
use super::{Error, Result, Storage, within};
use crate::domain::experiment::{ExperimentArm, JobRole};
use crate::domain::ids::{ExperimentId, JobId};
use crate::domain::job::Priority;

/// Time limit of the transaction that makes an experiment: a thousand jobs are a few thousand rows.
const CREATE_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// The head of an experiment.
#[derive(Debug, Clone)]
pub struct NewExperiment {
    /// Its id.
    pub id: ExperimentId,
    /// What people call it.
    pub name: String,
    /// Who submits it.
    pub owner: String,
    /// Band of its jobs.
    pub priority: Priority,
    /// The owner's labels.
    pub tags: Value,
    /// As posted, defaults filled in.
    pub spec: Value,
    /// As planned.
    pub arms: Vec<ExperimentArm>,
    /// Parameters of the analysis; none where nothing is analysed.
    pub settings: Option<Map<String, Value>>,
}

/// A planned job with its place.
#[derive(Debug, Clone)]
pub struct NewMember {
    /// Its place in the plan.
    pub key: String,
    /// What it does.
    pub role: JobRole,
    /// Its arm.
    pub arm: Option<String>,
    /// Its training seed.
    pub seed: Option<u64>,
    /// The job.
    pub job: MemberJob,
}

/// A job of an experiment, at the time of planning.
#[derive(Debug, Clone)]
pub enum MemberJob {
    /// This one did or does the same work.
    Existing(JobId),
    /// Nobody has done it.
    New(Box<NewJob>),
}

impl MemberJob {
    /// Its id.
    pub fn id(&self) -> &JobId {
        match self {
            Self::Existing(id) => id,
            Self::New(job) => &job.id,
        }
    }
}

/// What became of a planned experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Everything is there.
    All,
    /// As many jobs wait as may; nothing was made.
    QueueFull,
    /// A job came or ended since the plan was made; nothing was made, and the plan must be made anew.
    Moved,
}

/// Makes the experiment and all of its jobs, or nothing.
pub async fn create(
    storage: &Storage,
    experiment: &NewExperiment,
    members: &[NewMember],
    bound: u32,
) -> Result<Made> {
    let made = within(CREATE_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        insert(&mut transaction, experiment).await?;
        let made = join(&mut transaction, &experiment.id, members, bound).await?;
        if made == Made::All {
            transaction.commit().await?;
        }
        Ok(made)
    })
    .await?;
    storage.hints.ring_work();
    Ok(made)
}

/// Gives the experiment another spec and the jobs among `members` that it does not have, or changes nothing.
///
/// *Errors*: not found; conflict where it was cancelled.
pub async fn extend(
    storage: &Storage,
    experiment: &NewExperiment,
    members: &[NewMember],
    bound: u32,
) -> Result<Made> {
    let made = within(CREATE_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        replace(&mut transaction, experiment).await?;
        let known = keys(&mut transaction, &experiment.id).await?;
        let new: Vec<NewMember> = members
            .iter()
            .filter(|member| !known.contains(&member.key))
            .cloned()
            .collect();
        let made = join(&mut transaction, &experiment.id, &new, bound).await?;
        if made == Made::All {
            transaction.commit().await?;
        }
        Ok(made)
    })
    .await?;
    storage.hints.ring_work();
    Ok(made)
}

async fn insert(connection: &mut PgConnection, new: &NewExperiment) -> Result<()> {
    let query = sqlx::query!(
        "-- experiments::insert
insert into experiments (id, name, owner, priority, tags, spec, arms, settings) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        new.id.as_str(),
        new.name,
        new.owner,
        band(new.priority),
        new.tags,
        new.spec,
        Json(&new.arms) as _,
        new.settings.as_ref().map(Json) as _
    );
    query.execute(connection).await?;
    Ok(())
}

async fn replace(connection: &mut PgConnection, new: &NewExperiment) -> Result<()> {
    let query = sqlx::query_scalar!(
        r#"-- experiments::replace
with asked as (
  update experiments set spec = $2, arms = $3, settings = $4, updated_at = queue_now()
  where id = $1 and cancelled_at is null returning id)
select (select count(*) from asked) as "changed!""#,
        new.id.as_str(),
        new.spec,
        Json(&new.arms) as _,
        new.settings.as_ref().map(Json) as _
    );
    match query.fetch_one(connection).await? {
        0 => Err(Error::Conflict {
            what: format!("{} was cancelled; retry it before it grows", new.id),
            constraint: None,
        }),
        _ => Ok(()),
    }
}

async fn keys(connection: &mut PgConnection, experiment: &ExperimentId) -> Result<Vec<String>> {
    let query = sqlx::query_scalar!(
        "-- experiments::keys
select key from experiment_jobs where experiment = $1",
        experiment.as_str()
    );
    Ok(query.fetch_all(connection).await?)
}

/// Submits what is new and writes down who belongs to the experiment.
async fn join(
    connection: &mut PgConnection,
    experiment: &ExperimentId,
    members: &[NewMember],
    bound: u32,
) -> Result<Made> {
    for member in members {
        if let MemberJob::New(job) = &member.job {
            match submit_on(connection, job, bound).await? {
                Submitted::Created => {}
                Submitted::QueueFull => return Ok(Made::QueueFull),
                Submitted::Existing(_) | Submitted::ParentEnded(_) => return Ok(Made::Moved),
            }
        }
        write_down(connection, experiment, member).await?;
    }
    Ok(Made::All)
}

/// Records a member; one of the same key gives way.
pub(super) async fn write_down(
    connection: &mut PgConnection,
    experiment: &ExperimentId,
    member: &NewMember,
) -> Result<()> {
    let query = sqlx::query!(
        "-- experiments::join
insert into experiment_jobs (experiment, key, position, role, arm, seed, job, reused)
select $1, $2, (select count(*)::int from experiment_jobs where experiment = $1), $3, $4, $5, $6, $7
on conflict (experiment, key) do update set job = excluded.job, reused = excluded.reused",
        experiment.as_str(),
        member.key,
        member.role.name(),
        member.arm,
        member
            .seed
            .map(|seed| i64::try_from(seed).unwrap_or(i64::MAX)),
        member.job.id().as_str(),
        matches!(member.job, MemberJob::Existing(_))
    );
    query.execute(connection).await?;
    Ok(())
}

/// The place of a priority among the bands.
fn band(priority: Priority) -> i16 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}
