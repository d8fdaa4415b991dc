//! What a base model is made from.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::{Look, missing, refused};
use crate::domain::assets::WeightsKind;
use crate::domain::base_model::InitSpec;
use crate::domain::ids::JobId;
use crate::domain::job::RegisterSpec;
use crate::execution::fetch::{FetchedFile, Wanted};
use crate::execution::{Failure, RandomSource, RegisterSource, RegisterWork, Stop};
use crate::execution::{files, folder};
use crate::storage::inputs::{self, ModelInput};

/// `source` as it was posted and stored; exactly one field is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    path: Option<std::path::PathBuf>,
    hub: Option<String>,
    revision: Option<String>,
    commit: Option<String>,
    random: Option<Random>,
    job: Option<JobId>,
}

#[derive(Deserialize)]
struct Random {
    config: Value,
    tokenizer: Tokenizer,
    #[serde(default)]
    init: InitSpec,
    #[serde(default)]
    seed: u64,
}

#[derive(Deserialize)]
struct Tokenizer {
    json: Option<Value>,
    config: Option<Value>,
    base_model: Option<String>,
}

impl Look<'_> {
    pub(super) fn register(&self, spec: RegisterSpec) -> Result<RegisterWork, Stop> {
        let source: Source = serde_json::from_value(spec.source)
            .map_err(|error| refused("source", format!("source: {error}")))?;
        let source = match source {
            Source {
                path: Some(path), ..
            } => RegisterSource::Folder(self.folder(&path)?),
            Source {
                hub: Some(model),
                revision,
                commit: Some(commit),
                ..
            } => RegisterSource::Hub(Wanted {
                model,
                revision: revision.unwrap_or_else(|| commit.clone()),
                commit,
            }),
            Source {
                random: Some(random),
                ..
            } => RegisterSource::Random(self.random(random)?.into()),
            Source { job: Some(job), .. } => self.checkpoint_source(&job)?,
            _ => {
                return Err(refused(
                    "source",
                    "source has neither path, hub with commit, random nor job",
                ));
            }
        };
        Ok(RegisterWork {
            base_model: spec.base_model,
            source,
        })
    }

    /// The folder's files, looked at anew: links may have been changed since it was posted.
    fn folder(&self, path: &Path) -> Result<Vec<FetchedFile>, Stop> {
        let files = folder::files(path, &self.shared.config.model_roots);
        files.map_err(|refused| Failure::from(refused).into())
    }

    fn random(&self, random: Random) -> Result<RandomSource, Stop> {
        let (tokenizer, tokenizer_config) = match random.tokenizer {
            Tokenizer {
                base_model: Some(model),
                ..
            } => self.tokenizer_of(&model)?,
            Tokenizer {
                json: Some(json),
                config,
                ..
            } => (json, config.unwrap_or_else(empty)),
            _ => {
                return Err(refused(
                    "source",
                    "source.random.tokenizer has neither json nor base_model",
                ));
            }
        };
        Ok(RandomSource {
            config: random.config,
            tokenizer,
            tokenizer_config,
            std: random.init.std,
            scale_residual: random.init.scale_residual,
            seed: random.seed,
        })
    }

    fn tokenizer_of(&self, reference: &str) -> Result<(Value, Value), Stop> {
        let model = self.ready_model(reference)?;
        let tokenizer = self.json_file(&model, "tokenizer.json")?;
        let config = self.json_file(&model, "tokenizer_config.json")?;
        let tokenizer =
            tokenizer.ok_or_else(|| missing("tokenizer.json of base model", reference))?;
        Ok((tokenizer, config.unwrap_or_else(empty)))
    }

    fn json_file(&self, model: &ModelInput, name: &str) -> Result<Option<Value>, Stop> {
        let Some(entry) = model.files.iter().find(|entry| entry.name == name) else {
            return Ok(None);
        };
        let bytes = std::fs::read(self.file(entry)?.path)
            .map_err(|error| files::unreadable(name, &error))?;
        let value = serde_json::from_slice(&bytes);
        value.map_err(|error| refused("source", format!("{name} of \"{}\": {error}", model.name)))
    }

    fn checkpoint_source(&self, job: &JobId) -> Result<RegisterSource, Stop> {
        let found = self.ask(|storage| inputs::trained(storage, job))?;
        let found = found.ok_or_else(|| missing("fine-tune", job.as_str()))?;
        let last = found.checkpoints.last();
        match last {
            Some(last) if last.kind == WeightsKind::Full => Ok(RegisterSource::Checkpoint(
                self.model_files(job.to_string(), &last.files)?,
            )),
            other => {
                let kept = other.map_or("no checkpoint", |last| last.kind.shown());
                let message = format!(
                    "{job} keeps {kept}, and a base model is made of all weights; name a fine-tune with \"method\":{{\"type\":\"full\"}}"
                );
                Err(refused("source", message))
            }
        }
    }
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}
