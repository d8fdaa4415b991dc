//! What bad requests get: OpenAI's form, the parameter, the numbers.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Api, Manner, api, api_with};

async fn refused(api: &Api, more: Value, param: &str) -> String {
    let error = api.chat(more.clone()).await.error(400);
    assert_eq!(error["param"], param, "{more}: {error}");
    assert_eq!(error["type"], "invalid_request_error");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn bad_values_are_400_with_their_parameter() {
    let api = api().await;
    refused(&api, json!({"temperature": -1}), "temperature").await;
    refused(&api, json!({"temperature": "hot"}), "temperature").await;
    refused(&api, json!({"messages": []}), "messages").await;
    refused(
        &api,
        json!({"messages": [{"role":"user","content":null}]}),
        "messages[0].content",
    )
    .await;
    refused(
        &api,
        json!({"messages": [{"role":"bot","content":"x"}]}),
        "messages[0].role",
    )
    .await;
    refused(&api, json!({"tools": [{}]}), "tools").await;
    refused(&api, json!({"max_tokens": 99999}), "max_tokens").await;
    refused(&api, json!({"nonsense": 1}), "nonsense").await;
    let text = refused(&api, json!({"n": 100, "max_tokens": 4096}), "max_tokens").await;
    assert!(text.contains("409600") && text.contains("65536"), "{text}");
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn several_wrong_values_are_all_told() {
    let api = api().await;
    let error = api
        .chat(json!({"temperature": -1, "n": 0}))
        .await
        .error(400);
    let text = error["message"].as_str().unwrap();
    assert!(
        text.contains("temperature: ") && text.contains("n: "),
        "{text}"
    );
}

#[tokio::test]
async fn a_nan_is_no_json() {
    let api = api().await;
    let request =
        Request::post("/openai/v1/chat/completions").header("content-type", "application/json");
    let body = "{\"model\":\"toy\",\"temperature\":NaN}";
    let error = api
        .send(request.body(Body::from(body)).unwrap())
        .await
        .error(400);
    assert_eq!(error["param"], "temperature");
    assert!(
        error["message"].as_str().unwrap().contains("NaN"),
        "{error}"
    );
}

#[tokio::test]
async fn a_prompt_longer_than_the_context_is_refused_with_both_numbers() {
    let api = api().await;
    let long = "x".repeat(80);
    let turns = json!([{"role":"user","content":long}]);
    let error = api.chat(json!({"messages": turns})).await.error(400);
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("context_length_exceeded"), &json!("messages"))
    );
    let text = error["message"].as_str().unwrap();
    // `user:…;assistant:` is 16 bytes more
    assert!(
        text.contains("96 tokens") && text.contains("64 tokens"),
        "{text}"
    );
    let error = api.chat(json!({"max_tokens": 50})).await.error(400);
    let text = error["message"].as_str().unwrap();
    assert!(
        text.contains("18 tokens and max_tokens 50 are 68") && text.contains("64"),
        "{text}"
    );
    let error = api
        .complete(json!({"prompt": [[65], vec![65; 64]]}))
        .await
        .error(400);
    assert_eq!(error["param"], "prompt[1]");
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn ids_beyond_the_vocabulary_are_named_with_their_place() {
    let api = api().await;
    let error = api.complete(json!({"prompt": [65, 256]})).await.error(400);
    assert_eq!(error["param"], "prompt[1]");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains("token 256") && text.contains("255"), "{text}");
    let error = api
        .complete(json!({"prompt": [[65], [66, 4_000_000_000_u32]]}))
        .await
        .error(400);
    assert_eq!(error["param"], "prompt[1][1]");
}

#[tokio::test]
async fn the_number_of_prompts_and_their_tokens_are_bounded() {
    let api = api_with(Manner::Plain, |settings| {
        settings.inference.bounds.prompts = 3;
        settings.inference.bounds.prompt_tokens = 10;
    })
    .await;
    let error = api
        .complete(json!({"prompt": ["a", "b", "c", "d"]}))
        .await
        .error(400);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("inference.prompts"),
        "{error}"
    );
    let error = api
        .complete(json!({"prompt": ["abcd", "efgh", "i"]}))
        .await
        .error(400);
    let text = error["message"].as_str().unwrap();
    assert!(
        text.contains("12 tokens") && text.contains("inference.prompt_tokens"),
        "{text}"
    );
}

#[tokio::test]
async fn a_full_queue_is_429_with_a_time_and_a_process_without_models_503() {
    let api = api_with(Manner::Busy, |_| {}).await;
    let reply = api.chat(json!({})).await;
    assert_eq!(reply.error(429)["type"], "rate_limit_error");
    assert!(reply.headers.contains_key("retry-after"));
    let api = api_with(Manner::Absent, |_| {}).await;
    let error = api.chat(json!({})).await.error(503);
    assert!(
        error["message"].as_str().unwrap().contains("worker.slots"),
        "{error}"
    );
}

#[tokio::test]
async fn a_failure_of_the_speaker_keeps_its_words_where_the_data_are_at_fault() {
    let api = api_with(Manner::Breaks, |_| {}).await;
    let error = api.chat(json!({})).await.error(400);
    assert_eq!(
        error["message"],
        "the adapter has a tensor of another shape"
    );
    let api = api_with(Manner::Vanishes, |_| {}).await;
    let error = api.chat(json!({})).await.error(500);
    assert!(!error.to_string().contains("generator"), "{error}");
}

#[tokio::test]
async fn the_routers_own_refusals_have_the_same_form() {
    let api = api().await;
    api.get("/openai/v1/nothing").await.error(404);
    api.get("/openai").await.error(404);
    let reply = api.get("/openai/v1/completions").await;
    assert_eq!(reply.error(405)["type"], "invalid_request_error");
    assert_eq!(reply.headers["allow"], "POST");
    let request = Request::post("/openai/v1/completions").header("content-type", "text/plain");
    api.send(request.body(Body::from("x")).unwrap())
        .await
        .error(415);
    let request =
        Request::post("/openai/v1/completions").header("content-type", "application/json");
    let request = request.header("content-length", (9_u64 << 20).to_string());
    api.send(request.body(Body::from("{}")).unwrap())
        .await
        .error(413);
    let error = api.get("/openai/v1/models?page=2").await.error(400);
    assert_eq!(error["code"], "unknown_parameter");
    api.get("/openai/v1/models?limit=0").await.error(400);
    api.post("/openai/v1/completions", &json!([]))
        .await
        .error(400);
}

#[tokio::test]
async fn a_damaged_file_is_told_and_nothing_is_asked() {
    let api = api().await;
    for folder in std::fs::read_dir(api.blobs()).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            std::fs::write(file.unwrap().path(), b"short").unwrap();
        }
    }
    let error = api.chat(json!({})).await.error(400);
    assert!(
        error["message"].as_str().unwrap().contains("config.json"),
        "{error}"
    );
    assert!(api.asked().is_empty());
}
