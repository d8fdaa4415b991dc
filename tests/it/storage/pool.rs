//! The pool: migrations, limits, kinds of failure.

use vivarium::storage::{Error, Limits, Storage};

use crate::support;

#[tokio::test]
async fn a_database_of_a_test_is_migrated_and_its_own() {
    let (one, other) = (support::database().await, support::database().await);
    assert_ne!(one.url(), other.url());
    one.storage().await.ready().await.unwrap();
    other
        .storage()
        .await
        .migrate()
        .await
        .expect("migrating again changes nothing");
}

#[tokio::test]
async fn an_address_that_nobody_answers_is_unavailable() {
    let url = "postgres://nobody@127.0.0.1:1/none";
    let error = Storage::connect(url, &Limits::default()).await.unwrap_err();
    assert!(error.is_outage(), "{error:?}");
}

#[tokio::test]
async fn a_malformed_address_is_refused_without_repeating_it() {
    let error = Storage::connect("mysql:/x:secret@y", &Limits::default())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"));
}

#[tokio::test]
async fn the_queue_clock_is_the_databases_and_can_be_set_by_a_test() {
    let database = support::database().await;
    let mut connection = database.connection().await;
    let drift: f64 =
        sqlx::query_scalar("select extract(epoch from clock_timestamp() - queue_now())::float8")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert!(drift.abs() < 1.0);
    let set = "set vivarium.now = '2026-01-02T03:04:05Z'";
    sqlx::query(set).execute(&mut connection).await.unwrap();
    let text: String = sqlx::query_scalar(
        "select to_char(queue_now() at time zone 'utc', 'YYYY-MM-DD HH24:MI:SS')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(text, "2026-01-02 03:04:05");
}
