//! `/v1/queue`: who runs, who waits, why, and until when; and the same for jobs that nobody has sent yet.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{InPath, JsonBody, Query};
use crate::domain::decode::decode_at;
use crate::domain::ids::JobId;
use crate::domain::invalid::{FieldError, Findings};
use crate::domain::job::{JobKind, Priority};
use crate::domain::queue::{Queue, QueuedJob};
use crate::domain::scheduling::line::Candidate;
use crate::domain::scheduling::snapshot::{Snapshot, band};
use crate::storage::queue::line;

/// Jobs of each user and band that are looked at.
const LOOKED_AT: i64 = 1000;
/// Jobs that one simulation may ask about.
const MOST_IMAGINED: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(one))
        .routes(routes!(simulate))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ShowQuery {
    /// Waiting jobs that are shown at most.
    #[param(minimum = 1)]
    limit: Option<u32>,
}

/// Show the queue
///
/// Who runs, and who waits in the order in which they will start, each with its reason and a forecast of start and end.
#[utoipa::path(get, path = "/v1/queue", tag = "queue", params(ShowQuery), responses((status = 200, body = Queue)))]
async fn show(
    State(state): State<ApiState>,
    Query(query): Query<ShowQuery>,
) -> Answer<Json<Queue>> {
    let rules = state.storage.rules();
    let snapshot = line::expected(&state.storage, LOOKED_AT).await?;
    let (queued, blocked) = line::counts(&state.storage).await?;
    let limit = query
        .limit
        .unwrap_or(state.settings.page_items)
        .clamp(1, state.settings.page_items);
    let mut waiting = snapshot.waiting(rules);
    waiting.truncate(limit as usize);
    Ok(Json(Queue {
        now: snapshot.now,
        running: snapshot.runs(),
        not_shown: queued.saturating_sub(waiting.len() as u64),
        waiting,
        blocked,
        users: snapshot.users(),
    }))
}

/// Show a job's place in the queue
#[utoipa::path(get, path = "/v1/queue/{job}", tag = "queue", params(("job" = String, Path, description = "id of a job")), responses(
    (status = 200, body = QueuedJob),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job, or it does not wait for its start"),
))]
async fn one(State(state): State<ApiState>, InPath(job): InPath<JobId>) -> Answer<Json<QueuedJob>> {
    let rules = state.storage.rules();
    let snapshot = line::expected(&state.storage, LOOKED_AT).await?;
    let waiting = snapshot.waiting(rules);
    let found = waiting.into_iter().find(|it| it.job.as_ref() == Some(&job));
    let missing = || {
        Problem::not_found(
            "queued job",
            format!("{job}; GET /v1/jobs/{job} tells its state"),
        )
    };
    found.map(Json).ok_or_else(missing)
}

/// A job that nobody has sent.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Imagined {
    /// What it would do; what is known of its kind's usual time is the forecast where `seconds` is not given.
    kind: JobKind,
    /// Whose it would be; the asker's where it is left out.
    owner: Option<String>,
    /// Its band.
    #[serde(default)]
    priority: Priority,
    /// How long it would run.
    seconds: Option<f64>,
    /// How many like it.
    count: Option<u32>,
}

/// What to imagine.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SimulateRequest {
    /// The jobs, in the order in which they would be sent.
    jobs: Vec<Imagined>,
}

/// What would be.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Simulation {
    /// The imagined jobs in the order in which they would start; their `job` is null.
    jobs: Vec<QueuedJob>,
    /// Queued jobs that would start later than they will without them.
    delayed: Vec<Delayed>,
}

/// A queued job that would wait longer.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Delayed {
    /// The job.
    job: JobId,
    /// Its owner.
    owner: String,
    /// By how much; null where its start cannot be told.
    seconds: Option<f64>,
}

/// Ask what would be
///
/// Puts jobs that nobody has sent into the line as it is now: where they would stand, why, when they would start, and whom they would
/// delay. Nothing is queued.
#[utoipa::path(post, path = "/v1/queue/simulate", tag = "queue", request_body = SimulateRequest, responses(
    (status = 200, body = Simulation),
    (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "a field cannot be accepted"),
))]
async fn simulate(
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Answer<Json<Simulation>> {
    let request: SimulateRequest = decode_at("", body)?;
    let imagined = expanded(&request)?;
    let rules = state.storage.rules();
    let before = line::expected(&state.storage, LOOKED_AT).await?;
    let usual = line::usual(&state.storage).await?;
    let mut after = before.clone();
    let first = after.candidates.len();
    for one in imagined {
        let seconds = one.seconds.or_else(|| usual.get(&one.kind).copied());
        after.candidates.push(candidate(&after, one, seconds));
    }
    let own: Vec<JobId> = after.candidates[first..]
        .iter()
        .map(|it| it.job.clone())
        .collect();
    Ok(Json(simulated(
        before.waiting(rules),
        after.waiting(rules),
        &own,
    )))
}

/// One entry a job.
fn expanded(request: &SimulateRequest) -> Answer<Vec<&Imagined>> {
    let mut findings = Findings::default();
    for (index, one) in request.jobs.iter().enumerate() {
        if one
            .seconds
            .is_some_and(|seconds| !(seconds > 0.0 && seconds <= 1e9))
        {
            let detail = format!(
                "{:?} s is no time that a job runs; give a number above 0 and up to 1e9",
                one.seconds
            );
            findings.push(FieldError::at(format!("/jobs/{index}/seconds"), detail));
        }
        if one.count == Some(0) {
            findings.push(FieldError::at(
                format!("/jobs/{index}/count"),
                "0 jobs are none; give 1 or more",
            ));
        }
    }
    let all: u64 = request
        .jobs
        .iter()
        .map(|one| u64::from(one.count.unwrap_or(1)))
        .sum();
    if all == 0 || all > MOST_IMAGINED as u64 {
        let detail = format!("{all} jobs; give from 1 to {MOST_IMAGINED}");
        findings.push(FieldError::at("/jobs", detail));
    }
    findings.finish()?;
    let each = |one| std::iter::repeat_n(one, one_count(one));
    Ok(request.jobs.iter().flat_map(each).collect())
}

fn one_count(one: &Imagined) -> usize {
    one.count.unwrap_or(1) as usize
}

fn candidate(snapshot: &Snapshot, one: &Imagined, seconds: Option<f64>) -> Candidate {
    Candidate {
        job: JobId::from_uuid(uuid::Uuid::now_v7()),
        name: None,
        kind: one.kind,
        owner: one.owner.clone().unwrap_or_else(|| super::OWNER.into()),
        band: band(one.priority),
        since: snapshot.now,
        waited_seconds: 0.0,
        denied_seconds: 0.0,
        share: 1.0,
        seconds,
    }
}

fn simulated(before: Vec<QueuedJob>, after: Vec<QueuedJob>, own: &[JobId]) -> Simulation {
    let is_own = |it: &QueuedJob| it.job.as_ref().is_some_and(|job| own.contains(job));
    let (own, others): (Vec<QueuedJob>, Vec<QueuedJob>) = after.into_iter().partition(is_own);
    let starts: std::collections::BTreeMap<_, _> = before
        .into_iter()
        .map(|it| (it.job, (it.position, it.start)))
        .collect();
    let delayed = others.into_iter().filter_map(|it| {
        let (position, start) = *starts.get(&it.job)?;
        let seconds = start
            .zip(it.start)
            .map(|(was, is)| (is - was).as_seconds_f64());
        let later = it.position > position && seconds.is_none_or(|seconds| seconds > 0.0);
        let job = it.job.filter(|_| later)?;
        Some(Delayed {
            job,
            owner: it.owner,
            seconds,
        })
    });
    let unnamed = own.into_iter().map(|it| QueuedJob { job: None, ..it });
    Simulation {
        delayed: delayed.collect(),
        jobs: unnamed.collect(),
    }
}
