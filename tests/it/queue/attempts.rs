//! The worker: attempts from claim to end.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use vivarium::domain::assets::WeightsKind;
use vivarium::domain::ids::JobId;
use vivarium::domain::job::ErrorClass;
use vivarium::domain::time::SystemClock;
use vivarium::execution::{
    Commit, Committed, Context, Failure, Hold, Interrupted, LocalFile, Report, Stop,
};
use vivarium::storage::queue;
use vivarium::worker::{WorkerConfig, WorkerHandle};

use super::fakes::{JumpingClock, config, start, start_with};
use super::records::{file, step_point};
use super::{Bench, NewJob, bench};

const LONG: Duration = Duration::from_secs(20);

impl Bench {
    /// Waits until the job has this state.
    pub async fn reaches(&mut self, job: &JobId, state: &str) {
        let start = Instant::now();
        while self.state(job).await != state {
            let (now, error) = (self.state(job).await, self.error(job).await);
            assert!(
                start.elapsed() < LONG,
                "{job} is {now}, not {state}: {error}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What a recipe sends from its thread.
async fn hear<T: Send + 'static>(told: mpsc::Receiver<T>) -> T {
    let heard = tokio::task::spawn_blocking(move || told.recv_timeout(LONG)).await;
    heard.unwrap().expect("the recipe tells it")
}

/// Takes turns until it is told to stop.
fn run_until_stopped(context: &dyn Context) -> Result<(), Stop> {
    loop {
        context.turn()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn own(name: &str) -> LocalFile {
    LocalFile {
        entry: file(name),
        path: "/shelf".into(),
    }
}

fn checkpoint(step: u64, files: Vec<LocalFile>, state: Vec<LocalFile>) -> Commit {
    Commit::Checkpoint {
        step,
        kind: WeightsKind::Lora,
        files,
        state,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_fails_its_attempt_and_nothing_else() {
    let mut bench = bench().await;
    let (bad, good) = (bench.queued().await, bench.queued().await);
    let unlucky = bad.clone();
    let worker = start(&bench.storage, move |task, _| {
        assert!(task.job != unlucky, "secret text of the inside");
        Ok(())
    });
    bench.reaches(&bad, "failed").await;
    bench.reaches(&good, "succeeded").await;
    let error = bench.error(&bad).await;
    let expected = (&json!("internal"), &json!("panic"));
    assert_eq!((&error["class"], &error["code"]), expected);
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_gives_the_job_back_with_its_state_and_does_not_count() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let (started, running) = mpsc::channel();
    let worker = start(&bench.storage, move |_, context| {
        started.send(()).unwrap();
        let stopped = run_until_stopped(context);
        assert_eq!(stopped, Err(Stop::Interrupted(Interrupted::Draining)));
        context.commit(checkpoint(3, vec![], vec![own("state.safetensors")]))?;
        stopped
    });
    hear(running).await;
    assert_eq!(worker.running(), 1);
    assert!(worker.drain(LONG).await);
    assert_eq!(bench.state(&job).await, "queued");
    assert_eq!(bench.outcomes(&job).await, ["drained"]);
    let count = "select crashes_without_progress from jobs where id = $1";
    assert_eq!(bench.one::<i32>(count, &job).await, 0);
    let state = "select step from resume_states where job = $1";
    assert_eq!(bench.one::<i64>(state, &job).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_reaches_the_recipe_at_its_next_turn() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let slow = WorkerConfig {
        heartbeat: LONG,
        ..config()
    };
    let clock = Arc::new(SystemClock::start());
    let worker = start_with(slow, &bench.storage, clock, |_, context| {
        run_until_stopped(context)
    });
    bench.reaches(&job, "running").await;
    let asked = Instant::now();
    queue::request_cancel(&bench.storage, &job).await.unwrap();
    bench.reaches(&job, "cancelled").await;
    // Far less than the heartbeat, so it was the hint.
    assert!(asked.elapsed() < LONG / 4, "{:?}", asked.elapsed());
    assert_eq!(bench.outcomes(&job).await, ["cancelled"]);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_taken_ends_the_attempt_without_a_write() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let (started, running) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let worker = start(&bench.storage, move |_, context| {
        started.send(()).unwrap();
        let stopped = run_until_stopped(context);
        ended.send(stopped.clone()).unwrap();
        stopped
    });
    hear(running).await;
    bench
        .run("update jobs set lease_number = lease_number + 1")
        .await;
    let lost = Err(Stop::Interrupted(Interrupted::LeaseLost));
    assert_eq!(hear(end).await, lost);
    assert!(worker.drain(LONG).await);
    assert_eq!(bench.state(&job).await, "running");
    assert_eq!(bench.outcomes(&job).await.len(), 0);
}

fn broken(retryable: bool) -> Failure {
    Failure {
        class: ErrorClass::Data,
        code: "broken",
        message: "it is broken".into(),
        retryable,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_may_pass_is_tried_again_up_to_the_bound_and_another_is_not() {
    let mut bench = bench().await;
    let (passing, lasting) = (bench.queued().await, bench.queued().await);
    let mut eager = config();
    eager.retry.first_delay_seconds = 0.05;
    eager.poll = Duration::from_millis(20);
    let first = passing.clone();
    let clock = Arc::new(SystemClock::start());
    let worker = start_with(eager, &bench.storage, clock, move |task, _| {
        Err(broken(task.job == first).into())
    });
    bench.reaches(&passing, "failed").await;
    bench.reaches(&lasting, "failed").await;
    assert_eq!(bench.outcomes(&passing).await, ["failed"; 3]);
    assert_eq!(bench.outcomes(&lasting).await, ["failed"]);
    let expected = json!({"class": "data", "code": "broken", "message": "it is broken",
        "retryable": true, "attempt": 3});
    assert_eq!(bench.error(&passing).await, expected);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_returns_when_everything_reported_before_it_is_recorded() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let (committed, at_commit) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let worker = start(&bench.storage, move |_, context| {
        for step in 1..=300 {
            context.report(Report::Step(step_point(step)))?;
        }
        let made = context.commit(checkpoint(300, vec![own("a")], vec![]))?;
        committed.send(made).unwrap();
        wait.lock().unwrap().recv().unwrap();
        context.report(Report::Step(step_point(301)))
    });
    let made = hear(at_commit).await;
    assert!(matches!(made, Committed::Checkpoint(_)), "{made:?}");
    let steps = "select count(*) from metrics where job = $1";
    assert_eq!(bench.one::<i64>(steps, &job).await, 300);
    go.send(()).unwrap();
    bench.reaches(&job, "succeeded").await;
    // The last report is written before the end.
    assert_eq!(bench.one::<i64>(steps, &job).await, 301);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_waits_while_the_lease_cannot_be_trusted_and_goes_on_when_it_is_renewed() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let clock = JumpingClock::start();
    let jumping = clock.clone();
    let (told, waited) = mpsc::channel();
    let worker = start_with(config(), &bench.storage, clock, move |_, context| {
        context.turn()?;
        jumping.jump(100);
        let start = Instant::now();
        context.turn()?;
        told.send(start.elapsed()).unwrap();
        Ok(())
    });
    bench.reaches(&job, "succeeded").await;
    let waited = hear(waited).await;
    assert!(waited > Duration::from_millis(1), "{waited:?}");
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_hints_off_everything_happens_by_polling() {
    let mut bench = bench().await;
    let deaf = WorkerConfig {
        hints: false,
        poll: Duration::from_millis(200),
        ..config()
    };
    let clock = Arc::new(SystemClock::start());
    let worker = start_with(deaf, &bench.storage, clock, |_, context| {
        run_until_stopped(context)
    });
    let job = bench.queued().await;
    bench.reaches(&job, "running").await;
    queue::request_cancel(&bench.storage, &job).await.unwrap();
    bench.reaches(&job, "cancelled").await;
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_lives_but_does_not_advance_gets_an_event() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let impatient = WorkerConfig {
        sweep: Duration::from_millis(100),
        stalled_after: Duration::from_millis(300),
        ..config()
    };
    let clock = Arc::new(SystemClock::start());
    let worker = start_with(impatient, &bench.storage, clock, |_, _| {
        std::thread::sleep(Duration::from_millis(1500));
        Ok(())
    });
    bench.reaches(&job, "succeeded").await;
    let events = bench.events(&job).await;
    assert_eq!(events, ["claimed", "stalled", "succeeded"]);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_resumes_from_the_newest_state_that_is_whole() {
    let mut bench = bench().await;
    let new = NewJob {
        kind: "finetune",
        spec: bench.finetune_spec().await,
        ..NewJob::default()
    };
    let job = bench.insert(new).await;
    sqlx::query(
        r#"insert into resume_states (job, step, files) values
           ($1, 5, '[{"name": "s", "sha256": "good", "bytes": 1}]'),
           ($1, 10, '[{"name": "s", "sha256": "bad", "bytes": 1}]')"#,
    )
    .bind(job.as_str())
    .execute(&mut bench.sql)
    .await
    .unwrap();
    let (told, resumed) = mpsc::channel();
    let worker = start(&bench.storage, move |_, context| {
        let state = context.resume()?.state.expect("a state");
        told.send((state.step, state.files.len())).unwrap();
        Ok(())
    });
    bench.reaches(&job, "succeeded").await;
    assert_eq!(hear(resumed).await, (5, 1));
    let events = bench.events(&job).await;
    assert_eq!(events, ["claimed", "state_skipped", "succeeded"]);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_costs_less_than_a_microsecond_when_nothing_is_the_matter() {
    const TURNS: u32 = 100_000;
    let mut bench = bench().await;
    let job = bench.queued().await;
    let (told, turn) = mpsc::channel();
    let worker = start(&bench.storage, move |_, context| {
        // The least of several rounds: others use this machine as well.
        for _ in 0..5 {
            let start = Instant::now();
            (0..TURNS).try_for_each(|_| context.turn())?;
            told.send(start.elapsed() / TURNS).unwrap();
        }
        Ok(())
    });
    bench.reaches(&job, "succeeded").await;
    let least = turn.try_iter().min().unwrap();
    println!("one turn: {least:?}");
    assert!(least < Duration::from_micros(1), "{least:?}");
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_reaches_the_recipe_at_its_next_turn_and_its_state_is_kept() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let worker = start(&bench.storage, move |_, context| {
        let stopped = run_until_stopped(context);
        assert_eq!(stopped, Err(Stop::Interrupted(Interrupted::Paused)));
        context.commit(checkpoint(3, vec![], vec![own("state.safetensors")]))?;
        stopped
    });
    bench.reaches(&job, "running").await;
    queue::request_pause(&bench.storage, &job).await.unwrap();
    bench.reaches(&job, "paused").await;
    let state = "select step from resume_states where job = $1";
    assert_eq!(bench.one::<i64>(state, &job).await, 3);
    queue::request_resume(&bench.storage, &job, false)
        .await
        .unwrap();
    bench.reaches(&job, "running").await;
    queue::request_cancel(&bench.storage, &job).await.unwrap();
    bench.reaches(&job, "cancelled").await;
    assert_eq!(bench.outcomes(&job).await, ["paused", "cancelled"]);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recipe_that_has_to_wait_for_somebody_pauses_its_job_with_the_reason() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let worker = start(&bench.storage, |_, _| {
        let (reason, detail) = ("disk_full", "make room".into());
        Err(Hold { reason, detail }.into())
    });
    bench.reaches(&job, "paused").await;
    let told = "select data ->> 'reason' from events where job = $1 and type = 'paused'";
    assert_eq!(bench.one::<String>(told, &job).await, "disk_full");
    assert!(worker.drain(LONG).await);
}

/// A worker with so many threads, whose recipe tells under how many it computes.
fn threaded(bench: &Bench, threads: u32) -> (WorkerHandle, mpsc::Receiver<u32>) {
    let mut config = config();
    config.settings.threads_per_attempt = threads;
    let clock = Arc::new(SystemClock::start());
    let (told, under) = mpsc::channel();
    let worker = start_with(config, &bench.storage, clock, move |_, context| {
        // Only the first attempt is listened to.
        let _ = told.send(context.settings().threads_per_attempt);
        run_until_stopped(context)
    });
    (worker, under)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_go_on_under_another_fingerprint_only_when_the_owner_asks() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let fresh = bench.queued().await;
    bench
        .run("update jobs set fingerprint = '{\"threads\": 1}'")
        .await;
    sqlx::query("insert into resume_states (job, step, files) values ($1, 5, '[]')")
        .bind(job.as_str())
        .execute(&mut bench.sql)
        .await
        .unwrap();
    let (worker, under) = threaded(&bench, 3);
    bench.reaches(&job, "paused").await;
    let waiting = "select pause ->> 'detail' from jobs where id = $1";
    let detail = bench.one::<String>(waiting, &job).await;
    assert!(detail.contains("threads was 1 and is 3 here"), "{detail}");
    assert!(detail.contains("accept_numerics"), "{detail}");
    // a job without progress takes the new fingerprint and says nothing
    bench.reaches(&fresh, "running").await;
    assert_eq!(hear(under).await, 3);
    queue::request_resume(&bench.storage, &job, true)
        .await
        .unwrap();
    bench.reaches(&job, "running").await;
    let changed = "select numerics_changed from jobs where id = $1";
    while !bench.one::<bool>(changed, &job).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!bench.one::<bool>(changed, &fresh).await);
    assert!(worker.drain(LONG).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fine_tune_that_goes_on_computes_under_its_own_number_of_threads() {
    let mut bench = bench().await;
    let new = NewJob {
        kind: "finetune",
        spec: bench.finetune_spec().await,
        ..NewJob::default()
    };
    let job = bench.insert(new).await;
    bench
        .run("update jobs set fingerprint = '{\"threads\": 2}'")
        .await;
    sqlx::query("insert into resume_states (job, step, files) values ($1, 5, '[]')")
        .bind(job.as_str())
        .execute(&mut bench.sql)
        .await
        .unwrap();
    let (worker, under) = threaded(&bench, 3);
    assert_eq!(hear(under).await, 2);
    assert!(worker.drain(LONG).await);
    assert_eq!(bench.state(&job).await, "queued");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_stop_that_was_told_is_in_the_result_beside_the_last_checkpoint() {
    let mut bench = bench().await;
    let job = bench.queued().await;
    let told =
        json!({"step": 3, "planned_steps": 9, "reason": "loss_below", "detail": "it was low"});
    let data = told.clone();
    let _worker = start(&bench.storage, move |_, context| {
        context.report(Report::Event {
            r#type: "stopped_early",
            data: data.clone(),
        })?;
        context.commit(checkpoint(3, vec![own("weights")], vec![own("state")]))?;
        Ok(())
    });
    bench.reaches(&job, "succeeded").await;
    let result = "select result from jobs where id = $1";
    let result: serde_json::Value = bench.one(result, &job).await;
    assert_eq!(result["stopped_early"], told);
    assert_eq!(result["checkpoints"][0]["step"], 3);
    assert_eq!(result["final"], result["checkpoints"][0]["id"]);
    let read: vivarium::domain::job::JobResult = serde_json::from_value(result).unwrap();
    assert_eq!(read.stopped_early.unwrap().planned_steps, 9);
}
