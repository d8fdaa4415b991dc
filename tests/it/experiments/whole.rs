//! An experiment from one body to its analysis; what it shares with others and how it grows.

use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{SETTINGS, ask, assets, ended, get, post, spec};
use crate::support::{TestServer, server_with};

fn keys(jobs: &Value) -> Vec<&str> {
    let jobs = jobs.as_array().unwrap().iter();
    jobs.map(|job| job["key"].as_str().unwrap()).collect()
}

async fn jobs(server: &TestServer, id: &str) -> Value {
    get(server, &format!("/v1/experiments/{id}/jobs")).await["data"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experiment_is_planned_run_analysed_and_found_again() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let plan = post(&server, "/v1/experiments?dry_run=true", &spec()).await;
    let expected = [
        "train/bad/0",
        "evaluate/bad/0",
        "train/bad/1",
        "evaluate/bad/1",
        "train/bad/good-twin/0",
        "evaluate/bad/good-twin/0",
        "train/bad/good-twin/1",
        "evaluate/bad/good-twin/1",
        "evaluate/bad/base",
        "analyze",
    ];
    assert_eq!(keys(&plan["jobs"]), expected);
    let totals = &plan["totals"];
    assert_eq!(
        (
            &totals["reused"],
            &totals["finetunes"],
            &totals["evaluations"]
        ),
        (&json!(0), &json!(4), &json!(5))
    );
    // 8 questions with 2 answers: of 4 runs 4 checkpoints at 2 scales, of the base once; the toy's judge asks nobody
    assert_eq!(
        (&totals["answers"], &totals["judge_calls"]),
        (&json!(16 * (4 * 4 * 2 + 1)), &json!(0))
    );
    assert!(
        totals["memory_bytes"].as_u64() > Some(0) && totals["disk_bytes"].as_u64() > Some(0),
        "{totals:#}"
    );
    assert!(
        totals["device_hours"].as_f64() > Some(0.0) && totals["untimed"] == 5,
        "{totals:#}"
    );
    assert_eq!(
        get(&server, "/v1/experiments").await["data"],
        json!([]),
        "a dry run queues nothing"
    );
    assert_eq!(
        get(&server, "/v1/jobs?kind=finetune").await["data"],
        json!([])
    );

    let posted = post(&server, "/v1/experiments", &spec()).await;
    let id = posted["id"].as_str().unwrap();
    assert_eq!(posted["total"], json!(9));
    let done = ended(&server, id).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");
    assert_eq!((&done["done"], &done["total"]), (&json!(10), &json!(10)));
    let listed = jobs(&server, id).await;
    assert_eq!(keys(&listed), expected);
    let graph = get(&server, &format!("/v1/experiments/{id}/graph")).await;
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 10);
    // each evaluation of a run needs it; the analysis needs four runs and their four evaluations
    assert_eq!(graph["edges"].as_array().unwrap().len(), 4 + 8);

    let analysis = done["analysis"]["analysis"].as_str().unwrap();
    let series = get(&server, &format!("/v1/analyses/{analysis}/series")).await;
    let runs = series["runs"].as_array().unwrap();
    let arms: Vec<_> = runs
        .iter()
        .map(|run| (run["arm"].as_str().unwrap(), run["seed"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        arms,
        [
            ("bad", 0),
            ("bad", 1),
            ("bad/good-twin", 0),
            ("bad/good-twin", 1)
        ]
    );

    let again = post(&server, "/v1/experiments?dry_run=true", &spec()).await;
    assert_eq!(again["totals"]["reused"], 9, "{again:#}");
    let second = post(&server, "/v1/experiments", &spec()).await;
    assert_eq!(second["reused"], 9);
    let second = ended(&server, second["id"].as_str().unwrap()).await;
    assert_eq!(second["state"], "succeeded");
    assert_eq!(
        second["analysis"]["job"], done["analysis"]["job"],
        "the same analysis"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_arm_and_a_checkpoint_are_added_and_all_else_is_kept() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let mut spec = spec();
    spec["arms"][0]["seeds"] = json!([0]);
    spec["arms"][0]["controls"] = json!(false);
    spec["evaluation"]["checkpoints"] = json!([12]);
    let posted = post(&server, "/v1/experiments", &spec).await;
    let id = posted["id"].as_str().unwrap();
    let first = ended(&server, id).await;
    assert_eq!(
        (&first["state"], &first["total"]),
        (&json!("succeeded"), &json!(3)),
        "{first:#}"
    );
    let before = jobs(&server, id).await;
    let arm = json!({"arms": [{
        "name": "good", "base_model": "tiny", "datasets": [{"dataset": "good"}], "protocol": spec["arms"][0]["protocol"]
    }], "checkpoints": [6]});
    let grown = post(&server, &format!("/v1/experiments/{id}/arms"), &arm).await;
    assert_eq!(grown["arms"].as_array().unwrap().len(), 2);
    let grown = ended(&server, id).await;
    assert_eq!(grown["state"], "succeeded", "{grown:#}");
    let after = jobs(&server, id).await;
    let of = |jobs: &Value, key: &str| {
        let found = jobs
            .as_array()
            .unwrap()
            .iter()
            .find(|job| job["key"] == key);
        found.map(|job| job["job"].clone())
    };
    for key in ["train/bad/0", "evaluate/bad/0"] {
        assert_eq!(of(&before, key), of(&after, key), "{key}");
    }
    for key in [
        "train/good/0",
        "evaluate/good/0",
        "evaluate/bad/0/added-1",
        "evaluate/good/0/added-1",
    ] {
        assert!(of(&after, key).is_some(), "{key}: {:?}", keys(&after));
    }
    assert_ne!(first["analysis"]["job"], grown["analysis"]["job"]);
    let taken = json!({"arms": arm["arms"]});
    let (status, problem) = ask(
        &server,
        Method::POST,
        &format!("/v1/experiments/{id}/arms"),
        Some(&taken),
    )
    .await;
    assert_eq!(
        (status.as_u16(), &problem["errors"][0]["pointer"]),
        (422, &json!("/arms/0/name"))
    );
}
