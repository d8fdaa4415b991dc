//! Why a managed cluster cannot run, each with its remedy.

use std::path::{Path, PathBuf};

/// A value, or why the cluster cannot run.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the cluster cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable server programs.
    #[error(
        "no PostgreSQL {wanted} was found (looked in {looked}); install one, run scripts/postgres.sh, set \
         database.binaries to the folder of its initdb and postgres, or set database.url to use a server of your own"
    )]
    NoBinaries {
        /// Such as `13 or newer`.
        wanted: String,
        /// Folders, with what was found there.
        looked: String,
    },
    /// Another server has the data folder.
    #[error(
        "another server, process {pid}, uses the data folder {folder}; stop it or choose another with data.folder",
        folder = folder.display()
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// The holder, as it wrote itself down.
        pid: String,
    },
    /// A folder bars the way.
    #[error(
        "the database runs as user \"{user}\", who may not enter {folder}, a parent of {wanted}; allow it with \
         `chmod o+x {folder}` or choose another place",
        folder = folder.display(), wanted = wanted.display()
    )]
    NotSearchable {
        /// Who must enter.
        user: String,
        /// The folder without search permission.
        folder: PathBuf,
        /// What lies below it.
        wanted: PathBuf,
    },
    /// Nobody to run the database as.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd has neither \"postgres\" nor \"nobody\" to run it as; add one, \
         run the server as an ordinary user, or set database.url"
    )]
    NoAccount,
    /// A folder that should be ours is not.
    #[error("{folder} belongs to another user or is open to others; remove it or set XDG_RUNTIME_DIR", folder = folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// A program failed.
    #[error("{program} ended with {status}; its last lines were:\n{log}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: String,
        /// What it said last.
        log: String,
    },
    /// The server does not answer.
    #[error(
        "PostgreSQL did not accept connections within {seconds} s; its last lines were:\n{log}"
    )]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// What it said last.
        log: String,
    },
    /// A server from before will not end.
    #[error("PostgreSQL process {pid} of an earlier server still runs on {folder} and does not end; end it by hand", folder = folder.display())]
    Leftover {
        /// The process.
        pid: i32,
        /// The cluster's folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// In words.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread that prepared it ended early.
    #[error("starting the database broke off: {cause}")]
    Ended {
        /// In words.
        cause: String,
    },
}

impl Error {
    /// Puts words and a path to an error of the file system.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
