//! Removal of files that somebody else found to be named by nobody. Knows ages, not who names what.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Store;

/// Folders that finished files lie in, one for each first byte of a hash.
pub const FOLDERS: u16 = 256;

impl Store {
    /// Hashes in folder `number` that were put there before `before`.
    ///
    /// *Units*: `before` is in seconds of the file system's clock since 1970.
    pub fn older(&self, number: u16, before: i64) -> io::Result<Vec<String>> {
        let folder = self.blobs.join(format!("{number:02x}"));
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if self.place(&name).is_ok() && is_older(&entry.path(), before)? {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// Removes a file that nobody names, unless it was put there again since `before`; whether it is gone.
    ///
    /// Whoever keeps the same bytes at this moment puts them there before this look or after the removal, never between.
    pub fn remove(&self, sha256: &str, before: i64) -> io::Result<bool> {
        let place = self.place(sha256)?;
        let _alone = self.moving();
        match is_older(&place, before) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Ok(true) => fs::remove_file(&place).map(|()| true),
            other => other,
        }
    }
}

/// The time of change is set by every rename, and by nobody but the system.
fn is_older(path: &Path, before: i64) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.ctime() < before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execution::Blobs;

    fn kept(store: &Store, bytes: &[u8]) -> crate::execution::LocalFile {
        let path = store.scratch().unwrap().join("half");
        fs::write(&path, bytes).unwrap();
        store.keep("a.bin", &path).unwrap()
    }

    fn changed(path: &Path) -> i64 {
        fs::symlink_metadata(path).unwrap().ctime()
    }

    #[test]
    fn old_files_are_found_and_removed_and_young_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let file = kept(&store, b"abc");
        let (sha256, at) = (file.entry.sha256.as_str(), changed(&file.path));
        let number = u16::from_str_radix(&sha256[..2], 16).unwrap();
        assert!(store.older(number, at).unwrap().is_empty());
        assert_eq!(store.older(number, at + 1).unwrap(), [sha256]);
        assert!(!store.remove(sha256, at).unwrap() && file.path.exists());
        assert!(store.remove(sha256, at + 1).unwrap() && !file.path.exists());
        assert!(store.remove(sha256, at).unwrap(), "gone is gone");
        assert!(store.remove("../../etc/passwd", i64::MAX).is_err());
        let all: Vec<String> = (0..FOLDERS)
            .flat_map(|n| store.older(n, i64::MAX).unwrap())
            .collect();
        assert_eq!(all, Vec::<String>::new());
    }

    #[test]
    fn a_file_that_is_kept_again_is_young_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let first = kept(&store, b"abc");
        let at = changed(&first.path);
        while changed(&kept(&store, b"abc").path) == at {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert!(!store.remove(&first.entry.sha256, at + 1).unwrap());
        assert!(store.verified(&first.entry).is_ok());
    }

    #[test]
    fn keeping_and_removing_the_same_bytes_at_once_never_loses_what_was_kept_last() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let entry = kept(&store, b"abc").entry;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    store.remove(&entry.sha256, 1).unwrap();
                }
            });
            for _ in 0..200 {
                kept(&store, b"abc");
                assert!(store.verified(&entry).is_ok());
            }
        });
    }
}
