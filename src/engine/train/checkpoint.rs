//! What training leaves on disk: files that users load, and the state that a resumed run goes on from.
//!
//! No file carries a time, a job or a host: equal numbers give equal bytes.

use std::path::Path;

use crate::engine::adapter::Base;
use crate::engine::tensors::{self, Archive};
use crate::engine::{Error, Result};

use super::Trainer;
use super::trained::Trained;

/// Name of the state's file.
pub const STATE: &str = "training_state.safetensors";
/// Name of the file with all weights.
pub const WEIGHTS: &str = "model.safetensors";

const FLAT: &str = "weights";
const FIRST: &str = "first_moments";
const SECOND: &str = "second_moments";

impl Trainer {
    /// Writes what users load into `folder` and gives the names of the files, in order.
    ///
    /// Pairs: PEFT's two files, with `base` as the model that they belong to. All weights: `model.safetensors`.
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
        }
    }

    /// Writes weights and moments to `path`, all that the next step depends on besides its number.
    pub fn save_state(&self, path: &Path) -> Result<()> {
        let named = [
            (FLAT, &self.flat.weights),
            (FIRST, &self.optimizer.first),
            (SECOND, &self.optimizer.second),
        ]
        .map(|(name, tensor)| (name.to_string(), tensor.shallow_clone()));
        tensors::write(path, &named)
    }

    /// Bytes of the state, but for some of headers.
    pub fn state_bytes(&self) -> u64 {
        let parts = [
            &self.flat.weights,
            &self.optimizer.first,
            &self.optimizer.second,
        ];
        parts.map(bytes_of).into_iter().sum()
    }

    /// Bytes of the weights that users load, but for some of headers.
    pub fn weights_bytes(&self) -> u64 {
        bytes_of(&self.flat.weights)
    }

    /// Goes on from a state that was saved after `updates` updates of a run with the same spec.
    ///
    /// *Errors* name the tensor that is missing or has another length.
    pub fn restore(&mut self, path: &Path, updates: u64) -> Result<()> {
        let archive = Archive::open([(STATE, path)])?;
        archive.only(|name| [FLAT, FIRST, SECOND].contains(&name))?;
        let _guard = tch::no_grad_guard();
        for (name, target) in [
            (FLAT, &mut self.flat.weights),
            (FIRST, &mut self.optimizer.first),
            (SECOND, &mut self.optimizer.second),
        ] {
            let shape = target.size();
            let stored = archive.read(name, &shape, None, crate::engine::device::Device::Cpu)?;
            target.f_copy_(&stored)?;
        }
        self.optimizer.updates = updates;
        self.forget()
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
