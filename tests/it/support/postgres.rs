//! One PostgreSQL per target directory, started by the first test that needs it, and a database per test made from a
//! migrated template.
//!
//! Test processes hold a shared lock while they live; a small shell loop stops the server once nobody has held it for a
//! while, so nothing stays behind. Databases that killed tests left are dropped at the next start.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sqlx::{Connection, PgConnection};
use vivarium::storage::embedded::{Account, Binaries, Cluster, Place};
use vivarium::storage::{Limits, Storage, postgres::migrations_hash};

/// Tests need no durability.
const FAST: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("max_connections", "400"),
];

/// A database of one test, dropped with it.
pub struct TestDatabase {
    name: String,
    place: Place,
}

impl TestDatabase {
    /// Its address.
    pub fn url(&self) -> String {
        self.place.url(&self.name)
    }

    /// A pool on it, migrated already.
    pub async fn storage(&self) -> Storage {
        let limits = Limits {
            connections: 8,
            ..Limits::default()
        };
        Storage::connect(&self.url(), &limits)
            .await
            .expect("the test database answers")
    }

    /// A plain connection to it.
    pub async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url())
            .await
            .expect("the test database answers")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let statement = format!("drop database if exists \"{}\" with (force)", self.name);
        let url = self.place.url("postgres");
        // Drop is not async, and the test's own runtime may be on its way out.
        let dropped =
            std::thread::spawn(move || runtime().block_on(execute(&url, &statement))).join();
        if let Ok(Err(error)) = dropped {
            eprintln!("{} is left for the next start: {error}", self.name);
        }
    }
}

/// A fresh, migrated database.
pub async fn database() -> TestDatabase {
    let place = tokio::task::spawn_blocking(running_cluster)
        .await
        .expect("the cluster starts");
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let statement = format!(
        "create database \"{name}\" template \"{}\"",
        template_name()
    );
    execute(&place.url("postgres"), &statement)
        .await
        .expect("a database from the template");
    TestDatabase { name, place }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

async fn execute(url: &str, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

fn template_name() -> String {
    format!("template_{}", &migrations_hash()[..16])
}

/// The shared cluster; starts it in the first process and finds it in the others.
fn running_cluster() -> Place {
    static CLUSTER: OnceLock<(Place, File)> = OnceLock::new();
    let (place, _) = CLUSTER.get_or_init(|| {
        let folder = folder();
        std::fs::create_dir_all(&folder).expect("a folder in the target directory");
        let in_use = locked(&folder.join("use.lock"), FlockOperation::LockShared);
        let starting = locked(&folder.join("start.lock"), FlockOperation::LockExclusive);
        let place = started(&folder);
        drop(starting);
        (place, in_use)
    });
    place.clone()
}

/// Beside this test's own program, so each target directory has its own.
fn folder() -> PathBuf {
    let program = std::env::current_exe().expect("a path of this program");
    let target = program
        .ancestors()
        .nth(3)
        .expect("target/<profile>/deps/<program>");
    target.join("postgres-for-tests")
}

fn locked(path: &Path, kind: FlockOperation) -> File {
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .expect("a lock file");
    flock(&file, kind).expect("a lock");
    file
}

fn started(folder: &Path) -> Place {
    let account = Account::choose().expect("an account for the database");
    let place = Place::settle(folder, &account).expect("a place for the database");
    if runtime()
        .block_on(execute(&place.url("postgres"), "select 1"))
        .is_err()
    {
        start(folder, &place, account);
    }
    runtime()
        .block_on(ensure_template(&place))
        .expect("a migrated template");
    place
}

#[allow(clippy::zombie_processes)] // it outlives this test process on purpose
fn start(folder: &Path, place: &Place, account: Account) {
    let binaries = Binaries::find(None, place.made_by())
        .expect("PostgreSQL is there; run scripts/postgres.sh");
    let binaries = binaries
        .reachable(&account)
        .expect("programs that the account can reach");
    let cluster = Cluster {
        place: place.clone(),
        account,
        binaries,
    };
    cluster.initialise().expect("initdb succeeds");
    cluster
        .stop_leftover()
        .expect("nothing else runs on the cluster");
    let child = cluster.spawn(FAST).expect("postgres starts");
    for _ in 0..600 {
        if runtime().block_on(drop_leftovers(place)).is_ok() {
            stop_when_unused(folder, &cluster, child.id());
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("postgres does not answer:\n{}", place.log_tail());
}

async fn drop_leftovers(place: &Place) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&place.url("postgres")).await?;
    const LEFT: &str =
        "select datname from pg_database where datname ~ '^(test|unfinished|template)_'";
    let names: Vec<String> = sqlx::query_scalar(LEFT).fetch_all(&mut connection).await?;
    for name in names.iter().filter(|name| **name != template_name()) {
        let statement = format!("drop database if exists \"{name}\" with (force)");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await
}

/// Complete under its name or not there at all.
async fn ensure_template(place: &Place) -> Result<(), Box<dyn std::error::Error>> {
    let mut connection = PgConnection::connect(&place.url("postgres")).await?;
    const EXISTS: &str = "select exists (select from pg_database where datname = $1)";
    let exists: bool = sqlx::query_scalar(EXISTS)
        .bind(template_name())
        .fetch_one(&mut connection)
        .await?;
    if exists {
        return Ok(());
    }
    let unfinished = format!("unfinished_{}", uuid::Uuid::new_v4().simple());
    let create = format!("create database \"{unfinished}\"");
    sqlx::query(sqlx::AssertSqlSafe(create))
        .execute(&mut connection)
        .await?;
    let storage = Storage::connect(&place.url(&unfinished), &Limits::default()).await?;
    storage.migrate().await?;
    storage.close().await;
    let rename = format!(
        "alter database \"{unfinished}\" rename to \"{}\"",
        template_name()
    );
    sqlx::query(sqlx::AssertSqlSafe(rename))
        .execute(&mut connection)
        .await?;
    Ok(())
}

/// Ends the server when the lock of users has been free at one look in every 30 seconds.
#[allow(clippy::zombie_processes)] // it outlives this test process on purpose
fn stop_when_unused(folder: &Path, cluster: &Cluster, pid: u32) {
    const LOOP: &str = r#"
        command -v flock >/dev/null || exit 0
        while sleep 30 && [ "$(readlink /proc/$1/cwd)" = "$2" ]; do
          flock -n "$3" sh -c 'kill -INT $1; while kill -0 $1 2>/dev/null; do sleep 0.1; done' sh "$1"
        done"#;
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("sh");
    command
        .args(["-c", LOOP, "sh", &pid.to_string()])
        .arg(&cluster.place.cluster)
        .arg(folder.join("use.lock"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command.spawn().expect("a shell");
}
