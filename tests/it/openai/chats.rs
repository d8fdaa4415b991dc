//! Chats that are answered at once.

use serde_json::{Value, json};

use super::{Manner, api, api_with};
use vivarium::execution::converse::Opening;

#[tokio::test]
async fn an_answer_has_every_field_that_clients_read() {
    let api = api().await;
    let reply = api
        .chat(json!({"max_tokens": 9, "seed": 7, "user": "me"}))
        .await;
    assert_eq!(reply.headers["x-vivarium-ignored"], "user");
    let answer = reply.good();
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(answer["object"], "chat.completion");
    assert!(answer["created"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(answer["model"], "toy");
    assert_eq!(answer["seed"], 7);
    let fingerprint = answer["system_fingerprint"].as_str().unwrap();
    assert!(
        fingerprint.starts_with("vivarium-") && fingerprint.ends_with("-base"),
        "{fingerprint}"
    );
    let expected = json!([{
        "index": 0,
        "message": {"role": "assistant", "content": "abcde", "refusal": null},
        "logprobs": null,
        "finish_reason": "stop"
    }]);
    assert_eq!(answer["choices"], expected);
    // `user:Hi;assistant:` is 18 bytes; five letters and an end token
    let usage = json!({"prompt_tokens": 18, "completion_tokens": 6, "total_tokens": 24});
    assert_eq!(answer["usage"], usage);
}

#[tokio::test]
async fn the_speaker_hears_what_was_asked() {
    let api = api().await;
    let asked = json!({
        "messages": [{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"U"}]}],
        "n": 3, "seed": 11, "stop": "x", "temperature": 0.5, "top_p": 0.9, "top_k": 4, "repetition_penalty": 1.1,
        "max_completion_tokens": 2, "logprobs": true, "top_logprobs": 2
    });
    let answer = api.chat(asked).await.good();
    let inquiry = api.asked().remove(0);
    let text: Vec<u32> = b"system:S;user:U;assistant:"
        .iter()
        .map(|byte| u32::from(*byte))
        .collect();
    assert_eq!(inquiry.opening, Opening::Tokens(text));
    assert_eq!((inquiry.answers, inquiry.seed), (3, 11));
    assert_eq!(inquiry.stop, ["x"]);
    let sampling = &inquiry.sampling;
    assert_eq!((sampling.temperature, sampling.top_p), (0.5, 0.9));
    assert_eq!((sampling.top_k, sampling.repetition_penalty), (4, 1.1));
    assert_eq!(
        (sampling.max_new_tokens, inquiry.top_logprobs),
        (2, Some(2))
    );
    assert!(!inquiry.echo && inquiry.speaker.change.is_none());
    let choices = answer["choices"].as_array().unwrap();
    let indices: Vec<&Value> = choices.iter().map(|choice| &choice["index"]).collect();
    assert_eq!(indices, [0, 1, 2]);
    assert_eq!(choices[2]["finish_reason"], "length");
    let first = json!({
        "token": "a", "logprob": -1.0, "bytes": [97],
        "top_logprobs": [
            {"token": "A", "logprob": -0.5, "bytes": [65]},
            {"token": "B", "logprob": -1.5, "bytes": [66]}
        ]
    });
    assert_eq!(choices[0]["logprobs"]["content"][0], first);
    assert_eq!(
        choices[0]["logprobs"]["content"].as_array().unwrap().len(),
        2
    );
}

#[tokio::test]
async fn without_max_tokens_an_answer_may_fill_the_context_within_the_bounds() {
    let api = api_with(Manner::Plain, |settings| {
        settings.inference.bounds.drawn_tokens = 60;
        settings.inference.bounds.new_tokens = 40;
    })
    .await;
    api.chat(json!({})).await.good();
    api.chat(json!({"n": 2})).await.good();
    api.complete(json!({"prompt": vec![65; 50], "max_tokens": null}))
        .await
        .good();
    let most: Vec<u32> = api
        .asked()
        .iter()
        .map(|one| one.sampling.max_new_tokens)
        .collect();
    // the bound of an answer; the request's bound shared by two; what 50 tokens leave of a context of 64
    assert_eq!(most, [40, 30, 14]);
}

#[tokio::test]
async fn a_seed_is_chosen_and_told_where_none_is_given() {
    let api = api().await;
    let mut seeds = Vec::new();
    for _ in 0..2 {
        seeds.push(
            api.chat(json!({"max_tokens": 1})).await.good()["seed"]
                .as_u64()
                .unwrap(),
        );
    }
    assert_ne!(seeds[0], seeds[1]);
    let heard: Vec<u64> = api.asked().iter().map(|one| one.seed).collect();
    assert_eq!(heard, seeds);
    assert!(seeds.iter().all(|seed| *seed < 1 << 53));
}
