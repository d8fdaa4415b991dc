//! `/v1/jobs`: work is submitted, listed, watched, stopped and let go on. What a spec must look like is the domain's.

pub(super) mod estimate;
mod going;
pub(super) mod plan;
mod room;
pub(super) mod shapes;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{self, Answer, Problem, ProblemBody};
use super::extract::{InPath, JsonBody, Query};
use super::{ApiState, paging, prefer};
use crate::domain::canonical;
use crate::domain::ids::JobId;
use crate::domain::job::{Attempt, Dedup, Job, JobEnvelope, JobKind, JobSpec, JobState};
use crate::domain::page::Page;
use crate::domain::requests::job_request;
use crate::storage::events;
use crate::storage::jobs::{self, Filter, Submitted};

/// Time between two looks at a job that somebody waits for.
const LOOK: std::time::Duration = std::time::Duration::from_millis(250);

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(estimate::estimate))
        .routes(routes!(show))
        .routes(routes!(attempts))
        .merge(going::routes())
}

/// Submit a job
///
/// The same work is done once: with `dedup: reuse` the job that does it already is the answer.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", request_body = shapes::JobRequest, responses(
    (status = 202, body = Job, description = "accepted", headers(("Location" = String, description = "path of the job"))),
    (status = 200, body = Job, description = "the same work exists; `deduplicated` is true"),
    (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "the body is not JSON"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "the same work exists and `dedup` is `error`, or the base model could not be made"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json",
     description = "something in the body cannot be accepted, names what does not exist, or asks for more files than the disk has room for"),
    (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "too many jobs wait"),
))]
async fn submit(State(state): State<ApiState>, JsonBody(body): JsonBody) -> Answer<Response> {
    let (envelope, spec) = job_request(body)?;
    accept(&state, envelope, spec).await
}

/// Makes the job, or finds the one that does the same work.
pub(super) async fn accept(
    state: &ApiState,
    envelope: JobEnvelope,
    mut spec: JobSpec,
) -> Answer<Response> {
    if let JobSpec::Imported(import) = &mut spec {
        super::runs::settle_source(state, import).await?;
    }
    if let JobSpec::Evaluate(spec) = &spec {
        super::judges::usable(state, "/judge", &spec.judge)?;
    }
    if let JobSpec::Rejudge(spec) = &mut spec {
        super::judges::usable(state, "/judge", &spec.judge)?;
        plan::rejudge::settle(state, spec).await?;
    }
    if let JobSpec::Analyze(spec) = &mut spec {
        plan::analysis::settle(&state.storage, spec).await?;
    }
    let dedup = envelope.dedup;
    let job = plan::job(state, envelope, &spec).await?;
    if let JobSpec::Finetune(spec) = &spec
        && jobs::same_work(&state.storage, &job).await?.is_none()
    {
        room::check(state, spec).await?;
    }
    let bound = state.settings.queued_jobs;
    match jobs::submit(&state.storage, &job, bound).await? {
        Submitted::Created => answer(state, &job.id, StatusCode::ACCEPTED).await,
        Submitted::Existing(id) if dedup == Dedup::Error => Err(exists(&id)),
        Submitted::Existing(id) => answer(state, &id, StatusCode::OK).await,
        Submitted::QueueFull => Err(full(bound)),
        Submitted::ParentEnded(parent) => Err(Problem::conflict(format!(
            "{parent}, which this job needs, failed or was cancelled meanwhile; submit it again first"
        ))),
    }
}

/// The job with its address; an existing one says that it is one.
async fn answer(state: &ApiState, id: &JobId, status: StatusCode) -> Answer<Response> {
    let mut job = jobs::get(&state.storage, id).await?;
    job.deduplicated = status == StatusCode::OK;
    let name = match job.deduplicated {
        true => header::CONTENT_LOCATION,
        false => header::LOCATION,
    };
    Ok((status, [(name, format!("/v1/jobs/{id}"))], Json(job)).into_response())
}

fn exists(id: &JobId) -> Problem {
    let detail = format!(
        "{id} does the same work; with dedup \"reuse\" it is the answer, with \"force\" the work is done again"
    );
    let place = HeaderValue::from_str(&format!("/v1/jobs/{id}"));
    let problem = Problem::conflict(detail);
    match place {
        Ok(place) => problem.with_header(header::CONTENT_LOCATION, place),
        Err(_) => problem,
    }
}

pub(super) fn full(bound: u32) -> Problem {
    let detail = format!(
        "{bound} jobs wait already, the limit of this server; wait for some or cancel some"
    );
    Problem::new(&error::TOO_MANY_REQUESTS, detail).retry_after(30)
}

/// Which jobs a list shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListParameters {
    /// Jobs on the page, at most the configured page size; 50 where absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Only these kinds; may be given several times.
    #[serde(default)]
    kind: Vec<JobKind>,
    /// Only these states; may be given several times.
    #[serde(default)]
    state: Vec<JobState>,
    /// Only jobs of this name.
    name: Option<String>,
    /// Only jobs with this tag, `key` or `key:value`; may be given several times.
    #[serde(default)]
    tag: Vec<String>,
}

impl ListParameters {
    fn filter(self) -> Answer<Filter> {
        let before = self.cursor.map(JobId::try_from).transpose();
        let before = before.map_err(|_| {
            Problem::parameter(
                "cursor",
                "give next_cursor of an earlier page, or leave it out",
            )
        })?;
        let tags = self.tag.into_iter().map(|tag| match tag.split_once(':') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (tag, None),
        });
        let tags: Vec<_> = tags.collect();
        let texts = tags
            .iter()
            .flat_map(|(key, value)| [Some(key), value.as_ref()]);
        if texts
            .chain([self.name.as_ref()])
            .flatten()
            .any(|text| text.contains('\0'))
        {
            return Err(Problem::parameter("tag", "names and tags hold no U+0000"));
        }
        Ok(Filter {
            kinds: self.kind,
            states: self.state,
            name: self.name,
            tags,
            before,
        })
    }
}

/// List jobs, newest first
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(ListParameters), responses(
    (status = 200, body = Page<Job>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "a parameter cannot be used"),
))]
async fn list(
    State(state): State<ApiState>,
    Query(parameters): Query<ListParameters>,
) -> Answer<Json<Page<Job>>> {
    let limit = paging::limit(parameters.limit, &state)?;
    let filter = parameters.filter()?;
    let jobs = jobs::list(&state.storage, &filter, limit as u32 + 1).await?;
    let page = Page::cut(jobs, limit, |job| job.id.to_string());
    Ok(Json(page))
}

/// Show a job
///
/// With `Prefer: wait=N` the answer comes when the job has ended, with `If-None-Match` as soon as it differs, at the latest
/// after N seconds, of which 60 are granted.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs",
    params(("id" = JobId, Path), ("Prefer" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, body = Job, headers(("ETag" = String, description = "changes when the job does"))),
        (status = 304, description = "as it was"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
))]
async fn show(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
    headers: HeaderMap,
) -> Answer<Response> {
    let (job, etag) = watched(&state, &id, &headers).await?;
    let tag = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, "no-cache".into()),
    ];
    if prefer::has(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(job)).into_response())
}

/// The job and its tag, now or when what the client waits for has happened.
async fn watched(state: &ApiState, id: &JobId, headers: &HeaderMap) -> Answer<(Job, String)> {
    let now = tagged(state, id).await?;
    let polls = headers.contains_key(header::IF_NONE_MATCH);
    let settled = |(job, etag): &(Job, String)| match polls {
        true => !prefer::has(headers, etag),
        false => job.state.is_final(),
    };
    let wait = prefer::wait(headers);
    if wait.is_zero() || settled(&now) {
        return Ok(now);
    }
    // Who finds no place among those who wait is answered at once and asks again.
    let Ok(_place) = state.watchers.clone().try_acquire_owned() else {
        return Ok(now);
    };
    let happens = async {
        loop {
            tokio::time::sleep(LOOK).await;
            let seen = tagged(state, id).await?;
            if settled(&seen) {
                return Ok(seen);
            }
        }
    };
    tokio::select! {
        seen = happens => seen,
        () = state.closing.cancelled() => tagged(state, id).await,
        () = tokio::time::sleep(wait) => tagged(state, id).await,
    }
}

/// Refuses a change of a job that is not as the client's `If-Match` has it.
async fn unchanged(state: &ApiState, id: &JobId, headers: &HeaderMap) -> Answer<()> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(());
    }
    let (_, etag) = tagged(state, id).await?;
    prefer::unchanged(headers, &etag)
}

async fn tagged(state: &ApiState, id: &JobId) -> Answer<(Job, String)> {
    let job = jobs::get(&state.storage, id).await?;
    let value = serde_json::to_value(&job).map_err(Problem::internal)?;
    let hash = canonical::hash(&value);
    Ok((job, format!("\"{}\"", &hash[..32])))
}

/// List the executions of a job
#[utoipa::path(get, path = "/v1/jobs/{id}/attempts", tag = "jobs", params(("id" = JobId, Path)), responses(
    (status = 200, body = Page<Attempt>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
))]
async fn attempts(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
) -> Answer<Json<Page<Attempt>>> {
    events::state(&state.storage, &id).await?;
    let attempts = jobs::attempts(&state.storage, &id).await?;
    Ok(Json(Page::whole(attempts)))
}
