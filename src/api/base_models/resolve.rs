//! What a source refers to: whether it is there, what stands for it in the identity, which jobs must succeed first.

use std::path::{Component, Path, PathBuf};

use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::domain::assets::BaseModelState;
use crate::domain::base_model::{RandomSpec, Referred, Source, TokenizerSource, tokenizer_source};
use crate::domain::ids::JobId;
use crate::domain::invalid::{FieldError, Invalid};
use crate::domain::job::{JobKind, JobState};
use crate::storage::registry;

/// What stands for the things that `source` refers to, and the jobs that make them.
pub(super) async fn references(
    state: &ApiState,
    source: &Source,
) -> Answer<(Referred, Vec<JobId>)> {
    match source {
        Source::Path(path) => {
            let (path, roots) = (PathBuf::from(path), state.settings.model_roots.clone());
            let found = tokio::task::spawn_blocking(move || check_folder(&path, &roots)).await;
            found.map_err(Problem::internal)??;
            Ok((Referred::Nothing, Vec::new()))
        }
        Source::Job(job) => of_job(state, job).await,
        Source::Random(spec) => of_random(state, spec).await,
    }
}

fn refuse(pointer: &str, detail: impl Into<String>, hint: &str) -> Problem {
    Invalid::from(FieldError::at(pointer, detail).hint(hint)).into()
}

/// Links are followed first, so that none leads out of the roots; nothing is told of what lies outside.
fn check_folder(path: &Path, roots: &[PathBuf]) -> Answer<()> {
    let shown = path.display();
    let roots: Vec<PathBuf> = roots
        .iter()
        .filter_map(|root| root.canonicalize().ok())
        .collect();
    let real = path.canonicalize().ok();
    let inside = |path: &Path| roots.iter().any(|root| path.starts_with(root));
    let plain = !path.components().any(|part| part == Component::ParentDir);
    match real {
        Some(real) if inside(&real) => {
            let missing = format!("{shown} has no config.json");
            let hint = "give a folder in the Hugging Face layout: config.json, *.safetensors, tokenizer.json";
            let complete = real.join("config.json").is_file();
            complete
                .then_some(())
                .ok_or_else(|| refuse("/source/path", missing, hint))
        }
        None if plain && inside(path) => Err(refuse(
            "/source/path",
            format!("{shown} does not exist"),
            "check the spelling",
        )),
        _ => {
            let detail =
                format!("{shown} does not lie under a folder that the server may read models from");
            Err(refuse("/source/path", detail, &roots_hint(&roots)))
        }
    }
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
