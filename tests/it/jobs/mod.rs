//! Jobs over HTTP: submitted once, listed, watched, cancelled; their events replayed and followed.

pub mod api;
mod following;
mod going;
mod latency;
mod line;
mod presets;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;
use vivarium::api::Settings;

use api::{Api, evaluate, finetune};

#[tokio::test]
async fn a_submitted_job_is_queued_shown_and_found_again() {
    let api = Api::new().await;
    let mut body = finetune();
    body["name"] = json!("mine");
    body["tags"] = json!({"paper": "fig-7"});
    let made = api.post("/v1/jobs", &body).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{}", made.body);
    let path = made.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(
        path,
        format!("/v1/jobs/{}", made.body["id"].as_str().unwrap())
    );
    let shown = api.get(&path).await;
    assert_eq!(shown.body, made.body);
    assert_eq!(shown.body["state"], "queued");
    assert_eq!(shown.body["waiting"]["reason"], "no_worker");
    assert_eq!(shown.body["tags"]["paper"], "fig-7");
    assert_eq!(shown.body["spec"]["optimizer"]["beta1"], 0.9);
    let events = api.get(&format!("{path}/events")).await;
    assert_eq!(events.body["data"][0]["type"], "queued");
    let attempts = api.get(&format!("{path}/attempts")).await;
    assert_eq!(attempts.body["data"], json!([]));
}

#[tokio::test]
async fn the_same_work_is_one_job_whatever_it_is_called() {
    let api = Api::new().await;
    let first = api.submit(&finetune()).await;
    let mut again = finetune();
    again["base_model"] = json!("bm_00000000000000000000000001");
    again["name"] = json!("other name");
    let reply = api.post("/v1/jobs", &again).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        (&reply.body["id"], &reply.body["deduplicated"]),
        (&json!(first), &json!(true))
    );
    let spec = api.get(&format!("/v1/jobs/{first}")).await.body["spec"].clone();
    assert_eq!(api.post("/v1/jobs", &spec).await.body["id"], json!(first));
    again["dedup"] = json!("error");
    let refused = api.post("/v1/jobs", &again).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body["detail"].as_str().unwrap().contains(&first));
    again["dedup"] = json!("force");
    assert_ne!(api.submit(&again).await, first);
    assert_eq!(api.count("jobs").await, 2);
}

#[tokio::test]
async fn a_cancelled_job_does_not_answer_for_the_same_work() {
    let api = Api::new().await;
    let first = api.submit(&finetune()).await;
    let cancelled = api
        .post(&format!("/v1/jobs/{first}/cancel"), &json!({}))
        .await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{}", cancelled.body);
    assert_eq!(cancelled.body["state"], "cancelled");
    assert_ne!(api.submit(&finetune()).await, first);
}

#[tokio::test]
async fn a_hundred_equal_submissions_at_once_make_one_job() {
    let api = std::sync::Arc::new(Api::new().await);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let api = api.clone();
        calls.spawn(async move { api.post("/v1/jobs", &finetune()).await });
    }
    let replies = calls.join_all().await;
    let made = replies.iter().filter(|r| r.status == StatusCode::ACCEPTED);
    assert_eq!(made.count(), 1);
    assert!(
        replies
            .iter()
            .all(|r| r.body["id"] == replies[0].body["id"])
    );
    assert_eq!((api.count("jobs").await, api.count("events").await), (1, 1));
}

#[tokio::test]
async fn a_full_queue_asks_to_come_back_but_still_finds_equal_work() {
    let api = Api::with(Settings {
        queued_jobs: 1,
        ..Settings::default()
    })
    .await;
    let first = api.submit(&finetune()).await;
    let mut other = finetune();
    other["seed"] = json!(1);
    let full = api.post("/v1/jobs", &other).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(full.headers.contains_key("retry-after"));
    assert_eq!(
        api.post("/v1/jobs", &finetune()).await.body["id"],
        json!(first)
    );
    assert_eq!(api.count("jobs").await, 1);
}

#[tokio::test]
async fn an_evaluation_waits_for_its_fine_tune_and_has_its_result_named() {
    let api = Api::new().await;
    let parent = api.submit(&finetune()).await;
    let body =
        evaluate(json!([{"base": true}, {"job": parent, "steps": [50, 100], "scales": [0.5, 1]}]));
    let made = api.post("/v1/jobs", &body).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{}", made.body);
    assert_eq!(made.body["state"], "blocked");
    assert_eq!(made.body["waiting"]["reason"], "dependency");
    assert!(
        made.body["waiting"]["detail"]
            .as_str()
            .unwrap()
            .contains(&parent)
    );
    assert_eq!(made.body["parents"], json!([parent]));
    assert!(
        made.body["result"]["evaluation"]
            .as_str()
            .unwrap()
            .starts_with("ev_")
    );
    assert_eq!(api.count("evaluations").await, 1);
    assert_eq!(
        api.post("/v1/jobs", &made.body["spec"]).await.body["id"],
        made.body["id"]
    );
    assert_eq!(api.count("evaluations").await, 1);
    api.post(&format!("/v1/jobs/{parent}/cancel"), &json!({}))
        .await;
    let child = api
        .get(&format!("/v1/jobs/{}", made.body["id"].as_str().unwrap()))
        .await;
    assert_eq!(child.body["state"], "cancelled");
    assert_eq!(child.body["error"]["code"], "parent_failed");
}

#[tokio::test]
async fn a_job_on_a_model_that_is_being_made_waits_for_it() {
    let api = Api::new().await;
    let register = api.submit(&finetune()).await; // any job may stand for it
    api.sql(&format!(
        "update base_models set state = 'registering', job = '{register}' where name = 'other'"
    ))
    .await;
    let mut body = finetune();
    body["base_model"] = json!("other");
    let made = api.post("/v1/jobs", &body).await;
    assert_eq!(
        (&made.body["state"], &made.body["parents"]),
        (&json!("blocked"), &json!([register]))
    );
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursor_and_filtered() {
    let api = Api::new().await;
    let mut ids = Vec::new();
    for seed in 0..5 {
        let mut body = finetune();
        body["seed"] = json!(seed);
        body["tags"] = json!({"half": if seed < 2 { "first" } else { "second" }});
        ids.push(api.submit(&body).await);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=2".to_owned();
    loop {
        let page = api.get(&path).await.body;
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/jobs?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    api.post(&format!("/v1/jobs/{}/cancel", ids[0]), &json!({}))
        .await;
    for (query, count) in [
        ("state=queued", 4),
        ("state=queued&state=cancelled", 5),
        ("kind=evaluate", 0),
        ("tag=half:first", 2),
        ("tag=half", 5),
        ("tag=half:first&state=cancelled", 0),
        ("name=x", 0),
    ] {
        let page = api.get(&format!("/v1/jobs?{query}")).await.body;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}");
    }
    let last = api.get("/v1/jobs?state=queued&limit=1").await.body;
    assert_eq!(
        last["data"][0]["waiting"]["detail"],
        "3 jobs of its owner's own come first"
    );
}

#[tokio::test]
async fn an_unchanged_job_costs_a_304() {
    let api = Api::new().await;
    let path = format!("/v1/jobs/{}", api.submit(&finetune()).await);
    let first = api.get(&path).await;
    let ask = || {
        let request = Request::get(&path).header("if-none-match", &first.headers["etag"]);
        request.body(Body::empty()).unwrap()
    };
    assert_eq!(api.send(ask()).await.status, StatusCode::NOT_MODIFIED);
    api.post(&format!("{path}/cancel"), &json!({})).await;
    let changed = api.send(ask()).await;
    assert_eq!(
        (changed.status, &changed.body["state"]),
        (StatusCode::OK, &json!("cancelled"))
    );
}
