//! `/openai/v1/models`: what can be asked, by its address.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::resolve::{self, Found};
use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::api::extract::{InPath, Query};
use crate::domain::address::{Address, AddressedChange, Trained};
use crate::domain::openai::answers::{ErrorBody, Model, Models};
use crate::storage::models::{Askable, AskableAdapter, TrainedState, askable, askable_adapters};

/// Models that are listed where the client does not say.
const USUAL: u32 = 1000;
/// Models that are listed at most.
const MOST: u32 = 10_000;

/// How much is listed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Bases and checkpoints at most, up to 10000; 1000 where absent.
    limit: Option<u32>,
}

/// List what can be asked
///
/// Each ready base model, newest first, and behind it each fine-tune that keeps a checkpoint: the address of its newest
/// (`base@job_…`), then one for each step; last the adapters that were handed in. `…*0.5` behind the address of a trained
/// change scales it; any number will do.
#[utoipa::path(get, path = "/openai/v1/models", tag = "inference", params(ListParameters),
    responses((status = 200, body = Models), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(parameters): Query<ListParameters>,
) -> Answer<Json<Models>> {
    let limit = parameters.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::parameter(
            "limit",
            format!("{limit} is not from 1 to {MOST}"),
        ));
    }
    let mut rows = askable(&state.storage, i64::from(limit) + 1).await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let room = i64::from(limit) - rows.len() as i64;
    let mut adapters = askable_adapters(&state.storage, None, room + 1).await?;
    let more_adapters = adapters.len() as i64 > room;
    adapters.truncate(usize::try_from(room).unwrap_or(0));
    let mut data = listed(&rows);
    data.extend(adapters.iter().map(of_adapter));
    Ok(Json(Models {
        object: "list",
        data,
        has_more: has_more || more_adapters,
    }))
}

/// Every address that `rows` stand for.
fn listed(rows: &[Askable]) -> Vec<Model> {
    let mut models = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &rows[before]);
        let same_base = before.is_some_and(|before| before.base == row.base);
        if !same_base {
            models.push(of_base(row));
        }
        let Some(trained) = &row.trained else {
            continue;
        };
        let job_before = before.and_then(|before| before.trained.as_ref());
        if !same_base || job_before.is_none_or(|before| before.job != trained.job) {
            models.push(of_state(row, trained, None));
        }
        models.push(of_state(row, trained, Some(trained.step)));
    }
    models
}

fn of_base(row: &Askable) -> Model {
    Model {
        id: row.base.clone(),
        object: "model",
        created: row.base_created_at.unix_timestamp(),
        owned_by: "vivarium",
        root: row.base.clone(),
        parent: None,
        job: None,
        step: None,
        adapter: None,
    }
}

/// A fine-tune's state; the newest one has an address without its step, too.
fn of_state(row: &Askable, trained: &TrainedState, step: Option<u64>) -> Model {
    let change = AddressedChange {
        trained: Trained::Job {
            job: trained.job.clone(),
            step,
        },
        scale: 1.0,
    };
    let address = Address {
        base: row.base.clone(),
        change: Some(change),
    };
    Model {
        id: address.to_string(),
        created: trained.created_at.unix_timestamp(),
        parent: Some(row.base.clone()),
        job: Some(trained.job.to_string()),
        step: Some(trained.step),
        ..of_base(row)
    }
}

fn of_adapter(row: &AskableAdapter) -> Model {
    Model {
        id: Address::of_adapter(&row.base, &row.id, 1.0).to_string(),
        object: "model",
        created: row.created_at.unix_timestamp(),
        owned_by: "vivarium",
        root: row.base.clone(),
        parent: Some(row.base.clone()),
        job: None,
        step: None,
        adapter: Some(row.id.to_string()),
    }
}

/// Show a model by its address, scales included
#[utoipa::path(get, path = "/openai/v1/models/{model}", tag = "inference",
    params(("model" = String, Path, description = "an address, percent-encoded where a client must")),
    responses((status = 200, body = Model), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(state): State<ApiState>,
    InPath(text): InPath<String>,
) -> Answer<Json<Model>> {
    let address: Address = text.parse().map_err(|error| {
        let error: crate::domain::address::NotAnAddress = error;
        resolve::unknown(error.to_string())
    })?;
    let found = resolve::find(&state, &address).await?;
    Ok(Json(shown(&found, &address)))
}

fn shown(found: &Found, asked: &Address) -> Model {
    let change = found.address.change.as_ref();
    let (job, step, adapter) = match change.map(|change| &change.trained) {
        Some(Trained::Job { job, step }) => (Some(job.to_string()), *step, None),
        Some(Trained::Adapter(adapter)) => (None, None, Some(adapter.clone())),
        None => (None, None, None),
    };
    Model {
        id: Address {
            base: found.base.name.clone(),
            change: asked.change.clone(),
        }
        .to_string(),
        object: "model",
        created: found.base.created_at.unix_timestamp(),
        owned_by: "vivarium",
        root: found.base.name.clone(),
        parent: change.map(|_| found.base.name.clone()),
        job,
        step,
        adapter,
    }
}
