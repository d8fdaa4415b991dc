//! Jobs that stand still and go on: pauses, resumes, retries.

use vivarium::domain::ids::JobId;
use vivarium::domain::job::JobState;
use vivarium::storage::queue::{self, Signal};
use vivarium::storage::{Error, jobs, reports};

use super::{Bench, bench, failure};

fn remedy<T: std::fmt::Debug>(answer: Result<T, Error>) -> (&'static str, &'static str) {
    match answer {
        Err(Error::StateChanged { state, remedy, .. }) => (state, remedy),
        other => panic!("{other:?}"),
    }
}

impl Bench {
    pub async fn waits_for(&self, job: &JobId) -> String {
        let waiting = jobs::get(&self.storage, job).await.unwrap().waiting;
        waiting.expect("a reason").reason
    }

    async fn crashes(&mut self, job: &JobId) -> i32 {
        let statement = "select crashes_without_progress from jobs where id = $1";
        self.one(statement, job).await
    }
}

#[tokio::test]
async fn a_pause_stops_what_waits_at_once_and_asks_what_runs() {
    let mut bench = bench().await;
    let (running, queued) = (bench.queued().await, bench.queued().await);
    let blocked = bench.blocked(&[&queued]).await;
    let lease = bench.claim().await.lease;
    let storage = bench.storage.clone();
    for (job, expected) in [(&queued, JobState::Paused), (&running, JobState::Pausing)] {
        assert_eq!(queue::request_pause(&storage, job).await.unwrap(), expected);
        assert_eq!(bench.waits_for(job).await, "requested");
        let (state, why) = remedy(queue::request_pause(&storage, job).await);
        assert_eq!(state, expected.name());
        assert!(!why.is_empty());
    }
    let (state, why) = remedy(queue::request_pause(&storage, &blocked).await);
    assert!(state == "blocked" && why.contains("parents"), "{why}");
    let signal = queue::renew(&storage, &lease, 30.0).await.unwrap();
    assert_eq!(signal, Signal::Pause);
    assert!(queue::claim(&storage, "w", 30.0).await.unwrap().is_none());
    let (state, _) = remedy(queue::request_resume(&storage, &running, false).await);
    assert_eq!(state, "pausing");

    queue::finish_paused(&storage, &lease).await.unwrap();
    assert_eq!(bench.state(&running).await, "paused");
    assert_eq!(bench.crashes(&running).await, 0);
    assert_eq!(bench.outcomes(&running).await, ["paused"]);
    for (job, reason) in [(&running, "no_worker"), (&queued, "slots")] {
        queue::request_resume(&storage, job, false).await.unwrap();
        assert_eq!(bench.state(job).await, "queued");
        assert_eq!(bench.waits_for(job).await, reason);
        let (state, _) = remedy(queue::request_resume(&storage, job, false).await);
        assert_eq!(state, "queued");
    }
    assert_eq!(
        bench.events(&running).await,
        ["claimed", "pausing", "paused", "resumed"]
    );
    assert_eq!(bench.claim().await.lease.number, lease.number + 1);
}

#[tokio::test]
async fn a_job_that_is_pausing_ends_paused_however_its_attempt_gives_it_back() {
    let mut bench = bench().await;
    let storage = bench.storage.clone();
    for way in ["drained", "failed", "crashed"] {
        let job = bench.queued().await;
        let lease = bench.claim().await.lease;
        queue::request_pause(&storage, &job).await.unwrap();
        match way {
            "drained" => queue::finish_drained(&storage, &lease).await.unwrap(),
            "failed" => queue::requeue_failed(&storage, &lease, &failure(), 1.0)
                .await
                .unwrap(),
            _ => bench.sweep_up().await,
        }
        assert_eq!(bench.state(&job).await, "paused", "{way}");
        assert_eq!(bench.waits_for(&job).await, "requested", "{way}");
        assert_eq!(
            bench.events(&job).await.last().map(String::as_str),
            Some("paused")
        );
    }
    let job = bench.queued().await;
    let lease = bench.claim().await.lease;
    queue::request_pause(&storage, &job).await.unwrap();
    queue::finish_succeeded(&storage, &lease).await.unwrap();
    assert_eq!(bench.state(&job).await, "succeeded");
}

#[tokio::test]
async fn what_pauses_or_stands_still_can_be_cancelled() {
    let mut bench = bench().await;
    let storage = bench.storage.clone();
    let (pausing, paused) = (bench.queued().await, bench.queued().await);
    let lease = bench.claim().await.lease;
    for job in [&pausing, &paused] {
        queue::request_pause(&storage, job).await.unwrap();
    }
    let state = queue::request_cancel(&storage, &paused).await.unwrap();
    assert_eq!(state, JobState::Cancelled);
    let state = queue::request_cancel(&storage, &pausing).await.unwrap();
    assert_eq!(state, JobState::Cancelling);
    let late = remedy(queue::finish_paused(&storage, &lease).await);
    assert_eq!(late.0, "cancelling");
    queue::finish_cancelled(&storage, &lease).await.unwrap();
    assert_eq!(bench.state(&pausing).await, "cancelled");
}

#[tokio::test]
async fn a_job_that_waits_for_somebody_says_for_what_and_never_counts_as_crashed() {
    let mut bench = bench().await;
    let storage = bench.storage.clone();
    let job = bench.queued().await;
    for _ in 0..5 {
        let lease = bench.claim().await.lease;
        queue::finish_held(&storage, &lease, "disk_full", "no room; make some")
            .await
            .unwrap();
        let waiting = jobs::get(&storage, &job).await.unwrap().waiting.unwrap();
        assert_eq!(
            (waiting.reason.as_str(), waiting.detail.as_str()),
            ("disk_full", "no room; make some")
        );
        queue::request_resume(&storage, &job, false).await.unwrap();
    }
    assert_eq!(bench.crashes(&job).await, 0);
}

#[tokio::test]
async fn a_retry_goes_on_from_what_was_kept_and_reopens_the_jobs_that_needed_it() {
    let mut bench = bench().await;
    let storage = bench.storage.clone();
    let parent = bench.queued().await;
    let child = bench.blocked(&[&parent]).await;
    let grandchild = bench.blocked(&[&child]).await;
    let own = bench.blocked(&[&parent]).await;
    queue::request_cancel(&storage, &own).await.unwrap();
    for _ in 0..2 {
        let lease = bench.claim().await.lease;
        queue::requeue_failed(&storage, &lease, &failure(), 0.0)
            .await
            .unwrap();
    }
    let claim = bench.claim().await;
    assert_eq!(claim.failures, 2);
    queue::finish_failed(&storage, &claim.lease, &failure())
        .await
        .unwrap();
    for job in [&child, &grandchild] {
        assert_eq!(bench.state(job).await, "cancelled");
    }
    let refused = queue::request_retry(&storage, &child).await.unwrap_err();
    assert!(
        refused.to_string().contains(parent.as_str()),
        "{refused}: names the parent to retry"
    );

    let state = queue::request_retry(&storage, &parent).await.unwrap();
    assert_eq!(state, JobState::Queued);
    for (job, state) in [
        (&child, "blocked"),
        (&grandchild, "blocked"),
        (&own, "cancelled"),
    ] {
        assert_eq!(bench.state(job).await, state);
    }
    assert!(bench.error(&child).await.is_null());
    let claim = bench.claim().await;
    assert_eq!(
        (claim.attempt, claim.failures),
        (4, 0),
        "failures count anew"
    );
    queue::finish_succeeded(&storage, &claim.lease)
        .await
        .unwrap();
    assert_eq!(bench.state(&child).await, "queued");
    let (state, why) = remedy(queue::request_retry(&storage, &parent).await);
    assert!(state == "succeeded" && why.contains("force"), "{why}");
    let (state, _) = remedy(queue::request_retry(&storage, &child).await);
    assert_eq!(state, "queued");
}

#[tokio::test]
async fn a_retry_is_refused_where_another_job_does_the_same_work_meanwhile() {
    let mut bench = bench().await;
    let storage = bench.storage.clone();
    let (first, second) = (bench.queued().await, bench.queued().await);
    queue::request_cancel(&storage, &first).await.unwrap();
    sqlx::query(
        "update jobs set spec_hash = (select spec_hash from jobs where id = $1) where id = $2",
    )
    .bind(first.as_str())
    .bind(second.as_str())
    .execute(&mut bench.sql)
    .await
    .unwrap();
    let error = queue::request_retry(&storage, &first).await.unwrap_err();
    assert!(
        matches!(&error, Error::Conflict { what, .. } if what.contains(second.as_str())),
        "{error}"
    );
    assert_eq!(bench.state(&first).await, "cancelled");
    queue::request_cancel(&storage, &second).await.unwrap();
    queue::request_retry(&storage, &first).await.unwrap();
    assert_eq!(bench.state(&first).await, "queued");
}

#[tokio::test]
async fn wishes_about_jobs_that_never_were_are_not_found() {
    let bench = bench().await;
    let unknown: JobId = "job_00000000000000000000000001".parse().unwrap();
    let (storage, id) = (&bench.storage, &unknown);
    for answer in [
        queue::request_pause(storage, id).await.map(drop),
        queue::request_resume(storage, id, false).await,
        queue::request_retry(storage, id).await.map(drop),
    ] {
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
    assert!(
        reports::resume_states(storage, id)
            .await
            .unwrap()
            .is_empty()
    );
}
