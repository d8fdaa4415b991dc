//! How jobs end, and what that means for the jobs that wait for them.

use serde_json::json;
use vivarium::domain::assets::ModelFacts;
use vivarium::domain::job::JobState;
use vivarium::storage::queue::{self, Signal};
use vivarium::storage::{Error, reports};

use super::{Bench, bench, failure};

#[tokio::test]
async fn a_cancel_ends_what_waits_at_once_and_asks_what_runs() {
    let mut bench = bench().await;
    let parent = bench.queued().await;
    let lease = bench.claim().await.lease;
    let blocked = bench.blocked(&[&parent]).await;
    let queued = bench.queued().await;
    for (job, expected) in [
        (&blocked, JobState::Cancelled),
        (&queued, JobState::Cancelled),
        (&parent, JobState::Cancelling),
    ] {
        let state = queue::request_cancel(&bench.storage, job).await.unwrap();
        assert_eq!(state, expected);
        let second = queue::request_cancel(&bench.storage, job).await;
        let Err(Error::StateChanged { state, .. }) = second else {
            panic!("{second:?}")
        };
        assert_eq!(state, expected.name());
    }
    assert_eq!(
        queue::renew(&bench.storage, &lease, 30.0).await.unwrap(),
        Signal::Cancel
    );
    queue::finish_cancelled(&bench.storage, &lease)
        .await
        .unwrap();
    assert_eq!(bench.state(&parent).await, "cancelled");
    assert_eq!(
        bench.events(&parent).await,
        ["claimed", "cancelling", "cancelled"]
    );
    assert_eq!(bench.error(&parent).await, json!(null));
}

#[tokio::test]
async fn what_has_ended_cannot_be_cancelled_and_what_never_was_is_not_found() {
    let mut bench = bench().await;
    let (done, broken) = (bench.queued().await, bench.queued().await);
    let lease = bench.claim().await.lease;
    queue::finish_succeeded(&bench.storage, &lease)
        .await
        .unwrap();
    let lease = bench.claim().await.lease;
    queue::finish_failed(&bench.storage, &lease, &failure())
        .await
        .unwrap();
    for (job, state) in [(&done, "succeeded"), (&broken, "failed")] {
        let error = queue::request_cancel(&bench.storage, job)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(state), "{error}");
    }
    let unknown = "job_00000000000000000000000001".parse().unwrap();
    let error = queue::request_cancel(&bench.storage, &unknown)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn an_attempt_of_a_job_that_is_cancelled_can_only_end_as_cancelled() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let lease = bench.claim().await.lease;
    assert!(matches!(
        queue::finish_cancelled(&bench.storage, &lease).await,
        Err(Error::LeaseLost { .. })
    ));
    queue::request_cancel(&bench.storage, &job).await.unwrap();
    for end in [
        queue::finish_succeeded(&bench.storage, &lease).await,
        queue::finish_failed(&bench.storage, &lease, &failure()).await,
        queue::finish_drained(&bench.storage, &lease).await,
    ] {
        assert!(matches!(end, Err(Error::StateChanged { .. })), "{end:?}");
    }
    queue::finish_cancelled(&bench.storage, &lease)
        .await
        .unwrap();
    assert_eq!(bench.outcomes(&job).await, ["cancelled"]);
}

#[tokio::test]
async fn children_and_their_children_of_a_parent_that_failed_are_cancelled_by_name() {
    let mut bench = bench().await;
    let parent = bench.queued().await;
    let child = bench.blocked(&[&parent]).await;
    let grandchild = bench.blocked(&[&child]).await;
    let other = bench.blocked(&[&child, &parent]).await;
    let lease = bench.claim().await.lease;
    queue::finish_failed(&bench.storage, &lease, &failure())
        .await
        .unwrap();
    for job in [&child, &grandchild, &other] {
        assert_eq!(bench.state(job).await, "cancelled");
        let error = bench.error(job).await;
        assert_eq!(
            (&error["code"], &error["class"]),
            (&json!("parent_failed"), &json!("data"))
        );
    }
    let message = bench.error(&grandchild).await["message"].to_string();
    assert!(message.contains(child.as_str()), "{message}");
}

#[tokio::test]
async fn children_of_a_cancelled_parent_are_cancelled() {
    let mut bench = bench().await;
    let parent = bench.queued().await;
    let child = bench.blocked(&[&parent]).await;
    queue::request_cancel(&bench.storage, &parent)
        .await
        .unwrap();
    assert_eq!(bench.state(&child).await, "cancelled");
    assert_eq!(bench.error(&child).await["code"], "parent_failed");
}

async fn finish_both_at_once(bench: &mut Bench) -> String {
    let (one, two) = (bench.queued().await, bench.queued().await);
    let child = bench.blocked(&[&one, &two]).await;
    let (a, b) = (bench.claim().await.lease, bench.claim().await.lease);
    let (first, second) = tokio::join!(
        queue::finish_succeeded(&bench.storage, &a),
        queue::finish_succeeded(&bench.storage, &b)
    );
    first.unwrap();
    second.unwrap();
    let state = bench.state(&child).await;
    queue::request_cancel(&bench.storage, &child).await.unwrap();
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_is_queued_when_its_last_parent_succeeds_also_when_two_end_at_once() {
    let mut bench = bench().await;
    for round in 0..20 {
        assert_eq!(
            finish_both_at_once(&mut bench).await,
            "queued",
            "round {round}"
        );
    }
    let parent = bench.queued().await;
    let waiting = bench.queued().await;
    let child = bench.blocked(&[&parent, &waiting]).await;
    let lease = bench.claim().await.lease;
    queue::finish_succeeded(&bench.storage, &lease)
        .await
        .unwrap();
    assert_eq!(bench.state(&child).await, "blocked");
}

#[tokio::test]
async fn a_child_that_was_inserted_while_its_parent_ended_is_found() {
    let mut bench = bench().await;
    let (good, bad) = (bench.queued().await, bench.queued().await);
    let lease = bench.claim().await.lease;
    queue::finish_succeeded(&bench.storage, &lease)
        .await
        .unwrap();
    let lease = bench.claim().await.lease;
    queue::finish_failed(&bench.storage, &lease, &failure())
        .await
        .unwrap();
    let (freed, doomed) = (bench.blocked(&[&good]).await, bench.blocked(&[&bad]).await);
    queue::settle_blocked(&bench.storage).await.unwrap();
    assert_eq!(bench.state(&freed).await, "queued");
    assert_eq!(bench.state(&doomed).await, "cancelled");
    assert_eq!(queue::settle_blocked(&bench.storage).await.unwrap(), 0);
}

impl Bench {
    async fn registration(&mut self) -> vivarium::domain::ids::JobId {
        let job = self.queued().await;
        sqlx::query(
            "insert into base_models (id, name, state, source, source_hash, job)
             select spec ->> 'base_model', id, 'registering', '{}', id, id from jobs where id = $1",
        )
        .bind(job.as_str())
        .execute(&mut self.sql)
        .await
        .unwrap();
        job
    }
}

#[tokio::test]
async fn a_base_model_follows_the_job_that_registers_it() {
    let mut bench = bench().await;
    let state = "select state from base_models where job = $1";
    let (good, bad) = (bench.registration().await, bench.registration().await);
    let cancelled = bench.registration().await;
    let lease = bench.claim().await.lease;
    let facts = ModelFacts {
        projections: Default::default(),
        family: "qwen2".into(),
        parameters: 500_000,
        layers: 4,
        hidden_size: 64,
        vocab_size: 300,
        files: vec![super::records::file("config.json")],
    };
    reports::model(&bench.storage, &lease, &facts)
        .await
        .unwrap();
    assert_eq!(bench.one::<String>(state, &good).await, "registering");
    queue::finish_succeeded(&bench.storage, &lease)
        .await
        .unwrap();
    assert_eq!(bench.one::<String>(state, &good).await, "ready");
    let made: String = bench
        .one(
            "select result ->> 'base_model' from jobs where id = $1",
            &good,
        )
        .await;
    assert!(made.starts_with("bm_"), "{made}");
    let lease = bench.claim().await.lease;
    queue::finish_failed(&bench.storage, &lease, &failure())
        .await
        .unwrap();
    assert_eq!(bench.one::<String>(state, &bad).await, "failed");
    queue::request_cancel(&bench.storage, &cancelled)
        .await
        .unwrap();
    assert_eq!(bench.one::<String>(state, &cancelled).await, "failed");
}

#[tokio::test]
async fn a_failure_that_may_pass_waits_before_it_is_tried_again() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let lease = bench.claim().await.lease;
    queue::requeue_failed(&bench.storage, &lease, &failure(), 60.0)
        .await
        .unwrap();
    assert_eq!(bench.state(&job).await, "queued");
    assert_eq!(queue::claim(&bench.storage, "w", 30.0).await.unwrap(), None);
    bench.run("update jobs set queued_at = queue_now()").await;
    let claim = bench.claim().await;
    assert_eq!((claim.attempt, claim.failures), (2, 1));
}

#[tokio::test]
async fn the_result_says_what_became_of_the_rows_as_the_last_attempt_told_it() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let lease = bench.claim().await.lease;
    let told = |dataset: &str, purpose: &str, cut: u64| {
        let data = json!({"dataset": dataset, "purpose": purpose, "cut": cut, "template_prefix_lines": [1]});
        reports::Batch::event(reports::NewEvent::new("dataset_prepared", data))
    };
    for batch in [
        told("b", "train", 1),
        told("a", "train", 2),
        told("a", "kl", 3),
        told("b", "train", 4),
    ] {
        reports::write(&bench.storage, &lease, &batch)
            .await
            .unwrap();
    }
    queue::finish_succeeded(&bench.storage, &lease)
        .await
        .unwrap();
    let datasets = "select result -> 'datasets' from jobs where id = $1";
    let expected = json!([
        {"dataset": "a", "purpose": "train", "cut": 2},
        {"dataset": "b", "purpose": "train", "cut": 4},
        {"dataset": "a", "purpose": "kl", "cut": 3},
    ]);
    assert_eq!(
        bench.one::<serde_json::Value>(datasets, &job).await,
        expected
    );
}
