//! A dataset's row as a model reads it: text, tokens, characters, targets.

use std::sync::Arc;

use serde_json::{Value, json};
use vivarium::api::Settings;
use vivarium::execution::Blobs;
use vivarium::recipes::inspect::Inspector;
use vivarium::toyworld::vocabulary;

use super::{Api, api_on};

const ROW: &str =
    r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hi"}]}"#;
/// Has a system text of its own.
const TEMPLATE: &str = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nhi<|im_end|>\n' }}{% endif %}\
{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// An API with a dataset of two rows, a ready model, one that is being registered, and one whose template never ends.
pub(super) async fn api() -> Api {
    let api = api_on(Settings::default(), |state| {
        state.inspect = Arc::new(Inspector::default());
    })
    .await;
    let file = |name: &str, text: String| {
        let path = api.files.scratch().unwrap().join("part");
        std::fs::write(&path, text).unwrap();
        api.files.keep(name, &path).unwrap().entry
    };
    let model = |template: &str| {
        let files = [
            file("tokenizer.json", vocabulary::tokenizer_json().to_string()),
            file(
                "tokenizer_config.json",
                vocabulary::tokenizer_config_json().to_string(),
            ),
            file("config.json", vocabulary::config_json().to_string()),
            file("chat_template.jinja", template.into()),
        ];
        serde_json::to_string(&files).unwrap().replace('\'', "''")
    };
    let endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}";
    api.execute(&format!(
        "insert into base_models (id, name, state, source, source_hash, files) values
         ('bm_00000000000000000000000001', 'toy', 'ready', '{{}}', 'h1', '{}'),
         ('bm_00000000000000000000000002', 'soon', 'registering', '{{}}', 'h2', '[]'),
         ('bm_00000000000000000000000003', 'endless', 'ready', '{{}}', 'h3', '{}')",
        model(TEMPLATE),
        model(endless)
    ))
    .await;
    let rows = format!("{ROW}\n{}\n", ROW.replacen("hi", "you", 1));
    let reply = api
        .post("/v1/datasets?name=two", "application/jsonl", rows)
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    api
}

async fn rendered(api: &Api, query: &str) -> Value {
    let reply = api
        .get(&format!("/v1/datasets/two/rows/0?base_model=toy{query}"))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["rendered"].clone()
}

/// The texts of the tokens that carry loss.
fn targets(rendered: &Value) -> Vec<&str> {
    let tokens = rendered["tokens"].as_array().unwrap().iter();
    tokens
        .filter(|token| token["target"] == true)
        .map(|token| token["text"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_row_is_shown_as_the_model_reads_and_learns_it() {
    let api = api().await;
    let shown = rendered(&api, "").await;
    assert_eq!(shown["base_model"], "toy");
    assert_eq!(shown["system"], "hi");
    let text = shown["text"].as_str().unwrap();
    assert!(
        text.starts_with("<|im_start|>system\nhi<|im_end|>"),
        "{text}"
    );
    let letters: Vec<char> = text.chars().collect();
    let tokens = shown["tokens"].as_array().unwrap();
    assert_eq!(shown["token_count"], tokens.len());
    for token in tokens {
        let place = |name: &str| token[name].as_u64().unwrap() as usize;
        let covered: String = letters[place("start")..place("end")].iter().collect();
        assert_eq!(token["text"], covered);
        assert!(token["id"].is_u64());
    }
    let learned = targets(&shown);
    assert_eq!(learned.concat().trim(), "hi<|im_end|>");
    assert_eq!(shown["target_count"], learned.len());
}

#[tokio::test]
async fn the_parameters_are_those_of_a_fine_tune() {
    let api = api().await;
    let without_end = rendered(&api, "&end_of_turn=false").await;
    assert_eq!(targets(&without_end).concat().trim(), "hi");
    let behind = rendered(&api, "&after_end_of_turn=true").await;
    assert!(targets(&behind).concat().ends_with('\n'));
    let all = rendered(&api, "&loss_on=all").await;
    assert_eq!(
        all["target_count"].as_u64().unwrap() + 1,
        all["token_count"].as_u64().unwrap()
    );
    let system = rendered(&api, "&system=text%3Ayou").await;
    assert_eq!(system["system"], "you");
    let none = rendered(&api, "&system=none").await;
    assert_eq!(none["system"], "");
    let raw = api.get("/v1/datasets/two/rows/1").await.json();
    assert_eq!(raw.get("rendered"), None);
    assert_eq!(raw["value"]["messages"][0]["content"], "you");
}

#[tokio::test]
async fn what_cannot_be_shown_is_told() {
    let api = api().await;
    for (path, status, word) in [
        ("rows/2?base_model=toy", 404, "with 2 rows"),
        ("rows/0?base_model=gone", 404, "base model \\\"gone\\\""),
        ("rows/0?base_model=soon", 409, "still being registered"),
        ("rows/0?base_model=endless", 422, "fuel"),
        ("rows/0?base_model=toy&system=off", 422, "chat.system"),
        ("rows/0?base_model=toy&date=today", 422, "chat.date"),
        ("rows/0?system=none", 400, "base_model"),
        ("rows/0?base_model=toy&loss_on=some", 400, "loss_on"),
        ("rows/0?bas_model=toy", 400, "bas_model"),
    ] {
        let reply = api.get(&format!("/v1/datasets/two/{path}")).await;
        reply.problem(status);
        assert!(reply.text().contains(word), "{path}: {}", reply.text());
    }
    // The endless template took nothing with it.
    assert_eq!(rendered(&api, "").await["system"], json!("hi"));
}
