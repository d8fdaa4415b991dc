//! Base models by name, through the whole server: posted, fetched by their job, refused, registered anew.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use vivarium::toyworld::vocabulary;

use super::server::{COMMIT, FakeHub};
use crate::support::{TestServer, server_on, server_with};

async fn post(server: &TestServer, name: &str, source: &Value) -> (u16, Value) {
    let body = json!({"name": name, "source": source}).to_string();
    let request = reqwest::Client::new().post(server.at("/v1/base-models"));
    let request = request.header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(server: &TestServer, path: &str) -> Value {
    let answer = reqwest::get(server.at(path)).await.unwrap();
    answer.json().await.unwrap()
}

/// The model `name` once its job has ended.
async fn ended(server: &TestServer, name: &str) -> Value {
    for _ in 0..600 {
        let model = get(server, &format!("/v1/base-models/{name}")).await;
        if model["state"] != "registering" {
            return model;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} does not get ready");
}

fn sorted(model: &Value) -> Vec<Value> {
    let mut files = model["files"].as_array().unwrap().clone();
    files.sort_by_key(|file| file["name"].to_string());
    files
}

/// Where the store has the bytes of one of the model's files.
fn blob(data: &Path, model: &Value, name: &str) -> std::path::PathBuf {
    let files = model["files"].as_array().unwrap().iter();
    let mut found = files.filter(|file| file["name"] == name);
    let sha256 = found.next().unwrap()["sha256"].as_str().unwrap().to_owned();
    data.join("blobs").join(&sha256[..2]).join(sha256)
}

/// A server that runs jobs and fetches from `hub` into `cache`; and a toy model made on it, put on the hub's shelf.
async fn with_toy(hub: &FakeHub, cache: &Path) -> (TestServer, Value) {
    let cache = cache.display().to_string();
    let server = server_with(&[
        ("VIVARIUM_WORKER__SLOTS", "1"),
        ("VIVARIUM_HUB__ENDPOINT", &hub.url),
        ("VIVARIUM_HUB__CACHE", &cache),
        ("VIVARIUM_HUB__SPARE_BYTES", "0"),
        ("VIVARIUM_MODELS__ROOTS", &format!("[\"{cache}\"]")),
    ])
    .await;
    let source = json!({"random": {"config": vocabulary::config_json(), "seed": 0, "tokenizer":
        {"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()}}});
    let (status, answer) = post(&server, "toy", &source).await;
    assert_eq!(status, 202, "{answer}");
    let toy = ended(&server, "toy").await;
    for file in toy["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap().to_owned();
        let bytes = std::fs::read(blob(server.data.path(), &toy, &name)).unwrap();
        hub.change(|shelf| drop(shelf.files.insert(name, bytes)));
    }
    (server, toy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_on_a_hub_is_fetched_by_its_job_and_its_weights_lie_in_the_cache_alone() {
    let hub = FakeHub::with(&[("README.md", b"# toy")]).await;
    let cache = tempfile::tempdir().unwrap();
    let (server, toy) = with_toy(&hub, cache.path()).await;
    let source = json!({"hub": "org/model"});
    let (status, answer) = post(&server, "fetched", &source).await;
    assert_eq!(status, 202, "{answer}");
    let shown = json!({"hub": "org/model", "revision": "main", "commit": COMMIT});
    assert_eq!(answer["source"], shown);
    let fetched = ended(&server, "fetched").await;
    assert_eq!(fetched["state"], "ready", "{fetched}");
    assert_eq!(sorted(&fetched), sorted(&toy));
    for fact in [
        "family",
        "parameters",
        "layers",
        "hidden_size",
        "vocab_size",
    ] {
        assert_eq!(fetched[fact], toy[fact], "{fact}");
    }
    for again in [&source, &shown] {
        let (status, same) = post(&server, "fetched", again).await;
        assert_eq!((status, &same["id"]), (200, &fetched["id"]));
    }
    let job = get(
        &server,
        &format!("/v1/jobs/{}", fetched["job"].as_str().unwrap()),
    )
    .await;
    let progress = &job["progress"];
    assert_eq!(progress["unit"], "byte", "{job}");
    assert_eq!(progress["done"], progress["total"]);

    // a second server, offline, with a store of its own: the cache is enough, and weights are not copied
    let url = hub.url.clone();
    drop(hub);
    let data = tempfile::tempdir().unwrap();
    let (database, _data) = server.stop().await;
    let offline = server_on(
        database,
        data,
        &[
            ("VIVARIUM_WORKER__SLOTS", "1"),
            ("VIVARIUM_HUB__OFFLINE", "true"),
            ("VIVARIUM_HUB__ENDPOINT", &url),
            ("VIVARIUM_HUB__CACHE", &cache.path().display().to_string()),
            (
                "VIVARIUM_MODELS__ROOTS",
                &format!("[\"{}\"]", cache.path().display()),
            ),
        ],
    )
    .await;
    let (status, answer) = post(&offline, "offline", &source).await;
    assert_eq!(status, 202, "{answer}");
    let model = ended(&offline, "offline").await;
    assert_eq!(model["state"], "ready", "{model}");
    let weights = blob(offline.data.path(), &model, "model.safetensors");
    let real = weights.canonicalize().unwrap();
    assert!(
        real.starts_with(cache.path().canonicalize().unwrap()),
        "{real:?}"
    );
    let config = blob(offline.data.path(), &model, "config.json");
    assert!(!config.is_symlink(), "small files are the store's own");

    let snapshot = cache
        .path()
        .join("models--org--model/snapshots")
        .join(COMMIT);
    let (status, answer) = post(&offline, "folder", &json!({"path": snapshot})).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(sorted(&ended(&offline, "folder").await), sorted(&toy));
    let devices = get(&offline, "/v1/devices").await;
    assert_eq!(devices["data"][0]["id"], "cpu");
    assert!(devices["data"][0]["memory_bytes"].as_u64().unwrap() > 0);
    offline.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_refuses_is_refused_at_once_and_what_fails_later_may_be_posted_again() {
    let hub = FakeHub::with(&[]).await;
    let cache = tempfile::tempdir().unwrap();
    let (server, _) = with_toy(&hub, cache.path()).await;
    let source = json!({"hub": "org/model", "revision": "main"});
    hub.change(|shelf| shelf.refusal = Some((401, "GatedRepo", "restricted")));
    let (status, gated) = post(&server, "fetched", &source).await;
    assert_eq!(
        (status, &gated["errors"][0]["pointer"]),
        (422, &json!("/source/hub"))
    );
    let detail = gated["errors"][0]["detail"].as_str().unwrap();
    assert!(
        detail.contains("HF_TOKEN") && detail.contains("/org/model"),
        "{detail}"
    );
    hub.change(|shelf| shelf.refusal = Some((500, "", "")));
    assert_eq!(post(&server, "fetched", &source).await.0, 503);
    hub.change(|shelf| shelf.refusal = None);
    let unknown = json!({"hub": "org/model", "revision": "v9"});
    let (status, unknown) = post(&server, "fetched", &unknown).await;
    assert_eq!(
        (status, &unknown["errors"][0]["pointer"]),
        (422, &json!("/source/revision"))
    );

    // the repository has pickles for a while
    let mut weights = Vec::new();
    hub.change(|shelf| {
        weights = shelf.files.remove("model.safetensors").unwrap();
        shelf
            .files
            .insert("pytorch_model.bin".into(), b"pickle".to_vec());
    });
    let (status, made) = post(&server, "fetched", &source).await;
    assert_eq!(status, 202, "{made}");
    let failed = ended(&server, "fetched").await;
    assert_eq!(failed["state"], "failed");
    let job = get(
        &server,
        &format!("/v1/jobs/{}", failed["job"].as_str().unwrap()),
    )
    .await;
    assert_eq!(job["error"]["code"], "hub_only_pickles", "{job}");
    hub.change(|shelf| drop(shelf.files.insert("model.safetensors".into(), weights)));
    let (status, again) = post(&server, "fetched", &source).await;
    assert_eq!(status, 202, "{again}");
    assert_eq!(again["id"], made["id"]);
    assert_ne!(again["job"], made["job"]);
    assert_eq!(ended(&server, "fetched").await["state"], "ready");
    assert_eq!(post(&server, "fetched", &source).await.0, 200);
    server.stop().await;
}
