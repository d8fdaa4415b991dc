//! `.sqlx` is what a database migrated by `migrations/` says of every checked query.
//!
//! The query macros do the work: compiled with a live `DATABASE_URL` they store what they learn in `SQLX_OFFLINE_DIR`.
//! `UPDATE_SQLX=1` writes the folder anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::support::database;

#[tokio::test]
async fn the_committed_queries_are_what_the_database_says() {
    let database = database().await;
    let fresh = tempfile::tempdir().unwrap();
    describe(&database.url(), fresh.path());
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    if std::env::var_os("UPDATE_SQLX").is_some() {
        replace(&committed, fresh.path());
    }
    let (found, expected) = (read(&committed), read(fresh.path()));
    assert!(
        expected.len() > 40,
        "only {} queries were described",
        expected.len()
    );
    let differing: Vec<&String> = expected
        .iter()
        .filter(|(name, text)| found.get(*name) != Some(text))
        .map(|(_, text)| text)
        .collect();
    let stale: Vec<&String> = found
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .collect();
    assert!(
        differing.is_empty() && stale.is_empty(),
        "run UPDATE_SQLX=1 cargo test --test it queries and commit .sqlx; missing or other: {differing:#?}; no longer used: {stale:?}"
    );
}

/// Compiles the library once more, with its queries put to the database at `url`.
fn describe(url: &str, into: &Path) {
    // A condition that no earlier build had, or cargo would find nothing to do.
    let nonce = into.file_name().unwrap().to_string_lossy();
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["rustc", "--quiet", "--lib", "--profile", "check", "--"])
        .args(["--cfg", &format!("sqlx_prepare=\"{nonce}\"")])
        .args(["--check-cfg", "cfg(sqlx_prepare, values(any()))"])
        .env("SQLX_OFFLINE", "false")
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE_DIR", into)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn read(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

fn replace(old: &Path, new: &Path) {
    let _ = std::fs::remove_dir_all(old);
    std::fs::create_dir_all(old).unwrap();
    for (name, text) in read(new) {
        std::fs::write(old.join(name), text).unwrap();
    }
}
