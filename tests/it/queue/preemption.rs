//! A job of a higher band takes the place of a lower one, which loses nothing but time.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use vivarium::domain::scheduling::line::Rules;
use vivarium::domain::time::SystemClock;
use vivarium::execution::{Interrupted, Stop};
use vivarium::storage::queue;
use vivarium::worker::WorkerConfig;

use super::fakes::{config, start_with};
use super::{NewJob, bench};

fn of_band(priority: i16) -> NewJob {
    NewJob {
        kind: "finetune",
        priority,
        ..NewJob::default()
    }
}

#[tokio::test]
async fn who_makes_room_waits_where_he_stood_and_no_attempt_counts() {
    let mut bench = bench().await;
    let low = bench.insert(of_band(2)).await;
    let before: String = bench
        .one("select queued_at::text from jobs where id = $1", &low)
        .await;
    let lease = bench.claim().await.lease;
    let high = bench.insert(of_band(0)).await;
    assert!(
        queue::preempt(&bench.storage, &low, &high, "anna")
            .await
            .unwrap()
    );
    assert!(
        !queue::preempt(&bench.storage, &low, &high, "anna")
            .await
            .unwrap(),
        "once is enough"
    );
    assert_eq!(bench.state(&low).await, "pausing");
    assert_eq!(bench.waits_for(&low).await, "preempted");
    queue::finish_paused(&bench.storage, &lease).await.unwrap();
    assert_eq!(bench.state(&low).await, "queued");
    let after: String = bench
        .one("select queued_at::text from jobs where id = $1", &low)
        .await;
    assert_eq!(after, before);
    let crashes = "select crashes_without_progress from jobs where id = $1";
    assert_eq!(bench.one::<i32>(crashes, &low).await, 0);
    assert_eq!(
        bench.events(&low).await,
        ["claimed", "preempting", "preempted"]
    );
    assert_eq!(bench.claim().await.lease.job, high);
    assert_eq!(bench.claim().await.lease.job, low);
}

#[tokio::test]
async fn an_owner_s_pause_stands_though_the_job_was_making_room() {
    let mut bench = bench().await;
    let low = bench.insert(of_band(2)).await;
    let lease = bench.claim().await.lease;
    let high = bench.insert(of_band(0)).await;
    assert!(
        queue::preempt(&bench.storage, &low, &high, "anna")
            .await
            .unwrap()
    );
    queue::request_pause(&bench.storage, &low).await.unwrap();
    queue::finish_drained(&bench.storage, &lease).await.unwrap();
    assert_eq!(bench.state(&low).await, "paused");
    assert_eq!(bench.waits_for(&low).await, "requested");
}

#[tokio::test]
async fn a_crash_while_making_room_puts_the_job_back_into_the_line() {
    let mut bench = bench().await;
    let low = bench.insert(of_band(2)).await;
    bench.claim().await;
    let high = bench.insert(of_band(0)).await;
    assert!(
        queue::preempt(&bench.storage, &low, &high, "anna")
            .await
            .unwrap()
    );
    bench.sweep_up().await;
    assert_eq!(bench.state(&low).await, "queued");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_slots_are_full_makes_room_by_itself() {
    let mut bench = bench().await;
    bench.storage = bench.storage.clone().ordered_by(Rules {
        undisturbed_seconds: 0.0,
        ..Rules::default()
    });
    let spec = bench.finetune_spec().await;
    let of_band = |priority| NewJob {
        spec: spec.clone(),
        ..of_band(priority)
    };
    let low = bench.insert(of_band(2)).await;
    let (told, heard) = mpsc::channel();
    let one = WorkerConfig {
        slots: 1,
        ..config()
    };
    let clock = Arc::new(SystemClock::start());
    let worker = start_with(one, &bench.storage, clock, move |task, context| {
        told.send(task.job.clone()).unwrap();
        if task.attempt == 1 && task.job == low {
            loop {
                match context.turn() {
                    Err(Interrupted::Paused) => return Err(Stop::Interrupted(Interrupted::Paused)),
                    Err(other) => panic!("{other:?}"),
                    Ok(()) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        }
        Ok(())
    });
    let next = || heard.recv_timeout(Duration::from_secs(20)).unwrap();
    let first = next();
    let high = bench.insert(of_band(0)).await;
    bench.storage.hints().ring_work();
    assert_eq!(next(), high);
    assert_eq!(next(), first);
    assert!(worker.drain(Duration::from_secs(10)).await);
}
