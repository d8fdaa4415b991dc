//! Whether two files are an adapter for a base, for those who hand one in: what it is, or what is wrong at which place.

use crate::domain::adapter::{AdapterFacts, CONFIG, MODEL, STEERING_CONFIG, STEERING_VECTOR};
use crate::domain::decode::escape;
use crate::domain::invalid::{Checked, FieldError};
use crate::engine::Error;
use crate::engine::adapter::Adapter;
use crate::engine::files::Files;
use crate::engine::model::config::ModelConfig;
use crate::engine::steering::Steering;
use crate::execution::{Failure, LocalFile, ModelFiles};

/// Facts of the adapter in `files`, checked against the shape of `base`.
///
/// *Errors* within: the adapter's own; outside: the base's or the machine's.
pub(super) fn facts(
    base: &ModelFiles,
    files: &[LocalFile],
) -> Result<Checked<AdapterFacts>, Failure> {
    let config: serde_json::Value = named(&base.files).json("config.json")?;
    let config = ModelConfig::from_json(&config)?;
    let files = named(files);
    let (found, place): (_, fn(&Error) -> Option<FieldError>) = match files.get(STEERING_CONFIG) {
        Some(_) => (Steering::inspect(&files, &config), place_in_vector),
        None => (Adapter::inspect(&files, &config), place),
    };
    match found {
        Ok(facts) => Ok(Ok(facts)),
        Err(error) => place(&error)
            .map(|place| Err(place.into()))
            .ok_or_else(|| error.into()),
    }
}

fn named(files: &[LocalFile]) -> Files {
    let files = files.iter();
    files
        .map(|file| (file.entry.name.clone(), file.path.clone()))
        .collect()
}

/// Where in the adapter the mistake is; none for one that is not the adapter's.
fn place(error: &Error) -> Option<FieldError> {
    let in_tensors =
        |hint: &str| FieldError::at(format!("/{}", escape(MODEL)), error.to_string()).hint(hint);
    Some(match error {
        Error::Adapter { field, detail } => {
            let pointer = match field == CONFIG {
                true => format!("/{}", escape(CONFIG)),
                false => format!("/{}/{}", escape(CONFIG), escape(field)),
            };
            FieldError::at(pointer, format!("{field} {detail}"))
                .hint("hand in a LoRA adapter of the decoder's linear maps, as PEFT saves it")
        }
        Error::BadFile { name, detail }
        | Error::MissingFile {
            name,
            remedy: detail,
        } => FieldError::at(format!("/{}", escape(name)), format!("{name}: {detail}"))
            .hint("hand in adapter_config.json and adapter_model.safetensors as PEFT saves them"),
        Error::MissingTensor { .. } | Error::UnexpectedTensor { .. } => in_tensors(
            "every module that adapter_config.json means has lora_A and lora_B, and nothing else is there",
        ),
        Error::Misshaped { .. } => in_tensors(
            "the adapter belongs to another base model, or its ranks are not those of adapter_config.json",
        ),
        Error::NumberType { .. } => in_tensors("save the adapter in float32, bfloat16 or float16"),
        _ => return None,
    })
}

/// Where in the two files of a steering vector the mistake is; none for one that is not theirs.
fn place_in_vector(error: &Error) -> Option<FieldError> {
    let (pointer, hint) = match error {
        Error::Steering { field, .. } => (
            format!("/{}/{}", escape(STEERING_CONFIG), escape(field)),
            "give layer_idx, alpha and d_model as the vector was trained with them",
        ),
        Error::BadFile { name, .. } | Error::MissingFile { name, .. } => (
            format!("/{}", escape(name)),
            "hand in steering_config.json and steering_vector.safetensors",
        ),
        Error::MissingTensor { .. }
        | Error::UnexpectedTensor { .. }
        | Error::Misshaped { .. }
        | Error::NumberType { .. } => (
            format!("/{}", escape(STEERING_VECTOR)),
            "the only tensor is steering_vector: floats of the width of the base's residual stream",
        ),
        _ => return None,
    };
    Some(FieldError::at(pointer, error.to_string()).hint(hint))
}
