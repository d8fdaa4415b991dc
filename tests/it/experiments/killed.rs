//! An experiment whose server is killed at random instants ends with the report of one that was left alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::stage::{assets, ended, get, post, spec};
use crate::kill::Server;
use crate::support::database;

/// Kills where `EXPERIMENT_KILLS` does not say.
const KILLS: usize = 4;
/// Of the arm, at least.
const SEEDS: usize = 2;
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

fn settings() -> Vec<(&'static str, String)> {
    [
        ("VIVARIUM_WORKER__THREADS_PER_ATTEMPT", "1"),
        ("VIVARIUM_WORKER__DECODE_SLOTS", "16"),
        ("VIVARIUM_WORKER__HEARTBEAT_SECONDS", "0.5"),
        ("VIVARIUM_WORKER__LEASE_SECONDS", "2"),
        ("VIVARIUM_WORKER__SWEEP_SECONDS", "0.5"),
        ("VIVARIUM_WORKER__POLL_SECONDS", "0.2"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

fn experiment(kills: usize) -> Value {
    let mut spec = spec();
    let seeds: Vec<usize> = (0..SEEDS.max(1 + kills / 4)).collect();
    spec["arms"][0]["seeds"] = json!(seeds);
    spec["arms"][0]["protocol"]["length"] = json!({"steps": 60});
    spec["arms"][0]["protocol"]["checkpoints"] = json!({"every": 10});
    spec["evaluation"]["samples_per_question"] = json!(6);
    spec
}

/// A report without times, and with the same word for every id: ids are drawn anew in every database.
fn timeless(value: &Value) -> Value {
    const IDS: [&str; 9] = [
        "ex_", "job_", "ev_", "an_", "cp_", "ds_", "bm_", "qs_", "ad_",
    ];
    match value {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, _)| !name.ends_with("_at") && !name.ends_with("_seconds"));
            kept.map(|(name, value)| (name.clone(), timeless(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(timeless).collect(),
        Value::String(text) => match IDS.iter().find(|id| text.starts_with(**id)) {
            Some(id) => Value::from(*id),
            None => value.clone(),
        },
        other => other.clone(),
    }
}

/// The next of a sequence that its seed fixes, below `bound`.
fn draw(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// How long things take on this machine, from which the kills' waits follow: waits fixed in seconds end behind the experiment
/// where it is faster.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// From a process's begin to its listening.
    start: Duration,
    /// Of the experiment, undisturbed, for each kill and what comes after the last.
    share: Duration,
}

/// What kills are aimed by: a server that begins cannot be asked.
struct Aim {
    sql: PgConnection,
    state: u64,
    pace: Pace,
}

impl Aim {
    /// Attempts so far, jobs that have not ended, and crashes in a row of the job that had most.
    async fn standing(&mut self) -> (i64, i64, i32) {
        let query = "select (select count(*) from attempts),
  (select count(*) from jobs where state not in ('succeeded', 'failed', 'cancelled')),
  (select coalesce(max(crashes_without_progress), 0) from jobs where state not in ('succeeded', 'failed', 'cancelled'))";
        sqlx::query_as(query)
            .fetch_one(&mut self.sql)
            .await
            .unwrap()
    }

    async fn wait(&mut self, bound: Duration) {
        let bound = bound.as_micros().max(1) as u64;
        let wait = Duration::from_micros(draw(&mut self.state, bound));
        tokio::time::sleep(wait).await;
    }

    async fn until(&mut self, wanted: impl Fn((i64, i64, i32)) -> bool) {
        let began = Instant::now();
        while !wanted(self.standing().await) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.standing().await);
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits for the instant of a kill of a life that has just begun: each third falls after the process began, perhaps before it
    /// listens, the others after an attempt did. A job whose server dies thrice in a row before anything was
    /// recorded is given up, and rightly so: the third such life is spared until something is.
    async fn instant(&mut self, kill: usize, before: i64) {
        if kill % 3 == 2 {
            return self.wait(self.pace.start + self.pace.share).await;
        }
        self.until(|(attempts, open, _)| attempts > before || open == 0)
            .await;
        self.wait(self.pace.share).await;
        if self.standing().await.2 > 1 {
            self.until(|(_, open, crashes)| crashes == 0 || open == 0)
                .await;
        }
    }
}

async fn report(server: &Server, id: &str) -> Value {
    let done = ended(server, id).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    timeless(&get(server, &format!("/v1/experiments/{id}/report")).await)
}

/// The report of the experiment whose server is left alone, and how long that took.
async fn undisturbed(body: &Value, kills: usize) -> (Value, Pace) {
    let (database, folder) = (database().await, tempfile::tempdir().unwrap());
    let began = Instant::now();
    let server = Server::start_set(&database, folder.path(), &settings()).await;
    let start = began.elapsed();
    assets(&server).await;
    let began = Instant::now();
    let posted = post(&server, "/v1/experiments", body).await;
    let expected = report(&server, posted["id"].as_str().unwrap()).await;
    let share = began.elapsed() / (kills as u32 + 1);
    server.kill();
    (expected, Pace { start, share })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_instants_an_experiment_ends_with_the_report_of_one_that_was_left_alone() {
    let kills = std::env::var("EXPERIMENT_KILLS").ok();
    let kills = kills.map_or(KILLS, |text| text.parse().unwrap());
    let body = experiment(kills);
    let (expected, pace) = undisturbed(&body, kills).await;
    println!("{pace:?}");

    let seed = std::env::var("KILL_SEED")
        .ok()
        .map(|text| text.parse().unwrap());
    let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("KILL_SEED={seed}");
    let (database, folder) = (database().await, tempfile::tempdir().unwrap());
    let server = Server::start_set(&database, folder.path(), &settings()).await;
    assets(&server).await;
    let sql = PgConnection::connect(&database.url()).await.unwrap();
    let state = seed;
    let mut aim = Aim { sql, state, pace };
    let before = aim.standing().await.0;
    let posted = post(&server, "/v1/experiments", &body).await;
    let id = posted["id"].as_str().unwrap();
    aim.instant(0, before).await;
    server.kill();
    let mut hits = 1;
    while hits < kills {
        let before = aim.standing().await.0;
        let life = Server::spawn(&database, folder.path(), &settings());
        aim.instant(hits, before).await;
        drop(life);
        let (attempts, open, crashes) = aim.standing().await;
        println!("kill {hits}: {attempts} attempts, {open} jobs open, {crashes} crashes in a row");
        if open == 0 {
            break;
        }
        hits += 1;
    }
    // a machine whose neighbours fell silent may be over before the last
    assert!(
        hits > kills / 2,
        "KILL_SEED={seed}: {hits} of {kills} kills came in time, {pace:?}"
    );
    let server = Server::start_set(&database, folder.path(), &settings()).await;
    assert_eq!(report(&server, id).await, expected, "KILL_SEED={seed}");
}
