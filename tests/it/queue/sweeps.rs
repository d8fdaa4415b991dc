//! What becomes of jobs whose attempt vanished.

use sqlx::Connection;
use vivarium::domain::assets::WeightsKind;
use vivarium::domain::job::JobState;
use vivarium::storage::Storage;
use vivarium::storage::queue;
use vivarium::storage::reports::{self, NewCheckpoint};

use super::records::file;
use super::{Bench, bench, checkpoint_id};

impl Bench {
    /// A pool for which the database's clock stands still at `expression`.
    async fn storage_at(&mut self, expression: &str) -> Storage {
        let query = format!("select ({expression})::text, current_database()::text");
        let query = sqlx::query_as::<_, (String, String)>(sqlx::AssertSqlSafe(query));
        let (time, name) = query.fetch_one(&mut self.sql).await.unwrap();
        let set = format!("alter database \"{name}\" set vivarium.now = '{time}'");
        let mut connection = self.database.connection().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(set))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        self.database.storage().await
    }
}

#[tokio::test]
async fn only_a_lease_that_ran_out_on_the_databases_clock_is_swept() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let start = "pg_postmaster_start_time() + interval '1 day'";
    let storage = bench.storage_at(start).await;
    queue::claim(&storage, "w", 30.0)
        .await
        .unwrap()
        .expect("the clock is past the queueing");
    for (seconds, swept) in [(29, 0), (31, 1)] {
        let storage = bench
            .storage_at(&format!("{start} + interval '{seconds} seconds'"))
            .await;
        let found = queue::sweep(&storage, 30.0).await.unwrap();
        assert_eq!(found.len(), swept, "{seconds} s after the claim");
    }
    assert_eq!(bench.state(&job).await, "queued");
    assert_eq!(bench.outcomes(&job).await, ["lost"]);
    assert_eq!(bench.events(&job).await, ["claimed", "lost", "queued"]);
}

#[tokio::test]
async fn nothing_is_swept_before_the_database_has_been_up_for_one_lease() {
    let mut bench = bench().await;
    bench.queued().await;
    bench.claim().await;
    bench
        .run("update jobs set lease_expires_at = pg_postmaster_start_time() - interval '1 hour'")
        .await;
    for (seconds, swept) in [(29, 0), (31, 1)] {
        let time = format!("pg_postmaster_start_time() + interval '{seconds} seconds'");
        let storage = bench.storage_at(&time).await;
        let found = queue::sweep(&storage, 30.0).await.unwrap();
        assert_eq!(found.len(), swept, "{seconds} s after the start");
    }
}

#[tokio::test]
async fn three_crashes_in_a_row_without_progress_end_a_job_as_worker_lost() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    for _ in 0..3 {
        assert_eq!(bench.state(&job).await, "queued");
        bench.crash().await;
    }
    assert_eq!(bench.state(&job).await, "failed");
    let error = bench.error(&job).await;
    assert_eq!(
        (&error["class"], &error["attempt"]),
        (&"worker_lost".into(), &3.into())
    );
    assert_eq!(bench.outcomes(&job).await, ["lost", "lost", "lost"]);
}

#[tokio::test]
async fn a_checkpoint_starts_the_count_of_crashes_again_and_its_own_crash_does_not_count() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    bench.crash().await;
    bench.crash().await;
    let lease = bench.claim().await.lease;
    let new = NewCheckpoint {
        id: &checkpoint_id(),
        step: 5,
        kind: WeightsKind::Lora,
        files: &[],
        state: &[file("state")],
    };
    reports::checkpoint(&bench.storage, &lease, &new)
        .await
        .unwrap();
    bench.sweep_up().await;
    for _ in 0..3 {
        assert_eq!(bench.state(&job).await, "queued");
        bench.crash().await;
    }
    assert_eq!(bench.state(&job).await, "failed");
}

#[tokio::test]
async fn ends_in_order_are_no_crashes() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    for _ in 0..2 {
        bench.crash().await;
        let lease = bench.claim().await.lease;
        queue::finish_drained(&bench.storage, &lease).await.unwrap();
    }
    assert_eq!(bench.state(&job).await, "queued");
    bench.crash().await;
    assert_eq!(
        bench.state(&job).await,
        "failed",
        "the third crash, drains between"
    );
}

#[tokio::test]
async fn a_job_that_vanished_while_it_was_cancelled_is_cancelled() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    bench.claim().await;
    queue::request_cancel(&bench.storage, &job).await.unwrap();
    bench.expire().await;
    let swept = queue::sweep(&bench.storage, 0.0).await.unwrap();
    assert_eq!(swept[0].state, JobState::Cancelled);
    assert_eq!(bench.state(&job).await, "cancelled");
}
