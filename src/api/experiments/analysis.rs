//! The analysis of an experiment is asked for when all other jobs have ended: those that succeeded are what it reads.

use serde_json::json;

use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::api::jobs::plan::{analysis, job};
use crate::domain::experiment::{Member, analysis_body};
use crate::domain::job::{JobEnvelope, JobSpec};
use crate::domain::requests::job_request;
use crate::storage::experiments::{self, Due, MemberJob};
use crate::storage::jobs;

/// Asks for every analysis that is due, and lets paused experiments stand still.
///
/// *Errors*: storage's; what is due stays due.
pub async fn ask_due(state: &ApiState) -> Result<(), String> {
    let told = |error: crate::storage::Error| error.to_string();
    experiments::settle(&state.storage).await.map_err(told)?;
    for due in experiments::due(&state.storage).await.map_err(told)? {
        let job = analysis_job(state, &due).await?;
        let bound = state.settings.queued_jobs;
        let made = experiments::analysed(&state.storage, &due, job, bound).await;
        made.map_err(told)?;
    }
    Ok(())
}

/// The job that analyses what succeeded, or why there is none.
///
/// *Errors*: an outage, after which it is asked for again.
async fn analysis_job(state: &ApiState, due: &Due) -> Result<Result<MemberJob, String>, String> {
    let members = due.succeeded.iter().map(|(role, arm, seed, job)| Member {
        role: *role,
        arm: arm.as_deref(),
        seed: *seed,
        job: json!(job),
    });
    let members: Vec<Member<'_>> = members.collect();
    let Some(body) = analysis_body(&due.arms, &members, &due.settings) else {
        return Ok(Err(
            "no run succeeded, so there is nothing to analyse".into()
        ));
    };
    let mut spec = match job_request(body) {
        Ok((_, spec)) => spec,
        Err(invalid) => return Ok(Err(invalid.to_string())),
    };
    match submitted(state, due, &mut spec).await {
        Ok(job) => Ok(Ok(job)),
        Err(problem) if problem.status().is_server_error() => Err(in_words(&problem)),
        Err(problem) => Ok(Err(in_words(&problem))),
    }
}

fn in_words(problem: &Problem) -> String {
    let places = problem.errors().iter().map(|error| {
        let place = error.pointer.as_deref().unwrap_or_default();
        format!("{place}: {}", error.detail)
    });
    let places: Vec<String> = places.collect();
    match places.is_empty() {
        true => problem.detail().to_owned(),
        false => places.join("; "),
    }
}

async fn submitted(state: &ApiState, due: &Due, spec: &mut JobSpec) -> Answer<MemberJob> {
    if let JobSpec::Analyze(spec) = spec {
        analysis::settle(&state.storage, spec).await?;
    }
    let envelope = JobEnvelope {
        name: Some(format!("{}: analyze", due.id)),
        ..JobEnvelope::default()
    };
    let new = job(state, envelope, spec).await?;
    Ok(match jobs::same_work(&state.storage, &new).await? {
        Some(id) => MemberJob::Existing(id),
        None => MemberJob::New(Box::new(new)),
    })
}
