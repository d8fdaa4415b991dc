//! A posted experiment, or more arms of one that is there.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{dry_run, members};
use crate::api::error::{Answer, Problem, ProblemBody};
use crate::api::extract::{DocumentBody, InPath, Query};
use crate::api::{ApiState, OWNER, jobs};
use crate::domain::experiment::{
    self, Document, Experiment, ExperimentSpec, Plan, addition, names, request,
};
use crate::domain::ids::ExperimentId;
use crate::domain::invalid::Invalid;
use crate::storage::experiments::{self, Made, NewExperiment, NewMember};

/// Plans that are made before a client is asked to come back, where jobs come and end in between.
const TRIES: usize = 5;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitQuery {
    /// Show what would be done and what it would take; nothing is queued.
    #[serde(default)]
    dry_run: bool,
}

/// Submit an experiment
///
/// Arms are planned into jobs: one fine-tune a seed, its evaluations, and an analysis once all have ended. What was done before is not
/// done again. JSON or YAML by Content-Type.
#[utoipa::path(post, path = "/v1/experiments", tag = "jobs", params(SubmitQuery),
    request_body(content((Object = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 202, body = Experiment, description = "accepted", headers(("Location" = String, description = "path of the experiment"))),
        (status = 200, body = dry_run::DryRun, description = "with `dry_run`: the plan"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "the body is not JSON"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "the body is neither JSON nor YAML by its type"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "something in the body cannot be accepted or names what does not exist; nothing was queued"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "too many jobs wait"),
    ))]
pub(super) async fn submit(
    State(state): State<ApiState>,
    Query(query): Query<SubmitQuery>,
    DocumentBody(document): DocumentBody,
) -> Answer<Response> {
    let told = |invalid: Invalid| Problem::from(document.located(invalid));
    let spec = request(document.value.clone()).map_err(told)?;
    if query.dry_run {
        let plan = planned(&state, &spec, &document).await?;
        return Ok(Json(dry_run::of(&state, &spec, &plan).await?).into_response());
    }
    let id = ExperimentId::from_uuid(Uuid::now_v7());
    for _ in 0..TRIES {
        let plan = planned(&state, &spec, &document).await?;
        let (members, _) = members::members(&state, &spec, &plan)
            .await
            .map_err(|problem| problem.located(&document))?;
        let head = head(id.clone(), &spec, &plan);
        let bound = bound(&state, &members)?;
        match experiments::create(&state.storage, &head, &members, bound).await? {
            Made::All => return accepted(&state, &id).await,
            Made::QueueFull => return Err(jobs::full(bound)),
            Made::Moved => {}
        }
    }
    Err(moved())
}

/// Add arms or checkpoints to an experiment
///
/// `{"arms":[…],"checkpoints":[…]}`; everything that is there stays as it is, and the analysis is asked for again.
#[utoipa::path(post, path = "/v1/experiments/{id}/arms", tag = "jobs", params(("id" = ExperimentId, Path)),
    request_body(content((Object = "application/json"), (String = "application/yaml"))),
    responses(
        (status = 202, body = Experiment, description = "accepted"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "it was cancelled"),
        (status = 415, body = ProblemBody, content_type = "application/problem+json", description = "the body is neither JSON nor YAML by its type"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "something cannot be added; nothing was"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json", description = "too many jobs wait"),
    ))]
pub(super) async fn add(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
    DocumentBody(document): DocumentBody,
) -> Answer<Response> {
    let told = |invalid: Invalid| Problem::from(document.located(invalid));
    let more = addition(document.value.clone()).map_err(told)?;
    for _ in 0..TRIES {
        let known = experiments::spec(&state.storage, &id).await?;
        let known = request(known).map_err(Problem::internal)?;
        let before = known.arms.len();
        let spec = known.with(more.clone()).map_err(told)?;
        let own = |problem: Problem| problem.placed(|at| of_addition(at, before));
        let plan = planned(&state, &spec, &document).await.map_err(own)?;
        let (members, _) = members::members(&state, &spec, &plan).await.map_err(own)?;
        let head = head(id.clone(), &spec, &plan);
        let bound = bound(&state, &members)?;
        match experiments::extend(&state.storage, &head, &members, bound).await? {
            Made::All => return accepted(&state, &id).await,
            Made::QueueFull => return Err(jobs::full(bound)),
            Made::Moved => {}
        }
    }
    Err(moved())
}

/// Where in the body of an addition that lies which is at `pointer` in the whole spec, of which `before` arms were there.
fn of_addition(pointer: &str, before: usize) -> String {
    if let Some(rest) = pointer.strip_prefix("/evaluation/added_checkpoints/") {
        let index = rest.split_once('/').map(|(_, index)| format!("/{index}"));
        return format!("/checkpoints{}", index.unwrap_or_default());
    }
    let rest = pointer.strip_prefix("/arms/");
    let Some((index, rest)) = rest.map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
        return pointer.to_owned();
    };
    match index
        .parse::<usize>()
        .ok()
        .and_then(|at| at.checked_sub(before))
    {
        Some(at) => format!("/arms/{at}/{rest}")
            .trim_end_matches('/')
            .to_owned(),
        None => pointer.to_owned(),
    }
}

async fn planned(state: &ApiState, spec: &ExperimentSpec, document: &Document) -> Answer<Plan> {
    let facts = experiments::facts(&state.storage, &names(spec)).await?;
    experiment::plan(spec, &facts).map_err(|invalid| document.located(invalid).into())
}

fn head(id: ExperimentId, spec: &ExperimentSpec, plan: &Plan) -> NewExperiment {
    NewExperiment {
        id,
        name: spec.name.clone(),
        owner: OWNER.into(),
        priority: spec.priority,
        tags: json!(spec.tags),
        spec: serde_json::to_value(spec).unwrap_or(Value::Null),
        arms: plan.arms.clone(),
        settings: plan.settings.clone(),
    }
}

/// Jobs that may wait.
///
/// *Errors*: more new jobs than may ever wait at once.
fn bound(state: &ApiState, members: &[NewMember]) -> Answer<u32> {
    let bound = state.settings.queued_jobs;
    let new = members
        .iter()
        .filter(|one| matches!(one.job, experiments::MemberJob::New(_)));
    match new.count() > bound as usize {
        true => Err(jobs::full(bound)),
        false => Ok(bound),
    }
}

async fn accepted(state: &ApiState, id: &ExperimentId) -> Answer<Response> {
    let experiment = experiments::get(&state.storage, id).await?;
    let place = [(header::LOCATION, format!("/v1/experiments/{id}"))];
    Ok((StatusCode::ACCEPTED, place, Json(experiment)).into_response())
}

fn moved() -> Problem {
    Problem::conflict("jobs of the same work come and end just now; post it again")
}
