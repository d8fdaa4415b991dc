//! All SQL. Knows tables and connections; turns every database failure into one of a few kinds.
//!
//! Each call to the database is bounded: by `statement_timeout` and its kin on the server's side and by `bounded` on ours,
//! so that a frozen database costs a request its time limit and no more.

pub mod analyses;
pub mod embedded;
pub mod events;
pub mod experiments;
pub mod forecasts;
pub mod garbage;
pub mod hints;
pub mod idempotency;
pub mod inputs;
pub mod jobs;
pub mod ledger;
pub mod marks;
pub mod metrics;
pub mod models;
pub mod postgres;
pub mod queue;
pub mod registry;
pub mod reports;
pub mod results;

use std::time::Duration;

use crate::domain::ids::JobId;

pub use postgres::{Limits, Storage};

/// Time limit of one call, connection included.
pub const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Why storage could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("the database cannot be reached: {cause}")]
    Unavailable {
        /// What the driver said.
        cause: String,
    },
    /// No answer in time.
    #[error("the database did not answer within {seconds} s")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// A rule of the tables forbids it.
    #[error("{what}")]
    Conflict {
        /// For the owner: what stands against it.
        what: String,
        /// Name of the violated constraint, where one was violated.
        constraint: Option<String>,
    },
    /// There is no such row.
    #[error("{what} does not exist")]
    NotFound {
        /// Kind and id, such as `job "job_…"`.
        what: String,
    },
    /// Another attempt holds the job, or none: the caller may write nothing about it any more.
    #[error("the lease on {job} is no longer this attempt's")]
    LeaseLost {
        /// The job.
        job: JobId,
    },
    /// The job's state does not allow it.
    #[error("{job} is {state}: {remedy}")]
    StateChanged {
        /// The job.
        job: JobId,
        /// The state it has.
        state: &'static str,
        /// For the owner: why that is in the way, or what to do.
        remedy: &'static str,
    },
    /// Something is not as this code has it; a fault of the server.
    #[error("{what}")]
    Invariant {
        /// For the log.
        what: String,
    },
}

/// A value, or why storage could not give it.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A missing row: kind and id.
    pub fn not_found(kind: &str, id: impl std::fmt::Display) -> Self {
        Self::NotFound {
            what: format!("{kind} \"{id}\""),
        }
    }

    /// A broken promise of this code.
    pub fn invariant(what: impl Into<String>) -> Self {
        Self::Invariant { what: what.into() }
    }

    /// Whether `constraint` is what was violated.
    pub fn violates(&self, name: &str) -> bool {
        matches!(self, Self::Conflict { constraint: Some(constraint), .. } if constraint == name)
    }

    /// Whether the same call may succeed when the database is back.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(inner) => of_database(inner.as_ref()),
            sqlx::Error::PoolTimedOut => Self::Timeout {
                seconds: CALL_LIMIT.as_secs(),
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable {
                cause: error.to_string(),
            },
            sqlx::Error::RowNotFound => Self::invariant("a row that must exist is missing"),
            other => Self::invariant(other.to_string()),
        }
    }
}

/// Sorts what the server itself reports by SQLSTATE (PostgreSQL documentation, appendix A).
fn of_database(error: &dyn sqlx::error::DatabaseError) -> Error {
    let code = error.code().unwrap_or_default().into_owned();
    match code.as_str() {
        // statement_timeout, lock_timeout, idle_in_transaction_session_timeout
        "57014" | "55P03" | "25P03" => Error::Timeout {
            seconds: CALL_LIMIT.as_secs(),
        },
        // disk full, too many connections, shutting down, starting up: it passes when somebody has done something
        "53100" | "53300" | "57P01" | "57P02" | "57P03" => Error::Unavailable {
            cause: error.to_string(),
        },
        // deadlock, serialization: as good as a time-out for the caller, who tries again
        "40P01" | "40001" => Error::Timeout { seconds: 0 },
        "23505" | "23503" | "23514" | "23P01" => Error::Conflict {
            what: error.message().to_owned(),
            constraint: error.constraint().map(str::to_owned),
        },
        _ if code.starts_with("08") => Error::Unavailable {
            cause: error.to_string(),
        },
        _ => Error::Invariant {
            what: format!("{error} (SQLSTATE {code})"),
        },
    }
}

/// Runs one call to the database under [`CALL_LIMIT`].
pub(crate) async fn bounded<T>(
    call: impl Future<Output = std::result::Result<T, sqlx::Error>>,
) -> Result<T> {
    within(CALL_LIMIT, async { Ok(call.await?) }).await
}

/// Runs a sequence of calls, a transaction for example, under `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    calls: impl Future<Output = Result<T>>,
) -> Result<T> {
    let late = Error::Timeout {
        seconds: limit.as_secs(),
    };
    tokio::time::timeout(limit, calls)
        .await
        .unwrap_or(Err(late))
}
