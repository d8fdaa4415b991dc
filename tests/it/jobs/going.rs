//! Over HTTP: jobs stand still, go on and are tried again; a fine-tune whose files have no room is refused before it waits.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use vivarium::execution::Blobs;
use vivarium::toyworld::vocabulary;

use super::api::{Api, Reply, evaluate, finetune};

impl Api {
    /// Asks without a body.
    async fn ask(&self, job: &str, what: &str) -> Reply {
        let path = format!("/v1/jobs/{job}/{what}");
        self.send(Request::post(path).body(Body::empty()).unwrap())
            .await
    }

    /// Gives the base `toy` the toy's config.json.
    async fn shape_the_base(&self) {
        let files = &self.state.files;
        let path = files.scratch().unwrap().join("config.json");
        std::fs::write(&path, vocabulary::config_json().to_string()).unwrap();
        let entry = files.keep("config.json", &path).unwrap().entry;
        let files = json!([entry]);
        let name = "update base_models set files = '";
        self.sql(&format!("{name}{files}' where name = 'toy'"))
            .await;
    }
}

fn detail(reply: &Reply) -> &str {
    reply.body["detail"].as_str().unwrap()
}

#[tokio::test]
async fn a_job_is_paused_resumed_cancelled_and_retried_and_each_second_call_is_told_why_not() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    for (what, state, again) in [
        ("pause", "paused", "resume lets it go on"),
        ("resume", "queued", "not paused"),
        ("cancel", "cancelled", "nothing to cancel"),
        ("retry", "queued", "has not ended"),
    ] {
        let reply = api.ask(&job, what).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{what}: {}", reply.body);
        assert_eq!(reply.body["state"], state, "{what}");
        let second = api.ask(&job, what).await;
        assert_eq!(second.status, StatusCode::CONFLICT, "{what}");
        assert!(detail(&second).contains(state), "{}", second.body);
        assert!(detail(&second).contains(again), "{}", second.body);
    }
    let path = format!("/v1/jobs/{job}/events");
    let events = api.get(&path).await.body;
    let types: Vec<&Value> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["type"])
        .collect();
    assert_eq!(
        types,
        ["queued", "paused", "resumed", "cancelled", "retried"]
    );
    let unknown = api.ask("job_00000000000000000000000001", "retry").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_paused_job_says_why_and_resume_takes_nothing_but_accept_numerics() {
    let api = Api::new().await;
    let job = api.submit(&finetune()).await;
    let paused = api.ask(&job, "pause").await.body;
    assert_eq!(paused["waiting"]["reason"], "requested");
    assert!(paused["waiting"]["since"].is_string());
    let path = format!("/v1/jobs/{job}/resume");
    let wrong = api.post(&path, &json!({"accept": true})).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        api.get(&format!("/v1/jobs/{job}")).await.body["state"],
        "paused"
    );
    let resumed = api.post(&path, &json!({"accept_numerics": true})).await;
    assert_eq!(resumed.status, StatusCode::ACCEPTED, "{}", resumed.body);
    assert_eq!(resumed.body["waiting"]["reason"], "no_worker");
}

#[tokio::test]
async fn a_retried_parent_reopens_its_children_and_an_equal_job_stands_in_the_way() {
    let api = Api::new().await;
    let parent = api.submit(&finetune()).await;
    let child = api
        .submit(&evaluate(json!([{"job": parent, "steps": [50]}])))
        .await;
    api.ask(&parent, "cancel").await;
    let refused = api.ask(&child, "retry").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(detail(&refused).contains(&parent), "{}", refused.body);
    let twin = api.submit(&finetune()).await;
    let refused = api.ask(&parent, "retry").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(detail(&refused).contains(&twin), "{}", refused.body);
    api.ask(&twin, "cancel").await;
    assert_eq!(api.ask(&parent, "retry").await.body["state"], "queued");
    let child = api.get(&format!("/v1/jobs/{child}")).await.body;
    assert_eq!(child["state"], "blocked");
    assert_eq!(child["error"], Value::Null);
}

#[tokio::test]
async fn a_run_whose_files_have_no_room_is_refused_with_the_figures() {
    let api = Api::new().await;
    api.shape_the_base().await;
    let mut body = finetune();
    body["length"] = json!({"steps": 100_000_000});
    body["method"]["rank"] = json!(256);
    body["checkpoints"] = json!({"every": 1});
    let refused = api.post("/v1/jobs", &body).await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        refused.body
    );
    let error = &refused.body["errors"][0];
    assert_eq!(error["pointer"], "/checkpoints");
    assert!(
        error["detail"]
            .as_str()
            .unwrap()
            .contains("100000000 checkpoints of"),
        "{error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("checkpoints.keep"),
        "{error}"
    );
    assert_eq!(api.count("jobs").await, 0);
    body["checkpoints"]["keep"] = json!({"last": 3});
    api.submit(&body).await;
}

#[tokio::test]
async fn a_full_fine_tune_keeps_listed_steps_or_a_bounded_number() {
    let api = Api::new().await;
    let mut body = finetune();
    body["method"] = json!({"type": "full"});
    for (checkpoints, accepted) in [
        (json!({"every": 50}), false),
        (json!({"every": 50, "keep": {"every": 10}}), false),
        (json!({"every": 50, "keep": {"last": 2}}), true),
        (json!({"at": [10, 50]}), true),
    ] {
        body["checkpoints"] = checkpoints.clone();
        let reply = api.post("/v1/jobs", &body).await;
        assert_eq!(
            reply.status == StatusCode::ACCEPTED,
            accepted,
            "{checkpoints}: {}",
            reply.body
        );
        if !accepted {
            let error = &reply.body["errors"][0];
            assert_eq!(error["pointer"], "/checkpoints/every");
            assert!(
                error["hint"].as_str().unwrap().contains("checkpoints.at"),
                "{error}"
            );
        }
    }
}
