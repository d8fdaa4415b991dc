//! What a source refers to: whether it is there, what stands for it in the identity, which jobs must succeed first.

use std::path::PathBuf;

use crate::api::ApiState;
use crate::api::error::{Answer, Problem, UNAVAILABLE};
use crate::domain::assets::BaseModelState;
use crate::domain::base_model::{
    HubSpec, RandomSpec, Referred, Source, TokenizerSource, tokenizer_source,
};
use crate::domain::ids::JobId;
use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::job::{JobKind, JobState};
use crate::execution::Failure;
use crate::execution::folder::{self, Refused};
use crate::storage::registry;

/// What stands for the things that `source` refers to, and the jobs that make them.
pub(super) async fn references(
    state: &ApiState,
    source: &Source,
) -> Answer<(Referred, Vec<JobId>)> {
    match source {
        Source::Path(path) => {
            of_folder(state, path).await?;
            Ok((Referred::Nothing, Vec::new()))
        }
        Source::Hub(spec) => {
            let commit = of_hub(state, spec).await?;
            Ok((Referred::Commit(commit), Vec::new()))
        }
        Source::Job(job) => of_job(state, job).await,
        Source::Random(spec) => of_random(state, spec).await,
    }
}

fn refuse(pointer: &str, detail: impl Into<String>, hint: &str) -> Problem {
    Invalid::from(FieldError::at(pointer, detail).hint(hint)).into()
}

/// Where a folder is refused, what would do.
pub(in crate::api) fn refused_folder(refused: &Refused, roots: &[PathBuf]) -> Problem {
    let hint = match refused {
        Refused::Outside { .. } | Refused::Leads { .. } => roots_hint(roots),
        Refused::Missing { .. } => "check the spelling".into(),
        Refused::NoConfig { .. } => {
            "give a folder in the Hugging Face layout: config.json, *.safetensors, tokenizer.json"
                .into()
        }
        Refused::NoCheckpoints { .. } => {
            "give a folder with checkpoints/checkpoint-<step>/adapter_model.safetensors; POST /v1/adapters takes a single one"
                .into()
        }
        Refused::TooMany { .. } => "import a part of it".into(),
        Refused::Unreadable { .. } => "check its permissions".into(),
    };
    refuse("/source/path", refused.to_string(), &hint)
}

async fn of_folder(state: &ApiState, path: &str) -> Answer<()> {
    let (path, roots) = (PathBuf::from(path), state.settings.model_roots.clone());
    let look = move || folder::real(&path, &roots).map_err(|it| refused_folder(&it, &roots));
    let found = tokio::task::spawn_blocking(look).await;
    found.map_err(Problem::internal)?.map(drop)
}

/// The commit that is meant, asked of the hub unless it is given.
async fn of_hub(state: &ApiState, spec: &HubSpec) -> Answer<String> {
    if let Some(commit) = &spec.commit {
        return Ok(commit.clone());
    }
    let (hub, model, revision) = (state.hub.clone(), spec.hub.clone(), spec.revision.clone());
    let asked = tokio::task::spawn_blocking(move || hub.commit(&model, &revision)).await;
    asked.map_err(Problem::internal)?.map_err(refused_by_hub)
}

/// What may pass is the server's trouble, everything else the request's.
pub(in crate::api) fn refused_by_hub(failure: Failure) -> Problem {
    if failure.retryable {
        return Problem::new(&UNAVAILABLE, failure.message).retry_after(30);
    }
    let pointer = match failure.code {
        "hub_revision_not_found" | "hub_offline" => "/source/revision",
        _ => "/source/hub",
    };
    Invalid::from(FieldError::at(pointer, failure.message)).into()
}

fn roots_hint(roots: &[PathBuf]) -> String {
    let list: Vec<String> = roots
        .iter()
        .map(|root| root.display().to_string())
        .collect();
    match list.is_empty() {
        true => "the setting models.roots is empty; the server's owner adds folders to it".into(),
        false => format!("the setting models.roots has {}", list.join(", ")),
    }
}

async fn of_job(state: &ApiState, job: &JobId) -> Answer<(Referred, Vec<JobId>)> {
    const PLACE: &str = "/source/job";
    let Some(facts) = registry::job_identity(&state.storage, job).await? else {
        return Err(refuse(
            PLACE,
            format!("{job} does not exist"),
            "GET /v1/jobs lists them",
        ));
    };
    if facts.kind != JobKind::Finetune || facts.method.as_deref() != Some("full") {
        let what = match (facts.kind, facts.method) {
            (JobKind::Finetune, Some(method)) => format!("a fine-tune with method {method}"),
            (kind, _) => format!("of kind {}", kind.name()),
        };
        let hint = "name a fine-tune with method {\"type\":\"full\"}; adapters are used as targets of evaluations";
        return Err(refuse(PLACE, format!("{job} is {what}"), hint));
    }
    if matches!(facts.state, JobState::Failed | JobState::Cancelled) {
        let detail = format!("{job} is {}", facts.state.name());
        return Err(refuse(
            PLACE,
            detail,
            "retry it, or name one that has not ended so",
        ));
    }
    let referred = Referred::Job {
        numerics_hash: facts.numerics_hash,
        salt: facts.salt,
    };
    Ok((referred, vec![job.clone()]))
}

async fn of_random(state: &ApiState, spec: &RandomSpec) -> Answer<(Referred, Vec<JobId>)> {
    const PLACE: &str = "/source/random/tokenizer/base_model";
    let TokenizerSource::BaseModel(key) =
        tokenizer_source("/source/random/tokenizer", &spec.tokenizer)?
    else {
        return Ok((Referred::Nothing, Vec::new()));
    };
    let Some(found) = registry::base_model_identity(&state.storage, &key).await? else {
        let detail = format!("base model \"{}\" does not exist", key.escape_debug());
        return Err(refuse(PLACE, detail, "GET /v1/base-models lists them"));
    };
    if found.model.state == BaseModelState::Failed {
        let detail = format!(
            "base model \"{}\" could not be registered",
            found.model.name
        );
        return Err(refuse(PLACE, detail, "its job says why"));
    }
    Ok((
        Referred::Tokenizer(found.source_hash),
        found.model.job.into_iter().collect(),
    ))
}
