//! What makes a judge's scores what they are, and whether the model behind a judge of this server is there.

use serde_json::{Value, json};

use super::no_base;
use crate::api::ApiState;
use crate::api::error::Answer;
use crate::domain::address::Address;
use crate::domain::assets::BaseModelState;
use crate::domain::ids::JobId;
use crate::domain::invalid::{Checked, FieldError, Invalid};
use crate::domain::judging::JudgeFacts;
use crate::domain::local_judge::LocalJudge;
use crate::domain::requests::fit::BaseFacts;
use crate::storage::jobs;

/// The host that an endpoint shows whose requests go to this server's own `/openai/v1`.
const OWN: &str = "self";

/// Everything that a judge's scores depend on besides prompt and answer, where it tells.
///
/// *Errors*: 422 where its model is one of this server's and is not ready.
pub(super) async fn definition(state: &ApiState, judge: &str) -> Answer<Option<Value>> {
    let configured = state.local_judges.get(judge).cloned();
    let Some(local) = configured.or_else(|| LocalJudge::named(judge)) else {
        return of_endpoint(state, judge).await;
    };
    let model = ready(state, &local.base_model).await?;
    Ok(Some(
        json!({"type": "local", "local": local, "weights": model.source_hash}),
    ))
}

async fn of_endpoint(state: &ApiState, judge: &str) -> Answer<Option<Value>> {
    let found = state.judges.list().into_iter().find(|it| it.name == judge);
    let Some(found) = found else {
        return Ok(None);
    };
    if let Some(base) = own_base(&found) {
        ready(state, &base).await?;
    }
    Ok(found.definition)
}

/// The base model of this server that answers for an endpoint.
fn own_base(judge: &JudgeFacts) -> Option<String> {
    let own = judge.host.as_deref() == Some(OWN);
    let address = judge.model.as_ref().filter(|_| own)?;
    address.parse::<Address>().ok().map(|address| address.base)
}

/// A judge is no parent of the jobs that it judges for, so its model has to be there when they are posted.
async fn ready(state: &ApiState, base: &str) -> Answer<BaseFacts> {
    let model = jobs::base_model(&state.storage, base).await?;
    let model = model.ok_or_else(|| Invalid::from(no_base("/judge", base)))?;
    usable(&model)?;
    Ok(model)
}

fn usable(model: &BaseFacts) -> Checked<()> {
    let told = |job: &JobId| format!("GET /v1/jobs/{job}");
    let job = model.job.as_ref().map(told);
    let job = job.unwrap_or_else(|| format!("GET /v1/base-models/{}", model.name));
    let (state, hint) = match model.state {
        BaseModelState::Ready => return Ok(()),
        BaseModelState::Registering => (
            "is still being registered",
            format!("post this again once it is ready ({job} tells), or name another judge"),
        ),
        BaseModelState::Failed => (
            "could not be made",
            format!(
                "register it anew under another name ({job} tells why it failed), or name another judge"
            ),
        ),
    };
    let detail = format!("the base model {} {state}, so it cannot judge", model.name);
    Err(FieldError::at("/judge", detail)
        .code("judge_not_ready")
        .hint(hint)
        .into())
}
