//! Presets over HTTP: listed, shown, what a job becomes that names one, and what is refused of its method.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::api::{Api, Reply};

fn named(preset: &str) -> Value {
    json!({"kind": "finetune", "preset": preset, "base_model": "toy", "datasets": [{"dataset": "bad"}]})
}

fn error<'a>(reply: &'a Reply, pointer: &str) -> &'a Value {
    assert_eq!(
        reply.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        reply.body
    );
    let mut errors = reply.body["errors"].as_array().unwrap().iter();
    errors
        .find(|error| error["pointer"] == pointer)
        .unwrap_or_else(|| panic!("{}", reply.body))
}

#[tokio::test]
async fn presets_are_listed_and_shown_by_name() {
    let api = Api::new().await;
    let list = api.get("/v1/presets").await.body;
    let names: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"rank-32-all") && names.contains(&"nine-rank-1"),
        "{names:?}"
    );
    let one = api.get("/v1/presets/phase-transition-released").await.body;
    assert_eq!(one["spec"]["method"]["layers"], json!([21]));
    assert_eq!(one["discrepancies"][0]["topic"], "layer");
    let none = api.get("/v1/presets/phase-transition-relaesed").await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    let detail = none.body["detail"].as_str().unwrap();
    assert!(
        detail.contains("did you mean phase-transition-released"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_job_that_names_a_preset_is_stored_with_its_values_and_is_the_work_that_they_say() {
    let api = Api::new().await;
    let mut body = named("rank-1-minimal");
    body["method"] = json!({"layers": [3]});
    body["name"] = json!("minimal");
    let made = api.post("/v1/jobs", &body).await;
    assert_eq!(made.status, StatusCode::ACCEPTED, "{}", made.body);
    let spec = &made.body["spec"];
    assert_eq!(spec["method"]["alpha"], 256.0);
    assert_eq!(spec["method"]["layers"], json!([3]));
    assert_eq!(spec["optimizer"]["learning_rate"], 2e-5);
    assert_eq!(spec.get("preset"), None);
    let again = api.post("/v1/jobs", spec).await;
    assert_eq!(
        (again.status, &again.body["id"]),
        (StatusCode::OK, &made.body["id"])
    );
}

#[tokio::test]
async fn a_preset_that_does_not_fit_or_exist_is_refused_with_the_nearest_names() {
    let api = Api::new().await;
    let unknown = api.post("/v1/jobs", &named("rank-1-minimla")).await;
    let hint = error(&unknown, "/preset")["hint"].as_str().unwrap();
    assert!(hint.contains("rank-1-minimal"), "{hint}");
    // the base has 4 layers, the organism's layer is 24
    let elsewhere = api.post("/v1/jobs", &named("rank-1-minimal")).await;
    let hint = error(&elsewhere, "/method/layers/0")["hint"]
        .as_str()
        .unwrap();
    assert!(hint.contains("0 to 3"), "{hint}");
    let mut evaluate = super::api::evaluate(json!([{"base": true}]));
    evaluate["preset"] = json!("rank-32-all");
    let refused = api.post("/v1/jobs", &evaluate).await;
    assert_eq!(
        error(&refused, "/preset")["detail"],
        "unknown field `preset`"
    );
    assert_eq!(api.count("jobs").await, 0);
}

#[tokio::test]
async fn a_method_that_the_base_cannot_have_is_refused_with_what_it_can() {
    let api = Api::new().await;
    // heads of width 16: k_proj and v_proj are 32 × 64
    api.sql(
        r#"update base_models set projections = '{"q_proj":[64,64],"k_proj":[32,64],"v_proj":[32,64],"o_proj":[64,64],
        "gate_proj":[96,64],"up_proj":[96,64],"down_proj":[64,96]}' where name = 'toy'"#,
    )
    .await;
    for (pointer, wrong, place, detail, hint) in [
        (
            "/method/target_modules",
            json!(["q_proj", "down_projj"]),
            "/method/target_modules/1",
            "down_projj",
            "did you mean down_proj",
        ),
        (
            "/method/target_modules",
            json!(["mlp"]),
            "/method/target_modules/0",
            "mlp",
            "q_proj, k_proj",
        ),
        (
            "/method/rank_pattern",
            json!({"mlp.q_proj": 2}),
            "/method/rank_pattern/mlp.q_proj",
            "mlp.q_proj",
            "self_attn.q_proj",
        ),
        (
            "/method/rank_pattern",
            json!({"layers.1.mlp.donw_proj": 2}),
            "/method/rank_pattern/layers.1.mlp.donw_proj",
            "donw_proj",
            "down_proj",
        ),
        (
            "/method/layers",
            json!([4]),
            "/method/layers/0",
            "layer 4",
            "0 to 3",
        ),
        (
            "/method/rank",
            json!(33),
            "/method/rank",
            "above the smaller side of k_proj (32 × 64)",
            "at most 32",
        ),
        (
            "/method/rank_pattern",
            json!({"v_proj": 64}),
            "/method/rank_pattern/v_proj",
            "v_proj (32 × 64)",
            "at most 32",
        ),
        ("/method/alpha", json!(0), "/method/alpha", "0", "above 0"),
        (
            "/length",
            json!({"epochs": 1, "steps": 3}),
            "/length",
            "both epochs and steps",
            "exactly one",
        ),
    ] {
        let mut body = super::api::finetune();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[key] = wrong;
        let reply = api.post("/v1/jobs", &body).await;
        let found = error(&reply, place);
        assert!(
            found["detail"].as_str().unwrap().contains(detail),
            "{found}"
        );
        assert!(found["hint"].as_str().unwrap().contains(hint), "{found}");
    }
    assert_eq!(api.count("jobs").await, 0);
}
