//! Models from a hub: the seam through which they are asked for and brought. Knows no address and no cache.

use std::path::PathBuf;

use serde_json::Value;

use super::{Failure, Stop};

/// A hub with its cache. Every call blocks, so it is called from threads that may wait.
pub trait Fetch: Send + Sync {
    /// The commit that `revision` of `model` names now, 40 hexadecimal digits.
    ///
    /// *Errors* in the user's words: what is not there, what must be accepted or set, what cannot be reached.
    fn commit(&self, model: &str, revision: &str) -> Result<String, Failure>;

    /// Brings the files that a model is loaded from; those that are there already are not brought again.
    ///
    /// *Errors* as [`Fetch::commit`], and whatever `watch` answers. What came so far is kept for the next attempt.
    fn fetch(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop>;

    /// The commit that `revision` of a published run's repository names now, as [`Fetch::commit`].
    fn run_commit(&self, repository: &str, revision: &str) -> Result<String, Failure> {
        let _ = (repository, revision);
        Err(NoHub::refusal())
    }

    /// Brings the files that a published run is read from, under their paths in the repository, as [`Fetch::fetch`].
    fn fetch_run(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop> {
        let _ = (wanted, watch);
        Err(NoHub::refusal().into())
    }
}

/// A model at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Such as `org/name`.
    pub model: String,
    /// As it was asked for, such as `main`.
    pub revision: String,
    /// 40 hexadecimal digits.
    pub commit: String,
}

/// A file that is on this machine now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Name inside the model.
    pub name: String,
    /// Where its bytes are.
    pub path: PathBuf,
    /// SHA-256 that the hub says it has, where it says one.
    pub sha256: Option<String>,
    /// Whether the bytes were hashed by this very call, so that `sha256` is theirs.
    pub checked: bool,
}

/// Who hears how far it is.
pub trait Watch {
    /// `done` of `total` bytes are here; called at least once a second while there is something to wait for.
    fn progress(&mut self, done: u64, total: u64) -> Result<(), Stop>;
    /// Something worth a line in the job's events.
    fn event(&mut self, r#type: &'static str, data: Value) -> Result<(), Stop>;
}

/// What answers where there is no hub.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHub;

impl NoHub {
    fn refusal() -> Failure {
        Failure {
            class: crate::domain::job::ErrorClass::Config,
            code: "no_hub",
            message: "this server fetches nothing from a hub; register a folder under models.roots instead".into(),
            retryable: false,
        }
    }
}

impl Fetch for NoHub {
    fn commit(&self, _model: &str, _revision: &str) -> Result<String, Failure> {
        Err(Self::refusal())
    }

    fn fetch(&self, _wanted: &Wanted, _watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop> {
        Err(Self::refusal().into())
    }
}
