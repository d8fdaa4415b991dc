//! What careful clients rely on: keys that make a POST safe to repeat, tags that make polling cheap, traces.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::jobs::api::{Api, Reply, finetune};

async fn keyed(api: &Api, key: &str, body: &Value) -> Reply {
    let request = Request::post("/v1/jobs")
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    api.send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

async fn with(api: &Api, method: &str, path: &str, header: (&str, &str)) -> Reply {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header.0, header.1);
    api.send(request.body(Body::empty()).unwrap()).await
}

/// Work that equal work does not answer for: only the key can hold it to one job.
fn forced() -> Value {
    let mut body = finetune();
    body["dedup"] = json!("force");
    body
}

#[tokio::test]
async fn a_request_sent_again_under_its_key_is_answered_as_before_and_done_once() {
    let api = Api::new().await;
    let first = keyed(&api, "k-1", &forced()).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let again = keyed(&api, "k-1", &forced()).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["location"], first.headers["location"]);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(api.count("jobs").await, 1);
    keyed(&api, "k-2", &forced()).await;
    assert_eq!(api.count("jobs").await, 2);
}

#[tokio::test]
async fn a_key_stands_for_one_request_and_is_free_again_when_nothing_was_done() {
    let api = Api::new().await;
    let mut wrong = forced();
    wrong["base_model"] = json!("nobody");
    let refused = keyed(&api, "k", &wrong).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.body["code"], "invalid");
    assert_eq!(
        keyed(&api, "k", &forced()).await.status,
        StatusCode::ACCEPTED
    );
    let other = keyed(&api, "k", &wrong).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.body["code"], "idempotency_key_reused");
    let long = keyed(&api, &"k".repeat(256), &forced()).await;
    assert_eq!(long.status, StatusCode::BAD_REQUEST);
    assert_eq!(api.count("jobs").await, 1);
}

#[tokio::test]
async fn a_key_at_work_asks_to_come_back_and_is_free_when_its_server_died_or_its_day_is_over() {
    let api = Api::new().await;
    keyed(&api, "k", &forced()).await;
    api.sql("update idempotency_keys set status = null").await;
    let waits = keyed(&api, "k", &forced()).await;
    assert_eq!(waits.status, StatusCode::CONFLICT);
    assert_eq!(waits.body["code"], "idempotency_key_in_use");
    assert_eq!(waits.headers["retry-after"], "1");
    api.sql("update idempotency_keys set held_until = queue_now()")
        .await;
    let done = keyed(&api, "k", &forced()).await;
    assert_eq!(done.status, StatusCode::ACCEPTED);
    api.sql("update idempotency_keys set expires_at = queue_now()")
        .await;
    let later = keyed(&api, "k", &forced()).await;
    assert_ne!(later.body["id"], done.body["id"]);
}

fn ids(replies: &[Reply]) -> BTreeSet<String> {
    let done = replies.iter().filter(|reply| reply.status.is_success());
    done.map(|reply| reply.body["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_hundred_equal_submissions_at_once_are_one_job_with_and_without_a_key() {
    let api = Api::new().await;
    let plain = join_all((0..100).map(|_| async { api.post("/v1/jobs", &finetune()).await })).await;
    assert!(plain.iter().all(|reply| reply.status.is_success()));
    assert_eq!(ids(&plain).len(), 1);
    assert_eq!(api.count("jobs").await, 1);
    let body = forced();
    let keyed = join_all((0..100).map(|_| keyed(&api, "k", &body))).await;
    let told = |reply: &Reply| reply.status.is_success() || reply.status == StatusCode::CONFLICT;
    assert!(keyed.iter().all(told));
    assert_eq!(ids(&keyed).len(), 1);
    assert_eq!(api.count("jobs").await, 2);
}

#[tokio::test]
async fn what_is_polled_has_a_tag_and_is_not_sent_twice() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    for path in [
        "/v1/jobs".to_owned(),
        format!("/v1/jobs/{job}"),
        "/v1/devices".into(),
    ] {
        let first = api.get(&path).await;
        let Some(tag) = first.headers.get("etag").cloned() else {
            assert_eq!(first.status, StatusCode::NOT_FOUND, "{path}");
            continue;
        };
        let tag = tag.to_str().unwrap();
        let again = with(&api, "GET", &path, ("if-none-match", tag)).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{path}");
        assert_eq!(again.body, Value::Null);
        let other = with(&api, "GET", &path, ("if-none-match", "\"old\"")).await;
        assert_eq!(other.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_change_of_what_changed_meanwhile_is_refused() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    let path = format!("/v1/jobs/{job}");
    let tag = api.get(&path).await.headers["etag"].clone();
    let tag = ("if-match", tag.to_str().unwrap());
    let pause = with(&api, "POST", &format!("{path}/pause"), tag).await;
    assert_eq!(pause.status, StatusCode::ACCEPTED, "{}", pause.body);
    let cancel = with(&api, "POST", &format!("{path}/cancel"), tag).await;
    assert_eq!(cancel.status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(api.get(&path).await.body["state"], "paused");
}

#[tokio::test]
async fn a_request_keeps_the_trace_that_it_came_with() {
    let api = Api::new().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("00-{trace}-00f067aa0ba902b7-01");
    let reply = with(&api, "GET", "/version", ("traceparent", &given)).await;
    let told = reply.headers["traceparent"].to_str().unwrap();
    assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with("-01"));
    assert_ne!(told, given);
}

#[tokio::test]
async fn another_upload_of_the_same_length_is_another_request() {
    let api = Api::new().await;
    let upload = async |answer: &str| {
        let row = json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]});
        let text = format!("{row}\n");
        let request = Request::post("/v1/datasets?name=mine")
            .header("content-type", "application/jsonl")
            .header("content-length", text.len())
            .header("idempotency-key", "u");
        api.send(request.body(Body::from(text)).unwrap()).await
    };
    let first = upload("yes").await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    assert_eq!(upload("yes").await.body, first.body);
    let other = upload("no!").await;
    assert_eq!(
        other.body["code"], "idempotency_key_reused",
        "{}",
        other.body
    );
}
