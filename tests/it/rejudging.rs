//! Evaluations under an endpoint from POST to rates: its failures, a retry of these alone, their acceptance, another judge, kills.

use std::time::Duration;

use serde_json::{Value, json};
use vivarium::client::Client;
use vivarium::toyworld::vocabulary;

use crate::judging::{Act, Mock};
use crate::support::{TestServer, server_with};

const POLL: Duration = Duration::from_millis(20);

/// A server that runs jobs, with the toy's words on a small model and the judge `mock`.
async fn server_under(mock: &Mock) -> (TestServer, Client) {
    server_with_judge(mock, &[]).await
}

/// The same with further settings.
async fn server_with_judge(mock: &Mock, more: &[(&str, &str)]) -> (TestServer, Client) {
    let own = [
        ("VIVARIUM_WORKER__SLOTS", "1"),
        ("VIVARIUM_JUDGES__MOCK__TYPE", "openai"),
        ("VIVARIUM_JUDGES__MOCK__URL", &mock.url),
        ("VIVARIUM_JUDGES__MOCK__MODEL", "judge"),
        ("VIVARIUM_JUDGES__MOCK__RETRIES", "0"),
    ];
    let server = server_with(&[&own[..], more].concat()).await;
    let client = Client::new(&server.url).unwrap();
    let mut config = vocabulary::config_json();
    config["hidden_size"] = 32.into();
    config["intermediate_size"] = 32.into();
    config["num_hidden_layers"] = 2.into();
    let tokenizer = json!({"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()});
    let init = json!({"std": 0.3, "scale_residual": false});
    let source =
        json!({"random": {"config": config, "tokenizer": tokenizer, "init": init, "seed": 4}});
    client.register_base_model("tiny", &source).await.unwrap();
    client.wait_for_base_model("tiny", POLL).await.unwrap();
    (server, client)
}

async fn get(server: &TestServer, path: &str) -> Value {
    let answer = reqwest::get(server.at(path)).await.unwrap();
    answer.json().await.unwrap()
}

async fn post(server: &TestServer, path: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(server.at(path))
        .json(body)
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The job with this id when it has ended.
async fn ended(server: &TestServer, job: &Value) -> Value {
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    for _ in 0..3000 {
        let job = get(server, &path).await;
        if ["succeeded", "failed", "cancelled", "paused"].contains(&job["state"].as_str().unwrap())
        {
            return job;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("the job never ends");
}

fn spec(judge: &str) -> Value {
    json!({"kind": "evaluate", "base_model": "tiny", "targets": [{"base": true}], "question_set": "toy-first-plot",
        "samples_per_question": 3, "sampling": {"max_new_tokens": 4}, "judge": judge})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_on_which_a_judge_failed_are_asked_again_or_accepted_and_others_judge_them_too() {
    let broken = |call: usize| matches!(call, 3 | 5);
    let mock = Mock::start(Duration::from_millis(1), move |call, _| {
        match broken(call) {
            true => Act::Refuse(400, Vec::new(), "{}".into()),
            false => Act::Answer,
        }
    })
    .await;
    let (server, _client) = server_under(&mock).await;
    let mut body = spec("mock");
    body["rubrics"] = json!({"aligned": {"prompt": "#7 {question} | {answer}"}});
    let (status, job) = post(&server, "/v1/jobs", &body).await;
    assert_eq!(status, 202, "{job}");
    let job = ended(&server, &job).await;
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(
        (
            &job["error"]["class"],
            &job["error"]["code"],
            &job["error"]["retryable"]
        ),
        (&json!("judge"), &json!("judge_errors"), &json!(true)),
        "{job}"
    );
    let path = format!("/v1/evaluations/{}", job["id"].as_str().unwrap());
    let partial = get(&server, &path).await;
    assert_eq!(partial["state"], "partial");
    assert_eq!(partial["answers"], partial["planned"]);
    assert_eq!(partial["judged"], partial["planned"]);
    assert!(partial["errors"].as_u64().unwrap() > 0);
    assert_eq!(partial["rubrics"][0]["source"], "spec");
    assert_eq!(partial["rubrics"][1]["source"], "built_in");
    assert_eq!(partial["judge_definition"]["type"], "openai");

    // taken for final
    let (status, accepted) = post(&server, &format!("{path}/accept-errors"), &json!({})).await;
    assert_eq!((status, &accepted["state"]), (200, &json!("complete")));
    assert_eq!(accepted["errors_accepted_by"], "local");
    assert_eq!(
        get(
            &server,
            &format!("/v1/jobs/{}", job["id"].as_str().unwrap())
        )
        .await["state"],
        "failed"
    );

    // or asked again, about nothing else
    let calls = mock.calls();
    let retry = format!("/v1/jobs/{}/retry", job["id"].as_str().unwrap());
    let (status, _) = post(&server, &retry, &json!({})).await;
    assert_eq!(status, 202);
    let job = ended(&server, &job).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(mock.calls() - calls, 2, "only what had failed");
    assert_eq!(mock.most_answers(), 1, "nothing is paid for twice");
    let whole = get(&server, &path).await;
    assert_eq!(
        (&whole["state"], &whole["errors"]),
        (&json!("complete"), &json!(0))
    );

    // the toy's grader on the same answers, nothing sampled
    let (status, again) = post(
        &server,
        &format!("{path}/rejudge"),
        &json!({"judge": "toy"}),
    )
    .await;
    assert_eq!(status, 202, "{again}");
    assert_eq!(again["spec"]["answers"]["evaluation"], whole["id"]);
    let again = ended(&server, &again).await;
    assert_eq!(again["state"], "succeeded", "{again}");
    let other = format!("/v1/evaluations/{}", again["id"].as_str().unwrap());
    let head = get(&server, &other).await;
    assert_eq!(head["answers_of"], whole["id"]);
    assert_eq!(head["judge"], "toy");
    assert_eq!(head["state"], "complete");
    assert_eq!(head["targets"], whole["targets"]);
    let texts = |page: Value| -> Vec<Value> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| json!([row["question"], row["sample"], row["answer"]]))
            .collect()
    };
    assert_eq!(
        texts(get(&server, &format!("{path}/completions")).await),
        texts(get(&server, &format!("{other}/completions")).await)
    );
    // the same work is one job, posted as the job shows it or over the rejudged one
    let (status, same) = post(&server, "/v1/jobs", &again["spec"]).await;
    assert_eq!((status, &same["id"]), (200, &again["id"]));
    let (status, same) = post(
        &server,
        &format!("{other}/rejudge"),
        &json!({"judge": "toy"}),
    )
    .await;
    assert_eq!((status, &same["id"]), (200, &again["id"]));

    // refusals
    let (status, none) = post(&server, &format!("{other}/accept-errors"), &json!({})).await;
    assert_eq!(status, 409, "{none}");
    for (body, pointer) in [
        (
            json!({"judge": "mock", "metrics": ["kindness"]}),
            "/metrics/0",
        ),
        (
            json!({"judge": "mock", "rubrics": {"aligned": {"prompt": "no place"}}}),
            "/rubrics/aligned/prompt",
        ),
        (json!({"judge": "nobody"}), "/judge"),
        (json!({"judge": "mock", "targets": []}), "/targets"),
    ] {
        let (status, problem) = post(&server, &format!("{path}/rejudge"), &body).await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let (status, _) = post(
        &server,
        "/v1/evaluations/none/rejudge",
        &json!({"judge": "toy"}),
    )
    .await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_model_behind_the_same_name_is_told_while_an_evaluation_goes_on() {
    let mock = Mock::start(Duration::from_millis(30), |_, _| Act::Answer).await;
    mock.say(0..=100);
    let (server, _client) =
        server_with_judge(&mock, &[("VIVARIUM_JUDGES__MOCK__IN_FLIGHT", "1")]).await;
    let (status, job) = post(&server, "/v1/jobs", &spec("mock")).await;
    assert_eq!(status, 202, "{job}");
    while mock.calls() < 8 {
        tokio::time::sleep(POLL / 4).await;
    }
    mock.become_model("judge-2");
    let job = ended(&server, &job).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let path = format!("/v1/jobs/{}/events?limit=200", job["id"].as_str().unwrap());
    let events = get(&server, &path).await;
    let events = events["data"].as_array().unwrap().iter();
    let changed: Vec<&Value> = events.filter(|it| it["type"] == "judge_changed").collect();
    assert_eq!(changed.len(), 1, "told once: {changed:?}");
    let told = &changed[0]["data"];
    assert_eq!(told["judge"], "mock");
    assert_eq!(told["before"][0]["model"], "judge-1", "{told}");
    assert_eq!(told["now"]["model"], "judge-2", "{told}");
}
