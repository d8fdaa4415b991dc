//! Secrets that a server is given are in nothing that it leaves behind: rows, exports, answers, errors, logs, files.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::body::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};
use vivarium::storage::embedded::Binaries;
use vivarium::toyworld::vocabulary;

use crate::hub::server::FakeHub;
use crate::judging::{Act, Mock};
use crate::kill::Server;
use crate::support::{TestDatabase, database};

const POLL: Duration = Duration::from_millis(50);
/// What nothing may hold: a judge's key from a variable, one from a file, the hub's token, the database's password.
const SECRETS: [&str; 4] = [
    "sk-canary-variable-4e1d",
    "sk-canary-file-90ab",
    "hf_canary_token_77c2",
    "canary-password-31fe",
];

/// Which secrets are in `bytes`, as they are or as the hex digits of a dump.
fn held(bytes: &[u8]) -> Vec<&'static str> {
    let has = |wanted: &[u8]| bytes.windows(wanted.len()).any(|part| part == wanted);
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    let secrets = SECRETS.into_iter();
    secrets
        .filter(|secret| has(secret.as_bytes()) || has(hex(secret).as_bytes()))
        .collect()
}

#[track_caller]
fn clean(place: &str, bytes: &[u8]) {
    assert!(!bytes.is_empty(), "{place} is empty");
    let held = held(bytes);
    assert!(
        held.is_empty(),
        "{place} holds {held:?}: {}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(4000)])
    );
}

/// A server that logs everything it ever logs, with every secret, and what it was told of.
struct Told {
    server: Server,
    database: TestDatabase,
    data: tempfile::TempDir,
    _keys: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
    http: reqwest::Client,
}

/// Judges: one that answers, and two that repeat the key that they were sent in what they refuse with.
async fn told(hub: &FakeHub) -> (Told, [Mock; 3]) {
    let repeat = |status: u16| {
        move |_: usize, headers: &axum::http::HeaderMap| {
            let key = headers.get("authorization").or(headers.get("api-key"));
            let key = key.map_or("none", |key| key.to_str().unwrap());
            let body = json!({"error": {"message": format!("the key {key} will not do")}});
            Act::Refuse(status, Vec::new(), body.to_string())
        }
    };
    let latency = Duration::from_millis(1);
    let mocks = [
        Mock::start(latency, |_, _| Act::Answer).await,
        Mock::start(latency, repeat(400)).await,
        Mock::start(latency, repeat(401)).await,
    ];
    mocks[0].say(0..=100);
    let (data, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = keys.path().join("judge.key");
    std::fs::write(&key, SECRETS[1]).unwrap();
    let key = key.display().to_string();
    let database = database().await;
    let url = database.url();
    let url = url.replacen("vivarium@", &format!("vivarium:{}@", SECRETS[3]), 1);
    assert!(
        url.contains(SECRETS[3]),
        "the database's address has another user"
    );
    let text = |text: &str| text.to_owned();
    let variables = vec![
        ("CANARY_JUDGE_KEY", text(SECRETS[0])),
        ("HF_TOKEN", text(SECRETS[2])),
        ("VIVARIUM_DATABASE__URL", url),
        ("VIVARIUM_LOG__LEVEL", text("trace")),
        ("VIVARIUM_HUB__ENDPOINT", hub.url.clone()),
        (
            "VIVARIUM_HUB__CACHE",
            data.path().join("hub").display().to_string(),
        ),
        ("VIVARIUM_HUB__SPARE_BYTES", text("0")),
        ("VIVARIUM_JUDGES__GOOD__TYPE", text("openai")),
        ("VIVARIUM_JUDGES__GOOD__URL", mocks[0].url.clone()),
        ("VIVARIUM_JUDGES__GOOD__MODEL", text("judge")),
        ("VIVARIUM_JUDGES__GOOD__KEY_ENV", text("CANARY_JUDGE_KEY")),
        ("VIVARIUM_JUDGES__ODD__TYPE", text("openai")),
        ("VIVARIUM_JUDGES__ODD__URL", mocks[1].url.clone()),
        ("VIVARIUM_JUDGES__ODD__MODEL", text("judge")),
        ("VIVARIUM_JUDGES__ODD__KEY_FILE", key),
        ("VIVARIUM_JUDGES__ODD__RETRIES", text("1")),
        ("VIVARIUM_JUDGES__CLOSED__TYPE", text("openai")),
        ("VIVARIUM_JUDGES__CLOSED__URL", mocks[2].url.clone()),
        ("VIVARIUM_JUDGES__CLOSED__MODEL", text("judge")),
        ("VIVARIUM_JUDGES__CLOSED__KEY_ENV", text("CANARY_JUDGE_KEY")),
        ("VIVARIUM_JUDGES__CLOSED__KEY_HEADER", text("api-key")),
    ];
    let server = Server::start_set(&database, data.path(), &variables).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let told = Told {
        server,
        database,
        data,
        _keys: keys,
        variables,
        http,
    };
    (told, mocks)
}

impl Told {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.client.address())
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let answer = self.http.get(self.at(path)).send().await.unwrap();
        answer.bytes().await.unwrap().to_vec()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).await).unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        let request = self.http.post(self.at(path)).json(body);
        request
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .to_vec()
    }

    /// What is at `path` once it is none of `open`.
    async fn settled(&self, path: &str, open: &[&str]) -> Value {
        for _ in 0..2400 {
            let found = self.json(path).await;
            if !open.contains(&found["state"].as_str().unwrap()) {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("{path} stays as it is");
    }

    async fn tiny(&self) {
        let mut config = vocabulary::config_json();
        config["hidden_size"] = 32.into();
        config["intermediate_size"] = 32.into();
        config["num_hidden_layers"] = 2.into();
        let tokenizer = json!({"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()});
        let init = json!({"std": 0.3, "scale_residual": false});
        let source =
            json!({"random": {"config": config, "tokenizer": tokenizer, "init": init, "seed": 4}});
        let client = &self.server.client;
        client.register_base_model("tiny", &source).await.unwrap();
        client.wait_for_base_model("tiny", POLL).await.unwrap();
    }

    /// A whole evaluation under a judge, ended; the id of its job.
    async fn evaluated(&self, judge: &str, state: &str) -> String {
        let body = json!({"kind": "evaluate", "base_model": "tiny", "targets": [{"base": true}],
            "question_set": "toy-first-plot", "samples_per_question": 2, "sampling": {"max_new_tokens": 4}, "judge": judge});
        let job: Value = serde_json::from_slice(&self.post("/v1/jobs", &body).await).unwrap();
        let id = job["id"].as_str().unwrap().to_owned();
        let open = ["blocked", "queued", "running"];
        let job = self.settled(&format!("/v1/jobs/{id}"), &open).await;
        assert_eq!(job["state"], state, "{job}");
        id
    }

    /// Everything that can be had of a job over HTTP.
    async fn shown(&self, job: &str) {
        for path in ["", "/attempts", "/events", "/logs", "/metrics"] {
            let path = format!("/v1/jobs/{job}{path}");
            clean(&path, &self.get(&path).await);
        }
        for path in [
            "",
            "/completions?limit=100",
            "/completions?format=csv",
            "/rates?by=target,question",
            "/rates?format=csv",
            "/export?format=csv",
            "/export?format=ndjson",
            "/export?format=inspect",
        ] {
            let path = format!("/v1/evaluations/{job}{path}");
            clean(&path, &self.get(&path).await);
        }
        clean("the values of Parquet", &self.parquet(job).await);
    }

    /// The values of the Parquet export: its pages are compressed.
    async fn parquet(&self, job: &str) -> Vec<u8> {
        let path = format!("/v1/evaluations/{job}/export?format=parquet");
        let bytes = self.get(&path).await;
        let reader = SerializedFileReader::new(Bytes::from(bytes)).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        let rows: Vec<String> = rows.map(|row| row.unwrap().to_string()).collect();
        rows.join("\n").into_bytes()
    }

    /// Every row of the database as text.
    async fn rows(&self) -> Vec<u8> {
        let program = Binaries::find(None, None).unwrap().program("pg_dump");
        if program.is_file() {
            let mut dump = Command::new(program);
            let dump = dump.arg("--dbname").arg(self.database.url()).output();
            let dump = dump.unwrap();
            assert!(
                dump.status.success(),
                "{}",
                String::from_utf8_lossy(&dump.stderr)
            );
            return dump.stdout;
        }
        eprintln!(
            "there is no pg_dump beside the server's programs: the rows of every table are read as text instead"
        );
        let mut sql = self.database.connection().await;
        let tables: Vec<String> =
            sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public'")
                .fetch_all(&mut sql)
                .await
                .unwrap();
        let mut text = String::new();
        for table in tables {
            let query = format!("select t::text from \"{table}\" t");
            let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_all(&mut sql)
                .await
                .unwrap();
            text.push_str(&rows.join("\n"));
        }
        text.into_bytes()
    }
}

/// Files below `folder`, the server's log among them.
fn files(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, visit),
            false => visit(&path),
        }
    }
}

async fn hub_is_asked(told: &Told, hub: &FakeHub) {
    let body = |name: &str| json!({"name": name, "source": {"hub": "org/model"}});
    clean(
        "the answer",
        &told.post("/v1/base-models", &body("fetched")).await,
    );
    let model = told
        .settled("/v1/base-models/fetched", &["registering"])
        .await;
    assert_eq!(model["state"], "failed", "an empty config.json is no model");
    let job = model["job"].as_str().unwrap();
    for path in ["", "/events", "/logs"] {
        let path = format!("/v1/jobs/{job}{path}");
        clean(&path, &told.get(&path).await);
    }
    hub.change(|shelf| {
        shelf.refusal = Some((403, "GatedRepo", "hf_canary_token_77c2 may not see this"));
    });
    clean(
        "a refusal",
        &told.post("/v1/base-models", &body("gated")).await,
    );
    let sent = hub.seen();
    let token = format!("Bearer {}", SECRETS[2]);
    assert!(sent.iter().any(|one| one.token.as_deref() == Some(&token)));
}

fn configuration(told: &Told) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vivarium"));
    let command = command
        .args(["config", "check"])
        .current_dir(told.data.path());
    let output = command
        .envs(told.variables.iter().cloned())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    [output.stdout, output.stderr].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_row_no_export_no_answer_no_log_and_no_file() {
    let hub = FakeHub::with(&[("config.json", b"{}"), ("tokenizer.json", b"{}")]).await;
    let (told, mocks) = told(&hub).await;
    told.tiny().await;
    let good = told.evaluated("good", "succeeded").await;
    let jobs = [
        good.clone(),
        told.evaluated("odd", "failed").await,
        told.evaluated("closed", "failed").await,
    ];
    let sent = |mock: &Mock| mock.counts.lock().unwrap().keys[0].clone().unwrap();
    assert_eq!(
        [0, 1, 2].map(|at: usize| sent(&mocks[at])),
        [
            format!("Bearer {}", SECRETS[0]),
            format!("Bearer {}", SECRETS[1]),
            SECRETS[0].to_owned()
        ]
    );
    hub_is_asked(&told, &hub).await;
    for job in &jobs {
        told.shown(job).await;
    }
    for path in [
        "/v1/judges",
        "/v1/base-models",
        "/v1/jobs",
        "/v1/devices",
        "/metrics",
        "/version",
        "/readyz",
        "/v1/evaluations/none",
    ] {
        clean(path, &told.get(path).await);
    }
    let refused = told
        .post("/v1/jobs", &json!({"kind": "evaluate", "judge": "nobody"}))
        .await;
    clean("a refused job", &refused);
    clean("the shown configuration", &configuration(&told));
    clean("the database", &told.rows().await);
    let mut visited = Vec::new();
    files(told.data.path(), &mut |path| {
        let held = held(&std::fs::read(path).unwrap());
        assert!(held.is_empty(), "{} holds {held:?}", path.display());
        visited.push(path.file_name().unwrap().to_owned());
    });
    assert!(visited.iter().any(|name| name == "server.log"));
    let log = std::fs::read_to_string(told.data.path().join("server.log")).unwrap();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is that of level trace"
    );

    // the search finds what it is for
    let plant = format!(
        "update completions set answer = '{}' where sample = 1",
        SECRETS[1]
    );
    let mut sql = told.database.connection().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(plant))
        .execute(&mut sql)
        .await
        .unwrap();
    assert_eq!(held(&told.rows().await), [SECRETS[1]]);
    for format in ["csv", "ndjson"] {
        let path = format!("/v1/evaluations/{good}/export?format={format}");
        assert_eq!(held(&told.get(&path).await), [SECRETS[1]], "{format}");
    }
    assert_eq!(held(&told.parquet(&good).await), [SECRETS[1]]);
    assert_eq!(
        held(b"\\x68665f63616e6172795f746f6b656e5f37376332"),
        [SECRETS[2]]
    );
}
