//! A run's files by checkpoint, in the order of steps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::domain::published_run::{MOST_BYTES, MOST_CHECKPOINTS, file_of};
use crate::execution::fetch::FetchedFile;

/// The files of one checkpoint, or of the top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// Updates made.
    pub(super) step: u64,
    files: BTreeMap<String, PathBuf>,
}

impl Part {
    /// Where a file of it lies.
    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.files.get(name).map(PathBuf::as_path)
    }

    /// The names of its files.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// What lies at the top, and the checkpoints by step.
///
/// *Errors* in words: a step twice, too many checkpoints or bytes, none at all.
pub(super) fn parts(files: Vec<FetchedFile>) -> Result<(Option<Part>, Vec<Part>), String> {
    let mut top: Option<Part> = None;
    let mut checkpoints: BTreeMap<u64, Part> = BTreeMap::new();
    let mut bytes: u64 = 0;
    for file in &files {
        let Some(found) = file_of(&file.name) else {
            continue;
        };
        bytes = bytes.saturating_add(std::fs::metadata(&file.path).map_or(0, |facts| facts.len()));
        let part = match found.step {
            None => top.get_or_insert_with(Part::default),
            Some(step) => checkpoints.entry(step).or_insert_with(|| Part {
                step,
                ..Part::default()
            }),
        };
        let before = part.files.insert(found.name.into(), file.path.clone());
        if before.is_some() {
            let detail = format!(
                "checkpoint-{} is there twice, in checkpoints and beside it",
                part.step
            );
            return Err(detail);
        }
    }
    if checkpoints.is_empty() {
        return Err("has no folder checkpoint-<step> with an adapter".into());
    }
    if checkpoints.len() > MOST_CHECKPOINTS || bytes > MOST_BYTES {
        return Err(format!(
            "has {} checkpoints with {bytes} bytes; at most {MOST_CHECKPOINTS} and {MOST_BYTES} are read",
            checkpoints.len()
        ));
    }
    Ok((top, checkpoints.into_values().collect()))
}
