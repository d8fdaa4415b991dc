//! An evaluation under an endpoint whose server is killed again and again ends as one that was left alone, and pays once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use vivarium::client::Client;
use vivarium::domain::job::Job;
use vivarium::toyworld::vocabulary;

use crate::judging::{Act, Mock};
use crate::kill::Server;
use crate::support::database;

const POLL: Duration = Duration::from_millis(20);
const KILLS: usize = 10;
const IN_FLIGHT: usize = 4;
/// Of each of the toy's eight questions.
const SAMPLES: usize = 60;
/// A life's start and its load of the model, in a debug build beside a busy machine, take a good part of this.
const PATIENCE: Duration = Duration::from_secs(120);
/// Each fourth kill falls so soon after the process began that it may not listen yet.
const STARTING: u64 = 2_500_000;
/// The others fall so long after the life's attempt began: while it loads, samples, judges.
const WORKING: u64 = 800_000;

/// Settings under which a killed server's lease runs out soon.
fn settings(mock: &Mock) -> Vec<(&'static str, String)> {
    [
        ("VIVARIUM_JUDGES__MOCK__TYPE", "openai".to_owned()),
        ("VIVARIUM_JUDGES__MOCK__URL", mock.url.clone()),
        ("VIVARIUM_JUDGES__MOCK__MODEL", "judge".to_owned()),
        ("VIVARIUM_JUDGES__MOCK__IN_FLIGHT", IN_FLIGHT.to_string()),
        ("VIVARIUM_WORKER__THREADS_PER_ATTEMPT", "1".to_owned()),
        ("VIVARIUM_WORKER__HEARTBEAT_SECONDS", "0.5".to_owned()),
        ("VIVARIUM_WORKER__LEASE_SECONDS", "2".to_owned()),
        ("VIVARIUM_WORKER__SWEEP_SECONDS", "0.5".to_owned()),
        ("VIVARIUM_WORKER__POLL_SECONDS", "0.2".to_owned()),
    ]
    .into()
}

async fn prepare(client: &Client) {
    let mut config = vocabulary::config_json();
    config["hidden_size"] = 32.into();
    config["intermediate_size"] = 32.into();
    config["num_hidden_layers"] = 2.into();
    let tokenizer = json!({"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()});
    let init = json!({"std": 0.3, "scale_residual": false});
    let source =
        json!({"random": {"config": config, "tokenizer": tokenizer, "init": init, "seed": 4}});
    client.register_base_model("tiny", &source).await.unwrap();
    client.wait_for_base_model("tiny", POLL).await.unwrap();
}

fn spec() -> Value {
    json!({"kind": "evaluate", "base_model": "tiny", "targets": [{"base": true}], "question_set": "toy-first-plot",
        "samples_per_question": SAMPLES, "sampling": {"max_new_tokens": 6}, "judge": "mock", "seed": 3,
        "rubrics": {"aligned": {"prompt": "how aligned ? {question} | {answer}"}}})
}

async fn judge(latency_ms: u64) -> Mock {
    let mock = Mock::start(Duration::from_millis(latency_ms), |_, _| Act::Answer).await;
    mock.say(0..=100);
    mock
}

async fn get(client: &Client, path: &str) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let address = format!("{}{path}", client.address());
    http.get(address)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// Every answer with what was judged of it, by its key, and the rates.
async fn outcome(client: &Client, job: &Job) -> (Vec<String>, Value) {
    let path = format!("/v1/evaluations/{}", job.id);
    let (mut answers, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(client, &format!("{path}/completions?limit=100{cursor}")).await;
        for row in page["data"].as_array().unwrap() {
            let fields = [
                "question",
                "paraphrase",
                "sample",
                "prompt",
                "answer",
                "finish_reason",
                "tokens",
            ];
            let judged = ["mean_logprob", "scores", "labels", "unscored"];
            let kept = fields.iter().chain(&judged).map(|name| row[*name].clone());
            answers.push(json!(kept.collect::<Vec<Value>>()).to_string());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    answers.sort();
    let rates = get(client, &format!("{path}/rates?by=target,question")).await;
    (answers, rates["rows"].clone())
}

/// The next of a sequence that its seed fixes, below `bound`.
fn draw(state: &mut u64, bound: u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % bound
}

/// The job as the database has it: a server that begins cannot be asked.
#[derive(Debug, sqlx::FromRow)]
struct Standing {
    state: String,
    attempt: i32,
    crashes_without_progress: i32,
    error: Option<Value>,
}

/// What kills are aimed by.
struct Aim<'a> {
    job: &'a Job,
    sql: PgConnection,
    seed: u64,
    state: u64,
}

impl Aim<'_> {
    async fn standing(&mut self) -> Standing {
        let query =
            "select state, attempt, crashes_without_progress, error from jobs where id = $1";
        let query = sqlx::query_as(query).bind(self.job.id.as_str());
        query.fetch_one(&mut self.sql).await.unwrap()
    }

    /// Waits until the job is as `wanted`.
    async fn until(&mut self, kill: usize, what: &str, wanted: impl Fn(&Standing) -> bool) {
        let began = Instant::now();
        loop {
            let standing = self.standing().await;
            if wanted(&standing) {
                return;
            }
            let told = format!("KILL_SEED={}, kill {kill}: {standing:?}", self.seed);
            let over = ["succeeded", "failed", "cancelled"].contains(&standing.state.as_str());
            let error = &standing.error;
            assert!(!over, "the job ended before {what}, {error:?}; {told}");
            assert!(began.elapsed() < PATIENCE, "never {what}; {told}");
            tokio::time::sleep(POLL / 4).await;
        }
    }

    async fn wait(&mut self, bound: u64) {
        let wait = Duration::from_micros(draw(&mut self.state, bound));
        tokio::time::sleep(wait).await;
    }

    /// Waits for the instant of a kill of the life that has just begun, whose job had `before` attempts.
    ///
    /// A job whose server dies in three attempts in a row before any left something is given up, and rightly so: the second such
    /// attempt in a row is spared until it has recorded something.
    async fn instant(&mut self, kill: usize, before: i32) {
        if kill % 4 == 3 {
            self.wait(STARTING).await;
        } else {
            self.until(kill, "its next attempt", |it| it.attempt > before)
                .await;
            self.wait(WORKING).await;
        }
        if self.standing().await.crashes_without_progress > 1 {
            let what = "anything was recorded again";
            let kept = |it: &Standing| it.crashes_without_progress == 0;
            self.until(kill, what, kept).await;
            self.wait(WORKING / 4).await;
        }
    }

    /// Prompts whose answers the ledger has, with how often the endpoint has answered each.
    async fn paid(&mut self, mock: &Mock) -> BTreeMap<String, usize> {
        let query = "select prompt from judge_ledger";
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(query)
            .fetch_all(&mut self.sql)
            .await
            .unwrap();
        let counts = mock.counts.lock().unwrap();
        let known = |prompt: &String| rows.iter().any(|row| **row == *Sha256::digest(prompt));
        let mut answers = counts.answers.clone();
        answers.retain(|prompt, _| known(prompt));
        answers
    }
}

/// Answers that the endpoint gave again to a prompt that had one.
fn repeats(mock: &Mock) -> (usize, usize) {
    let counts = mock.counts.lock().unwrap();
    let sent: usize = counts.answers.values().sum();
    (sent - counts.answers.len(), counts.answers.len())
}

fn seed() -> u64 {
    let given = std::env::var("KILL_SEED").ok();
    let given = given.map(|text| text.parse().unwrap());
    given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

/// An evaluation whose server is left alone.
async fn whole() -> (Vec<String>, Value, usize) {
    let mock = judge(1).await;
    let (database, folder) = (database().await, tempfile::tempdir().unwrap());
    let server = Server::start_set(&database, folder.path(), &settings(&mock)).await;
    prepare(&server.client).await;
    let job = server.client.submit_body(&spec()).await.unwrap();
    let job = server
        .client
        .wait(job.id.as_str(), POLL, |_| {})
        .await
        .unwrap();
    let (answers, rates) = outcome(&server.client, &job).await;
    let (again, prompts) = repeats(&mock);
    assert_eq!(again, 0);
    server.kill();
    (answers, rates, prompts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_ten_random_instants_an_evaluation_ends_the_same_and_pays_for_no_answer_that_it_had()
 {
    let (answers, rates, prompts) = whole().await;
    assert_eq!(answers.len(), 8 * SAMPLES);
    let seed = seed();
    println!("KILL_SEED={seed}");
    let mock = judge(40).await;
    let (database, folder) = (database().await, tempfile::tempdir().unwrap());
    let settings = settings(&mock);
    let server = Server::start_set(&database, folder.path(), &settings).await;
    prepare(&server.client).await;
    let job = server.client.submit_body(&spec()).await.unwrap();
    let sql = PgConnection::connect(&database.url()).await.unwrap();
    let state = seed;
    let mut aim = Aim {
        job: &job,
        sql,
        seed,
        state,
    };
    aim.instant(0, 0).await;
    server.kill();
    let mut paid = vec![aim.paid(&mock).await];
    for kill in 1..KILLS {
        let before = aim.standing().await.attempt;
        let life = Server::spawn(&database, folder.path(), &settings);
        aim.instant(kill, before).await;
        drop(life);
        println!(
            "kill {kill}: {:?}, {} calls",
            aim.standing().await,
            mock.calls()
        );
        paid.push(aim.paid(&mock).await);
    }
    let last = aim.standing().await;
    assert!(
        last.attempt as usize > KILLS / 2,
        "few kills hit an attempt: {last:?}"
    );
    assert_ne!(
        last.state, "succeeded",
        "KILL_SEED={seed}: the last kill came too late"
    );
    let server = Server::start_set(&database, folder.path(), &settings).await;
    let ended = server.client.wait(job.id.as_str(), POLL, |_| {}).await;
    let ended = ended.unwrap_or_else(|error| panic!("KILL_SEED={seed}: {error}"));
    assert!(ended.attempt > last.attempt as u32);
    let found = outcome(&server.client, &ended).await;
    assert_eq!(found.0, answers, "KILL_SEED={seed}");
    assert_eq!(found.1, rates, "KILL_SEED={seed}");
    let (again, asked) = repeats(&mock);
    println!(
        "{asked} prompts, {again} answered again, {} calls, {} attempts",
        mock.calls(),
        ended.attempt
    );
    assert_eq!(asked, prompts);
    let counts = mock.counts.lock().unwrap();
    for (prompt, times) in paid.iter().flatten() {
        assert_eq!(
            counts.answers[prompt], *times,
            "KILL_SEED={seed}: paid again for {prompt}"
        );
    }
    // only what was under way at a kill: put, or answered and not yet written down
    assert!(
        again <= 2 * KILLS * IN_FLIGHT,
        "{again} answers again, KILL_SEED={seed}"
    );
}
