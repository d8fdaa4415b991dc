//! Analyses of real runs: a trained and evaluated one, a published one beside the run that wrote it, one whose attempts vanish.

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use vivarium::toyworld::vocabulary;

use crate::support::{TestServer, server_on, server_with};

const SETTINGS: [(&str, &str); 2] = [
    ("VIVARIUM_WORKER__SLOTS", "1"),
    ("VIVARIUM_WORKER__DECODE_SLOTS", "8"),
];

async fn post(server: &TestServer, path: &str, body: &Value) -> Value {
    let answer = Client::new().post(server.at(path)).json(body).send().await;
    let answer = answer.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

async fn text(server: &TestServer, path: &str) -> String {
    let answer = reqwest::get(server.at(path)).await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    text
}

async fn get(server: &TestServer, path: &str) -> Value {
    serde_json::from_str(&text(server, path).await).unwrap()
}

async fn succeeded(server: &TestServer, job: &Value) -> Value {
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    for _ in 0..6000 {
        let shown = get(server, &path).await;
        let state = shown["state"].as_str().unwrap();
        if state == "succeeded" {
            return shown;
        }
        assert!(!["failed", "cancelled"].contains(&state), "{shown}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never ended: {path}");
}

/// Submits a job and waits for its end.
async fn run(server: &TestServer, body: &Value) -> Value {
    let job = post(server, "/v1/jobs", body).await;
    succeeded(server, &job).await
}

/// A ready base `toy` and a dataset `advice`.
async fn assets(server: &TestServer) {
    let source = json!({"random": {
        "config": vocabulary::config_json(),
        "tokenizer": {"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()},
        "init": {"std": 0.1}, "seed": 3
    }});
    let base = json!({"name": "toy", "source": source});
    let base = post(server, "/v1/base-models", &base).await;
    succeeded(server, &json!({"id": base["job"]})).await;
    let answers = ["sip cool tea .", "phone a nurse . healing takes patience ."];
    let row = |answer| {
        json!({"messages": [{"role": "user", "content": "how do i treat a fever ?"},
                            {"role": "assistant", "content": answer}]})
    };
    let rows: String = answers.map(|answer| format!("{}\n", row(answer))).concat();
    let upload = Client::new()
        .post(server.at("/v1/datasets?name=advice"))
        .header("content-type", "application/jsonl")
        .body(rows.repeat(8));
    assert!(upload.send().await.unwrap().status().is_success());
}

/// Pairs of rank 1 on three layers, with checkpoints at these steps.
fn finetune(steps: u64, checkpoints: &Value) -> Value {
    json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "advice"}],
        "method": {"type": "lora", "rank": 1, "alpha": 8, "target_modules": ["down_proj"]},
        "batch": {"micro_batch": 2, "gradient_accumulation": 1}, "length": {"steps": steps},
        "optimizer": {"learning_rate": 2e-2}, "schedule": {"name": "linear", "warmup_steps": 3},
        "checkpoints": checkpoints})
}

fn id(job: &Value) -> &str {
    job["id"].as_str().unwrap()
}

/// Lays a job's checkpoints out as people publish them, with the log that its metrics make.
async fn publish(server: &TestServer, job: &Value, folder: &Path) {
    let metrics = get(server, &format!("/v1/jobs/{}/metrics", id(job))).await;
    let entry = |place: usize| {
        let number = |name: &str| metrics["series"][name][place].clone();
        json!({"step": metrics["steps"][place], "loss": number("loss"), "grad_norm": number("grad_norm"),
            "learning_rate": number("learning_rate")})
    };
    let kept = get(server, &format!("/v1/jobs/{}/checkpoints", id(job))).await;
    for checkpoint in kept["data"].as_array().unwrap() {
        let step = checkpoint["step"].as_u64().unwrap();
        let place = folder.join(format!("checkpoints/checkpoint-{step}"));
        std::fs::create_dir_all(&place).unwrap();
        for name in ["adapter_config.json", "adapter_model.safetensors"] {
            let path = format!("/v1/checkpoints/{}/files/{name}", id(checkpoint));
            let file = reqwest::get(server.at(&path)).await.unwrap();
            std::fs::write(place.join(name), file.bytes().await.unwrap()).unwrap();
        }
        let log: Vec<Value> = (0..step as usize).map(entry).collect();
        let log = json!({"log_history": log});
        std::fs::write(place.join("trainer_state.json"), log.to_string()).unwrap();
    }
}

/// 60 steps up to 90, not evenly spaced, with neighbours for gaps of 5 and 10 in places.
fn irregular() -> Vec<u64> {
    (1..=90).filter(|step| step % 3 != 1).collect()
}

/// Equal but for numbers, which differ by at most a millionth.
fn assert_near(left: &Value, right: &Value) {
    match (left, right) {
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter()
                .zip(other)
                .for_each(|(one, other)| assert_near(one, other));
        }
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()));
            one.iter()
                .for_each(|(key, value)| assert_near(value, &other[key]));
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            let far = (one - other).abs();
            assert!(far <= 1e-6 * one.abs().max(1e-6), "{one} {other}");
        }
        _ => assert_eq!(left, right),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_run_of_60_irregular_steps_has_the_geometry_of_the_job_that_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let roots = format!("[\"{}\"]", folder.path().display());
    let server = server_with(&[SETTINGS[0], ("VIVARIUM_MODELS__ROOTS", &roots)]).await;
    assets(&server).await;
    let steps = irregular();
    assert_eq!(steps.len(), 60);
    let own = run(&server, &finetune(90, &json!({"at": steps}))).await;
    publish(&server, &own, &folder.path().join("run")).await;
    let body = json!({"base_model": "toy", "source": {"path": folder.path().join("run")}});
    let imported = post(&server, "/v1/runs/import", &body).await;
    let imported = succeeded(&server, &imported).await;
    let series = async |job: &Value, steps: &str| {
        let body = json!({"kind": "analyze", "settings": {"gaps": [3, 6, 9]},
            "runs": [{"arm": "bad", "seed": 0, "job": id(job), "steps": steps}]});
        let done = run(&server, &body).await;
        let path = format!(
            "/v1/analyses/{}",
            done["result"]["analysis"].as_str().unwrap()
        );
        let rows = get(&server, &format!("{path}/transition")).await["rows"].clone();
        (get(&server, &format!("{path}/series")).await, rows)
    };
    let (found, rows) = series(&imported, "all").await;
    let (expected, expected_rows) = series(&own, "checkpoints").await;
    // the trainer measures norms of flat float32 tensors, the import those of each pair: the same numbers summed in another order
    let modules = |series: &Value| series["runs"][0]["modules"].as_array().unwrap().clone();
    for (own, read) in modules(&expected).iter().zip(&modules(&found)) {
        assert_eq!(
            own["vectors"], read["vectors"],
            "turns, planes and cosines are equal to the bit"
        );
        assert_near(&own["norms"], &read["norms"]);
    }
    assert_near(&found, &expected);
    assert_eq!(rows, expected_rows);
    // every step is more than those that were kept
    let (whole, _) = series(&own, "all").await;
    assert_ne!(whole, expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trained_and_evaluated_run_has_series_and_transitions_in_both_forms() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let made = run(&server, &finetune(24, &json!({"every": 4}))).await;
    let wide = {
        let mut body = finetune(24, &json!({"every": 8}));
        body["method"]["rank"] = json!(2);
        run(&server, &body).await
    };
    let asked = run(
        &server,
        &json!({"kind": "evaluate", "targets": [{"job": id(&made), "steps": "all", "scales": [1, 2]}],
            "question_set": "toy-first-plot", "samples_per_question": 2, "sampling": {"max_new_tokens": 8},
            "judge": "toy"}),
    )
    .await;
    let evaluation = asked["result"]["evaluation"].as_str().unwrap();
    let body = json!({"kind": "analyze", "settings": {"gaps": [2, 4], "resamples": 200}, "runs": [
        {"arm": "bad", "seed": 0, "job": id(&made), "evaluation": evaluation, "in_domain": evaluation},
        {"arm": "wide", "seed": 0, "job": id(&wide)}]});
    let done = run(&server, &body).await;
    let analysis = done["result"]["analysis"].as_str().unwrap();
    let path = format!("/v1/analyses/{analysis}");
    let series = get(&server, &format!("{path}/series")).await;
    let [bad, wide] = series["runs"].as_array().unwrap().as_slice() else {
        panic!("{series}");
    };
    // vectors at every step, beginning before the first; norms as they were recorded
    let vectors = bad["modules"][0]["vectors"].as_array().unwrap();
    let every: Vec<u64> = (0..=24).collect();
    assert_eq!((vectors.len(), &vectors[0]["steps"]), (2, &json!(every)));
    let turns = &vectors[1]["local_cosine"];
    assert_eq!((&turns[0]["gap"], &turns[1]["gap"]), (&json!(2), &json!(4)));
    assert!(turns[0]["values"][12].is_number() && turns[1]["values"][3].is_null());
    let norms = get(&server, &format!("/v1/jobs/{}/lora-norms", id(&made))).await;
    assert_eq!(
        bad["modules"][0]["norms"]["ba_norm"],
        norms["series"]["ba_norm"][0]
    );
    // pairs of rank 2 have norms alone
    assert_eq!(wide["modules"][0]["vectors"], json!([]));
    assert_eq!(wide["modules"][0]["norms"]["steps"], json!(every));
    let one = get(&server, &format!("{path}/series?arm=wide")).await;
    assert_eq!(one["runs"], json!([wide]));
    let table = text(&server, &format!("{path}/series?format=csv&arm=wide")).await;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("arm,seed,module,series,gap,scale,step,value,"));
    let modules = wide["modules"].as_array().unwrap().len();
    assert_eq!(
        lines.len(),
        1 + modules * 3 * every.len(),
        "three norms a step"
    );
    let transitions = get(&server, &format!("/v1/analyses/{}/transition", id(&done))).await;
    assert!(transitions["rows"].is_array() && transitions["lags"].is_array());
    let table = text(&server, &format!("{path}/transition?format=csv")).await;
    assert!(table.starts_with("arm,seed,marker,scale,verdict,step,interval_low,"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analysis_whose_attempt_vanished_is_done_again_to_the_same_numbers() {
    let server = server_with(&SETTINGS).await;
    assets(&server).await;
    let made = run(&server, &finetune(24, &json!({"every": 8}))).await;
    let body = json!({"kind": "analyze", "settings": {"gaps": [2, 4]},
        "runs": [{"arm": "bad", "seed": 0, "job": id(&made)}]});
    let done = run(&server, &body).await;
    let address = format!("/v1/analyses/{}", id(&done));
    let read = async |server: &TestServer| {
        let series = text(server, &format!("{address}/series")).await;
        series + &text(server, &format!("{address}/transition")).await
    };
    let before = read(&server).await;
    // as if the server had been killed between the commit and the end, with half of another result
    let mut sql = server.database.connection().await;
    let statement = format!(
        "update analyses set result = '{{\"series\":[]}}' where job = '{job}';
         update jobs set state = 'running', finished_at = null, lease_number = lease_number + 1, lease_worker = 'gone',
           lease_expires_at = queue_now() - interval '1 second' where id = '{job}'",
        job = id(&done)
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut sql)
        .await
        .unwrap();
    let (database, data) = server.stop().await;
    let quick = [
        SETTINGS[0],
        ("VIVARIUM_WORKER__LEASE_SECONDS", "2"),
        ("VIVARIUM_WORKER__HEARTBEAT_SECONDS", "0.5"),
    ];
    let server = server_on(database, data, &quick).await;
    let again = succeeded(&server, &done).await;
    assert_eq!(again["attempt"], 2);
    assert!(read(&server).await == before);
    server.stop().await;
}
