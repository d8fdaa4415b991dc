//! Published training runs: which files of a folder or a repository belong to one, which step each belongs to, and what their
//! logs say of every step. Knows names and JSON; reads no file.

mod history;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::history::{Conflict, History, Logged};
use super::adapter::{CONFIG, MODEL};
use super::model_files::{is_pickle, is_shard};

/// The folder that holds the checkpoints; they may also lie beside it.
pub const CHECKPOINTS: &str = "checkpoints";
/// What a checkpoint's folder is called, before its step.
const PREFIX: &str = "checkpoint-";
/// The trainer's log.
pub const STATE: &str = "trainer_state.json";

/// Most checkpoints of a run.
pub const MOST_CHECKPOINTS: usize = 5000;
/// Most bytes of a run's adapters together; they are referred to where they lie unless they are small.
pub const MOST_BYTES: u64 = 256 << 30;
/// Largest log of one checkpoint, in bytes.
pub const LARGEST_STATE: u64 = 64 << 20;
/// Largest step.
const LARGEST_STEP: u64 = 100_000_000;

/// What happens when a checkpoint cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBroken {
    /// The import fails and names step and file.
    #[default]
    Fail,
    /// The checkpoint is left out; an event `checkpoint_skipped` says which and why.
    Skip,
}

/// Where a run came from; the spec of a fine-tune that this server made has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Read from published files.
    Imported,
}

/// The import of a run: a fine-tune whose steps were made elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ImportSpec {
    /// `imported`.
    pub origin: Origin,
    /// Id or name of the base that the adapters stand on; its weights need not be there.
    pub base_model: String,
    /// `{"path"}` or `{"hub","revision","commit"}`.
    #[schema(value_type = Object)]
    pub source: Value,
    /// What happens when a checkpoint cannot be read.
    pub on_broken: OnBroken,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFile<'a> {
    /// The checkpoint that it belongs to; none for the adapter at the top.
    pub step: Option<u64>,
    /// Its name within the checkpoint.
    pub name: &'a str,
}

/// What `path` is in a run: `checkpoints/checkpoint-20/adapter_config.json`, the same without `checkpoints/`, or a file at
/// the top. None for everything that a run is not read from.
pub fn file_of(path: &str) -> Option<RunFile<'_>> {
    let inner = path.strip_prefix("checkpoints/").unwrap_or(path);
    let (step, name) = match inner.split_once('/') {
        Some((folder, name)) => (Some(step_of(folder)?), name),
        None if inner == path => (None, path),
        None => return None,
    };
    let wanted = [CONFIG, MODEL, STATE].contains(&name);
    let refused = !name.contains('/')
        && (is_pickle(name) && speaks_of_weights(name) || step.is_some() && is_shard(name));
    (wanted || refused).then_some(RunFile { step, name })
}

/// The step of a checkpoint's folder, such as `checkpoint-20`.
pub fn step_of(folder: &str) -> Option<u64> {
    let digits = folder.strip_prefix(PREFIX)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with("00");
    let step: u64 = digits.parse().ok().filter(|_| plain)?;
    (step <= LARGEST_STEP).then_some(step)
}

/// Pickles that hold what the import is about; an optimizer's state beside them is of no interest.
fn speaks_of_weights(name: &str) -> bool {
    ["adapter_model", "steering_vector", "pytorch_model", "model"]
        .iter()
        .any(|start| name.starts_with(start))
}

/// Why a file that stands for weights is not read, in words.
pub fn refusal(name: &str) -> Option<String> {
    match name {
        CONFIG | MODEL | STATE => None,
        "steering_vector.pt" => Some(
            "a steering vector in a pickle, which can run code when it is read; convert it to safetensors elsewhere".into(),
        ),
        name if is_pickle(name) => Some(
            "pickled weights can run code when they are read; convert them to safetensors elsewhere".into(),
        ),
        _ => Some("a checkpoint of all weights; only adapters are imported, register it as a base model".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_run_are_known_by_their_place() {
        let at = |path| file_of(path).map(|file| (file.step, file.name));
        for (path, expected) in [
            (
                "checkpoints/checkpoint-20/adapter_config.json",
                Some((Some(20), CONFIG)),
            ),
            ("checkpoint-5/trainer_state.json", Some((Some(5), STATE))),
            ("adapter_model.safetensors", Some((None, MODEL))),
            (
                "checkpoints/checkpoint-5/adapter_model.bin",
                Some((Some(5), "adapter_model.bin")),
            ),
            (
                "checkpoints/checkpoint-5/steering_vector.pt",
                Some((Some(5), "steering_vector.pt")),
            ),
            (
                "checkpoint-9/model-00001-of-2.safetensors",
                Some((Some(9), "model-00001-of-2.safetensors")),
            ),
            ("checkpoints/checkpoint-5/optimizer.pt", None),
            ("checkpoints/checkpoint-5/rng_state.pth", None),
            ("checkpoints/checkpoint-5/README.md", None),
            ("checkpoints/checkpoint-/adapter_config.json", None),
            ("checkpoints/checkpoint-5x/adapter_config.json", None),
            (
                "checkpoints/checkpoint-99999999999999999999/adapter_config.json",
                None,
            ),
            ("checkpoints/other/adapter_config.json", None),
            ("checkpoints/adapter_config.json", None),
            ("checkpoints/checkpoint-5/more/adapter_config.json", None),
            ("README.md", None),
            ("training_args.bin", None),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }

    #[test]
    fn pickles_and_whole_models_are_refused_by_name() {
        assert_eq!(refusal(MODEL), None);
        for (name, word) in [
            ("steering_vector.pt", "steering vector"),
            ("adapter_model.bin", "pickled"),
            ("model.safetensors", "all weights"),
        ] {
            assert!(refusal(name).unwrap().contains(word), "{name}");
        }
    }
}
