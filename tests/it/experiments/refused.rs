//! What is refused by field before anything is queued.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::stage::{SETTINGS, ask, assets, get, spec};
use crate::support::server_with;

/// A change to the spec, where the refusal points, and words of its detail.
type Case = (fn(&mut Value), &'static str, &'static str);

const CASES: [Case; 10] = [
    (
        |it| it["arms"][0]["datasets"] = json!([{"dataset": "nowhere"}]),
        "/arms/0/datasets/0/dataset",
        "no dataset \"nowhere\"",
    ),
    (
        |it| it["arms"][0]["base_model"] = json!("nobody"),
        "/arms/0/base_model",
        "no base model \"nobody\"",
    ),
    (
        |it| it["arms"][0]["datasets"] = json!([{"dataset": "good"}]),
        "/arms/0/controls",
        "declares no twin",
    ),
    (
        |it| it["evaluation"]["checkpoints"] = json!([3, 13]),
        "/evaluation/checkpoints/1",
        "step 13 is beyond the last",
    ),
    (
        |it| it["evaluation"]["checkpoints"] = json!([4]),
        "/evaluation/checkpoints/0",
        "keeps no checkpoint at step 4",
    ),
    (
        |it| it["evaluation"]["question_set"] = json!("riddles"),
        "/evaluation/question_set",
        "no question set \"riddles\"",
    ),
    (
        |it| it["evaluation"]["judge"] = json!("nobody"),
        "/evaluation/judge",
        "nobody",
    ),
    (
        |it| it["analysis"]["gaps"] = json!([2, 7]),
        "/analysis/gaps/1",
        "the run has 12 steps",
    ),
    (
        |it| it["arms"][0]["protocol"]["method"]["rank"] = json!(8),
        "/arms/0/protocol/method",
        "records no vectors",
    ),
    (
        |it| it["arms"][0]["grid"] = json!({"optimizer.learning_rate": (1..=5000).map(|n| f64::from(n) * 1e-6).collect::<Vec<_>>()}),
        "/arms",
        "jobs",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_told_by_field_and_nothing_is_queued() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    for (change, pointer, words) in CASES {
        let mut body = spec();
        change(&mut body);
        for path in ["/v1/experiments", "/v1/experiments?dry_run=true"] {
            let (status, problem) = ask(&server, Method::POST, path, Some(&body)).await;
            assert_eq!(status.as_u16(), 422, "{pointer}: {problem:#}");
            let errors = problem["errors"].as_array().unwrap();
            let found = errors.iter().find(|error| {
                error["pointer"]
                    .as_str()
                    .is_some_and(|at| at.starts_with(pointer))
            });
            let found = found.unwrap_or_else(|| panic!("{pointer} is not named: {problem:#}"));
            assert!(
                found["detail"].as_str().unwrap().contains(words),
                "{found:#}"
            );
            assert!(found["hint"].is_string(), "{found:#}");
        }
    }
    assert_eq!(get(&server, "/v1/experiments").await["data"], json!([]));
    assert_eq!(
        get(&server, "/v1/jobs?kind=finetune").await["data"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yaml_is_read_and_its_errors_have_lines() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let send = async |text: &str, media: &str| {
        let request = Client::new().post(server.at("/v1/experiments?dry_run=true"));
        let answer = request
            .header("content-type", media)
            .body(text.to_owned())
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let text = "name: x\narms:\n  - name: bad\n    base_model: tiny\n    datasets: [{dataset: nowhere}]\n    protocol: {length: {steps: 4}}\n";
    let (status, problem) = send(text, "application/yaml").await;
    assert_eq!(
        (status, &problem["errors"][0]["line"]),
        (422, &json!(5)),
        "{problem:#}"
    );
    let (status, plan) = send(&serde_json::to_string(&spec()).unwrap(), "text/yaml").await;
    assert_eq!(
        (status, &plan["totals"]["jobs"]),
        (200, &json!(10)),
        "JSON is YAML"
    );
    assert_eq!(send(text, "text/html").await.0, 415);
}
