//! From the files that rows name to files on this machine, each with its hash checked. Knows no database.

use std::io;

use serde_json::{Value, json};

use super::{Blobs, Failure, LocalFile, ModelFiles};
use crate::domain::assets::FileEntry;
use crate::domain::canonical;
use crate::domain::job::ErrorClass;

impl ModelFiles {
    /// The files of a model, each found by `file`; their identity depends on their names and bytes alone.
    ///
    /// *Errors* the first that `file` meets.
    pub fn gathered<E>(
        name: String,
        entries: &[FileEntry],
        file: impl FnMut(&FileEntry) -> Result<LocalFile, E>,
    ) -> Result<Self, E> {
        let files = entries.iter().map(file).collect::<Result<_, E>>()?;
        let identity = identity(entries);
        Ok(Self {
            identity,
            name,
            files,
        })
    }

    /// The same model with the file `name` alone, where one file tells enough.
    pub fn only(&self, name: &str) -> Self {
        let files = self.files.iter().filter(|file| file.entry.name == name);
        Self {
            identity: self.identity.clone(),
            name: self.name.clone(),
            files: files.cloned().collect(),
        }
    }
}

/// Content identity of a set of files.
pub fn identity(entries: &[FileEntry]) -> String {
    let mut files: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.sha256.as_str()))
        .collect();
    files.sort_unstable();
    let files: Vec<Value> = files
        .iter()
        .map(|(name, hash)| json!([name, hash]))
        .collect();
    canonical::hash(&Value::Array(files))
}

/// Whether a file holds numbers alone, so that text can be understood without it.
pub fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors")
}

/// A stored file whose hash was checked.
///
/// *Errors* `file_damaged` for one that is gone or changed, `file_unreadable` for a disk that cannot be read just now.
pub fn checked(blobs: &dyn Blobs, entry: &FileEntry) -> Result<LocalFile, Failure> {
    blobs.verified(entry).map_err(|error| {
        if !is_damage(&error) {
            return unreadable(&entry.name, &error);
        }
        tracing::error!(file = entry.name, sha256 = entry.sha256, %error, "a stored file is damaged or gone");
        let message = format!(
            "the stored file {} is gone or damaged; upload or make it again",
            entry.name
        );
        Failure {
            class: ErrorClass::Data,
            code: "file_damaged",
            message,
            retryable: false,
        }
    })
}

/// Whether a file is gone or not what it was, as against a disk that cannot be read just now.
pub fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::NotFound | K::InvalidData | K::UnexpectedEof
    )
}

/// Whether a file could not be written because there is no room for it.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::StorageFull | K::QuotaExceeded)
}

/// The failure of a file that cannot be read just now; the reason goes to the log.
pub fn unreadable(name: &str, error: &io::Error) -> Failure {
    tracing::error!(file = name, %error, "a stored file cannot be read");
    Failure {
        class: ErrorClass::Internal,
        code: "file_unreadable",
        message: format!(
            "the stored file {name} cannot be read just now; the server's log says why"
        ),
        retryable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, sha256: &str) -> FileEntry {
        FileEntry {
            name: name.into(),
            sha256: sha256.into(),
            bytes: 1,
        }
    }

    #[test]
    fn identity_depends_on_names_and_bytes_and_not_on_order() {
        let (a, b) = (entry("a", "1"), entry("b", "2"));
        let both = identity(&[a.clone(), b.clone()]);
        assert_eq!(both, identity(&[b.clone(), a.clone()]));
        assert_ne!(both, identity(&[entry("a", "2"), entry("b", "1")]));
        assert_ne!(both, identity(&[a]));
    }
}
