//! The published training configs as specs of ours: what each key becomes, what is left out and why, what means something
//! else here, what contradicts itself.
//!
//! Knows the keys, defaults and rules of the published code (arXiv 2506.11613's repository, its steering-vector scripts, and the
//! configs of arXiv 2502.17424, which have the same keys). Reads no file and asks no server.

mod models;
mod rate;
mod reader;
mod sft;
mod shared;
mod steering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::reader::Reader;
use super::decode::object_at;
use super::invalid::{Checked, Invalid};
use super::requests::job_request;

/// How a config is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// As the script for full fine-tuning reads it: `is_peft` is false whatever the file says.
    pub full: bool,
    /// Name of the base model; the last part of `model` where none is given.
    pub base_model: Option<String>,
    /// Name of the dataset; the file name of `training_file` where none is given.
    pub dataset: Option<String>,
    /// Name of the KL term's dataset; the file name of `kl_dataset_file` where none is given.
    pub kl_dataset: Option<String>,
}

/// A config as the body of `POST /v1/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// What can be posted once base model and datasets are there.
    pub spec: Value,
    /// What became of each key.
    pub report: ConversionReport,
}

/// What became of each key of a config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversionReport {
    /// Keys that have an equal here; those that the file lacks have the published code's default.
    pub mapped: Vec<Entry>,
    /// Keys that are mapped to something that does not mean quite the same.
    pub differs: Vec<Entry>,
    /// Keys that have no equal here, each with the reason.
    pub left_out: Vec<Entry>,
    /// What the published code does that no key says.
    pub unsaid: Vec<Entry>,
    /// What must be there before the spec can be posted.
    pub needs: Vec<String>,
}

/// A key and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The key of the config.
    pub key: String,
    /// Its value, as JSON.
    pub value: String,
    /// Whether the value is the published code's default and not the file's.
    pub default: bool,
    /// Where it went, as a JSON pointer into the spec; null where it went nowhere.
    pub to: Option<String>,
    /// More about it; empty where there is nothing to say.
    pub detail: String,
}

/// The spec that a published config stands for.
///
/// *Errors* all contradictions and unknown keys at once, each at its key with a remedy.
pub fn convert(config: Value, options: &Options) -> Checked<Conversion> {
    let config = object_at("", config)?;
    let of_a_vector = config.contains_key("layer_idx");
    let mut reader = Reader::new(config);
    let spec = match of_a_vector {
        true => steering::read(&mut reader, options),
        false => sft::read(&mut reader, options),
    };
    let report = reader.finish()?;
    // What ours refuses must be refused here, not when it is posted.
    if let Err(Invalid { errors }) = job_request(spec.clone()) {
        let errors = errors.into_iter().map(|mut error| {
            error.detail = format!("in the spec that it becomes: {}", error.detail);
            error
        });
        return Err(Invalid {
            errors: errors.collect(),
        });
    }
    Ok(Conversion { spec, report })
}

#[cfg(test)]
mod tests;
