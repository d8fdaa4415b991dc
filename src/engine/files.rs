//! The files of a model or an adapter, by the names that the Hugging Face layout gives them.
//!
//! The bytes may lie anywhere: a store names them by hash, a folder by name. Knows nothing of what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{Error, Result};

/// Folder of chat templates for other uses than plain conversation.
pub const ADDITIONAL: &str = "additional_chat_templates/";

/// Name inside the model or adapter → where the bytes are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    paths: BTreeMap<String, PathBuf>,
}

impl Files {
    /// The plain files of a folder; of its subfolders only those of further chat templates.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let mut paths = BTreeMap::new();
        list(folder, "", &mut paths)?;
        let further = folder.join(ADDITIONAL);
        if further.is_dir() {
            list(&further, ADDITIONAL, &mut paths)?;
        }
        Ok(Self { paths })
    }

    /// Where `name` lies.
    pub fn get(&self, name: &str) -> Option<&Path> {
        self.paths.get(name).map(PathBuf::as_path)
    }

    /// Where `name` lies.
    ///
    /// *Errors* `MissingFile`.
    pub fn require(&self, name: &str) -> Result<&Path> {
        self.get(name).ok_or_else(|| Error::MissingFile {
            name: name.into(),
            remedy: format!("there are only: {}", self.names().join(", ")),
        })
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.paths.keys().map(String::as_str).collect()
    }

    /// The JSON in `name`.
    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = std::fs::read(self.require(name)?).map_err(|source| Error::io(name, source))?;
        serde_json::from_slice(&bytes).map_err(|error| Error::bad_file(name, error))
    }
}

/// The plain files of one folder, under names that begin with `prefix`.
fn list(folder: &Path, prefix: &str, paths: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let fail = |source| Error::io(folder.display().to_string(), source);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name().and_then(|n| n.to_str())) {
            paths.insert(format!("{prefix}{name}"), path);
        }
    }
    Ok(())
}

impl FromIterator<(String, PathBuf)> for Files {
    fn from_iter<I: IntoIterator<Item = (String, PathBuf)>>(files: I) -> Self {
        Self {
            paths: files.into_iter().collect(),
        }
    }
}
