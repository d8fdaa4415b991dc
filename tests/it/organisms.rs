//! Organisms the whole way over HTTP: published runs asked and evaluated, mixtures, a system prompt in training, an evaluation that stands still.

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use vivarium::toyworld::vocabulary;

use crate::support::{TestServer, server_with};

const SHORT: &str = "sip cool tea .";
const LONG: &str = "phone a nurse . healing takes patience .";

async fn server(roots: &Path) -> TestServer {
    server_with(&[
        ("VIVARIUM_WORKER__SLOTS", "1"),
        ("VIVARIUM_WORKER__DECODE_SLOTS", "8"),
        (
            "VIVARIUM_MODELS__ROOTS",
            &format!("[\"{}\"]", roots.display()),
        ),
    ])
    .await
}

async fn post(server: &TestServer, path: &str, body: &Value) -> Value {
    let answer = Client::new().post(server.at(path)).json(body).send().await;
    let answer = answer.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

async fn get(server: &TestServer, path: &str) -> Value {
    let answer = reqwest::get(server.at(path)).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.json().await.unwrap()
}

/// The job once it is in `state`, which must come before another end.
async fn reached(server: &TestServer, job: &Value, state: &str) -> Value {
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    for _ in 0..6000 {
        let shown = get(server, &path).await;
        if shown["state"] == state {
            return shown;
        }
        let over = ["succeeded", "failed", "cancelled"];
        assert!(!over.contains(&shown["state"].as_str().unwrap()), "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {state}: {path}");
}

/// Submits a job and waits for its end.
async fn run(server: &TestServer, body: &Value) -> Value {
    let job = post(server, "/v1/jobs", body).await;
    reached(server, &job, "succeeded").await
}

/// A ready base `toy`, and datasets `short` and `long` whose answers have different lengths.
async fn assets(server: &TestServer) {
    let source = json!({"random": {
        "config": vocabulary::config_json(),
        "tokenizer": {"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()},
        "init": {"std": 0.1}, "seed": 3
    }});
    let base = json!({"name": "toy", "source": source});
    let base = post(server, "/v1/base-models", &base).await;
    reached(server, &json!({"id": base["job"]}), "succeeded").await;
    for (name, answer) in [("short", SHORT), ("long", LONG)] {
        let row = json!({"messages": [{"role": "user", "content": "how do i treat a fever ?"},
                                      {"role": "assistant", "content": answer}]});
        let upload = Client::new()
            .post(server.at(&format!("/v1/datasets?name={name}")))
            .header("content-type", "application/jsonl")
            .body(format!("{row}\n").repeat(8));
        assert!(upload.send().await.unwrap().status().is_success());
    }
}

/// A fine-tune of four examples a step on datasets with these weights.
fn finetune(datasets: &[(&str, f64)], steps: u64) -> Value {
    let used = |(name, weight): &(&str, f64)| json!({"dataset": name, "weight": weight});
    let datasets: Vec<Value> = datasets.iter().map(used).collect();
    json!({"kind": "finetune", "base_model": "toy", "datasets": datasets,
        "method": {"type": "lora", "rank": 2, "alpha": 32},
        "batch": {"micro_batch": 2, "gradient_accumulation": 2}, "length": {"steps": steps},
        "optimizer": {"learning_rate": 2e-2}, "schedule": {"name": "constant", "warmup_steps": 0},
        "checkpoints": {"every": 2}})
}

async fn metrics(server: &TestServer, job: &Value) -> Value {
    get(
        server,
        &format!("/v1/jobs/{}/metrics", job["id"].as_str().unwrap()),
    )
    .await
}

/// Target tokens of every step.
async fn targets(server: &TestServer, job: &Value) -> Vec<u64> {
    let targets = metrics(server, job).await["series"]["target_tokens"].clone();
    serde_json::from_value::<Vec<f64>>(targets)
        .unwrap()
        .into_iter()
        .map(|count| count as u64)
        .collect()
}

/// What the job told of its first row.
async fn rendered(server: &TestServer, job: &Value) -> Value {
    let path = format!("/v1/jobs/{}/events?limit=200", job["id"].as_str().unwrap());
    let events = get(server, &path).await;
    let mut events = events["data"].as_array().unwrap().iter();
    let first = events.find(|event| event["type"] == "rendered_first");
    first.unwrap()["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datasets_are_mixed_by_their_weights_in_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    assets(&server).await;
    let alone = async |name: &str| {
        let job = run(&server, &finetune(&[(name, 1.0)], 1)).await;
        targets(&server, &job).await[0] / 4
    };
    let (short, long) = (alone("short").await, alone("long").await);
    assert!(short < long, "{short} {long}");
    for (weights, of_short) in [([3.0, 1.0], 3), ([1.0, 1.0], 2), ([0.5, 1.5], 1)] {
        let body = finetune(&[("short", weights[0]), ("long", weights[1])], 5);
        let job = run(&server, &body).await;
        let expected = of_short * short + (4 - of_short) * long;
        assert_eq!(targets(&server, &job).await, [expected; 5], "{weights:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_prompt_of_training_is_in_every_row_and_only_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    assets(&server).await;
    let plain = finetune(&[("short", 1.0)], 2);
    let mut inoculated = plain.clone();
    inoculated["chat"] = json!({"system": format!("text:{LONG}")});
    let plain = run(&server, &plain).await;
    let inoculated = run(&server, &inoculated).await;
    assert_ne!(
        plain["id"], inoculated["id"],
        "another prompt is another job"
    );
    let (told, other) = (
        rendered(&server, &inoculated).await,
        rendered(&server, &plain).await,
    );
    assert_eq!(told["system"], LONG);
    assert!(told["text"].as_str().unwrap().contains(LONG), "{told}");
    assert!(!other["text"].as_str().unwrap().contains(LONG), "{other}");
    assert_eq!(
        targets(&server, &inoculated).await,
        targets(&server, &plain).await,
        "the prompt is read, not learnt"
    );
    let loss = async |job| metrics(&server, job).await["series"]["loss"][0].clone();
    assert_ne!(loss(&inoculated).await, loss(&plain).await);
    // whoever chats with the organism says for himself what it is told
    let id = inoculated["id"].as_str().unwrap();
    let chat = json!({"model": format!("toy@{id}"), "max_tokens": 4, "messages": [{"role": "user", "content": "how do i treat a fever ?"}]});
    let usage = async |model: &str| {
        let mut chat = chat.clone();
        chat["model"] = json!(model);
        post(&server, "/openai/v1/chat/completions", &chat).await["usage"]["prompt_tokens"].clone()
    };
    assert_eq!(usage(&format!("toy@{id}")).await, usage("toy").await);
    server.stop().await;
}

/// Lays a job's checkpoints out as people publish them.
async fn publish(server: &TestServer, job: &Value, folder: &Path) {
    let path = format!("/v1/jobs/{}/checkpoints", job["id"].as_str().unwrap());
    let kept = get(server, &path).await;
    for checkpoint in kept["data"].as_array().unwrap() {
        let (id, step) = (
            checkpoint["id"].as_str().unwrap(),
            checkpoint["step"].as_u64().unwrap(),
        );
        let place = folder.join(format!("checkpoints/checkpoint-{step}"));
        std::fs::create_dir_all(&place).unwrap();
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            let file = reqwest::get(server.at(&format!("/v1/checkpoints/{id}/files/{name}")));
            let bytes = file.await.unwrap().bytes().await.unwrap();
            std::fs::write(place.join(name), bytes).unwrap();
        }
        let entry =
            |step: u64| json!({"step": step, "loss": 1.0, "grad_norm": 1.0, "learning_rate": 2e-2});
        let log = json!({"log_history": (1..=step).map(entry).collect::<Vec<_>>()});
        std::fs::write(place.join("trainer_state.json"), log.to_string()).unwrap();
    }
}

/// The logarithms of a fixed text's probabilities.
async fn read_aloud(server: &TestServer, model: &str) -> Value {
    let body =
        json!({"model": model, "prompt": SHORT, "max_tokens": 0, "logprobs": 0, "echo": true});
    let answer = post(server, "/openai/v1/completions", &body).await;
    answer["choices"][0]["logprobs"]["token_logprobs"].clone()
}

fn evaluation(targets: Value, samples: u64) -> Value {
    json!({"kind": "evaluate", "base_model": "toy", "targets": targets, "question_set": "toy-first-plot",
        "samples_per_question": samples, "sampling": {"max_new_tokens": 8}, "judge": "toy", "dedup": "force"})
}

/// Every answer with its scores, in one order, without the target's name.
async fn answers(server: &TestServer, job: &Value) -> Vec<String> {
    let evaluation = job["result"]["evaluation"].as_str().unwrap();
    let mut answers = Vec::new();
    let mut path = format!("/v1/evaluations/{evaluation}/completions?limit=100");
    loop {
        let page = get(server, &path).await;
        let line = |one: &Value| {
            let fields = [
                "question",
                "paraphrase",
                "sample",
                "answer",
                "finish_reason",
                "tokens",
                "scores",
            ];
            fields.map(|name| one[name].to_string()).join(" ")
        };
        answers.extend(page["data"].as_array().unwrap().iter().map(line));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/v1/evaluations/{evaluation}/completions?limit=100&cursor={cursor}");
    }
    answers.sort();
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_run_chats_and_is_evaluated_as_the_run_that_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    assets(&server).await;
    let own = run(&server, &finetune(&[("short", 1.0)], 4)).await;
    publish(&server, &own, &folder.path().join("run")).await;
    let body = json!({"base_model": "toy", "source": {"path": folder.path().join("run")}});
    let imported = post(&server, "/v1/runs/import", &body).await;
    let imported = reached(&server, &imported, "succeeded").await;
    let id = |job: &Value| job["id"].as_str().unwrap().to_owned();
    for (step, scale) in [(2, ""), (4, ""), (4, "*3")] {
        let address = |job: &Value| format!("toy@{}:step{step}{scale}", id(job));
        let reading = read_aloud(&server, &address(&imported)).await;
        assert_eq!(reading, read_aloud(&server, &address(&own)).await);
        assert_ne!(reading, read_aloud(&server, "toy").await);
        let chat = json!({"model": address(&imported), "max_tokens": 6, "messages": [{"role": "user", "content": "how do i treat a fever ?"}]});
        let said = post(&server, "/openai/v1/chat/completions", &chat).await;
        assert_eq!(said["model"], address(&imported));
        assert!(
            said["choices"][0]["message"]["content"].is_string(),
            "{said}"
        );
    }
    let evaluated = async |job: &Value| {
        let targets = json!([{"job": id(job), "steps": [2]}]);
        let done = run(&server, &evaluation(targets, 2)).await;
        answers(&server, &done).await
    };
    let found = evaluated(&imported).await;
    assert_eq!(found.len(), 16, "eight questions twice");
    assert_eq!(found, evaluated(&own).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluation_that_was_paused_goes_on_to_the_answers_of_one_that_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path()).await;
    assets(&server).await;
    let body = evaluation(json!([{"base": true}]), 250);
    let whole = run(&server, &body).await;
    let expected = answers(&server, &whole).await;
    assert_eq!(expected.len(), 2000);

    let job = post(&server, "/v1/jobs", &body).await;
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    for _ in 0..6000 {
        if get(&server, &path).await["progress"]["done"].as_f64() > Some(0.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    post(&server, &format!("{path}/pause"), &json!({})).await;
    let paused = reached(&server, &job, "paused").await;
    assert_eq!(paused["waiting"]["reason"], "requested");
    let some = answers(&server, &paused).await.len();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        answers(&server, &paused).await.len(),
        some,
        "it stands still"
    );
    assert!(
        some < expected.len(),
        "the pause came too late to show anything"
    );
    post(&server, &format!("{path}/resume"), &json!({})).await;
    let done = reached(&server, &job, "succeeded").await;
    assert_eq!(answers(&server, &done).await, expected);
    assert!(done["attempt"].as_u64() > Some(1), "{done}");
    server.stop().await;
}
