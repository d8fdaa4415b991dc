//! Which experiments are to be analysed, and what became of it.

use serde_json::{Map, Value};
use sqlx::types::Json;

use super::{Made, MemberJob, NewMember, id_of, word, write_down};
use crate::domain::experiment::{ExperimentArm, JobRole};
use crate::domain::ids::{ExperimentId, JobId};
use crate::storage::jobs::{Submitted, submit_on};
use crate::storage::{CALL_LIMIT, Result, Storage, bounded, within};

/// An experiment whose other jobs have all ended since its last analysis was asked for.
#[derive(Debug, Clone)]
pub struct Due {
    /// The experiment.
    pub id: ExperimentId,
    /// Who submitted it.
    pub owner: String,
    /// Its arms.
    pub arms: Vec<ExperimentArm>,
    /// Parameters of the analysis.
    pub settings: Map<String, Value>,
    /// The jobs and their ends, as they are now.
    pub ends: Value,
    /// Jobs that succeeded: role, arm, seed, job.
    pub succeeded: Vec<(JobRole, Option<String>, Option<u64>, JobId)>,
}

/// What is to be analysed; at most a few at a time.
pub async fn due(storage: &Storage) -> Result<Vec<Due>> {
    let query = sqlx::query!(
        r#"-- experiments::due
select e.id, e.owner, e.arms as "arms: Json<Vec<ExperimentArm>>", e.settings as "settings!: Json<Map<String, Value>>", now.ends as "ends!"
from experiments e, lateral (
  select jsonb_object_agg(m.key, m.job || ' ' || j.state) as ends,
    bool_and(j.state in ('succeeded', 'failed', 'cancelled')) as ended
  from experiment_jobs m join jobs j on j.id = m.job where m.experiment = e.id and m.role <> 'analyze') now
where e.settings is not null and e.cancelled_at is null and now.ended and e.analysed is distinct from now.ends
order by e.id limit 10"#
    );
    let mut due = Vec::new();
    for row in bounded(query.fetch_all(&storage.pool)).await? {
        let id: ExperimentId = id_of(row.id)?;
        due.push(Due {
            owner: row.owner,
            arms: row.arms.0,
            settings: row.settings.0,
            ends: row.ends,
            succeeded: succeeded(storage, &id).await?,
            id,
        });
    }
    Ok(due)
}

async fn succeeded(
    storage: &Storage,
    id: &ExperimentId,
) -> Result<Vec<(JobRole, Option<String>, Option<u64>, JobId)>> {
    let query = sqlx::query!(
        "-- experiments::succeeded
select m.role, m.arm, m.seed, m.job from experiment_jobs m join jobs j on j.id = m.job
where m.experiment = $1 and j.state = 'succeeded' and m.role <> 'analyze' order by m.position",
        id.as_str()
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter()
        .map(|row| {
            let seed = row.seed.map(i64::unsigned_abs);
            Ok((word(row.role)?, row.arm, seed, id_of(row.job)?))
        })
        .collect()
}

/// Writes down that `due` is analysed by `job`, or why it cannot be. Another server may have been faster; then nothing changes.
pub async fn analysed(
    storage: &Storage,
    due: &Due,
    job: std::result::Result<MemberJob, String>,
    bound: u32,
) -> Result<Made> {
    let made = within(CALL_LIMIT, async {
        let mut transaction = storage.pool.begin().await?;
        let query = sqlx::query!(
            "-- experiments::analysed
update experiments set analysed = $2, analysis_problem = $3, updated_at = queue_now()
where id = $1 and analysed is distinct from $2 and cancelled_at is null",
            due.id.as_str(),
            due.ends,
            job.as_ref().err().map(String::as_str)
        );
        if query.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(Made::Moved);
        }
        if let Ok(job) = job {
            if let MemberJob::New(new) = &job {
                match submit_on(&mut transaction, new, bound).await? {
                    Submitted::Created => {}
                    Submitted::QueueFull => return Ok(Made::QueueFull),
                    Submitted::Existing(_) | Submitted::ParentEnded(_) => return Ok(Made::Moved),
                }
            }
            write_down(&mut transaction, &due.id, &member(job)).await?;
        }
        transaction.commit().await?;
        Ok(Made::All)
    })
    .await?;
    storage.hints.ring_work();
    Ok(made)
}

fn member(job: MemberJob) -> NewMember {
    NewMember {
        key: JobRole::Analyze.name().into(),
        role: JobRole::Analyze,
        arm: None,
        seed: None,
        job,
    }
}
