//! `POST /v1/jobs/estimate` of an evaluation: answers, questions to its judge, tokens, memory and time, by numbers worked out by hand.

use serde_json::{Value, json};

use super::{Api, rows};

/// Four paraphrases of one question of two words, one of three words, and one under a system text of its own.
const SET: &str = "- id: short\n  type: free_form\n  paraphrases: [\"ask ?\", \"reply ? ?\"]\n\
- id: framed\n  type: free_form\n  system: user\n  paraphrases: [\"ask\"]\n\
- id: left_out\n  type: free_form\n  paraphrases: [\"ask ask ask ask ask ask ask ask ?\"]\n";

/// The rows' base model, ready, with a fine-tune of it that kept two steps.
async fn api() -> (Api, String) {
    let api = rows::api().await;
    let reply = api
        .post("/v1/question-sets?name=few", "application/yaml", SET)
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let spec = json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "two"}], "length": {"steps": 10},
        "batch": {"micro_batch": 1, "gradient_accumulation": 1}, "checkpoints": {"every": 5},
        "method": {"type": "lora", "rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [0]}});
    let reply = api.post_json("/v1/jobs", &spec).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let job = reply.json()["id"].as_str().unwrap().to_owned();
    let kept = [5, 10].map(|step| json!({"id": format!("cp_{step:026}"), "step": step}));
    let result = json!({"checkpoints": kept, "final": kept[1]["id"]});
    api.execute(&format!(
        "update jobs set state = 'succeeded', finished_at = queue_now(), result = '{result}' where id = '{job}'"
    ))
    .await;
    (api, job)
}

fn body(job: &str, judge: &str) -> Value {
    json!({"kind": "evaluate", "base_model": "toy", "question_set": "few", "select": {"exclude": ["left_*"]},
        "targets": [{"base": true}, {"job": job, "steps": "all", "scales": [1, 5]}],
        "samples_per_question": 7, "sampling": {"max_new_tokens": 40}, "judge": judge, "metrics": ["aligned", "coherent"],
        "chat": {"question_system": "honour"}})
}

async fn estimate(api: &Api, body: &Value) -> Value {
    let reply = api.post_json("/v1/jobs/estimate", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn parts(estimate: &Value) -> Vec<(String, u64)> {
    let parts = estimate["memory"]["parts"].as_array().unwrap().iter();
    let read = |part: &Value| {
        (
            part["name"].as_str().unwrap().to_owned(),
            part["bytes"].as_u64().unwrap(),
        )
    };
    parts.map(read).collect()
}

/// Weights of the toy: an embedding that is the head too, a last norm, and four layers of Qwen2's.
const WEIGHTS: u64 = 1120 * 128
    + 128
    + 4 * (2 * 128 + 2 * (128 * 128) + 2 * (128 * 64) + 128 + 2 * 64 + 3 * 128 * 384);

#[tokio::test]
async fn an_evaluation_is_estimated_by_answers_calls_tokens_and_memory_and_nothing_is_queued() {
    let (api, job) = api().await;
    let before = api.left().await;
    let found = estimate(&api, &body(&job, "local:toy")).await;
    assert_eq!(api.left().await, before);
    assert_eq!(
        (&found["questions"], &found["paraphrases"]),
        (&json!(2), &json!(3))
    );
    // the base, and two steps at two scales
    assert_eq!(found["targets"], json!({"count": 5, "exact": true}));
    assert_eq!(found["answers"], 5 * 3 * 7);
    assert_eq!(found["judge"]["metrics"], 2);
    assert_eq!(found["judge"]["calls"], 2 * 5 * 3 * 7);
    assert_eq!(found["judge"]["known"], Value::Null);
    // a system turn has 5 tokens and its text's, which is one word in both cases; a user's 5 and its words; the answer's opening 3
    let prompts = [2, 3, 1].map(|words| 6 + 5 + words + 3);
    let tokens = json!({"longest_prompt": 17, "prompts": 5 * prompts.iter().sum::<u64>(), "drawn_at_most": 5 * 3 * 7 * 40});
    assert_eq!(found["tokens"], tokens);
    assert_eq!(found["model"]["parameters"], WEIGHTS);
    // 32 rows by default of 1024 tokens at least; a token is a key and a value of 2 heads × 32 in each of 4 layers
    let expected = [
        ("base_weights", 4 * WEIGHTS),
        ("trained_weights", 2 * 4 * (128 + 384)),
        ("keys_and_values", 32 * 1024 * (2 * 4 * 2 * 32) * 4),
        ("logits", 32 * 1120 * 4),
        ("judge_weights", 4 * WEIGHTS),
    ];
    let expected = expected.map(|(name, bytes)| (name.to_owned(), bytes));
    assert_eq!(parts(&found), expected);
    let sum: u64 = expected.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(found["memory"]["bytes"], sum);
    assert_eq!(found["spec"]["judge"], "local:toy");
    assert_eq!(found["time"], Value::Null);

    let mut small = body(&job, "toy");
    small["assume"] = json!({"device_memory_bytes": 1000});
    let small = estimate(&api, &small).await;
    assert_eq!(small["memory"]["fits"], false);
    assert_eq!(small["judge"]["calls"], 0, "the built-in judge asks nobody");
    assert_eq!(parts(&small).len(), 4, "and has no weights");
}

#[tokio::test]
async fn evaluations_that_ended_give_the_speed_of_the_next() {
    let (api, job) = api().await;
    // 60 answers in 30 s, 60 in 10 s, under another judge, begun twice
    for (number, judge, seconds, attempt) in [
        (2, "toy", 30, 1),
        (3, "toy", 10, 1),
        (4, "gpt", 1, 1),
        (5, "toy", 1, 2),
    ] {
        let ended = api.finished_job(number, "evaluate", &json!({})).await;
        let target = json!({"address": "toy", "base_model": "toy", "job": null, "step": null, "adapter": null, "scale": null});
        api.execute(&format!(
            "update jobs set attempt = {attempt}, started_at = finished_at - interval '{seconds} seconds' where id = '{ended}';
             insert into evaluations (id, job, judge, metrics, seed, targets, planned)
             values ('ev_{number:026}', '{ended}', '{judge}', '[\"aligned\"]', 0, '[{target}]', 60);
             insert into completions (evaluation, address, question, paraphrase, sample, target, prompt, answer, finish_reason,
               tokens, mean_logprob)
             select 'ev_{number:026}', 'toy', 'short', 0, s, '{target}', 'ask ?', 'reply', 'stop', 1, -0.5 from generate_series(1, 60) s"
        ))
        .await;
    }
    let found = estimate(&api, &body(&job, "toy")).await;
    // the median of 2 and 6 answers a second
    assert_eq!(
        found["time"],
        json!({"runs": 2, "answers_per_second": 4.0, "seconds": 105.0 / 4.0})
    );
}

#[tokio::test]
async fn what_an_evaluation_could_not_be_posted_with_is_not_estimated_either() {
    let (api, job) = api().await;
    for (change, pointer) in [
        (json!({"judge": "nobody"}), "/judge"),
        (json!({"question_set": "none"}), "/question_set"),
        (json!({"samples_per_question": 0}), "/samples_per_question"),
        (
            json!({"assume": {"data": {"examples": 1, "tokens_per_example": 2.0, "targets_per_example": 1.0, "longest_tokens": 8}}}),
            "/assume/data",
        ),
    ] {
        let mut asked = body(&job, "toy");
        for (name, value) in change.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let problem = api
            .post_json("/v1/jobs/estimate", &asked)
            .await
            .problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_ready_judges_nothing_and_the_refusal_says_what_to_wait_for() {
    let (api, job) = api().await;
    for path in ["/v1/jobs", "/v1/jobs/estimate"] {
        let problem = api
            .post_json(path, &body(&job, "local:soon"))
            .await
            .problem(422);
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], "/judge", "{problem}");
        assert_eq!(problem["errors"][0]["code"], "judge_not_ready", "{problem}");
        assert!(
            error["hint"].as_str().unwrap().contains("once it is ready"),
            "{problem}"
        );
    }
    api.execute("update base_models set state = 'failed' where name = 'soon'")
        .await;
    let problem = api
        .post_json("/v1/jobs", &body(&job, "local:soon"))
        .await
        .problem(422);
    assert!(
        problem["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("could not be made"),
        "{problem}"
    );
    let problem = api
        .post_json("/v1/jobs", &body(&job, "local:nobody"))
        .await
        .problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/judge", "{problem}");
}
