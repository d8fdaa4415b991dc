//! Tokens alone, at the places where clients look.

use serde_json::json;

use super::api;

#[tokio::test]
async fn text_and_conversations_become_tokens_and_tokens_text() {
    let api = api().await;
    let asked = json!({"model": "toy", "prompt": "Hi", "add_special_tokens": false, "return_token_strs": true});
    let answer = api.post("/openai/v1/tokenize", &asked).await.good();
    let expected =
        json!({"count": 2, "max_model_len": 64, "tokens": [72, 105], "token_strs": ["H", "i"]});
    assert_eq!(answer, expected);
    let asked = json!({"model": "toy", "messages": [{"role": "user", "content": "Hi"}]});
    let answer = api.post("/openai/v1/tokenize", &asked).await.good();
    assert_eq!(answer["count"], 18);
    let asked = json!({"model": "toy", "tokens": [72, 105]});
    let answer = api.post("/openai/v1/detokenize", &asked).await.good();
    assert_eq!(answer, json!({"prompt": "Hi"}));
}

#[tokio::test]
async fn lm_eval_finds_a_remote_tokenizer_beside_the_base_address() {
    let api = api().await;
    let error = api.get("/openai/tokenizer_info").await.error(400);
    assert!(
        error["message"].as_str().unwrap().contains("other, toy"),
        "{error}"
    );
    api.execute("update base_models set state = 'failed' where name = 'other'")
        .await;
    // what its RemoteTokenizer asks, word for word
    let info = api.get("/openai/tokenizer_info").await.good();
    assert_eq!(info["eos_token"], "<end>");
    let asked = json!({"prompt": "test", "add_special_tokens": false});
    let answer = api.post("/openai/tokenize", &asked).await.good();
    assert_eq!(answer["tokens"].as_array().unwrap().len(), 4);
    let answer = api
        .post("/openai/detokenize", &json!({"tokens": [116]}))
        .await
        .good();
    assert_eq!(answer["prompt"], "t");
    let info = api.get("/openai/v1/tokenizer_info?model=toy").await.good();
    assert_eq!(info["max_model_len"], 64);
}
