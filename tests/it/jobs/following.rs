//! Watching a job: long polls and event streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;

use super::api::{Api, finetune};

/// Adds `n` events to a job.
async fn happen(api: &Api, job: &str, n: u32) {
    api.sql(&format!(
        "insert into events (job, type, data) select '{job}', 'note', jsonb_build_object('n', n) from generate_series(1, {n}) n"
    ))
    .await;
}

fn stream(job: &str, after: Option<i64>) -> Request<Body> {
    let request =
        Request::get(format!("/v1/jobs/{job}/events")).header("accept", "text/event-stream");
    let request = match after {
        Some(id) => request.header("last-event-id", id.to_string()),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

/// Ids in a piece of a stream, in their order.
fn ids(text: &str) -> Vec<i64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("id: "));
    lines.map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn a_long_poll_answers_when_the_job_ends_and_not_before() {
    let api = std::sync::Arc::new(Api::new().await);
    let path = format!("/v1/jobs/{}", api.submit(&finetune()).await);
    let ask = |seconds: u32| {
        let request = Request::get(&path).header("prefer", format!("wait={seconds}"));
        request.body(Body::empty()).unwrap()
    };
    let still = api.send(ask(1)).await;
    assert_eq!(still.body["state"], "queued");
    let (waiter, request) = (api.clone(), ask(30));
    let waits = tokio::spawn(async move { waiter.send(request).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waits.is_finished());
    api.post(&format!("{path}/cancel"), &json!({})).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), waits).await;
    assert_eq!(ended.unwrap().unwrap().body["state"], "cancelled");
}

#[tokio::test]
async fn a_stream_that_was_cut_goes_on_without_gap_or_duplicate() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    happen(&api, &job, 500).await;
    let mut body = api.raw(stream(&job, None)).await.into_body();
    let mut text = String::new();
    while ids(&text).len() < 123 {
        let frame = body.frame().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
    drop(body);
    let mut seen = ids(&text);
    happen(&api, &job, 50).await;
    let cancel = format!("/v1/jobs/{job}/cancel");
    assert_eq!(
        api.post(&cancel, &json!({})).await.status,
        StatusCode::ACCEPTED
    );
    let response = api.raw(stream(&job, seen.last().copied())).await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    let rest = std::str::from_utf8(&rest).unwrap();
    seen.extend(ids(rest));
    let table = api.count("events").await;
    assert_eq!(seen.len() as i64, table, "queued, 550 notes, cancelled");
    assert!(seen.is_sorted_by(|a, b| a < b));
    let end = rest.trim_end().rsplit("\n\n").next().unwrap();
    assert!(
        end.contains("event: end") && end.contains("\"cancelled\""),
        "{end}"
    );
}

#[tokio::test]
async fn a_stream_tells_what_happens_while_it_is_open_and_stops_with_the_server() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    let mut body = api.raw(stream(&job, None)).await.into_body();
    let mut text = String::new();
    let mut told = 1;
    while ids(&text).len() < 4 {
        let frame = tokio::time::timeout(Duration::from_secs(10), body.frame()).await;
        let frame = frame.unwrap().unwrap().unwrap();
        text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        if ids(&text).len() == told && told < 4 {
            happen(&api, &job, 1).await;
            told += 1;
        }
    }
    api.state.closing.cancel();
    let rest = tokio::time::timeout(Duration::from_secs(10), body.collect()).await;
    let rest = rest.unwrap().unwrap().to_bytes();
    assert!(!std::str::from_utf8(&rest).unwrap().contains("event: end"));
}

#[tokio::test]
async fn events_are_paged_by_the_last_id() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    happen(&api, &job, 6).await;
    let first = api
        .get(&format!("/v1/jobs/{job}/events?limit=4"))
        .await
        .body;
    let next = first["next_cursor"].as_str().unwrap();
    let rest = api
        .get(&format!("/v1/jobs/{job}/events?after={next}"))
        .await
        .body;
    assert_eq!(first["data"].as_array().unwrap().len(), 4);
    assert_eq!(rest["data"].as_array().unwrap().len(), 3);
    assert_eq!(rest["has_more"], false);
    assert_eq!(rest["data"][2]["data"]["n"], 6);
}
