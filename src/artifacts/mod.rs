//! Files by the SHA-256 of their bytes, under one folder. Knows neither what they hold nor who refers to them.
//!
//! `<data>/blobs/ab/abcd…` holds finished files, `<data>/scratch` unfinished ones; both on one file system, so that a file
//! appears under its hash whole or not at all: written, synced, renamed, its folder synced. Nothing that a user gives is
//! ever part of a path. A file that no row names is garbage, never harm.
//!
//! Large files that lie elsewhere already (a model's folder, the shared cache of a hub) are not copied: under their hash
//! stands a link to them. Whether they are still what they were is found by their hash, like for every other file.

mod checked;
mod garbage;
mod upload;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::domain::assets::FileEntry;
use crate::domain::canonical::hex;
use crate::execution::{Blobs, LocalFile, Room};
use checked::{Checked, Marks};
pub use garbage::FOLDERS;
pub use upload::{Full, Upload, UploadError};

/// The store of one server; share it behind an `Arc`.
#[derive(Debug)]
pub struct Store {
    blobs: PathBuf,
    scratch: PathBuf,
    next: AtomicU64,
    checked: Checked,
    /// Held while a file gets or loses its name.
    moving: Mutex<()>,
}

impl Store {
    /// The store under the folder `data`, made where it is missing; what earlier processes left unfinished is removed.
    pub fn open(data: &Path) -> io::Result<Self> {
        let (blobs, scratch) = (data.join("blobs"), data.join("scratch"));
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        for folder in [&blobs, &scratch] {
            fs::create_dir_all(folder)?;
        }
        sync_folder(data)?;
        Ok(Self {
            blobs,
            scratch,
            next: AtomicU64::new(0),
            checked: Checked::default(),
            moving: Mutex::default(),
        })
    }

    /// A path in the scratch folder that nobody has.
    fn unfinished(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.scratch
            .join(format!("{}-{number}", std::process::id()))
    }

    /// Where the bytes with this hash lie or would lie.
    ///
    /// *Errors* a text that is no hash, so that no other text becomes a path.
    fn place(&self, sha256: &str) -> io::Result<PathBuf> {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if sha256.len() != 64 || !sha256.bytes().all(digit) {
            return Err(io::Error::other(
                "not a SHA-256 in 64 small hexadecimal digits",
            ));
        }
        Ok(self.blobs.join(&sha256[..2]).join(sha256))
    }

    /// Moves a synced file under its hash. Bytes that are there already are replaced, which heals a damaged file.
    fn adopt(&self, path: &Path, sha256: &str) -> io::Result<PathBuf> {
        let place = self.place(sha256)?;
        let folder = self.blobs.join(&sha256[..2]);
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
            sync_folder(&self.blobs)?;
        }
        let alone = self.moving();
        fs::rename(path, &place)?;
        drop(alone);
        sync_folder(&folder)?;
        Ok(place)
    }

    fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a link to the file `target` under its hash, unless the bytes themselves are there.
    fn link(&self, target: &Path, sha256: &str) -> io::Result<()> {
        let place = self.place(sha256)?;
        let alone = self.moving();
        if fs::symlink_metadata(&place).is_ok_and(|facts| facts.is_file()) {
            // young again, so that nobody removes it as garbage before it is named
            let permissions = fs::metadata(&place)?.permissions();
            return fs::set_permissions(&place, permissions);
        }
        drop(alone);
        let unfinished = self.unfinished();
        std::os::unix::fs::symlink(target, &unfinished)?;
        self.adopt(&unfinished, sha256).map(drop)
    }
}

impl Blobs for Store {
    fn keep(&self, name: &str, path: &Path) -> io::Result<LocalFile> {
        let file = File::open(path)?;
        let (sha256, bytes) = hash(&file)?;
        file.sync_all()?;
        let path = self.adopt(path, &sha256)?;
        self.checked
            .remember(&sha256, Marks::from(&file.metadata()?));
        let entry = FileEntry {
            name: name.to_owned(),
            sha256,
            bytes,
        };
        Ok(LocalFile { entry, path })
    }

    /// The hash is computed again whenever anything that the file system tells of the file has changed since it was right.
    fn verified(&self, entry: &FileEntry) -> io::Result<LocalFile> {
        let path = self.place(&entry.sha256)?;
        let file = File::open(&path)?;
        let facts = file.metadata()?;
        if facts.len() != entry.bytes {
            return Err(damaged(
                entry,
                format!("{} bytes instead of {}", facts.len(), entry.bytes),
            ));
        }
        let marks = Marks::from(&facts);
        if !self.checked.is_known(&entry.sha256, &marks) {
            self.check(entry, &file, marks)?;
        }
        Ok(LocalFile {
            entry: entry.clone(),
            path,
        })
    }

    fn refer(
        &self,
        name: &str,
        path: &Path,
        known: Option<&str>,
        seen: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<LocalFile> {
        let target = path.canonicalize()?;
        let file = File::open(&target)?;
        let marks = Marks::from(&file.metadata()?);
        let sha256 = match known {
            Some(sha256) => sha256.to_owned(),
            None => hash_with(&file, seen)?.0,
        };
        let facts = file.metadata()?;
        if Marks::from(&facts) != marks {
            let text = format!("{name} was changed while it was read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.link(&target, &sha256)?;
        self.checked.remember(&sha256, marks);
        let path = self.place(&sha256)?;
        let entry = FileEntry {
            name: name.to_owned(),
            sha256,
            bytes: facts.len(),
        };
        Ok(LocalFile { entry, path })
    }

    fn scratch(&self) -> io::Result<PathBuf> {
        let folder = self.unfinished();
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn room(&self) -> Option<Room> {
        let found = rustix::fs::statvfs(&self.blobs).ok()?;
        Some(Room {
            folder: self.blobs.clone(),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

impl Store {
    /// Hashes a file, unless somebody did so while this call waited for its turn.
    fn check(&self, entry: &FileEntry, file: &File, marks: Marks) -> io::Result<()> {
        let _turn = self.checked.turn(&entry.sha256);
        if self.checked.is_known(&entry.sha256, &marks) {
            return Ok(());
        }
        let (found, _) = hash(file)?;
        if found != entry.sha256 {
            return Err(damaged(entry, format!("bytes that hash to {found}")));
        }
        self.checked.remember(&entry.sha256, marks);
        Ok(())
    }
}

fn damaged(entry: &FileEntry, found: String) -> io::Error {
    let text = format!(
        "{} (sha256 {}) is damaged: it has {found}",
        entry.name, entry.sha256
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn hash(file: &File) -> io::Result<(String, u64)> {
    hash_with(file, &mut |_| Ok(()))
}

/// Hash and length; `seen` hears of every piece and may end it.
fn hash_with(
    mut file: &File,
    seen: &mut dyn FnMut(u64) -> io::Result<()>,
) -> io::Result<(String, u64)> {
    let (mut hasher, mut length) = (Sha256::new(), 0);
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hex(&hasher.finalize()), length)),
            read => {
                hasher.update(&piece[..read]);
                length += read as u64;
                seen(read as u64)?;
            }
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        (folder, store)
    }

    fn kept(store: &Store, bytes: &[u8]) -> LocalFile {
        let path = store.scratch().unwrap().join("half");
        fs::write(&path, bytes).unwrap();
        let kept = store.keep("a.bin", &path).unwrap();
        assert!(!path.exists());
        kept
    }

    #[test]
    fn a_kept_file_lies_under_its_hash() {
        let (_folder, store) = store();
        let kept = kept(&store, b"abc");
        // FIPS 180-2, appendix B.1
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            kept.entry,
            FileEntry {
                name: "a.bin".into(),
                sha256: sha256.into(),
                bytes: 3
            }
        );
        assert!(kept.path.ends_with(format!("blobs/ba/{sha256}")));
        assert_eq!(store.verified(&kept.entry).unwrap(), kept);
    }

    #[test]
    fn every_flipped_bit_is_found_even_after_a_good_check() {
        let (_folder, store) = store();
        let kept = kept(&store, b"some weights");
        assert!(store.verified(&kept.entry).is_ok());
        let whole = fs::read(&kept.path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&kept.path, bytes).unwrap();
            // a new process knows nothing of earlier checks
            store.checked.forget_all();
            let error = store.verified(&kept.entry).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "bit {bit}");
        }
    }

    #[test]
    fn a_changed_file_is_hashed_again_although_it_was_right_before() {
        let (_folder, store) = store();
        let kept = kept(&store, b"some weights");
        assert!(store.verified(&kept.entry).is_ok());
        fs::write(&kept.path, b"soma weights").unwrap();
        let later = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        File::options()
            .write(true)
            .open(&kept.path)
            .unwrap()
            .set_modified(later)
            .unwrap();
        assert!(store.verified(&kept.entry).is_err());
    }

    /// A file elsewhere, and what the store makes of it.
    fn referred(store: &Store, folder: &Path, bytes: &[u8]) -> (PathBuf, LocalFile) {
        let path = folder.join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        let mut seen = 0;
        let mut count = |read| {
            seen += read;
            Ok(())
        };
        let file = store.refer("model.safetensors", &path, None, &mut count);
        assert_eq!(seen, bytes.len() as u64);
        (path, file.unwrap())
    }

    #[test]
    fn a_file_elsewhere_is_found_by_its_hash_without_a_copy_and_survives_a_restart() {
        let (folder, store) = store();
        let elsewhere = tempfile::tempdir().unwrap();
        let (path, file) = referred(&store, elsewhere.path(), b"some weights");
        assert_eq!(
            fs::canonicalize(&file.path).unwrap(),
            path.canonicalize().unwrap()
        );
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.verified(&file.entry).unwrap(), file);
        fs::write(&path, b"soma weights").unwrap();
        let changed = store.verified(&file.entry).unwrap_err();
        assert_eq!(changed.kind(), io::ErrorKind::InvalidData);
        fs::remove_file(&path).unwrap();
        let gone = store.verified(&file.entry).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn bytes_of_the_stores_own_are_kept_and_a_dead_link_is_replaced_by_them() {
        let (_folder, store) = store();
        let elsewhere = tempfile::tempdir().unwrap();
        let own = kept(&store, b"some weights");
        let (path, file) = referred(&store, elsewhere.path(), b"some weights");
        fs::remove_file(path).unwrap();
        assert_eq!(file.path, own.path);
        assert!(store.verified(&own.entry).is_ok());

        let (path, file) = referred(&store, elsewhere.path(), b"other weights");
        fs::remove_file(path).unwrap();
        assert!(store.verified(&file.entry).is_err());
        kept(&store, b"other weights");
        assert!(store.verified(&file.entry).is_ok());
    }

    #[test]
    fn a_file_that_was_changed_and_dated_back_is_hashed_again() {
        let (_folder, store) = store();
        let kept = kept(&store, b"some weights");
        assert!(store.verified(&kept.entry).is_ok());
        let before = fs::metadata(&kept.path).unwrap().modified().unwrap();
        fs::write(&kept.path, b"soma weights").unwrap();
        let file = File::options().write(true).open(&kept.path).unwrap();
        file.set_modified(before).unwrap();
        assert!(store.verified(&kept.entry).is_err());
    }

    #[test]
    fn hashing_ends_when_the_caller_says_so() {
        let (folder, store) = store();
        let path = folder.path().join("large");
        fs::write(&path, vec![0; 3 << 20]).unwrap();
        let mut pieces = 0;
        let ended = store.refer("large", &path, None, &mut |_| {
            pieces += 1;
            Err(io::Error::other("enough"))
        });
        assert_eq!(
            (ended.unwrap_err().to_string().as_str(), pieces),
            ("enough", 1)
        );
    }

    #[test]
    fn truncated_and_missing_files_are_refused() {
        let (_folder, store) = store();
        let kept = kept(&store, b"some weights");
        fs::write(&kept.path, b"some").unwrap();
        assert!(
            store
                .verified(&kept.entry)
                .unwrap_err()
                .to_string()
                .contains("4 bytes instead of 12")
        );
        fs::remove_file(&kept.path).unwrap();
        assert_eq!(
            store.verified(&kept.entry).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn keeping_the_same_bytes_again_heals_a_damaged_file() {
        let (_folder, store) = store();
        let first = kept(&store, b"some weights");
        fs::write(&first.path, b"soma weights").unwrap();
        assert_eq!(kept(&store, b"some weights"), first);
        assert!(store.verified(&first.entry).is_ok());
    }

    #[test]
    fn only_hashes_become_paths() {
        let (_folder, store) = store();
        for sha256 in [
            "",
            "../../etc/passwd",
            &"A".repeat(64),
            &"../".repeat(22)[..64],
        ] {
            let entry = FileEntry {
                name: "x".into(),
                sha256: sha256.into(),
                bytes: 0,
            };
            assert!(store.verified(&entry).is_err(), "{sha256}");
        }
    }

    #[test]
    fn unfinished_files_do_not_survive_the_next_start() {
        let (folder, store) = store();
        let scratch = store.scratch().unwrap();
        fs::write(scratch.join("half"), b"x").unwrap();
        let kept = kept(&store, b"abc");
        let store = Store::open(folder.path()).unwrap();
        assert!(!scratch.exists());
        assert!(store.verified(&kept.entry).is_ok());
    }

    #[test]
    fn scratch_folders_are_apart() {
        let (_folder, store) = store();
        assert_ne!(store.scratch().unwrap(), store.scratch().unwrap());
    }
}
