//! Answers told in pieces.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Api, Manner, Reply, api, api_with};

/// The messages of a stream, whose last must be `[DONE]`.
fn chunks(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    assert_eq!(reply.headers["x-accel-buffering"], "no");
    let data: Vec<&str> = reply
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    let (last, chunks) = data.split_last().unwrap();
    assert_eq!(*last, "[DONE]");
    chunks
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

#[tokio::test]
async fn a_streamed_chat_begins_with_the_role_and_ends_with_reason_and_counts() {
    let api = api().await;
    let asked = json!({"stream": true, "stream_options": {"include_usage": true}, "n": 2, "max_tokens": 9, "seed": 1});
    let reply = api.chat(asked).await;
    let chunks = chunks(&reply);
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    let (counts, told) = chunks.split_last().unwrap();
    assert_eq!(counts["choices"], json!([]));
    assert_eq!(counts["usage"]["completion_tokens"], 12);
    assert!(
        told.iter()
            .all(|chunk| chunk["usage"].is_null() && chunk.get("usage").is_some())
    );
    for index in 0..2 {
        let own = told
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["index"] == index);
        let own: Vec<&Value> = own.collect();
        let text: String = own
            .iter()
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect();
        assert_eq!(text, "abcde");
        assert_eq!(own.last().unwrap()["finish_reason"], "stop");
        assert_eq!(own.last().unwrap()["delta"], json!({}));
    }
}

#[tokio::test]
async fn a_stream_without_the_option_has_no_counts() {
    let api = api().await;
    let reply = api.chat(json!({"stream": true, "max_tokens": 2})).await;
    assert!(
        chunks(&reply)
            .iter()
            .all(|chunk| chunk.get("usage").is_none())
    );
}

#[tokio::test]
async fn a_streamed_completion_adds_up_to_the_whole_one() {
    let api = api().await;
    let asked = json!({"echo": true, "logprobs": 1, "max_tokens": 9, "seed": 1});
    let whole = api.complete(asked.clone()).await.good()["choices"][0].clone();
    let reply = api
        .complete(super::with(asked, json!({"stream": true})))
        .await;
    let pieces: Vec<Value> = chunks(&reply)
        .iter()
        .map(|chunk| chunk["choices"][0].clone())
        .collect();
    let text: String = pieces
        .iter()
        .filter_map(|piece| piece["text"].as_str())
        .collect();
    assert_eq!(text, whole["text"]);
    for list in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let added: Vec<Value> = pieces
            .iter()
            .flat_map(|piece| piece["logprobs"][list].as_array().unwrap().clone())
            .collect();
        assert_eq!(Value::from(added), whole["logprobs"][list], "{list}");
    }
    assert_eq!(pieces.last().unwrap()["finish_reason"], "stop");
}

#[tokio::test]
async fn a_failure_in_the_middle_is_told_as_an_event_and_ends_the_stream() {
    let api = api_with(Manner::Breaks, |_| {}).await;
    let reply = api.chat(json!({"stream": true})).await;
    let chunks = chunks(&reply);
    let error = &chunks.last().unwrap()["error"];
    assert_eq!(
        error["message"],
        "the adapter has a tensor of another shape"
    );
    let told = chunks
        .iter()
        .filter(|chunk| chunk["choices"][0]["delta"]["content"] == "a");
    assert_eq!(told.count(), 2);
    let api = api_with(Manner::Vanishes, |_| {}).await;
    let reply = api.chat(json!({"stream": true})).await;
    let last = self::chunks(&reply).pop().unwrap();
    assert_eq!(last["error"]["type"], "server_error");
    assert!(
        !reply.text.contains("generator"),
        "internal text: {}",
        reply.text
    );
}

async fn deserted(api: &Api) -> bool {
    for _ in 0..100 {
        if *api.speaker.deserted.lock().unwrap() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_ends_its_rows() {
    let api = api_with(Manner::Endless, |_| {}).await;
    let body = json!({"model":"toy","messages":[{"role":"user","content":"Hi"}],"stream":true});
    let request =
        Request::post("/openai/v1/chat/completions").header("content-type", "application/json");
    let request = request.body(Body::from(body.to_string())).unwrap();
    let mut response = api.router.clone().oneshot(request).await.unwrap();
    for _ in 0..3 {
        response.body_mut().frame().await.unwrap().unwrap();
    }
    assert!(!*api.speaker.deserted.lock().unwrap());
    drop(response);
    assert!(deserted(&api).await);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_ends_its_rows() {
    let api = api_with(Manner::Endless, |_| {}).await;
    let left = tokio::time::timeout(Duration::from_millis(200), api.chat(json!({}))).await;
    assert!(left.is_err());
    assert!(deserted(&api).await);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let short = |settings: &mut vivarium::api::Settings| {
        settings.inference.request = Duration::from_millis(300);
    };
    let api = api_with(Manner::Endless, short).await;
    let error = api.chat(json!({})).await.error(504);
    assert_eq!(error["code"], "deadline");
    assert!(deserted(&api).await);
    let api = api_with(Manner::Silent, short).await;
    let reply = api.chat(json!({"stream": true})).await;
    let last = chunks(&reply).pop().unwrap();
    assert_eq!(last["error"]["code"], "deadline");
    assert!(
        last["error"]["message"].as_str().unwrap().contains("0.3 s"),
        "{last}"
    );
}
