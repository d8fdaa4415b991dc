//! A context without a server: files in a temporary folder, everything said kept in order.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::domain::assets::{FileEntry, ModelFacts};
use crate::domain::canonical::hex;
use crate::domain::evaluation::Completion;
use crate::execution::{
    Blobs, Commit, Committed, Context, Interrupted, LocalFile, ModelFiles, Report, Resume,
    Settings, Stop,
};

/// Files named by their hashes in a temporary folder.
pub(super) struct Folder(pub(super) tempfile::TempDir);

impl Folder {
    fn path(&self, sha256: &str) -> PathBuf {
        self.0.path().join(sha256)
    }
}

impl Blobs for Folder {
    fn keep(&self, name: &str, path: &Path) -> io::Result<LocalFile> {
        let bytes = std::fs::read(path)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        std::fs::rename(path, self.path(&sha256))?;
        let entry = FileEntry {
            name: name.into(),
            bytes: bytes.len() as u64,
            sha256,
        };
        self.verified(&entry)
    }

    fn verified(&self, entry: &FileEntry) -> io::Result<LocalFile> {
        let path = self.path(&entry.sha256);
        let entry = entry.clone();
        Ok(LocalFile { entry, path })
    }

    fn scratch(&self) -> io::Result<PathBuf> {
        Ok(tempfile::tempdir_in(self.0.path())?.keep())
    }
}

/// What a recipe said and recorded.
pub(super) struct Stage {
    pub(super) folder: Folder,
    pub(super) settings: Settings,
    pub(super) reports: RefCell<Vec<Report>>,
    pub(super) commits: RefCell<Vec<Commit>>,
    pub(super) resume: RefCell<Resume>,
    /// Turns until the recipe is told to stop.
    pub(super) turns: Cell<Option<(u64, Interrupted)>>,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            folder: Folder(tempfile::tempdir().unwrap()),
            settings: Settings {
                device: "cpu".into(),
                threads_per_attempt: 1,
                decode_slots: 32,
            },
            reports: RefCell::default(),
            commits: RefCell::default(),
            resume: RefCell::default(),
            turns: Cell::new(None),
        }
    }

    pub(super) fn answers(&self) -> Vec<Completion> {
        let commits = self.commits.borrow();
        let answers = commits.iter().filter_map(|commit| match commit {
            Commit::Answers(answers) => Some(answers.clone()),
            _ => None,
        });
        answers.flatten().collect()
    }

    pub(super) fn model(&self) -> ModelFacts {
        let commits = self.commits.borrow();
        let found = commits.iter().find_map(|commit| match commit {
            Commit::Model(facts) => Some(facts.clone()),
            _ => None,
        });
        found.expect("a model was committed")
    }

    pub(super) fn files(&self, entries: &[FileEntry]) -> ModelFiles {
        ModelFiles {
            identity: entries.iter().map(|entry| entry.sha256.as_str()).collect(),
            name: "toy".into(),
            files: entries
                .iter()
                .map(|entry| self.folder.verified(entry).unwrap())
                .collect(),
        }
    }
}

impl Context for Stage {
    fn turn(&self) -> Result<(), Interrupted> {
        match self.turns.get() {
            Some((0, reason)) => Err(reason),
            Some((left, reason)) => {
                self.turns.set(Some((left - 1, reason)));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn resume(&self) -> Result<Resume, Stop> {
        Ok(self.resume.borrow().clone())
    }

    fn report(&self, report: Report) -> Result<(), Stop> {
        self.reports.borrow_mut().push(report);
        Ok(())
    }

    fn commit(&self, commit: Commit) -> Result<Committed, Stop> {
        self.commits.borrow_mut().push(commit);
        Ok(Committed::Recorded)
    }

    fn blobs(&self) -> &dyn Blobs {
        &self.folder
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn seconds(&self) -> f64 {
        0.0
    }
}
