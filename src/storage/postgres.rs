//! The pool of connections and the migrations. Knows no table but sqlx's own.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor};

use super::hints::Hints;
use super::{Error, Result, bounded, within};
use crate::domain::scheduling::line::Rules;

/// The migrations as compiled in.
static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Oldest server that is used.
pub const OLDEST_POSTGRES: u32 = 13;

/// Longest time that all migrations together may take.
const MIGRATION_LIMIT: Duration = Duration::from_secs(300);

/// Bounds of the pool and of what a connection may do.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Connections at most.
    pub connections: u32,
    /// Time for getting a connection.
    pub acquire: Duration,
    /// `statement_timeout` of each connection.
    pub statement: Duration,
    /// `lock_timeout` of each connection.
    pub lock: Duration,
    /// `idle_in_transaction_session_timeout` of each connection.
    pub idle_transaction: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            acquire: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            lock: Duration::from_secs(5),
            idle_transaction: Duration::from_secs(30),
        }
    }
}

/// The handle that everything else in storage hangs on; cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Every connection of the process but the heartbeat's.
    pub(crate) pool: PgPool,
    /// Says within this process that there may be work or a cancel; shared by every clone.
    pub(crate) hints: Hints,
    /// What orders the line.
    pub(crate) rules: Rules,
    options: PgConnectOptions,
}

/// What a running database says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Major version.
    pub major: u32,
    /// Settings that give away durability: names of those that are off among `fsync`, `full_page_writes`,
    /// `synchronous_commit`.
    pub unsafe_settings: Vec<String>,
}

impl Storage {
    /// A handle that connects when it is first used.
    ///
    /// *Errors*: conflict when the address is malformed.
    pub fn unconnected(url: &str, limits: &Limits) -> Result<Self> {
        let options = connect_options(url, limits)?;
        let pool = pool_options(limits).connect_lazy_with(options.clone());
        Ok(Self {
            pool,
            hints: Hints::default(),
            rules: Rules::default(),
            options,
        })
    }

    /// The same handle under other rules for the line.
    pub fn ordered_by(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    /// What orders the line.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Connects, checks the version; makes no table.
    ///
    /// *Errors*: unavailable when nobody answers; conflict when the server is too old or the address is malformed.
    pub async fn connect(url: &str, limits: &Limits) -> Result<Self> {
        let storage = Self::unconnected(url, limits)?;
        let facts = storage.server().await?;
        if facts.major < OLDEST_POSTGRES {
            let what = format!(
                "the database is PostgreSQL {}; {OLDEST_POSTGRES} or newer is needed",
                facts.major
            );
            return Err(Error::Conflict {
                what,
                constraint: None,
            });
        }
        Ok(storage)
    }

    /// Brings the tables to this build's form; safe when several servers start at once (advisory lock).
    pub async fn migrate(&self) -> Result<()> {
        within(MIGRATION_LIMIT, async {
            let mut connection = self.single().await?;
            connection
                .execute("set statement_timeout = 0; set lock_timeout = 0")
                .await?;
            MIGRATIONS
                .run(&mut connection)
                .await
                .map_err(migration_error)?;
            Ok(connection.close().await?)
        })
        .await
    }

    /// Whether the database answers and has exactly this build's migrations.
    pub async fn ready(&self) -> Result<()> {
        const COUNT: &str = "select count(*) from _sqlx_migrations where success";
        let count: i64 = bounded(sqlx::query_scalar(COUNT).fetch_one(&self.pool)).await?;
        if count as usize == MIGRATIONS.iter().count() {
            return Ok(());
        }
        Err(Error::invariant(format!(
            "{count} migrations are in, this build has others"
        )))
    }

    /// What the database says about itself.
    pub async fn server(&self) -> Result<ServerFacts> {
        const FACTS: &str = "select current_setting('server_version_num')::int / 10000,
            array(select name from pg_settings
                  where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name)";
        let (major, unsafe_settings): (i32, Vec<String>) =
            bounded(sqlx::query_as(FACTS).fetch_one(&self.pool)).await?;
        Ok(ServerFacts {
            major: major.unsigned_abs(),
            unsafe_settings,
        })
    }

    /// A connection of its own, outside the pool; for the heartbeat's thread and for migrations.
    pub(crate) async fn single(&self) -> Result<sqlx::PgConnection> {
        bounded(self.options.connect()).await
    }

    /// The bells of this process; shared by every clone.
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// Closes every connection; calls made afterwards fail as unavailable.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What the migrations are, as one hash; equal for equal files.
pub fn migrations_hash() -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for migration in MIGRATIONS.iter() {
        hash.update(&*migration.checksum);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn connect_options(url: &str, limits: &Limits) -> Result<PgConnectOptions> {
    // The driver's text may repeat the address with its password, so it is not passed on.
    let malformed = || Error::Conflict {
        what: "database.url is not a valid postgres:// address".into(),
        constraint: None,
    };
    let known = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    let options: Option<PgConnectOptions> = url.parse().ok().filter(|_| known);
    let options = options.ok_or_else(malformed)?;
    let milliseconds = |limit: Duration| limit.as_millis().to_string();
    Ok(options
        .application_name("vivarium")
        .disable_statement_logging()
        .options([
            ("statement_timeout", milliseconds(limits.statement)),
            ("lock_timeout", milliseconds(limits.lock)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(limits.idle_transaction),
            ),
        ]))
}

fn pool_options(limits: &Limits) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(limits.connections)
        .acquire_timeout(limits.acquire)
        .idle_timeout(Duration::from_secs(300))
        // The default ping has no limit of its own; a half-open link would hold the caller for ever.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            Box::pin(async move {
                let ping = tokio::time::timeout(Duration::from_secs(2), connection.ping());
                Ok(matches!(ping.await, Ok(Ok(()))))
            })
        })
}

fn migration_error(error: sqlx::migrate::MigrateError) -> Error {
    use sqlx::migrate::MigrateError as M;
    match error {
        M::Execute(inner) => inner.into(),
        M::VersionMissing(version) => Error::Conflict {
            what: format!(
                "the database has migration {version}, which this build does not know; run a newer build"
            ),
            constraint: None,
        },
        other => Error::invariant(other.to_string()),
    }
}
