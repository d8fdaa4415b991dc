//! The cache on disk, shared with Python: `models--org--name/{blobs,refs,snapshots/<commit>}`, whose entries are relative links.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::{Error, Result, disk};

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds files that can be fetched again.\n";

/// A model's folder in the cache.
#[derive(Debug, Clone)]
pub(super) struct Place {
    root: PathBuf,
    /// `models--org--name`.
    folder: String,
}

impl Place {
    pub(super) fn new(root: &Path, model: &str) -> Self {
        Self {
            root: root.to_owned(),
            folder: format!("models--{}", model.replace('/', "--")),
        }
    }

    fn at(&self, part: &str) -> PathBuf {
        self.root.join(&self.folder).join(part)
    }

    /// The folder that looks like the repository at `commit`.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.at("snapshots").join(commit)
    }

    /// Where the bytes with this tag lie or would lie.
    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.at("blobs").join(etag)
    }

    /// Where they lie until they are whole.
    pub(super) fn unfinished(&self, etag: &str) -> PathBuf {
        self.at("blobs").join(format!("{etag}.incomplete"))
    }

    /// The commit that `revision` named when somebody last asked the hub.
    pub(super) fn reference(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.at("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|text| is_commit(text))
    }

    /// Notes which commit `revision` names.
    pub(super) fn refer(&self, revision: &str, commit: &str) -> Result<()> {
        if revision == commit || self.reference(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.at("refs").join(revision);
        make_folder(path.parent().unwrap_or(&self.root))?;
        fs::write(&path, commit).map_err(disk("refs"))
    }

    /// A file of a snapshot, if its bytes are there.
    pub(super) fn file(&self, commit: &str, name: &str) -> Option<PathBuf> {
        let path = self.snapshot(commit).join(name);
        path.is_file().then_some(path)
    }

    /// The names of the files that `trees/<commit>.json` lists; newer Pythons write it.
    pub(super) fn noted_tree(&self, commit: &str) -> Vec<String> {
        #[derive(serde::Deserialize)]
        struct Tree {
            files: std::collections::BTreeMap<String, serde::de::IgnoredAny>,
        }
        let text = fs::read(self.at("trees").join(format!("{commit}.json")));
        let tree = text
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        tree.map_or_else(Vec::new, |tree: Tree| tree.files.into_keys().collect())
    }

    /// Puts a name into a snapshot for bytes that are there.
    pub(super) fn name(&self, commit: &str, name: &str, etag: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(name);
        let folder = path.parent().unwrap_or(&self.root);
        make_folder(folder)?;
        // one step up for each folder that the name has
        let up = "../".repeat(name.matches('/').count());
        let target = Path::new(&up).join("../../blobs").join(etag);
        if fs::read_link(&path).is_ok_and(|found| found == target) {
            return Ok(path);
        }
        let new = folder.join(format!(".{etag}.{}.new", std::process::id()));
        let _ = fs::remove_file(&new);
        std::os::unix::fs::symlink(&target, &new).map_err(disk("snapshots"))?;
        fs::rename(&new, &path).map_err(disk("snapshots"))?;
        Ok(path)
    }

    /// Makes the folders for a model's bytes.
    pub(super) fn prepare(&self) -> Result<()> {
        make_folder(&self.root)?;
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, TAG).map_err(disk("root folder"))?;
        }
        make_folder(&self.at("blobs"))
    }

    /// The lock that Python takes for the same bytes; none while another holds it.
    pub(super) fn lock(&self, etag: &str) -> Result<Option<File>> {
        let folder = self.root.join(".locks").join(&self.folder);
        make_folder(&folder)?;
        let options = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(format!("{etag}.lock")));
        let file = options.map_err(disk("locks"))?;
        use rustix::fs::{FlockOperation, flock};
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(disk("locks")(error.into())),
        }
    }

    /// Bytes free on the cache's disk.
    pub(super) fn free(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(&self.root);
        let found = found.map_err(|error| disk("root folder")(error.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(disk("folder"))
}

/// The hash that a file of the cache is named by, where it is a SHA-256.
pub(super) fn sha256_of(path: &Path) -> Option<String> {
    let real = path.canonicalize().ok()?;
    let name = real.file_name()?.to_str()?;
    is_sha256(name).then(|| name.to_owned())
}

fn is_hex(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.bytes().all(digit)
}

/// Whether this is a full commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && is_hex(text)
}

pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && is_hex(text)
}

/// A tag as it may be a file's name.
///
/// *Errors* for any that could be a path.
pub(super) fn checked_etag(text: &str, what: &str) -> Result<String> {
    let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (8..=128).contains(&text.len()) && text.bytes().all(letter) {
        return Ok(text.to_owned());
    }
    Err(Error::Odd {
        what: what.to_owned(),
        detail: format!("the tag \"{}\"", text.escape_debug()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_never_a_path() {
        assert_eq!(checked_etag("W/\"abcdef12\"", "x").unwrap(), "abcdef12");
        for text in ["", "../../../etc/passwd", "short", &"a".repeat(129)] {
            assert!(checked_etag(text, "x").is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_relative_links_and_references_are_plain_text() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "org/name");
        place.prepare().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        fs::write(place.blob("tag45678"), "x").unwrap();
        let path = place.name(commit, "config.json", "tag45678").unwrap();
        assert_eq!(
            fs::read_link(&path).unwrap(),
            Path::new("../../blobs/tag45678")
        );
        assert_eq!(place.file(commit, "config.json"), Some(path));
        let deep = place.name(commit, "further/a.jinja", "tag45678").unwrap();
        assert_eq!(fs::read_to_string(deep).unwrap(), "x");
        place.refer("refs/pr/1", commit).unwrap();
        assert_eq!(place.reference("refs/pr/1").as_deref(), Some(commit));
        let text = folder.path().join("models--org--name/refs/refs/pr/1");
        assert_eq!(fs::read_to_string(text).unwrap(), commit);
    }

    #[test]
    fn one_lock_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path(), "org/name");
        let held = place.lock("tag").unwrap();
        assert!(held.is_some());
        assert!(place.lock("tag").unwrap().is_none());
        drop(held);
        assert!(place.lock("tag").unwrap().is_some());
    }
}
