//! A model's folder on this machine: only what lies under the allowed roots is seen, links followed first.

mod run;

use std::path::{Component, Path, PathBuf};

pub use self::run::{real_run, run_files};

use super::Failure;
use super::fetch::FetchedFile;
use crate::domain::job::ErrorClass;
use crate::domain::model_files::{CONFIG, TEMPLATES, is_pickle, is_wanted};

/// Why a folder is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Under no root; nothing is told of what lies there.
    #[error("{shown} does not lie under a folder that the server may read models from")]
    Outside {
        /// As it was given.
        shown: String,
    },
    /// Under a root, but not there.
    #[error("{shown} does not exist")]
    Missing {
        /// As it was given.
        shown: String,
    },
    /// There, but no model's.
    #[error("{shown} has no config.json")]
    NoConfig {
        /// As it was given.
        shown: String,
    },
    /// There, but no run's.
    #[error("{shown} has no folder checkpoint-<step>, neither in itself nor in checkpoints")]
    NoCheckpoints {
        /// As it was given.
        shown: String,
    },
    /// More than is read.
    #[error("{shown} has more than {most} checkpoints, as many as a run may have")]
    TooMany {
        /// As it was given.
        shown: String,
        /// The bound.
        most: usize,
    },
    /// A link in it leads out of the roots.
    #[error("{name} in {shown} leads to a place that the server may not read models from")]
    Leads {
        /// As it was given.
        shown: String,
        /// The file.
        name: String,
    },
    /// It cannot be read.
    #[error("{shown} cannot be read; check that the server may read it")]
    Unreadable {
        /// As it was given.
        shown: String,
    },
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let (class, code) = match &refused {
            Refused::Outside { .. } | Refused::Leads { .. } => {
                (ErrorClass::Config, "folder_outside")
            }
            Refused::Missing { .. } => (ErrorClass::Data, "folder_missing"),
            Refused::NoConfig { .. } | Refused::NoCheckpoints { .. } => {
                (ErrorClass::Data, "file_missing")
            }
            Refused::TooMany { .. } => (ErrorClass::Config, "too_many_checkpoints"),
            Refused::Unreadable { .. } => (ErrorClass::Data, "folder_unreadable"),
        };
        Self {
            class,
            code,
            message: refused.to_string(),
            retryable: false,
        }
    }
}

/// The real place of the folder `path`, which must lie under one of `roots` and hold a config.json.
pub fn real(path: &Path, roots: &[PathBuf]) -> Result<PathBuf, Refused> {
    let real = under_roots(path, roots)?;
    match real.join(CONFIG).is_file() {
        true => Ok(real),
        false => Err(Refused::NoConfig {
            shown: path.display().to_string(),
        }),
    }
}

fn under_roots(path: &Path, roots: &[PathBuf]) -> Result<PathBuf, Refused> {
    let shown = path.display().to_string();
    let roots = real_roots(roots);
    let plain = !path.components().any(|part| part == Component::ParentDir);
    match path.canonicalize() {
        Ok(real) if inside(&real, &roots) => Ok(real),
        Err(_) if plain && inside(path, &roots) => Err(Refused::Missing { shown }),
        _ => Err(Refused::Outside { shown }),
    }
}

/// The files of the folder `path` that a model may consist of, and pickles so that they can be refused by name.
pub fn files(path: &Path, roots: &[PathBuf]) -> Result<Vec<FetchedFile>, Refused> {
    let folder = real(path, roots)?;
    let look = Look {
        shown: path.display().to_string(),
        roots: real_roots(roots),
    };
    let mut found = look.files(&folder, "")?;
    let templates = folder.join(TEMPLATES);
    if templates.is_dir() {
        found.extend(look.files(&templates, &format!("{TEMPLATES}/"))?);
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

struct Look {
    shown: String,
    roots: Vec<PathBuf>,
}

impl Look {
    /// What is wanted of one folder, whose names begin with `before` in the model.
    fn files(&self, folder: &Path, before: &str) -> Result<Vec<FetchedFile>, Refused> {
        let unreadable = |_| Refused::Unreadable {
            shown: self.shown.clone(),
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            found.extend(self.file(&entry.path(), format!("{before}{name}"))?);
        }
        Ok(found)
    }

    fn file(&self, path: &Path, name: String) -> Result<Option<FetchedFile>, Refused> {
        if !is_wanted(&name) && !is_pickle(&name) {
            return Ok(None);
        }
        self.inside(path, name)
    }

    /// The file at `path` with every link followed, which must end under a root.
    fn inside(&self, path: &Path, name: String) -> Result<Option<FetchedFile>, Refused> {
        // a link without an end is a file that is not there
        let Ok(real) = path.canonicalize() else {
            return Ok(None);
        };
        if !inside(&real, &self.roots) {
            let shown = self.shown.clone();
            return Err(Refused::Leads { shown, name });
        }
        Ok(real.is_file().then_some(FetchedFile {
            name,
            path: real,
            sha256: None,
            checked: false,
        }))
    }
}

fn real_roots(roots: &[PathBuf]) -> Vec<PathBuf> {
    let real = roots.iter().filter_map(|root| root.canonicalize().ok());
    real.collect()
}

fn inside(path: &Path, roots: &[PathBuf]) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_under_the_roots_and_refused_beyond_them() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in [
            "roots/model/additional_chat_templates",
            "roots/blobs",
            "secret",
        ] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        for path in [
            "roots/model/config.json",
            "roots/model/README.md",
            "roots/blobs/ab12",
            "roots/model/additional_chat_templates/tool_use.jinja",
            "secret/tokenizer.json",
        ] {
            std::fs::write(at(path), "{}").unwrap();
        }
        symlink("../blobs/ab12", at("roots/model/model.safetensors")).unwrap();
        symlink("../blobs/gone", at("roots/model/added_tokens.json")).unwrap();
        symlink(at("secret"), at("roots/model/more")).unwrap();
        let roots = [at("roots")];
        let found = files(&at("roots/model"), &roots).unwrap();
        let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
        let template = "additional_chat_templates/tool_use.jinja";
        assert_eq!(names, [template, "config.json", "model.safetensors"]);
        assert_eq!(
            found[2].path,
            at("roots/blobs/ab12").canonicalize().unwrap()
        );

        symlink(
            at("secret/tokenizer.json"),
            at("roots/model/tokenizer.json"),
        )
        .unwrap();
        let refused = files(&at("roots/model"), &roots).unwrap_err();
        assert!(matches!(&refused, Refused::Leads { name, .. } if name == "tokenizer.json"));
        assert!(!refused.to_string().contains("secret"));
        // a folder that was swapped for a link since it was posted
        std::fs::rename(at("roots/model"), at("roots/old")).unwrap();
        symlink(at("secret"), at("roots/model")).unwrap();
        let swapped = files(&at("roots/model"), &roots).unwrap_err();
        assert!(matches!(swapped, Refused::Outside { .. }));
    }
}
