//! What people do to a whole experiment, and what a failed arm does to the others.

use reqwest::Method;
use serde_json::json;

use super::stage::{SETTINGS, ask, assets, ended, get, post, spec, until};
use crate::support::{TestServer, server_with};

async fn wish(server: &TestServer, id: &str, word: &str) -> (u16, serde_json::Value) {
    let path = format!("/v1/experiments/{id}/{word}");
    let (status, answer) = ask(server, Method::POST, &path, None).await;
    (status.as_u16(), answer)
}

/// Runs so long that they are caught in the middle.
fn long() -> serde_json::Value {
    let mut spec = spec();
    spec["arms"][0]["protocol"]["length"] = json!({"steps": 3000});
    spec["arms"][0]["protocol"]["checkpoints"] = json!({"every": 1000});
    spec
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_experiment_is_paused_goes_on_is_cancelled_and_tried_again() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let posted = post(&server, "/v1/experiments", &long()).await;
    let id = posted["id"].as_str().unwrap();
    let path = format!("/v1/experiments/{id}");
    until(&server, &path, &["running"]).await;
    assert_eq!(wish(&server, id, "pause").await.0, 202);
    until(&server, &path, &["paused"]).await;
    assert_eq!(wish(&server, id, "pause").await.0, 409);
    assert_eq!(wish(&server, id, "resume").await.0, 202);
    until(&server, &path, &["running"]).await;
    assert_eq!(wish(&server, id, "cancel").await.0, 202);
    let cancelled = until(&server, &path, &["cancelled"]).await;
    assert_eq!(
        cancelled["analysis"]["job"],
        json!(null),
        "what was cancelled is not analysed"
    );
    let (status, problem) = wish(&server, id, "cancel").await;
    assert_eq!((status, problem["code"].as_str()), (409, Some("conflict")));
    assert_eq!(wish(&server, id, "retry").await.0, 202);
    until(&server, &path, &["running"]).await;
    assert_eq!(wish(&server, id, "cancel").await.0, 202);
    until(&server, &path, &["cancelled"]).await;
    assert_eq!(
        wish(&server, "ex_00000000000000000000000000", "pause")
            .await
            .0,
        404
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_arm_stops_no_other_and_the_rest_is_analysed() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let mut spec = spec();
    spec["arms"][0]["seeds"] = json!([0]);
    spec["arms"][0]["controls"] = json!(false);
    let mut broken = spec["arms"][0].clone();
    broken["name"] = json!("broken");
    broken["protocol"]["optimizer"] = json!({"learning_rate": 1e30});
    spec["arms"].as_array_mut().unwrap().push(broken);
    let posted = post(&server, "/v1/experiments", &spec).await;
    let id = posted["id"].as_str().unwrap();
    let done = ended(&server, id).await;
    assert_eq!(done["state"], "partial", "{done:#}");
    let analysis = done["analysis"]["analysis"].as_str().unwrap();
    let series = get(&server, &format!("/v1/analyses/{analysis}/series")).await;
    let runs = series["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["arm"], "bad");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_two_experiments_need_is_not_stopped_with_one_of_them() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let first = post(&server, "/v1/experiments", &long()).await;
    let second = post(&server, "/v1/experiments", &long()).await;
    assert_eq!(second["reused"], second["total"]);
    let [first, second] = [&first, &second].map(|one| one["id"].as_str().unwrap());
    assert_eq!(wish(&server, first, "cancel").await.0, 202);
    let counts = get(&server, &format!("/v1/experiments/{second}")).await["counts"].clone();
    assert_eq!(counts["cancelled"], json!(null), "{counts}");
    assert_eq!(wish(&server, second, "cancel").await.0, 202);
}
