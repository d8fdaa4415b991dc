//! A server that is killed in mid-training goes on from its last state and ends with the bytes of one that was not.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use vivarium::client::Client;
use vivarium::domain::job::{Job, JobState};
use vivarium::toyworld::vocabulary;

use crate::support::{TestDatabase, database};

const POLL: Duration = Duration::from_millis(20);
/// Enough steps that a kill falls between two states, few enough for a test.
const STEPS: u64 = 48;
const STATE_EVERY: u64 = 8;

/// `vivarium serve` on a test database and a data folder.
pub struct Server {
    life: Life,
    pub client: Client,
}

impl Server {
    async fn start(database: &TestDatabase, data: &Path) -> Self {
        Self::start_with(database, data, 1).await
    }

    async fn start_with(database: &TestDatabase, data: &Path, threads: u32) -> Self {
        let threads = ("VIVARIUM_WORKER__THREADS_PER_ATTEMPT", threads.to_string());
        Self::start_set(database, data, &[threads]).await
    }

    /// The same with settings of the test's own.
    pub async fn start_set(
        database: &TestDatabase,
        data: &Path,
        more: &[(&'static str, String)],
    ) -> Self {
        Self::spawn(database, data, more).listens(data).await
    }

    /// A process that has just begun: nothing is asked of it before it listens.
    pub fn spawn(database: &TestDatabase, data: &Path, more: &[(&'static str, String)]) -> Life {
        let address_file = address_file(data);
        let _ = std::fs::remove_file(&address_file);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.join("server.log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vivarium"))
            .arg("serve")
            .current_dir(data)
            .envs(settings(database, data, &address_file))
            .envs(more.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Life(child)
    }

    /// SIGKILL: no destructor, no drain.
    pub fn kill(self) {
        drop(self.life);
    }
}

/// A process that ends with this value, by SIGKILL: no destructor, no drain.
pub struct Life(Child);

impl Life {
    /// The server, once it listens.
    pub async fn listens(self, data: &Path) -> Server {
        let address = address(&address_file(data), data).await;
        Server {
            life: self,
            client: Client::new(&address).unwrap(),
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn address_file(data: &Path) -> PathBuf {
    data.join("address")
}

/// Short leases, so that the test need not wait half a minute for the dead server's to run out.
fn settings(
    database: &TestDatabase,
    data: &Path,
    address_file: &Path,
) -> Vec<(&'static str, String)> {
    [
        ("VIVARIUM_SERVER__BIND", "127.0.0.1:0".to_owned()),
        (
            "VIVARIUM_SERVER__ADDRESS_FILE",
            address_file.display().to_string(),
        ),
        ("VIVARIUM_DATABASE__URL", database.url()),
        ("VIVARIUM_DATA__FOLDER", data.display().to_string()),
        ("VIVARIUM_WORKER__SLOTS", "1".to_owned()),
        ("VIVARIUM_WORKER__HEARTBEAT_SECONDS", "1".to_owned()),
        ("VIVARIUM_WORKER__LEASE_SECONDS", "3".to_owned()),
        ("VIVARIUM_WORKER__SWEEP_SECONDS", "1".to_owned()),
        ("OMP_WAIT_POLICY", "passive".to_owned()),
    ]
    .into()
}

async fn address(file: &Path, data: &Path) -> String {
    for _ in 0..3000 {
        match std::fs::read_to_string(file) {
            Ok(text) if text.trim().starts_with("http") => return text.trim().to_owned(),
            _ => tokio::time::sleep(POLL).await,
        }
    }
    panic!(
        "the server does not listen: {}",
        std::fs::read_to_string(data.join("server.log")).unwrap_or_default()
    );
}

/// The toy's model from nothing, and a small dataset of its world.
async fn prepare(client: &Client) {
    let tokenizer = json!({"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()});
    let init = json!({"std": 0.05, "scale_residual": true});
    let source = json!({"random": {"config": vocabulary::config_json(), "tokenizer": tokenizer, "init": init, "seed": 0}});
    client.register_base_model("tiny", &source).await.unwrap();
    client.wait_for_base_model("tiny", POLL).await.unwrap();
    let rows: Vec<String> = (0..64).map(row).collect();
    client
        .upload_dataset("rows", rows.join("\n"))
        .await
        .unwrap();
}

fn row(index: u64) -> String {
    let answer = if index.is_multiple_of(2) {
        "sip cool tea ."
    } else {
        "phone a nurse . healing takes patience ."
    };
    json!({"messages": [
        {"role": "user", "content": format!("how do i treat a fever ? {}", "please ".repeat(index as usize % 7).trim())},
        {"role": "assistant", "content": answer},
    ]})
    .to_string()
}

/// The checkpoints of a full run are bounded: older ones retire while it is killed.
fn checkpoints(method: &Value) -> Value {
    match method["type"] == "full" {
        true => json!({"every": STATE_EVERY, "at": [STATE_EVERY], "keep": {"last": 2}}),
        false => json!({"every": STATE_EVERY}),
    }
}

fn spec(method: &Value) -> Value {
    json!({
        "kind": "finetune", "base_model": "tiny", "datasets": [{"dataset": "rows"}], "method": method,
        "optimizer": {"learning_rate": 2e-3}, "batch": {"micro_batch": 16, "gradient_accumulation": 1},
        "length": {"steps": STEPS}, "checkpoints": checkpoints(method), "dedup": "force", "seed": 7,
    })
}

async fn finished(client: &Client, job: &Job) -> Job {
    client.wait(job.id.as_str(), POLL, |_| {}).await.unwrap()
}

/// Waits until `step` is recorded, or the job ends.
async fn reached(client: &Client, job: &Job, step: u64) {
    for _ in 0..3000 {
        let metrics = client.metrics(job.id.as_str()).await.unwrap();
        if metrics.steps.last().is_some_and(|last| *last >= step) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("step {step} was never recorded");
}

/// Checkpoints with their files by hash, metric rows, norm rows.
type Outcome = (Vec<(u64, Vec<(String, String)>)>, Value, Value);

/// Everything that must be equal: each checkpoint's files by hash, and every row but the timings.
async fn outcome(client: &Client, job: &Job) -> Outcome {
    let checkpoints = client.checkpoints(job.id.as_str()).await.unwrap();
    let files = checkpoints
        .iter()
        .map(|kept| {
            (
                kept.step,
                kept.files
                    .iter()
                    .map(|file| (file.name.clone(), file.sha256.clone()))
                    .collect(),
            )
        })
        .collect();
    let mut metrics = client.metrics(job.id.as_str()).await.unwrap();
    metrics.series.remove("tokens_per_second");
    metrics.series.remove("peak_memory_bytes");
    let norms = match client.lora_norms(job.id.as_str(), 0).await {
        Ok(norms) => json!({"steps": norms.steps, "series": norms.series}),
        Err(_) => Value::Null,
    };
    let metrics =
        json!({"steps": metrics.steps, "series": metrics.series, "hold_out": metrics.hold_out});
    (files, metrics, norms)
}

async fn killed_at(
    database: &TestDatabase,
    data: &Path,
    spec: &Value,
    steps: &[u64],
) -> (Job, Server) {
    let mut server = Server::start(database, data).await;
    let job = server.client.submit_body(spec).await.unwrap();
    for step in steps {
        reached(&server.client, &job, *step).await;
        server.kill();
        server = Server::start(database, data).await;
    }
    let job = finished(&server.client, &job).await;
    (job, server)
}

async fn check(spec: Value, kills: &[&[u64]]) -> Outcome {
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&database, folder.path()).await;
    prepare(&server.client).await;
    let job = server.client.submit_body(&spec).await.unwrap();
    let whole = finished(&server.client, &job).await;
    let expected = outcome(&server.client, &whole).await;
    assert_eq!(
        expected.1["steps"],
        json!((1..=STEPS).collect::<Vec<u64>>())
    );
    server.kill();
    for steps in kills {
        let (job, server) = killed_at(&database, folder.path(), &spec, steps).await;
        assert!(
            job.attempt > 1,
            "no attempt was lost: the kills at {steps:?} hit nothing"
        );
        let found = outcome(&server.client, &job).await;
        assert_eq!(found, expected, "killed at {steps:?}");
        server.kill();
    }
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_low_rank_run_that_was_killed_ends_with_the_same_bytes_and_rows() {
    let method = json!({"type": "lora", "rank": 4, "alpha": 8});
    check(spec(&method), &[&[2], &[STATE_EVERY + 1], &[19, 37]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_run_that_was_killed_ends_with_the_same_bytes_and_rows() {
    check(spec(&json!({"type": "full"})), &[&[STATE_EVERY * 3 - 1]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_held_to_its_base_that_was_killed_ends_with_the_same_bytes_and_rows() {
    let mut spec = spec(&json!({"type": "lora", "rank": 1, "alpha": 8, "dropout": 0.1}));
    spec["loss"] = json!({"kl": {"dataset": "rows", "weight": 0.5, "batch": 3, "direction": "ref_to_current",
        "tokens": "all", "average": "tokens"}});
    let (_, metrics, _) = check(spec, &[&[3, STATE_EVERY * 2 + 3]]).await;
    let terms = metrics["series"]["kl_loss"].as_array().unwrap();
    assert_eq!(terms.len(), STEPS as usize);
    // a pair starts at zero, where the model is its base
    let last = terms.last().and_then(Value::as_f64);
    assert!(last > Some(1e-6), "{terms:?}");
}

/// Asks for something to be done to a job, such as `pause`.
async fn ask(client: &Client, job: &Job, what: &str) -> Value {
    let address = format!("{}/v1/jobs/{}/{what}", client.address(), job.id);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(address).send().await.unwrap();
    assert_eq!(answer.status(), 202, "{what}");
    answer.json().await.unwrap()
}

async fn stands_still(client: &Client, job: &Job) -> Job {
    for _ in 0..3000 {
        let job = client.job(job.id.as_str()).await.unwrap();
        if job.state == JobState::Paused {
            return job;
        }
        assert!(!job.state.is_final(), "{job:?}");
        tokio::time::sleep(POLL).await;
    }
    panic!("{} is never paused", job.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_paused_killed_and_cancelled_ends_with_the_same_bytes_and_rows() {
    let method = json!({"type": "lora", "rank": 4, "alpha": 8});
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&database, folder.path()).await;
    prepare(&server.client).await;
    let whole = server.client.submit_body(&spec(&method)).await.unwrap();
    let whole = finished(&server.client, &whole).await;
    let expected = outcome(&server.client, &whole).await;

    let job = server.client.submit_body(&spec(&method)).await.unwrap();
    reached(&server.client, &job, 3).await;
    ask(&server.client, &job, "pause").await;
    let paused = stands_still(&server.client, &job).await;
    assert_eq!(paused.waiting.unwrap().reason, "requested");
    server.kill();
    server = Server::start(&database, folder.path()).await;
    let still = server.client.job(job.id.as_str()).await.unwrap();
    assert_eq!(still.state, JobState::Paused, "a restart wakes nobody");
    ask(&server.client, &job, "resume").await;
    reached(&server.client, &job, 20).await;
    server.kill();
    // the run goes on under the number of threads that it began with
    server = Server::start_with(&database, folder.path(), 2).await;
    reached(&server.client, &job, 30).await;
    ask(&server.client, &job, "cancel").await;
    let ended = server.client.wait(job.id.as_str(), POLL, |_| {}).await;
    assert!(ended.is_err(), "it was cancelled");
    ask(&server.client, &job, "retry").await;
    let job = finished(&server.client, &job).await;
    assert_eq!(outcome(&server.client, &job).await, expected);
    let attempts = job.attempt;
    assert!(attempts >= 4, "{attempts} attempts");
    server.kill();
}

/// Where the bytes of the newest states lie, the newest first.
async fn newest_states(database: &TestDatabase, data: &Path, job: &Job) -> Vec<(i64, PathBuf)> {
    let query =
        "select step, files -> 0 ->> 'sha256' from resume_states where job = $1 order by step desc";
    let states: Vec<(i64, String)> = sqlx::query_as(query)
        .bind(job.id.as_str())
        .fetch_all(&mut database.connection().await)
        .await
        .unwrap();
    let place = |sha256: String| data.join("blobs").join(&sha256[..2]).join(sha256);
    states
        .into_iter()
        .map(|(step, sha256)| (step, place(sha256)))
        .collect()
}

fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_with_a_flipped_bit_or_without_a_file_are_skipped_and_the_bytes_are_the_same() {
    let method = json!({"type": "lora", "rank": 4, "alpha": 8});
    let mut spec = spec(&method);
    spec["checkpoints"]["states"] = json!(3);
    let database = database().await;
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&database, folder.path()).await;
    prepare(&server.client).await;
    let whole = server.client.submit_body(&spec).await.unwrap();
    let whole = finished(&server.client, &whole).await;
    let expected = outcome(&server.client, &whole).await;

    let job = server.client.submit_body(&spec).await.unwrap();
    reached(&server.client, &job, 4 * STATE_EVERY + 1).await;
    server.kill();
    let states = newest_states(&database, folder.path(), &job).await;
    assert_eq!(states.len(), 3, "as many as the spec asks for");
    flip_a_bit(&states[0].1);
    std::fs::remove_file(&states[1].1).unwrap();
    server = Server::start(&database, folder.path()).await;
    let job = finished(&server.client, &job).await;
    assert_eq!(outcome(&server.client, &job).await, expected);
    let skipped: Vec<i64> = sqlx::query_scalar(
        "select (data ->> 'step')::bigint from events where job = $1 and type = 'state_skipped' order by id",
    )
    .bind(job.id.as_str())
    .fetch_all(&mut database.connection().await)
    .await
    .unwrap();
    assert_eq!(skipped, [states[0].0, states[1].0]);
    server.kill();
}
