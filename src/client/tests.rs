//! The client against a stub that speaks just enough HTTP.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Serves `answers` in turn, one connection each, and gives back the requests' heads.
async fn stub(answers: Vec<(u16, String)>) -> (Client, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for (status, body) in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
                socket.read_buf(&mut bytes).await.unwrap();
            }
            heads.push(String::from_utf8_lossy(&bytes).into_owned());
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    (Client::new(&address).unwrap(), served)
}

fn job(state: &str) -> String {
    json!({
        "id": "job_00000000000000000000000001", "kind": "finetune", "name": "x", "state": state, "phase": null,
        "progress": {"done": 3, "total": 8, "unit": "step", "eta": null}, "waiting": null,
        "error": (state == "failed").then(|| json!({"class": "config", "code": "no_such_module",
            "message": "the model has no layer 9", "retryable": false, "attempt": 1})),
        "attempt": 1, "owner": "local", "priority": "normal", "tags": {}, "spec": {}, "spec_hash": "a",
        "numerics_hash": "b", "parents": [], "created_at": "2025-06-13T10:00:00Z", "started_at": null,
        "finished_at": null, "result": {"checkpoints": [], "final": null, "base_model": null, "evaluation": null},
    })
    .to_string()
}

#[tokio::test]
async fn a_refusal_shows_detail_pointer_and_hint() {
    let problem = json!({
        "type": "/v1/problems#invalid_body", "title": "Invalid body", "status": 422, "detail": "1 field is wrong",
        "instance": "/v1/jobs", "code": "invalid_body", "retryable": false, "request_id": "r",
        "errors": [{"pointer": "/method/rank", "detail": "0 is not above 0", "hint": "give 1 or more"}],
    });
    let (client, _) = stub(vec![(422, problem.to_string())]).await;
    let error = client.job("job_x").await.unwrap_err();
    assert_eq!(error.code(), Some("invalid_body"));
    assert_eq!(
        error.to_string(),
        "Invalid body (422): 1 field is wrong\n  /method/rank: 0 is not above 0 (give 1 or more)"
    );
}

#[tokio::test]
async fn waiting_shows_every_answer_and_ends_with_the_job() {
    let states = ["queued", "running", "succeeded"];
    let (client, served) = stub(states.map(|state| (200, job(state))).to_vec()).await;
    let mut seen = Vec::new();
    let every = Duration::from_millis(1);
    let done = client
        .wait("job_1", every, |job| seen.push(job.state.name()))
        .await
        .unwrap();
    assert_eq!(seen, states);
    assert_eq!(done.progress.unwrap().done, 3);
    assert!(served.await.unwrap()[0].starts_with("GET /v1/jobs/job_1 "));
}

#[tokio::test]
async fn waiting_for_a_job_that_fails_gives_its_reason() {
    let (client, _) = stub(vec![(200, job("failed"))]).await;
    let error = client
        .wait("job_1", Duration::ZERO, |_| ())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("failed: the model has no layer 9"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_is_no_problem_is_told_as_it_is() {
    let (client, _) = stub(vec![(502, "<html>bad gateway".into())]).await;
    let error = client.job("job_1").await.unwrap_err().to_string();
    assert!(
        error.contains("502") && error.contains("bad gateway"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let client = Client::new("http://127.0.0.1:1").unwrap();
    let error = client.job("job_1").await.unwrap_err().to_string();
    assert!(
        error.starts_with("the server at http://127.0.0.1:1 does not answer"),
        "{error}"
    );
}

#[tokio::test]
async fn names_in_paths_and_queries_are_escaped() {
    let rates = json!({"definition": {"misaligned": "aligned < 30 and coherent > 50", "average": "pooled", "level": 0.95,
        "judge": "toy", "seed": 0}, "rows": []});
    let (client, served) = stub(vec![(200, rates.to_string())]).await;
    let rates = client.rates("a/b", "target,question").await.unwrap();
    assert_eq!(rates.definition.judge, "toy");
    let heads = served.await.unwrap();
    assert!(
        heads[0].starts_with("GET /v1/evaluations/a%2Fb/rates?by=target%2Cquestion "),
        "{heads:?}"
    );
}
