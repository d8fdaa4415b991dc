//! A published run's folder on this machine: the same roots, other names.

use std::path::{Path, PathBuf};

use super::{Look, Refused, real_roots, under_roots};
use crate::domain::published_run::{CHECKPOINTS, MOST_CHECKPOINTS, file_of, step_of};
use crate::execution::fetch::FetchedFile;

/// The real place of the folder `path`, which must lie under one of `roots` and hold a checkpoint's folder.
pub fn real_run(path: &Path, roots: &[PathBuf]) -> Result<PathBuf, Refused> {
    let real = under_roots(path, roots)?;
    let shown = path.display().to_string();
    match checkpoints(&real, &shown)?.is_empty() {
        true => Err(Refused::NoCheckpoints { shown }),
        false => Ok(real),
    }
}

/// The files of the folder `path` that a run consists of, and those that stand for weights and are refused by name.
pub fn run_files(path: &Path, roots: &[PathBuf]) -> Result<Vec<FetchedFile>, Refused> {
    let folder = real_run(path, roots)?;
    let look = Look {
        shown: path.display().to_string(),
        roots: real_roots(roots),
    };
    let mut found = look.run_files_in(&folder, "")?;
    for name in checkpoints(&folder, &look.shown)? {
        found.extend(look.run_files_in(&folder.join(&name), &format!("{name}/"))?);
    }
    Ok(found)
}

/// The folders of checkpoints, in `checkpoints` and beside it, as paths below `folder`.
fn checkpoints(folder: &Path, shown: &str) -> Result<Vec<String>, Refused> {
    let mut found = Vec::new();
    for before in [String::new(), format!("{CHECKPOINTS}/")] {
        let within = folder.join(&before);
        if !before.is_empty() && !within.is_dir() {
            continue;
        }
        let unreadable = |_| Refused::Unreadable {
            shown: shown.into(),
        };
        for entry in std::fs::read_dir(&within).map_err(unreadable)? {
            let Ok(name) = entry.map_err(unreadable)?.file_name().into_string() else {
                continue;
            };
            if step_of(&name).is_some() && within.join(&name).is_dir() {
                found.push(format!("{before}{name}"));
            }
        }
    }
    match found.len() > MOST_CHECKPOINTS {
        true => Err(Refused::TooMany {
            shown: shown.into(),
            most: MOST_CHECKPOINTS,
        }),
        false => Ok(found),
    }
}

impl Look {
    fn run_files_in(&self, folder: &Path, before: &str) -> Result<Vec<FetchedFile>, Refused> {
        let unreadable = |_| Refused::Unreadable {
            shown: self.shown.clone(),
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let name = format!("{before}{name}");
            if file_of(&name).is_some() {
                found.extend(self.inside(&entry.path(), name)?);
            }
        }
        Ok(found)
    }
}
