//! When files that nobody names are removed: soon after a row let go of them, and by a look at every file from time to time.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::api::ApiState;
use crate::artifacts::{FOLDERS, Store};
use crate::domain::time::Clock;
use crate::storage::{Storage, garbage, idempotency};

/// Between two looks at what rows let go of.
const LOOK: Duration = Duration::from_secs(15);
/// Looks at what rows let go of for each look at every file.
const LOOKS: u64 = 240;
/// Hashes that are asked about at once.
const BATCH: usize = 500;
/// Least age of what a row let go of: a run that made the same bytes has named them by then.
const DROPPED: Duration = Duration::from_secs(60);

/// Removes garbage until the server ends.
pub(super) fn collect(state: &ApiState, age: Duration) -> JoinHandle<()> {
    let collector = Collector {
        storage: state.storage.clone(),
        store: state.files.clone(),
        clock: state.clock.clone(),
        age,
    };
    let closing = state.closing.clone();
    tokio::spawn(async move {
        let works = async {
            for look in 0u64.. {
                collector.look(look.is_multiple_of(LOOKS)).await;
                if let Err(error) = idempotency::forget(&collector.storage).await {
                    tracing::warn!(%error, "old idempotency keys could not be removed");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = works => {}
            () = closing.cancelled() => {}
        }
    })
}

/// What removal needs.
pub struct Collector {
    /// Who names what.
    pub storage: Storage,
    /// The files.
    pub store: Arc<Store>,
    /// For ages.
    pub clock: Arc<dyn Clock>,
    /// Least age of a file that no row ever named.
    pub age: Duration,
}

impl Collector {
    /// Removes what rows let go of, and with `everything` also what none ever named; failures are tried again at the next look.
    pub async fn look(&self, everything: bool) {
        let dropped = self.dropped().await;
        let removed = match everything {
            true => self.never_named().await,
            false => Ok(0),
        };
        for outcome in [dropped, removed] {
            match outcome {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "files that nobody names were removed"),
                Err(error) => tracing::warn!(error, "garbage could not be collected"),
            }
        }
    }

    async fn dropped(&self) -> Result<usize, String> {
        let age = DROPPED.min(self.age);
        let hashes = garbage::dropped(&self.storage, age.as_secs_f64(), BATCH as i64).await;
        let hashes = hashes.map_err(text)?;
        let removed = self.remove(&hashes, age).await?;
        garbage::settled(&self.storage, &hashes)
            .await
            .map_err(text)?;
        Ok(removed)
    }

    async fn never_named(&self) -> Result<usize, String> {
        let mut removed = 0;
        for number in 0..FOLDERS {
            let (store, before) = (self.store.clone(), self.before(self.age));
            let old = blocking(move || store.older(number, before)).await?;
            for hashes in old.chunks(BATCH) {
                removed += self.remove(hashes, self.age).await?;
            }
        }
        Ok(removed)
    }

    /// Removes those of `hashes` that no row names and that were not put there again within `age`.
    async fn remove(&self, hashes: &[String], age: Duration) -> Result<usize, String> {
        if hashes.is_empty() {
            return Ok(0);
        }
        let unnamed = garbage::unreferenced(&self.storage, hashes)
            .await
            .map_err(text)?;
        let (store, before) = (self.store.clone(), self.before(age));
        blocking(move || {
            let mut removed = 0;
            for sha256 in &unnamed {
                removed += usize::from(store.remove(sha256, before)?);
            }
            Ok(removed)
        })
        .await
    }

    fn before(&self, age: Duration) -> i64 {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        self.clock.now().unix_timestamp().saturating_sub(seconds)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(call).await;
    done.map_err(text)?.map_err(text)
}
