//! Who gets a job, and that a right to it that is gone can write nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use vivarium::domain::assets::{ModelFacts, WeightsKind};
use vivarium::storage::queue::{self, Lease, Signal};
use vivarium::storage::reports::{self, Batch, NewCheckpoint, NewEvent, Progressed};
use vivarium::storage::{Error, Storage, inputs};

use super::records::{answer, norm_point, step_point};
use super::{Bench, NewJob, bench, checkpoint_id, failure};

#[tokio::test]
async fn jobs_are_claimed_by_priority_then_by_time_of_queueing() {
    let mut bench = bench().await;
    let late = |priority| NewJob {
        priority,
        ..NewJob::default()
    };
    let low = bench.insert(late(2)).await;
    let first = bench.insert(late(1)).await;
    let second = bench.insert(late(1)).await;
    let high = bench.insert(late(0)).await;
    let mut order = Vec::new();
    while let Some(claim) = queue::claim(&bench.storage, "w", 30.0).await.unwrap() {
        assert_eq!((claim.attempt, claim.lease.number), (1, 1));
        order.push(claim.lease.job);
    }
    assert_eq!(order, [high, first.clone(), second, low]);
    assert_eq!(bench.state(&first).await, "running");
    assert_eq!(bench.events(&first).await, ["claimed"]);
}

/// Every write that carries a lease.
async fn writes(storage: &Storage, lease: &Lease) -> Vec<(&'static str, Result<(), Error>)> {
    let batch = |change: fn(&mut Batch)| {
        let mut batch = Batch::default();
        change(&mut batch);
        batch
    };
    let unit = "step".to_owned();
    let progress = Progressed {
        done: 1,
        total: 2,
        unit,
    };
    let batches = [
        ("steps", batch(|b| b.steps.push(step_point(1)))),
        ("norms", batch(|b| b.norms.push(norm_point(1)))),
        ("modules", batch(|b| b.modules = Some(Vec::new()))),
        ("hold_out", batch(|b| b.hold_out.push((1, 0.5)))),
        ("events", Batch::event(NewEvent::new("note", json!({})))),
        (
            "progress",
            Batch {
                progress: Some(progress),
                ..Batch::default()
            },
        ),
    ];
    let mut results = Vec::new();
    for (name, batch) in batches {
        results.push((name, reports::write(storage, lease, &batch).await));
    }
    let (id, error) = (checkpoint_id(), failure());
    let checkpoint = NewCheckpoint {
        id: &id,
        step: 1,
        kind: WeightsKind::Lora,
        files: &[],
        state: &[],
    };
    let facts = ModelFacts {
        projections: Default::default(),
        family: "qwen2".into(),
        parameters: 1,
        layers: 1,
        hidden_size: 1,
        vocab_size: 1,
        files: Vec::new(),
    };
    let model = "bm_00000000000000000000000001".parse().unwrap();
    let plan = inputs::EvaluationPlan {
        base_model: &model,
        targets: &[],
        planned: 1,
    };
    results.push((
        "checkpoint",
        reports::checkpoint(storage, lease, &checkpoint)
            .await
            .map(drop),
    ));
    results.push((
        "answers",
        reports::answers(storage, lease, &[answer(0)]).await,
    ));
    results.push(("model", reports::model(storage, lease, &facts).await));
    results.push(("resume", reports::begin_resume(storage, lease, None).await));
    results.push((
        "plan",
        inputs::plan_evaluation(storage, lease, &plan)
            .await
            .map(drop),
    ));
    results.push((
        "fingerprint",
        queue::set_fingerprint(storage, lease, &json!(1), true).await,
    ));
    results.push(("recorded", queue::recorded(storage, lease).await.map(drop)));
    results.push(("renew", queue::renew(storage, lease, 30.0).await.map(drop)));
    results.push(("succeeded", queue::finish_succeeded(storage, lease).await));
    results.push(("failed", queue::finish_failed(storage, lease, &error).await));
    results.push((
        "requeued",
        queue::requeue_failed(storage, lease, &error, 1.0).await,
    ));
    results.push(("cancelled", queue::finish_cancelled(storage, lease).await));
    results.push(("drained", queue::finish_drained(storage, lease).await));
    results.push(("paused", queue::finish_paused(storage, lease).await));
    results.push(("held", queue::finish_held(storage, lease, "r", "d").await));
    results
}

const EVERYTHING: &str = "select md5(string_agg(t::text, '' order by t::text)) from (
  select to_jsonb(j) as t from jobs j union all select to_jsonb(a) from attempts a union all select to_jsonb(e) from events e
  union all select to_jsonb(m) from metrics m union all select to_jsonb(n) from norms n
  union all select to_jsonb(c) from checkpoints c union all select to_jsonb(h) from hold_out h
  union all select to_jsonb(m) from norm_modules m union all select to_jsonb(t) from timings t) everything
  where $1 <> ''";

#[tokio::test]
async fn a_lease_that_is_gone_can_write_nothing() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let stale = bench.crash().await;
    for claimed_again in [false, true] {
        if claimed_again {
            let lease = bench.claim().await.lease;
            assert!(lease.number > stale.number);
        }
        let before: String = bench.one(EVERYTHING, &job).await;
        for (name, result) in writes(&bench.storage, &stale).await {
            assert!(
                matches!(result, Err(Error::LeaseLost { .. })),
                "{name}: {result:?}"
            );
        }
        let after: String = bench.one(EVERYTHING, &job).await;
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn a_lease_can_be_renewed_after_it_ran_out_while_nobody_took_the_job() {
    let mut bench = bench().await;
    bench.queued().await;
    let lease = bench.claim().await.lease;
    bench.expire().await;
    assert_eq!(
        queue::renew(&bench.storage, &lease, 30.0).await.unwrap(),
        Signal::Go
    );
    assert_eq!(queue::sweep(&bench.storage, 0.0).await.unwrap(), []);
}

/// Numbers that look random; the seed is printed with a failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

/// Claims until told to stop; now and then dies with a job in its hands, and comes back from the dead to finish it: a few
/// times while its lease may still stand, and for the rest when every job has ended.
async fn claimer(storage: Storage, number: u64, done: Arc<AtomicBool>) -> Tally {
    let (mut dice, mut dead, mut tally) = (Dice(number), Vec::new(), Tally::default());
    while !done.load(Ordering::Acquire) {
        let Some(claim) = queue::claim(&storage, "w", LEASE).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if dice.roll(6) == 0 {
            dead.push(claim.lease);
            tally.deaths += 1;
        } else {
            finish(&storage, &claim.lease, &mut tally).await;
        }
        if let Some(lease) = dead.pop_if(|_| dice.roll(10) == 0) {
            finish(&storage, &lease, &mut tally).await;
        }
    }
    for lease in dead {
        finish(&storage, &lease, &mut tally).await;
    }
    tally
}

async fn finish(storage: &Storage, lease: &Lease, tally: &mut Tally) {
    match queue::finish_succeeded(storage, lease).await {
        Ok(()) => tally.finished += 1,
        Err(Error::LeaseLost { .. }) => tally.refused += 1,
        Err(other) => panic!("{other}"),
    }
}

#[derive(Debug, Default)]
struct Tally {
    finished: u64,
    deaths: u64,
    refused: u64,
}

const LEASE: f64 = 0.15;
const JOBS: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_claimers_that_die_at_random_finish_each_job_exactly_once() {
    let mut bench = bench().await;
    for _ in 0..JOBS {
        bench.queued().await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let claimers: Vec<_> = (1..=8)
        .map(|n| tokio::spawn(claimer(bench.storage.clone(), n, done.clone())))
        .collect();
    let open = "select count(*) from jobs where finished_at is null and $1 <> ''";
    let any = "job_00000000000000000000000001".parse().unwrap();
    while bench.one::<i64>(open, &any).await > 0 {
        queue::sweep(&bench.storage, LEASE).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    done.store(true, Ordering::Release);
    let mut total = Tally::default();
    for claimer in claimers {
        let tally = claimer.await.unwrap();
        total.finished += tally.finished;
        total.deaths += tally.deaths;
        total.refused += tally.refused;
    }
    println!("{total:?}");
    check_each_ended_once(&mut bench, &total).await;
}

async fn check_each_ended_once(bench: &mut Bench, total: &Tally) {
    let any = "job_00000000000000000000000001".parse().unwrap();
    let ends = "select count(*) from events where type in ('succeeded', 'failed') and $1 <> ''";
    let twice = "select count(*) from (select job from events where type in ('succeeded', 'failed') and $1 <> ''
        group by job having count(*) <> 1) twice";
    let succeeded = "select count(*) from jobs where state = 'succeeded' and $1 <> ''";
    // Three deaths in a row are the other end.
    let lost = "select count(*) from jobs where error ->> 'code' = 'worker_lost' and $1 <> ''";
    assert_eq!(bench.one::<i64>(ends, &any).await as u64, JOBS);
    assert_eq!(bench.one::<i64>(twice, &any).await, 0);
    let succeeded = bench.one::<i64>(succeeded, &any).await as u64;
    assert_eq!(succeeded, total.finished);
    assert_eq!(succeeded + bench.one::<i64>(lost, &any).await as u64, JOBS);
    // A fault test that hit nothing proves nothing.
    assert!(total.deaths > 30 && total.refused > 20, "{total:?}");
}
