//! The server put together: settings, database, files, worker, HTTP; and its orderly end. Composition only.

mod connections;
mod experiments;
mod garbage;
mod judges;
mod listener;
mod settings;
mod signals;
mod stalls;
mod work;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::api::{self, ApiState};
use crate::artifacts;
use crate::config::Config;
use crate::domain::question_set::builtin;
use crate::domain::time::SystemClock;
use crate::hub::{self, Hub};
use crate::recipes::inspect::Inspector;
use crate::storage::embedded::{self, Managed, Wanted};
use crate::storage::{self, Storage, registry};
use crate::toyworld;

pub use garbage::Collector;
pub use judges::StoredLedger;
pub use settings::{api_settings, storage_limits};
pub use work::worker_config;

/// Time for answers under way once the worker has drained.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Why a server cannot start or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The managed cluster.
    #[error(transparent)]
    Cluster(#[from] embedded::Error),
    /// The database.
    #[error("{0}; check database.url")]
    Storage(#[from] storage::Error),
    /// The configured GPU.
    #[error("worker.device: {cause}")]
    Device {
        /// What is there instead.
        cause: String,
    },
    /// The client of the hub.
    #[error("hub: {cause}")]
    Hub {
        /// In words.
        cause: String,
    },
    /// The clients of the judges.
    #[error("judges: {cause}")]
    Judges {
        /// In words.
        cause: String,
    },
    /// A file or a socket.
    #[error("cannot {what}: {source}")]
    Io {
        /// In words, with the path or address.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}

fn failed(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// A server that runs; ended by [`Server::stop`].
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    state: ApiState,
    http: tokio::task::JoinHandle<()>,
    working: Option<work::Working>,
    managed: Option<Managed>,
    drain: Duration,
}

impl Server {
    /// Starts everything; returns when requests are answered.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        // First, because a taken port is the likeliest mistake and the cheapest to find.
        let listener = bind(config).await?;
        let (managed, storage) = database(config).await?;
        let mut state = api_state(config, storage)?;
        let address = listener
            .local_addr()
            .map_err(failed("read the address listened on"))?;
        let judges = judges::endpoints(&config.judges, address, &state.storage, &state.clock)?;
        state.judges = Arc::new(judges);
        state.local_judges = Arc::new(judges::locals(&config.judges));
        let working = work::start(config, &mut state)?;
        garbage::collect(&state, config.data.unreferenced);
        experiments::watch(&state);
        let http = listener::spawn(
            listener,
            api::router(state.clone()),
            &config.server,
            state.closing.clone(),
        );
        announce(config.server.address_file.as_deref(), address)?;
        tracing::info!("listening on http://{address}");
        Ok(Self {
            address,
            state,
            http,
            working,
            managed,
            drain: config.server.drain,
        })
    }

    /// Ends everything in order: not ready, no claims, attempts drained, answers finished, database stopped.
    pub async fn stop(self) -> Result<(), Error> {
        self.state.readiness.drain();
        tracing::info!(drain_seconds = self.drain.as_secs(), "stopping");
        let working = self.working.map(|it| (it.worker, it.generators));
        let (worker, generators) = working.unzip();
        if let Some(worker) = worker
            && !worker.drain(self.drain).await
        {
            tracing::warn!(
                "attempts were cut off; their jobs go on from their last state when the leases run out"
            );
        }
        self.state.closing.cancel();
        if tokio::time::timeout(LAST_ANSWERS + Duration::from_secs(1), self.http)
            .await
            .is_err()
        {
            tracing::warn!("connections were cut off");
        }
        self.state.storage.close().await;
        // After the database, so that an attempt that was cut off records nothing about the end of its rows.
        if let Some(generators) = generators {
            let ended = tokio::task::spawn_blocking(move || generators.close(LAST_ANSWERS)).await;
            if !ended.unwrap_or(false) {
                tracing::warn!("a decode step was cut off");
            }
        }
        if let Some(managed) = self.managed {
            managed.stop().await?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Starts the log as `config` has it.
pub fn start_log(config: &Config) {
    crate::telemetry::start(&config.log);
}

/// Runs a server until the first signal; a second one ends the process at once.
pub async fn serve(config: &Config) -> Result<(), Error> {
    let mut signals = signals::Signals::listen().map_err(failed("listen to signals"))?;
    let started = tokio::select! {
        started = Server::start(config) => started?,
        () = signals.next() => return Ok(()),
    };
    signals.next().await;
    tokio::select! {
        stopped = started.stop() => stopped,
        () = signals.next() => {
            tracing::warn!("second signal: leaving at once");
            std::process::exit(130);
        }
    }
}

async fn bind(config: &Config) -> Result<TcpListener, Error> {
    let address = config.server.bind;
    TcpListener::bind(address)
        .await
        .map_err(failed(format!("listen on {address} (server.bind)")))
}

async fn database(config: &Config) -> Result<(Option<Managed>, Storage), Error> {
    let limits = storage_limits(config);
    let (managed, url) = match &config.database.url {
        Some(url) => (None, url.clone()),
        None => {
            let wanted = Wanted {
                data_folder: config.data.folder.clone(),
                binaries: config.database.binaries.clone(),
            };
            let managed = Managed::start(wanted).await?;
            let url = managed.url().to_owned();
            (Some(managed), url)
        }
    };
    let storage = Storage::connect(&url, &limits).await?;
    let storage = storage.ordered_by(config.queue.rules());
    storage.migrate().await?;
    warn_of_unsafe_settings(&storage).await?;
    keep_question_sets(&storage).await?;
    Ok((managed, storage))
}

/// Every server has the toy's question sets and the built-in ones, so that a client can ask them by name.
async fn keep_question_sets(storage: &Storage) -> Result<(), Error> {
    for set in toyworld::questions::question_sets() {
        registry::ensure_question_set(storage, &set.name, &set.description, &set.questions).await?;
    }
    for set in builtin::question_sets() {
        registry::ensure_question_set(storage, set.name, set.description, &set.questions).await?;
    }
    Ok(())
}

async fn warn_of_unsafe_settings(storage: &Storage) -> Result<(), Error> {
    let facts = storage.server().await?;
    if !facts.unsafe_settings.is_empty() {
        let off = facts.unsafe_settings.join(", ");
        tracing::warn!(
            off,
            "the database may lose acknowledged work in a crash of its machine"
        );
    }
    Ok(())
}

fn api_state(config: &Config, storage: Storage) -> Result<ApiState, Error> {
    let folder = &config.data.folder;
    let made = std::fs::create_dir_all(folder).and_then(|()| artifacts::Store::open(folder));
    let files = made.map_err(failed(format!("open the data folder {}", folder.display())))?;
    let clock = Arc::new(SystemClock::start());
    let state = ApiState::new(storage, Arc::new(files), api_settings(config), clock);
    let mut state = state.with_inspector(Arc::new(Inspector::default()));
    state.hub = Arc::new(hub(config)?);
    Ok(state)
}

/// The hub as the configuration and the variables that Python reads have it.
fn hub(config: &Config) -> Result<Hub, Error> {
    let given = hub::Given {
        cache: config.hub.cache.clone(),
        endpoint: config.hub.endpoint.clone(),
        offline: config.hub.offline,
        model_bytes: config.hub.model_bytes,
        spare_bytes: config.hub.spare_bytes,
    };
    let settings = hub::Settings::new(given, &|name| std::env::var(name).ok());
    let runtime = tokio::runtime::Handle::current();
    Hub::new(settings, runtime).map_err(|failure| Error::Hub {
        cause: failure.message,
    })
}

/// Writes the address for whoever started this process; whole or not at all.
fn announce(file: Option<&Path>, address: SocketAddr) -> Result<(), Error> {
    let Some(file) = file else {
        return Ok(());
    };
    let unfinished = file.with_extension("part");
    let written = std::fs::write(&unfinished, format!("http://{address}\n"));
    let named = written.and_then(|()| std::fs::rename(&unfinished, file));
    named.map_err(failed(format!(
        "write {} (server.address_file)",
        file.display()
    )))
}
