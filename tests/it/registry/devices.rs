//! What `GET /v1/devices` tells of the models in memory.

use std::sync::Arc;

use serde_json::{Value, json};
use vivarium::api::Settings;
use vivarium::execution::devices::{Device, Devices, LoadedModel};

use super::{api, api_on};

struct OneGpu;

impl Devices for OneGpu {
    fn devices(&self) -> Vec<Device> {
        let model = |name: &str, dtype, users, load_seconds| LoadedModel {
            name: name.into(),
            identity: "ab12".into(),
            dtype,
            bytes: 1000,
            users,
            last_used_seconds: 0.0,
            load_seconds,
        };
        vec![Device {
            id: "cuda:0".into(),
            kind: "cuda",
            name: "a card".into(),
            threads: 8,
            memory_bytes: None,
            model_limit_bytes: Some(5000),
            models: vec![
                model("toy", Some("bfloat16"), 2, Some(1.5)),
                model("other", None, 1, None),
            ],
        }]
    }
}

#[tokio::test]
async fn models_in_memory_are_shown_with_their_device_users_and_bytes() {
    let api = api_on(Settings::default(), |state| {
        state.devices = Some(Arc::new(OneGpu));
    })
    .await;
    let reply = api.get("/v1/devices").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut device = reply.json()["data"][0].clone();
    let models = device["models"].take();
    assert_eq!(
        device,
        json!({"id": "cuda:0", "kind": "cuda", "name": "a card", "threads": 8, "memory_bytes": null,
            "model_limit_bytes": 5000, "models": null})
    );
    let mut ready = models[0].clone();
    let used = ready["last_used_at"].take();
    assert!(used.as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(
        ready,
        json!({"name": "toy", "identity": "ab12", "state": "ready", "dtype": "bfloat16", "device": "cuda:0",
            "bytes": 1000, "users": 2, "last_used_at": null, "load_seconds": 1.5})
    );
    assert_eq!(
        (&models[1]["state"], &models[1]["dtype"]),
        (&json!("loading"), &Value::Null)
    );
}

#[tokio::test]
async fn a_server_that_runs_no_jobs_has_no_devices() {
    let reply = api().await.get("/v1/devices").await;
    assert_eq!(
        reply.json(),
        json!({"data": [], "next_cursor": null, "has_more": false})
    );
}
