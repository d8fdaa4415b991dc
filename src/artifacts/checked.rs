//! Which files were found right, and by which marks a change shows. Each is hashed once in a process, however many ask.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::{Condvar, Mutex, PoisonError};

/// Files remembered at most; the one that nobody asked about for longest is forgotten first.
const MOST: usize = 1 << 16;

/// What the file system says of a file; any write to it changes this, and so does another file in its place.
///
/// The time of change is set by the system alone, so a write whose time of modification was set back shows as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    device: u64,
    inode: u64,
}

impl From<&Metadata> for Marks {
    fn from(facts: &Metadata) -> Self {
        Self {
            bytes: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
            device: facts.dev(),
            inode: facts.ino(),
        }
    }
}

/// Hashes that were found right, with the marks that the file had then.
#[derive(Debug, Default)]
pub(super) struct Checked {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<String, (Marks, u64)>,
    /// Hashes that somebody is computing now.
    busy: HashSet<String>,
    looks: u64,
}

/// The right to check one file; others that want the same wait until it is dropped.
pub(super) struct Turn<'a> {
    checked: &'a Checked,
    sha256: String,
}

impl Checked {
    /// Whether this file was found right before.
    pub(super) fn is_known(&self, sha256: &str, marks: &Marks) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks += 1;
        let look = state.looks;
        match state.known.get_mut(sha256) {
            Some((seen, last)) if seen == marks => {
                *last = look;
                true
            }
            _ => false,
        }
    }

    pub(super) fn remember(&self, sha256: &str, marks: Marks) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looks += 1;
        let look = state.looks;
        if state.known.len() >= MOST && !state.known.contains_key(sha256) {
            let oldest = state.known.iter().min_by_key(|(_, (_, last))| *last);
            if let Some(oldest) = oldest.map(|(sha256, _)| sha256.clone()) {
                state.known.remove(&oldest);
            }
        }
        state.known.insert(sha256.to_owned(), (marks, look));
    }

    /// Waits until nobody else checks this file.
    pub(super) fn turn(&self, sha256: &str) -> Turn<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.busy.contains(sha256) {
            let ended = self.ended.wait(state);
            state = ended.unwrap_or_else(PoisonError::into_inner);
        }
        state.busy.insert(sha256.to_owned());
        Turn {
            checked: self,
            sha256: sha256.to_owned(),
        }
    }

    #[cfg(test)]
    pub(super) fn forget_all(&self) {
        self.state.lock().unwrap().known.clear();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let state = self.checked.state.lock();
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.busy.remove(&self.sha256);
        self.checked.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_about_for_longest_is_forgotten_first() {
        let checked = Checked::default();
        let folder = tempfile::tempdir().unwrap();
        let marks = Marks::from(&std::fs::metadata(folder.path()).unwrap());
        for number in 0..MOST {
            checked.remember(&number.to_string(), marks);
        }
        assert!(checked.is_known("0", &marks));
        checked.remember("one more", marks);
        assert!(checked.is_known("0", &marks) && checked.is_known("one more", &marks));
        assert!(!checked.is_known("1", &marks));
    }
}
