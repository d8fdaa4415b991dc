//! `POST /v1/jobs/estimate`: memory by part, time and their corrections, without a job.

use serde_json::{Value, json};

use super::{Api, rows};

/// The shape of Qwen2.5-14B.
fn large() -> Value {
    json!({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 5120, "num_hidden_layers": 48,
        "num_attention_heads": 40, "num_key_value_heads": 8, "intermediate_size": 13824, "vocab_size": 152064,
        "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": false,
        "hidden_act": "silu", "torch_dtype": "bfloat16"})
}

fn job(method: Value) -> Value {
    json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "two"}], "method": method,
        "batch": {"micro_batch": 1, "gradient_accumulation": 1}, "length": {"steps": 10}})
}

fn rank_one() -> Value {
    json!({"type": "lora", "rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [0]})
}

async fn estimate(api: &Api, body: &Value) -> Value {
    let reply = api.post_json("/v1/jobs/estimate", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn part(estimate: &Value, name: &str) -> u64 {
    let parts = estimate["memory"]["parts"].as_array().unwrap().iter();
    let found = parts.clone().find(|part| part["name"] == name);
    found.unwrap()["bytes"].as_u64().unwrap()
}

#[tokio::test]
async fn a_fine_tune_is_estimated_from_its_base_and_rows_and_nothing_is_queued() {
    let api = rows::api().await;
    let before = api.left().await;
    let found = estimate(&api, &job(rank_one())).await;
    assert_eq!(api.left().await, before);
    // the template prints 5 tokens of system text, 5 of the question and 5 of the answer, whose end is a target
    let row = api
        .get("/v1/datasets/two/rows/0?base_model=toy")
        .await
        .json();
    let tokens = row["rendered"]["token_count"].as_u64().unwrap();
    let targets = row["rendered"]["target_count"].as_u64().unwrap();
    assert_eq!(found["data"]["examples"], 2);
    assert_eq!(found["sampled_rows"], 2);
    assert_eq!(found["data"]["longest_tokens"], tokens);
    assert_eq!(found["data"]["targets_per_example"], targets as f64);
    let model = &found["model"];
    let size = |key: &str| model[key].as_u64().unwrap();
    assert_eq!(part(&found, "base_weights"), 4 * size("parameters"));
    let numbers = size("hidden_size") + size("intermediate_size");
    assert_eq!(part(&found, "trained_weights"), 4 * numbers);
    assert_eq!(part(&found, "optimizer_moments"), 8 * numbers);
    let memory = &found["memory"];
    let parts = memory["parts"].as_array().unwrap().iter();
    let sum: u64 = parts.map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(memory["sum_bytes"], sum);
    assert_eq!(memory["correction_bytes"], 0);
    assert_eq!(found["time"]["steps"], 10);
    assert_eq!(found["time"]["source"], "arithmetic");
    assert_eq!(found["spec"]["optimizer"]["name"], "adamw");
}

#[tokio::test]
async fn past_runs_of_the_same_base_and_method_correct_memory_and_give_the_speed() {
    let api = rows::api().await;
    for (number, method, forecast, peak, speed) in [
        (1, "lora", 1000, 5000, 10.0),
        (2, "lora", 2000, 5500, 30.0),
        (3, "full", 1000, 90_000, 1.0),
    ] {
        let spec = json!({"kind": "finetune", "base_model": "toy", "method": {"type": method}});
        let job = api.finished_job(number, "finetune", &spec).await;
        api.execute(&format!(
            "insert into events (job, type, data) values ('{job}', 'forecast', '{{\"memory_bytes\": {forecast}}}');
             insert into timings (job, step, tokens_per_second, peak_memory_bytes) values
             ('{job}', 1, {speed}, 100), ('{job}', 2, {speed}, {peak}), ('{job}', 3, 1e9, 100), ('{job}', 4, 0, 100)"
        ))
        .await;
    }
    let found = estimate(&api, &job(rank_one())).await;
    assert_eq!(found["past"]["runs"], 2);
    assert_eq!(found["past"]["excess_bytes"], 4000);
    assert_eq!(found["past"]["tokens_per_second"], 20.0);
    let memory = &found["memory"];
    let sum = memory["sum_bytes"].as_u64().unwrap();
    assert_eq!(memory["bytes"].as_u64().unwrap(), sum + 4000);
    assert_eq!(found["time"]["source"], "past_runs");
    let seconds = found["time"]["tokens"].as_f64().unwrap() / 20.0;
    assert_eq!(found["time"]["seconds"], seconds);
}

#[tokio::test]
async fn a_model_and_data_that_are_not_there_can_be_assumed() {
    let api = rows::api().await;
    let mut body = job(json!({"type": "lora", "rank": 32, "alpha": 64}));
    body["assume"] = json!({"config": large(), "device_memory_bytes": 10u64 << 30,
        "data": {"examples": 6344, "tokens_per_example": 200.0, "targets_per_example": 80.0, "longest_tokens": 400}});
    body["length"] = json!({"epochs": 1});
    body["batch"] = json!({"micro_batch": 2, "gradient_accumulation": 8});
    let found = estimate(&api, &body).await;
    // PAPER §2.1: 14B with rank 32 on all projections has 137,625,600 trained numbers; 6,344 rows make 396 steps
    assert_eq!(part(&found, "trained_weights"), 4 * 137_625_600);
    assert_eq!(part(&found, "base_weights"), 2 * 14_770_033_664);
    assert_eq!(found["time"]["steps"], 396);
    assert_eq!(found["memory"]["fits"], false);
    let remedies = found["memory"]["remedies"].as_array().unwrap();
    assert!(!remedies.is_empty());
    let sum = found["memory"]["bytes"].as_u64().unwrap();
    for remedy in remedies {
        assert!(remedy["bytes"].as_u64().unwrap() < sum, "{remedy}");
        assert_eq!(remedy["fits"], false);
    }
    body["assume"]["device_memory_bytes"] = json!(139u64 << 30);
    let found = estimate(&api, &body).await;
    assert_eq!(found["memory"]["fits"], true);
    assert_eq!(found["memory"]["remedies"], json!([]));
}

#[tokio::test]
async fn a_full_fine_tune_of_14b_fits_139_gib_and_the_parts_say_why() {
    let api = rows::api().await;
    let mut body = job(json!({"type": "full"}));
    body["dtype"] = json!("bfloat16");
    body["optimizer"] = json!({"name": "adamw_8bit", "learning_rate": 2e-5});
    body["batch"] = json!({"micro_batch": 2, "gradient_accumulation": 8});
    body["length"] = json!({"epochs": 1});
    body["assume"] = json!({"config": large(), "device_memory_bytes": 139u64 << 30,
        "data": {"examples": 6344, "tokens_per_example": 200.0, "targets_per_example": 80.0, "longest_tokens": 400}});
    let found = estimate(&api, &body).await;
    assert_eq!(found["memory"]["fits"], true, "{}", found["memory"]);
    for name in ["base_weights", "trained_weights", "gradients"] {
        assert_eq!(part(&found, name), 2 * 14_770_033_664, "{name}");
    }
    let parts = found["memory"]["parts"].as_array().unwrap().iter();
    let sum: u64 = parts.map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(found["memory"]["bytes"], sum);
    // float32 moments take 88 GB more; the refusal names what would help
    body["optimizer"]["name"] = json!("adamw");
    let found = estimate(&api, &body).await;
    assert_eq!(found["memory"]["fits"], false);
    let remedies = found["memory"]["remedies"].as_array().unwrap();
    let coded = remedies
        .iter()
        .find(|it| it["setting"] == "optimizer.name: adamw_8bit");
    assert_eq!(coded.unwrap()["fits"], true);
}

#[tokio::test]
async fn what_cannot_be_estimated_is_refused_by_place() {
    let api = rows::api().await;
    api.execute("update base_models set layers = 4 where name = 'toy'")
        .await;
    let refused = async |change: &dyn Fn(&mut Value), pointer: &str| {
        let mut body = job(rank_one());
        change(&mut body);
        let problem = api.post_json("/v1/jobs/estimate", &body).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    };
    refused(
        &|body| body["assume"] = json!({"config": large()}),
        "/assume/data",
    )
    .await;
    refused(
        &|body| body["assume"] = json!({"bytes": 1}),
        "/assume/bytes",
    )
    .await;
    refused(
        &|body| body["assume"] = json!({"device_memory_bytes": 0}),
        "/assume/device_memory_bytes",
    )
    .await;
    refused(&|body| body["base_model"] = json!("nobody"), "/base_model").await;
    refused(&|body| body["kind"] = json!("evaluate"), "/targets").await;
    refused(
        &|body| body["method"]["layers"] = json!([99]),
        "/method/layers/0",
    )
    .await;
    let short = json!({"examples": 1, "tokens_per_example": 9.0, "targets_per_example": 1.0, "longest_tokens": 8});
    refused(
        &|body| body["assume"] = json!({"data": short}),
        "/assume/data/tokens_per_example",
    )
    .await;
}
