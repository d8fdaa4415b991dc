//! Completions of texts and tokens.

use serde_json::{Value, json};

use super::api;

#[tokio::test]
async fn a_text_gets_its_special_tokens_and_tokens_are_taken_as_they_are() {
    let api = api().await;
    let answer = api.complete(json!({})).await.good();
    assert!(answer["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(answer["object"], "text_completion");
    let choice = json!({"index": 0, "text": "abc", "logprobs": null, "finish_reason": "length"});
    assert_eq!(answer["choices"], json!([choice]));
    assert_eq!(answer["usage"]["prompt_tokens"], 3);
    let answer = api.complete(json!({"prompt": [72, 105]})).await.good();
    assert_eq!(answer["usage"]["prompt_tokens"], 2);
}

#[tokio::test]
async fn choices_are_in_the_order_of_the_prompts_with_n_for_each() {
    let api = api().await;
    let prompts: Vec<Value> = (0..70).map(|n| json!([65 + n % 26, 66])).collect();
    let answer = api
        .complete(json!({"prompt": prompts, "n": 2, "echo": true}))
        .await
        .good();
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 140);
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        let letter = char::from(b'A' + (index as u8 / 2) % 26);
        assert_eq!(choice["text"], format!("{letter}Babc"));
    }
    let usage = json!({"prompt_tokens": 140, "completion_tokens": 420, "total_tokens": 560});
    assert_eq!(answer["usage"], usage);
}

#[tokio::test]
async fn equal_prompts_of_one_request_are_drawn_apart_and_others_under_the_same_seed() {
    let api = api().await;
    let prompts = json!([[65], [66], [65], [65]]);
    api.complete(json!({"prompt": prompts, "seed": 5}))
        .await
        .good();
    let mut seeds: Vec<u64> = api.asked().iter().map(|one| one.seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [5, 5, 6, 7]);
}

#[tokio::test]
async fn echoed_prompts_are_scored_as_log_likelihoods_need_them() {
    let api = api().await;
    let asked = json!({"prompt": [[72, 105]], "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0, "seed": 1234});
    let answer = api.complete(asked).await.good();
    let choice = &answer["choices"][0];
    assert_eq!(choice["text"], "Hia");
    let expected = json!({
        "tokens": ["H", "i", "a"],
        "token_logprobs": [null, -1.25, -1.0],
        "top_logprobs": [null, {"A": -0.5, "i": -1.25}, {"A": -0.5, "a": -1.0}],
        "text_offset": [0, 1, 2]
    });
    assert_eq!(choice["logprobs"], expected);
}

#[tokio::test]
async fn an_end_token_is_told_among_the_tokens_but_not_in_the_text() {
    let api = api().await;
    let answer = api
        .complete(json!({"max_tokens": 9, "logprobs": 0}))
        .await
        .good();
    let choice = &answer["choices"][0];
    assert_eq!(choice["text"], "abcde");
    assert_eq!(
        choice["logprobs"]["tokens"],
        json!(["a", "b", "c", "d", "e", "<end>"])
    );
    assert_eq!(choice["logprobs"]["text_offset"][5], 5);
}

#[tokio::test]
async fn an_opening_alone_is_scored_without_drawing() {
    let api = api().await;
    let asked = json!({"max_tokens": 0, "echo": true, "logprobs": 0});
    let answer = api.complete(asked).await.good();
    assert_eq!(answer["choices"][0]["text"], "^Hi");
    assert_eq!(
        answer["choices"][0]["logprobs"]["tokens"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(answer["usage"]["completion_tokens"], 0);
}
