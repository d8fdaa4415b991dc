//! A worker with recipes and files of the tests' own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use vivarium::domain::assets::FileEntry;
use vivarium::domain::job::JobResult;
use vivarium::domain::time::{Clock, SystemClock};
use vivarium::execution::{Blobs, Context, Execute, LocalFile, Settings, Stop, Task};
use vivarium::storage::Storage;
use vivarium::worker::{self, WorkerConfig, WorkerHandle};

type Recipe = dyn Fn(&Task, &dyn Context) -> Result<(), Stop> + Send + Sync;

/// Runs one closure for every task.
pub struct Fake(Box<Recipe>);

impl Execute for Fake {
    fn execute(&self, task: &Task, context: &dyn Context) -> Result<JobResult, Stop> {
        (self.0)(task, context).map(|()| JobResult::default())
    }

    fn fingerprint(&self, settings: &Settings) -> Value {
        json!({"threads": settings.threads_per_attempt})
    }

    fn settings_of(&self, fingerprint: &Value, settings: &Settings) -> Settings {
        let threads = fingerprint["threads"].as_u64().unwrap();
        Settings {
            threads_per_attempt: threads as u32,
            ..settings.clone()
        }
    }
}

/// A store in which every file is, but those whose hash ends with `bad`.
struct Shelf;

impl Blobs for Shelf {
    fn keep(&self, _: &str, _: &std::path::Path) -> std::io::Result<LocalFile> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn verified(&self, entry: &FileEntry) -> std::io::Result<LocalFile> {
        if entry.sha256.ends_with("bad") {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let path = PathBuf::from("/shelf").join(&entry.sha256);
        Ok(LocalFile {
            entry: entry.clone(),
            path,
        })
    }

    fn scratch(&self) -> std::io::Result<PathBuf> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// The machine's clock with a jump that tests can add.
pub struct JumpingClock {
    inner: SystemClock,
    jump: AtomicU64,
}

impl JumpingClock {
    pub fn start() -> Arc<Self> {
        let (inner, jump) = (SystemClock::start(), AtomicU64::new(0));
        Arc::new(Self { inner, jump })
    }

    pub fn jump(&self, seconds: u64) {
        self.jump.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for JumpingClock {
    fn now(&self) -> OffsetDateTime {
        self.inner.now()
    }

    fn monotonic_seconds(&self) -> f64 {
        self.inner.monotonic_seconds() + self.jump.load(Ordering::SeqCst) as f64
    }
}

pub fn config() -> WorkerConfig {
    let settings = Settings {
        device: "cpu".into(),
        threads_per_attempt: 1,
        decode_slots: 4,
    };
    WorkerConfig {
        heartbeat: Duration::from_millis(300),
        ..WorkerConfig::new("w", 2, settings)
    }
}

pub fn start_with(
    config: WorkerConfig,
    storage: &Storage,
    clock: Arc<dyn Clock>,
    recipe: impl Fn(&Task, &dyn Context) -> Result<(), Stop> + Send + Sync + 'static,
) -> WorkerHandle {
    let execute = Arc::new(Fake(Box::new(recipe)));
    worker::start(config, storage.clone(), execute, Arc::new(Shelf), clock).unwrap()
}

pub fn start(
    storage: &Storage,
    recipe: impl Fn(&Task, &dyn Context) -> Result<(), Stop> + Send + Sync + 'static,
) -> WorkerHandle {
    start_with(config(), storage, Arc::new(SystemClock::start()), recipe)
}
