//! Registrations: which job they make, when they are the same, what is refused.

use serde_json::{Value, json};
use vivarium::api::Settings;

use super::{Api, api, api_with};

fn random(seed: u64) -> Value {
    json!({"random": {
        "config": {"architectures": ["Qwen2ForCausalLM"], "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
        "tokenizer": {"json": {"version": "1.0"}, "config": {}}, "seed": seed}})
}

async fn register(api: &Api, name: &str, source: &Value) -> super::Reply {
    api.post_json("/v1/base-models", &json!({"name": name, "source": source}))
        .await
}

#[tokio::test]
async fn a_registration_makes_a_model_and_its_job_once() {
    let api = api().await;
    let made = register(&api, "toy", &random(0)).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let model = made.json();
    assert_eq!(
        made.header("location"),
        format!("/v1/base-models/{}", model["id"].as_str().unwrap())
    );
    assert_eq!(
        (&model["state"], &model["family"]),
        (&json!("registering"), &Value::Null)
    );
    let job: (String, String, Value) =
        sqlx::query_as("select kind, state, spec from jobs where id = $1")
            .bind(model["job"].as_str().unwrap())
            .fetch_one(&mut api.connection().await)
            .await
            .unwrap();
    assert_eq!((job.0.as_str(), job.1.as_str()), ("register", "queued"));
    assert_eq!(job.2["base_model"], model["id"]);
    let left = api.left().await;

    let again = register(&api, "toy", &random(0)).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, model.clone()));
    register(&api, "toy", &random(1)).await.problem(409);
    assert_eq!(api.left().await, left);

    let other = register(&api, "toy-2", &random(0)).await;
    assert_eq!(other.status, 202);
    assert_ne!(other.json()["job"], model["job"]);
    let list = api.get("/v1/base-models").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/v1/base-models/toy").await.json(), model);
}

#[tokio::test]
async fn a_model_from_a_full_fine_tune_waits_for_it_and_counts_by_its_numbers() {
    let api = api().await;
    let full = json!({"kind": "finetune", "method": {"type": "full"}});
    let job = api.finished_job(1, "finetune", &full).await;
    let made = register(&api, "post-trained", &json!({"job": job})).await;
    assert_eq!(made.status, 202, "{}", made.text());
    let parents: Vec<String> = sqlx::query_scalar("select parent from job_parents where job = $1")
        .bind(made.json()["job"].as_str().unwrap())
        .fetch_all(&mut api.connection().await)
        .await
        .unwrap();
    assert_eq!(parents, [job]);
}

#[tokio::test]
async fn jobs_that_no_model_can_be_made_from_are_refused() {
    let api = api().await;
    let lora = json!({"kind": "finetune", "method": {"type": "lora"}});
    let adapter = api.finished_job(1, "finetune", &lora).await;
    let evaluation = api
        .finished_job(2, "evaluate", &json!({"kind": "evaluate"}))
        .await;
    let left = api.left().await;
    let missing = format!("job_{:026}", 9);
    for (job, word) in [
        (adapter, "method lora"),
        (evaluation, "kind evaluate"),
        (missing, "does not exist"),
    ] {
        let problem = register(&api, "m", &json!({"job": job})).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/source/job");
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{problem}"
        );
    }
    assert_eq!(api.left().await, left);
}

#[tokio::test]
async fn folders_are_read_under_the_roots_only() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("models"), folder.path().join("secret"));
    for folder in [root.join("good"), root.join("empty"), outside.clone()] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(root.join("good/config.json"), "{}").unwrap();
    std::fs::write(outside.join("config.json"), "{}").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("link")).unwrap();
    let api = api_with(Settings {
        model_roots: vec![root.clone()],
        ..Settings::default()
    })
    .await;
    for (path, word) in [
        (root.join("empty"), "no config.json"),
        (root.join("missing"), "does not exist"),
        (root.join("link"), "does not lie under"),
        (root.join("../secret"), "does not lie under"),
        (outside.clone(), "does not lie under"),
        (folder.path().join("nowhere"), "does not lie under"),
    ] {
        let problem = register(&api, "m", &json!({"path": path}))
            .await
            .problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/source/path");
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{path:?} {problem}"
        );
        if word.ends_with("under") {
            assert!(
                problem["errors"][0]["hint"]
                    .as_str()
                    .unwrap()
                    .contains("models.roots")
            );
        }
    }
    assert_eq!(api.left().await, (0, 0));
    assert_eq!(
        register(&api, "m", &json!({"path": root.join("good")}))
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn a_model_that_failed_is_registered_anew_by_the_same_post_and_only_by_that() {
    let api = api().await;
    let made = register(&api, "toy", &random(0)).await.json();
    api.execute(
        "update jobs set state = 'failed', finished_at = queue_now();
         update base_models set state = 'failed', layers = 2, files = '[{\"name\":\"a\",\"sha256\":\"b\",\"bytes\":1}]'",
    )
    .await;
    register(&api, "toy", &random(1)).await.problem(409);
    let again = register(&api, "toy", &random(0)).await;
    assert_eq!(again.status, 202, "{}", again.text());
    let again = again.json();
    assert_eq!(
        (&again["id"], &again["state"]),
        (&made["id"], &json!("registering"))
    );
    assert_eq!(
        (&again["layers"], &again["files"]),
        (&Value::Null, &json!([]))
    );
    assert_ne!(again["job"], made["job"]);
    let same = register(&api, "toy", &random(0)).await;
    assert_eq!((same.status.as_u16(), same.json()), (200, again));
}

#[tokio::test]
async fn wrong_bodies_are_refused_at_their_place() {
    let api = api().await;
    let mut deep = random(0);
    deep["random"]["init"] = json!({"std": "wide"});
    let mut borrowed = random(0);
    borrowed["random"]["tokenizer"] = json!({"base_model": "nobody"});
    for (body, pointer) in [
        (json!({"name": "m"}), "/source"),
        (
            json!({"name": "m", "source": {"hub": "org/name"}}),
            "/source/hub",
        ),
        (json!({"name": "m", "source": {}}), "/source"),
        (json!({"name": "bm_x", "source": random(0)}), "/name"),
        (
            json!({"name": "m", "source": random(0), "colour": 1}),
            "/colour",
        ),
        (
            json!({"name": "m", "source": deep}),
            "/source/random/init/std",
        ),
        (
            json!({"name": "m", "source": borrowed}),
            "/source/random/tokenizer/base_model",
        ),
    ] {
        let problem = api.post_json("/v1/base-models", &body).await.problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(api.left().await, (0, 0));
    api.get("/v1/base-models/none").await.problem(404);
}

#[tokio::test]
async fn a_full_queue_asks_to_come_back_and_makes_nothing() {
    let api = api_with(Settings {
        queued_jobs: 1,
        ..Settings::default()
    })
    .await;
    assert_eq!(register(&api, "one", &random(0)).await.status, 202);
    let left = api.left().await;
    let reply = register(&api, "two", &random(0)).await;
    reply.problem(429);
    assert!(!reply.header("retry-after").is_empty());
    assert_eq!(api.left().await, left);
}
