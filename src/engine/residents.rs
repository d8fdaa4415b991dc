//! Base weights in memory, loaded once and shared by every job that names them.
//!
//! Weights lie behind a mutex only because handles may not be used by two threads at once; each job takes handles of its
//! own and works without the lock. What no job uses any more is dropped when another model needs the place.

use std::sync::{Mutex, PoisonError};

use tch::Kind;

use super::Result;
use super::device::Device;
use super::files::Files;
use super::model::config::ModelConfig;
use super::weights::Weights;
use crate::domain::finetune::Dtype;

/// Models that are kept although nobody uses them now.
const MOST: usize = 4;

/// What tells one set of weights in memory from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Content identity of the files.
    pub identity: String,
    /// Number type; none is as stored.
    pub dtype: Option<Dtype>,
    /// Where.
    pub device: Device,
}

/// The weights in memory, last used last.
#[derive(Default)]
pub struct Residents {
    loaded: Mutex<Vec<(Resident, Weights)>>,
}

impl Residents {
    /// Handles on the weights of `wanted`, read from `files` where they are not in memory yet.
    ///
    /// Others that ask meanwhile wait, so that no model is read twice.
    pub fn weights(
        &self,
        wanted: &Resident,
        files: impl FnOnce() -> Result<Files>,
    ) -> Result<Weights> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match loaded.iter().position(|(key, _)| key == wanted) {
            Some(place) => loaded.remove(place),
            None => (
                wanted.clone(),
                load(&files()?, wanted.dtype, wanted.device)?,
            ),
        };
        let weights = entry.1.shallow_clone()?;
        if loaded.len() >= MOST {
            loaded.remove(0);
        }
        loaded.push(entry);
        Ok(weights)
    }
}

/// Reads a model's config and weights.
pub fn load(files: &Files, dtype: Option<Dtype>, device: Device) -> Result<Weights> {
    let config = ModelConfig::from_json(&files.json("config.json")?)?;
    Weights::load(files, &config, dtype.map(kind), device)
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Float32 => Kind::Float,
        Dtype::Bfloat16 => Kind::BFloat16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files() -> Files {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        Files::in_folder(&folder.join("tests/fixtures/engine/peft_training/base")).unwrap()
    }

    fn named(identity: &str, dtype: Option<Dtype>) -> Resident {
        Resident {
            identity: identity.into(),
            dtype,
            device: Device::Cpu,
        }
    }

    #[test]
    fn equal_models_share_storage_and_are_read_once() {
        let residents = Residents::default();
        let first = residents
            .weights(&named("a", None), || Ok(files()))
            .unwrap();
        let again = residents
            .weights(&named("a", None), || panic!("read again"))
            .unwrap();
        assert_eq!(first.embedding.data_ptr(), again.embedding.data_ptr());
        let half = residents
            .weights(&named("a", Some(Dtype::Bfloat16)), || Ok(files()))
            .unwrap();
        assert_eq!(half.embedding.kind(), Kind::BFloat16);
    }

    #[test]
    fn the_model_that_was_used_least_lately_makes_room() {
        let residents = Residents::default();
        for name in ["a", "b", "c", "d", "a", "e"] {
            residents
                .weights(&named(name, None), || Ok(files()))
                .unwrap();
        }
        let loaded = residents.loaded.lock().unwrap();
        let names: Vec<&str> = loaded
            .iter()
            .map(|(key, _)| key.identity.as_str())
            .collect();
        assert_eq!(names, ["c", "d", "a", "e"]);
    }
}
