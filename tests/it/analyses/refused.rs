//! Every analysis that cannot be, refused by field before anything is queued; and what an accepted one waits for.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::jobs::api::{Api, Reply, evaluate, finetune};

/// A fine-tune of pairs of rank 1 with vectors at its 100 steps.
fn rank_one() -> Value {
    let mut body = finetune();
    body["method"] =
        json!({"type": "lora", "rank": 1, "alpha": 16, "target_modules": ["down_proj"]});
    body
}

fn analysis(runs: Value) -> Value {
    json!({"kind": "analyze", "runs": runs})
}

/// Pointers of what was refused.
fn pointers(reply: &Reply) -> Vec<&str> {
    assert_eq!(
        reply.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        reply.body
    );
    let errors = reply.body["errors"].as_array().unwrap().iter();
    errors
        .map(|error| error["pointer"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_body_is_refused_by_field() {
    let api = Api::new().await;
    let job = api.submit(&rank_one()).await;
    let run = |more: Value| {
        let mut run = json!({"arm": "bad", "seed": 0, "job": job});
        run.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        run
    };
    let none: [&str; 0] = [];
    for (body, expected) in [
        (json!({"kind": "analyze"}), &["/runs"][..]),
        (analysis(json!([])), &["/runs"]),
        (analysis(json!("all")), &["/runs"]),
        (analysis(json!([{"arm": "bad"}])), &["/runs/0/job"]),
        (analysis(json!([run(json!({"arm": ""}))])), &["/runs/0/arm"]),
        (
            analysis(json!([run(json!({"colour": 1}))])),
            &["/runs/0/colour"],
        ),
        (
            analysis(json!([run(json!({"job": "bad"}))])),
            &["/runs/0/job"],
        ),
        (
            analysis(json!([run(json!({"evaluation": ""}))])),
            &["/runs/0/evaluation"],
        ),
        (
            analysis(json!([run(json!({})), run(json!({}))])),
            &["/runs/1/seed", "/runs/1/job"],
        ),
        (
            json!({"kind": "analyze", "runs": [run(json!({}))], "settings": {"gaps": [0]}}),
            &["/settings/gaps/0"],
        ),
        (
            json!({"kind": "analyze", "runs": [run(json!({}))], "settings": {"gaps": [5, 5]}}),
            &["/settings/gaps/1"],
        ),
        (
            json!({"kind": "analyze", "runs": [run(json!({}))], "settings": {"level": 1.5}}),
            &["/settings/level"],
        ),
        (
            json!({"kind": "analyze", "runs": [run(json!({}))], "settings": {"lag": 1}}),
            &["/settings/lag"],
        ),
        (
            json!({"kind": "analyze", "runs": [run(json!({}))], "settings": {"movement_threshold": {"relative": -1.0}}}),
            &["/settings/movement_threshold/relative"],
        ),
        (
            json!({"kind": "analyze", "runs": [run(json!({}))], "more": none}),
            &["/more"],
        ),
    ] {
        let reply = api.post("/v1/jobs", &body).await;
        assert_eq!(pointers(&reply), expected, "{body}");
    }
    assert_eq!(api.count("jobs").await, 1, "nothing was queued");
}

#[tokio::test]
async fn what_is_named_must_be_there_and_fit() {
    let api = Api::new().await;
    let job = api.submit(&rank_one()).await;
    let other = api
        .submit(&{
            let mut body = rank_one();
            body["seed"] = json!(1);
            body
        })
        .await;
    let wide = api.submit(&finetune()).await;
    let asked = api
        .submit(&evaluate(json!([{"job": other, "steps": "all"}])))
        .await;
    let ended = api
        .submit(&{
            let mut body = rank_one();
            body["seed"] = json!(2);
            body
        })
        .await;
    api.post(&format!("/v1/jobs/{ended}/cancel"), &json!({}))
        .await;
    let nobody = "job_00000000000000000000000001";
    let run = |job: &str, evaluation: Value| json!({"arm": "bad", "seed": 0, "job": job, "evaluation": evaluation});
    for (runs, settings, expected) in [
        (
            json!([run(nobody, Value::Null)]),
            json!({}),
            &["/runs/0/job"][..],
        ),
        (
            json!([run(&asked, Value::Null)]),
            json!({}),
            &["/runs/0/job"],
        ),
        (
            json!([run(&ended, Value::Null)]),
            json!({}),
            &["/runs/0/job"],
        ),
        (
            json!([run(&job, json!("ev_00000000000000000000000001"))]),
            json!({}),
            &["/runs/0/evaluation"],
        ),
        // an evaluation of another run
        (
            json!([run(&job, json!(asked))]),
            json!({}),
            &["/runs/0/evaluation"],
        ),
        // pairs of rank 8 leave no vectors
        (
            json!([run(&wide, Value::Null)]),
            json!({}),
            &["/runs/0/job"],
        ),
        // 100 steps have no middle with 51 on both sides
        (
            json!([run(&job, Value::Null)]),
            json!({"gaps": [50, 51]}),
            &["/settings/gaps/1"],
        ),
    ] {
        let body = json!({"kind": "analyze", "runs": runs, "settings": settings});
        let reply = api.post("/v1/jobs", &body).await;
        assert_eq!(pointers(&reply), expected, "{body}: {}", reply.body);
    }
    // checkpoints at 50 and 100 alone: no step has kept neighbours
    let mut at_checkpoints = run(&job, Value::Null);
    at_checkpoints["steps"] = json!("checkpoints");
    let body = json!({"kind": "analyze", "runs": [at_checkpoints], "settings": {"gaps": [50]}});
    assert_eq!(
        pointers(&api.post("/v1/jobs", &body).await),
        ["/settings/gaps/0"]
    );
    assert_eq!(api.count("analyses").await, 0);
}

#[tokio::test]
async fn an_analysis_waits_for_what_it_is_about_and_the_same_one_is_made_once() {
    let api = Api::new().await;
    let job = api.submit(&rank_one()).await;
    let wide = api.submit(&finetune()).await;
    let asked = api
        .submit(&evaluate(
            json!([{"job": job, "steps": "all", "scales": [1, 2]}]),
        ))
        .await;
    let evaluation =
        api.get(&format!("/v1/jobs/{asked}")).await.body["result"]["evaluation"].clone();
    let body = |evaluation: &Value| {
        json!({"kind": "analyze", "name": "turns", "runs": [
            {"arm": "bad", "seed": 0, "job": job, "evaluation": evaluation},
            {"arm": "wide", "seed": 0, "job": wide, "null": true}]})
    };
    let made = api.post("/v1/jobs", &body(&json!(asked))).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{}", made.body);
    assert_eq!(
        (&made.body["kind"], &made.body["state"]),
        (&json!("analyze"), &json!("blocked"))
    );
    let mut parents = vec![job.clone(), wide.clone(), asked.clone()];
    parents.sort();
    let mut found: Vec<String> = serde_json::from_value(made.body["parents"].clone()).unwrap();
    found.sort();
    assert_eq!(found, parents);
    // the evaluation under its job's id and under its own is the same
    assert_eq!(made.body["spec"]["runs"][0]["evaluation"], evaluation);
    let again = api.post("/v1/jobs", &body(&evaluation)).await;
    assert_eq!(
        (again.status, &again.body["id"]),
        (StatusCode::OK, &made.body["id"])
    );
    let again = api.post("/v1/jobs", &made.body["spec"]).await;
    assert_eq!(
        (again.status, &again.body["id"]),
        (StatusCode::OK, &made.body["id"])
    );
    assert_eq!(api.count("analyses").await, 1);
    let analysis = made.body["result"]["analysis"].as_str().unwrap();
    assert!(analysis.starts_with("an_"), "{analysis}");
    for key in [analysis, made.body["id"].as_str().unwrap()] {
        let head = api.get(&format!("/v1/analyses/{key}")).await;
        assert_eq!(
            (&head.body["id"], &head.body["state"]),
            (&json!(analysis), &json!("blocked"))
        );
        assert_eq!(head.body["settings"]["gaps"], json!([5, 10, 15]));
        assert_eq!(head.body["runs"][1]["null"], true);
        for part in ["series", "transition"] {
            let reply = api.get(&format!("/v1/analyses/{key}/{part}")).await;
            assert_eq!(reply.status, StatusCode::CONFLICT, "{}", reply.body);
        }
    }
    let listed = api.get("/v1/jobs?kind=analyze").await;
    assert_eq!(listed.body["data"].as_array().unwrap().len(), 1);
    let missing = api.get("/v1/analyses/an_00000000000000000000000001").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    // a run that fails takes the analysis with it
    api.post(&format!("/v1/jobs/{wide}/cancel"), &json!({}))
        .await;
    let job = api
        .get(&format!("/v1/jobs/{}", made.body["id"].as_str().unwrap()))
        .await;
    assert_eq!(
        (&job.body["state"], &job.body["error"]["code"]),
        (&json!("cancelled"), &json!("parent_failed"))
    );
}
