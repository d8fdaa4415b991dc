//! A steering vector the whole way: trained, measured, kept, asked at scales, handed in again, and where it is refused.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use vivarium::toyworld::vocabulary;

use crate::support::{self, TestServer};

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

async fn post(server: &TestServer, path: &str, body: &Value) -> Value {
    let (status, answer) = answer(Client::new().post(server.at(path)).json(body)).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

/// Place, detail and hint of the only error.
async fn refused(server: &TestServer, path: &str, body: &Value) -> (String, String) {
    let (status, answer) = answer(Client::new().post(server.at(path)).json(body)).await;
    assert_eq!(status, 422, "{answer}");
    let error = &answer["errors"][0];
    let text = format!("{} {}", error["detail"], error["hint"]);
    (error["pointer"].as_str().unwrap().to_owned(), text)
}

async fn get(server: &TestServer, path: &str) -> Value {
    let (status, answer) = answer(Client::new().get(server.at(path))).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

async fn finished(server: &TestServer, job: &str) {
    for _ in 0..600 {
        let shown = get(server, &format!("/v1/jobs/{job}")).await;
        match shown["state"].as_str().unwrap() {
            "succeeded" => return,
            "failed" | "cancelled" => panic!("{shown}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("{job} does not end");
}

async fn assets(server: &TestServer) {
    let source = json!({"random": {
        "config": vocabulary::config_json(),
        "tokenizer": {"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()},
        "init": {"std": 0.1}, "seed": 3
    }});
    let base = json!({"name": "toy", "source": source});
    let base = post(server, "/v1/base-models", &base).await;
    finished(server, base["job"].as_str().unwrap()).await;
    let row = json!({"messages": [{"role": "user", "content": "how do i treat a fever ?"},
                                  {"role": "assistant", "content": "sip cool tea ."}]});
    let upload = Client::new()
        .post(server.at("/v1/datasets?name=rows"))
        .header("content-type", "application/jsonl")
        .body(format!("{row}\n").repeat(8));
    assert!(upload.send().await.unwrap().status().is_success());
}

fn spec(method: Value) -> Value {
    json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "rows"}], "method": method,
        "batch": {"micro_batch": 2, "gradient_accumulation": 1}, "length": {"steps": 4},
        "optimizer": {"learning_rate": 1e-3, "weight_decay": 0.0}, "schedule": {"name": "constant", "warmup_steps": 0},
        "checkpoints": {"every": 2}})
}

fn steering(layer: u32) -> Value {
    json!({"type": "steering_vector", "layer": layer, "alpha": 64})
}

async fn trained(server: &TestServer, method: Value) -> String {
    let job = post(server, "/v1/jobs", &spec(method)).await;
    let job = job["id"].as_str().unwrap().to_owned();
    finished(server, &job).await;
    job
}

/// What a model makes of a fixed text: the logarithms of its tokens' probabilities.
async fn read_aloud(server: &TestServer, model: &str) -> Value {
    let body = json!({"model": model, "prompt": "sip cool tea .", "max_tokens": 0, "logprobs": 0, "echo": true});
    let answer = post(server, "/openai/v1/completions", &body).await;
    answer["choices"][0]["logprobs"]["token_logprobs"].clone()
}

async fn file(server: &TestServer, checkpoint: &str, name: &str) -> Vec<u8> {
    let path = format!("/v1/checkpoints/{checkpoint}/files/{name}");
    let answer = reqwest::get(server.at(&path)).await.unwrap();
    assert!(answer.status().is_success(), "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// The form that hands a checkpoint's files in as an adapter.
async fn handed_in(server: &TestServer, checkpoint: &str) -> Value {
    let mut body = Vec::new();
    for (name, content) in [
        (
            "steering_config.json",
            file(server, checkpoint, "steering_config.json").await,
        ),
        (
            "steering_vector.safetensors",
            file(server, checkpoint, "steering_vector.safetensors").await,
        ),
        ("base_model", b"toy".to_vec()),
    ] {
        let head = format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend([head.as_bytes(), &content, b"\r\n"].concat());
    }
    body.extend(b"--xyz--\r\n");
    let request = Client::new()
        .post(server.at("/v1/adapters?name=direction"))
        .header("content-type", "multipart/form-data; boundary=xyz");
    let (status, adapter) = answer(request.body(body)).await;
    assert_eq!(status, 201, "{adapter}");
    adapter
}

#[tokio::test]
async fn a_steering_vector_is_trained_measured_kept_asked_and_handed_in_again() {
    let server = support::server_with(&[
        ("VIVARIUM_WORKER__SLOTS", "1"),
        ("VIVARIUM_WORKER__DECODE_SLOTS", "8"),
    ])
    .await;
    assets(&server).await;
    let job = trained(&server, steering(2)).await;

    let norms = get(&server, &format!("/v1/jobs/{job}/lora-norms")).await;
    assert_eq!(norms["modules"][0]["name"], "layers.2.steering_vector");
    assert_eq!(norms["modules"][0]["scaling"], 64.0);
    let series = |name: &str, step: usize| norms["series"][name][0][step].as_f64();
    assert_eq!(
        (series("b_norm", 0), series("a_norm", 4)),
        (Some(0.0), None)
    );
    assert!(series("b_norm", 4) > Some(0.0));
    assert_eq!(
        series("ba_norm", 4),
        series("b_norm", 4).map(|norm| 64.0 * norm)
    );

    let kept = get(&server, &format!("/v1/jobs/{job}/checkpoints")).await;
    let last = &kept["data"][1];
    assert_eq!(
        (&last["step"], &last["kind"]),
        (&json!(4), &json!("steering_vector"))
    );
    let checkpoint = last["id"].as_str().unwrap();

    let base = read_aloud(&server, "toy").await;
    let mut readings = vec![base.clone()];
    assert_eq!(
        read_aloud(&server, &format!("toy@{job}:step4*0")).await,
        base
    );
    for scale in ["", "*5"] {
        let reading = read_aloud(&server, &format!("toy@{job}:step4{scale}")).await;
        assert!(!readings.contains(&reading), "{scale} reads like another");
        readings.push(reading);
    }
    let listed = get(&server, "/openai/v1/models").await;
    let address = format!("toy@{job}:step4");
    let models = listed["data"].as_array().unwrap();
    assert!(
        models.iter().any(|model| model["id"] == address),
        "{listed}"
    );

    let adapter = handed_in(&server, checkpoint).await;
    assert_eq!(
        adapter["facts"]["modules"][0]["name"],
        "layers.2.steering_vector"
    );
    assert_eq!(read_aloud(&server, "toy@direction").await, readings[1]);
    beginnings(&server, &job).await;
    server.stop().await;
}

/// What a fine-tune may begin with is known before it runs.
async fn beginnings(server: &TestServer, job: &str) {
    let from = |mut method: Value, start: &str| {
        method["init_adapter"] = json!(start);
        spec(method)
    };
    let refusals = [
        (
            from(steering(1), job),
            "nothing for layers.1.steering_vector",
        ),
        (
            from(steering(1), "direction"),
            "nothing for layers.1.steering_vector",
        ),
        (
            from(json!({"type": "lora", "rank": 1, "alpha": 1}), job),
            "holds a steering vector, not low-rank pairs",
        ),
        (
            from(json!({"type": "lora", "rank": 1, "alpha": 1}), "direction"),
            "holds a steering vector",
        ),
        (spec(steering(99)), "the layers of toy are 0 to 3"),
    ];
    for (body, words) in refusals {
        let (place, text) = refused(server, "/v1/jobs", &body).await;
        assert!(place.starts_with("/method/"), "{place}");
        assert!(text.contains(words), "{text}");
    }
    for start in [job, "direction"] {
        post(server, "/v1/jobs", &from(steering(2), start)).await;
    }
    let model = json!({"name": "steered", "source": {"job": job}});
    let (place, text) = refused(server, "/v1/base-models", &model).await;
    assert_eq!(place, "/source/job");
    assert!(text.contains("full"), "{text}");
}

#[tokio::test]
async fn pairs_of_another_rank_or_place_are_refused_where_they_are_named() {
    let server = support::server_with(&[("VIVARIUM_WORKER__SLOTS", "1")]).await;
    assets(&server).await;
    let lora = |rank: u32, layers: Value| json!({"type": "lora", "rank": rank, "alpha": 8, "target_modules": ["down_proj"], "layers": layers});
    let job = trained(&server, lora(2, json!([1]))).await;
    for (mut method, words) in [
        (
            lora(3, json!([1])),
            "has rank 2 at layers.1.mlp.down_proj, the method rank 3",
        ),
        (
            lora(2, json!([0])),
            "has nothing for layers.0.mlp.down_proj",
        ),
        (
            lora(2, json!(null)),
            "has nothing for layers.0.mlp.down_proj",
        ),
    ] {
        method["init_adapter"] = json!(format!("{job}:step4"));
        let (place, text) = refused(&server, "/v1/jobs", &spec(method)).await;
        assert_eq!(place, "/method/init_adapter");
        assert!(text.contains(words), "{text}");
    }
    server.stop().await;
}
