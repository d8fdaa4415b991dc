//! The managed cluster: a private PostgreSQL under the data folder, on a Unix socket, that lives and dies with the server.
//!
//! Knows processes, folders and accounts; no table. One server per data folder is held by a file lock; a PostgreSQL that
//! outlived its killed server is stopped before a new one starts.

mod account;
mod binaries;
mod cluster;
mod error;
mod lock;
mod place;
mod processes;
mod supervisor;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection};

pub use account::Account;
pub use binaries::Binaries;
pub use cluster::Cluster;
pub use error::{Error, Result};
pub use place::Place;

use lock::Lock;
use supervisor::Supervisor;

/// Longest wait for a started server to answer; crash recovery included.
const START_SECONDS: u64 = 60;

/// What to manage and with what.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The data folder; made where it is missing.
    pub data_folder: PathBuf,
    /// Folder of `initdb` and `postgres`; the usual places are searched where it is none.
    pub binaries: Option<PathBuf>,
}

/// A running private cluster.
#[derive(Debug)]
pub struct Managed {
    url: String,
    place: Place,
    supervisor: Supervisor,
    _lock: Lock,
}

impl Managed {
    /// Starts the cluster of a data folder, made first where there is none.
    ///
    /// *Errors*: each names the folder, program or process at fault and what to do.
    pub async fn start(wanted: Wanted) -> Result<Self> {
        let (lock, cluster) = blocking(move || prepare(&wanted)).await?;
        let mut supervisor = Supervisor::start(cluster.clone())?;
        wait_until_ready(&cluster, &mut supervisor).await?;
        let place = cluster.place.clone();
        Ok(Self {
            url: place.url(DATABASE),
            place,
            supervisor,
            _lock: lock,
        })
    }

    /// Address of the database, for [`crate::storage::Storage::connect`].
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its files are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Stops the server and waits for its end.
    pub async fn stop(self) -> Result<()> {
        blocking(move || {
            self.supervisor.stop();
            Ok(())
        })
        .await
    }
}

/// Name of the database and of its user.
const DATABASE: &str = "vivarium";

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = |error: tokio::task::JoinError| Error::Ended {
        cause: error.to_string(),
    };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}

fn prepare(wanted: &Wanted) -> Result<(Lock, Cluster)> {
    let data = made(&wanted.data_folder)?;
    let lock = Lock::take(&data)?;
    let account = Account::choose()?;
    let place = Place::settle(&data, &account)?;
    let wanted_major = place.made_by();
    let binaries = Binaries::find(wanted.binaries.as_deref(), wanted_major)?.reachable(&account)?;
    let cluster = Cluster {
        place,
        account,
        binaries,
    };
    cluster.initialise()?;
    cluster.stop_leftover()?;
    Ok((lock, cluster))
}

fn made(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(Error::io("make the data folder", folder))?;
    folder
        .canonicalize()
        .map_err(Error::io("resolve the data folder", folder))
}

async fn wait_until_ready(cluster: &Cluster, supervisor: &mut Supervisor) -> Result<()> {
    for _ in 0..START_SECONDS * 20 {
        if let Some(status) = supervisor.gave_up() {
            return Err(Error::Failed {
                program: "postgres".into(),
                status,
                log: cluster.place.log_tail(),
            });
        }
        if ensure_database(&cluster.place, DATABASE).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Error::NotReady {
        seconds: START_SECONDS,
        log: cluster.place.log_tail(),
    })
}

/// Makes the database `name` where it is missing; fails while the server does not accept connections.
pub async fn ensure_database(place: &Place, name: &str) -> std::result::Result<(), sqlx::Error> {
    let options: sqlx::postgres::PgConnectOptions = place.url("postgres").parse()?;
    let mut connection = options.disable_statement_logging().connect().await?;
    const EXISTS: &str = "select exists (select from pg_database where datname = $1)";
    let exists: bool = sqlx::query_scalar(EXISTS)
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        sqlx::query("create database vivarium")
            .execute(&mut connection)
            .await?;
    }
    connection.close().await
}
