//! What training leaves on disk: files that users load, and the state that a resumed run goes on from.
//!
//! No file carries a time, a job or a host: equal numbers give equal bytes.

use std::path::Path;

use tch::Tensor;

use crate::engine::adapter::Base;
use crate::engine::steering;
use crate::engine::tensors::{self, Archive};
use crate::engine::{Error, Result};

use super::Trainer;
use super::trained::Trained;

/// Name of the state's file.
pub const STATE: &str = "training_state.safetensors";
/// Name of the file with all weights.
pub const WEIGHTS: &str = "model.safetensors";

const FLAT: &str = "weights";

impl Trainer {
    /// Writes what users load into `folder` and gives the names of the files, in order.
    ///
    /// Pairs: PEFT's two files, with `base` as the model that they belong to. All weights: `model.safetensors`. A steering
    /// vector: its two files, likewise with `base`.
    pub fn save_weights<'a>(
        &self,
        folder: &Path,
        base: impl Into<Base<'a>>,
    ) -> Result<Vec<&'static str>> {
        match &self.trained {
            Trained::Pairs { adapter, .. } => {
                adapter.save(folder, base)?;
                Ok(vec![
                    crate::engine::adapter::CONFIG,
                    crate::engine::adapter::MODEL,
                ])
            }
            Trained::All(weights) => {
                weights.save(&folder.join(WEIGHTS))?;
                Ok(vec![WEIGHTS])
            }
            Trained::Vector(vector) => {
                vector.save(folder, base)?;
                Ok(vec![steering::CONFIG, steering::VECTOR])
            }
        }
    }

    /// Writes weights and moments to `path`, all that the next step depends on besides its number.
    pub fn save_state(&self, path: &Path) -> Result<()> {
        tensors::write(path, &self.state())
    }

    /// Bytes of the state, but for some of headers.
    pub fn state_bytes(&self) -> u64 {
        bytes_of(&self.flat.weights) + self.optimizer.moments.bytes()
    }

    /// Bytes of the weights that users load, but for some of headers.
    pub fn weights_bytes(&self) -> u64 {
        bytes_of(&self.flat.weights)
    }

    /// Goes on from a state that was saved after `updates` updates of a run with the same spec.
    ///
    /// *Errors* name the tensor that is missing or has another length or number type.
    pub fn restore(&mut self, path: &Path, updates: u64) -> Result<()> {
        let archive = Archive::open([(STATE, path)])?;
        let _guard = tch::no_grad_guard();
        let mut state = self.state();
        archive.only(|name| state.iter().any(|(known, _)| known == name))?;
        for (name, target) in &mut state {
            let stored = archive.read_as(name, &target.size(), target.f_kind()?)?;
            target.f_copy_(&stored)?;
        }
        self.optimizer.updates = updates;
        self.forget()
    }

    /// Every tensor of the state by name, sharing its storage.
    fn state(&self) -> Vec<(String, Tensor)> {
        let weights = (FLAT.to_string(), self.flat.weights.shallow_clone());
        let mut state = self.optimizer.moments.named();
        state.insert(0, weights);
        state
    }
}

fn bytes_of(tensor: &tch::Tensor) -> u64 {
    (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
}

/// The file of a state among those that were committed.
///
/// *Errors* `MissingFile`.
pub fn find_state<F>(files: &[F], name: impl Fn(&F) -> &str) -> Result<&F> {
    files
        .iter()
        .find(|file| name(file) == STATE)
        .ok_or_else(|| Error::MissingFile {
            name: STATE.into(),
            remedy: "the state cannot be resumed from; run the job again".into(),
        })
}
