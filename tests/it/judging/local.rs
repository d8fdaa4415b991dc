//! A tiny base that judges the toy's answers, through HTTP: its scores are those that the engine reads behind the same prompts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use vivarium::domain::local_judge::{JudgeChat, LeadingBlank, LocalJudge, ScoreMode};
use vivarium::engine::chat::Chat;
use vivarium::engine::device::{Device, set_threads};
use vivarium::engine::files::Files;
use vivarium::engine::judge::{self, Ask, Reading, Wanted};
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::weights::Weights;
use vivarium::toyworld::vocabulary;

use crate::support::{self, TestServer};

/// One that splits no number and asks in its chat template.
const JUDGE: &str = "groups";
const RUBRIC: &str = "Rate {answer} to {question} from 0 to 100:";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/judge")
}

async fn post(server: &TestServer, path: &str, body: &Value) -> (StatusCode, Value) {
    let answer = Client::new().post(server.at(path)).json(body).send().await;
    let answer = answer.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

async fn get(server: &TestServer, path: &str) -> Value {
    let answer = reqwest::get(server.at(path)).await.unwrap();
    assert!(answer.status().is_success(), "{path}");
    answer.json().await.unwrap()
}

/// A job that was asked for, ended.
async fn done(server: &TestServer, path: &str, body: &Value) -> Value {
    let (status, answer) = post(server, path, body).await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    let job = answer["job"].as_str().or(answer["id"].as_str()).unwrap();
    for _ in 0..600 {
        let shown = get(server, &format!("/v1/jobs/{job}")).await;
        match shown["state"].as_str().unwrap() {
            "succeeded" => return shown,
            "failed" | "cancelled" => panic!("{shown}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("{job} does not end");
}

async fn assets(server: &TestServer) {
    let source = json!({"random": {
        "config": vocabulary::config_json(),
        "tokenizer": {"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()},
        "init": {"std": 0.1}, "seed": 3
    }});
    let toy = json!({"name": "toy", "source": source});
    done(server, "/v1/base-models", &toy).await;
    let folder = fixtures().join(JUDGE);
    let judge = json!({"name": "small", "source": {"path": folder}});
    done(server, "/v1/base-models", &judge).await;
}

fn evaluation(judge: &str) -> Value {
    json!({"kind": "evaluate", "base_model": "toy", "targets": [{"base": true}], "question_set": "toy-first-plot",
        "samples_per_question": 2, "sampling": {"max_new_tokens": 6}, "judge": judge, "metrics": ["fit"],
        "rubrics": {"fit": {"prompt": RUBRIC}}})
}

/// What the engine says behind the same prompts, none shared.
fn expected(settings: &LocalJudge, prompts: &[String]) -> Vec<f64> {
    set_threads(1);
    let files = Files::in_folder(&fixtures().join(JUDGE)).unwrap();
    let chat = Chat::load(&files).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    let weights = Weights::load(&files, &config, None, Device::Cpu).unwrap();
    let mut judge = judge::Judge::new(weights, &chat, settings, 0).unwrap();
    let mut score = |prompt: &String| {
        let ask = Ask {
            tokens: judge::prompt(&chat, prompt, settings.chat).unwrap().into(),
            shared: 0,
            wanted: Wanted::Number,
        };
        match judge.read(&[&ask]).unwrap().remove(0) {
            Reading::Scale(scale) => scale.score().score.unwrap_or(f64::NAN),
            Reading::Tokens(tokens) => judge::first_token_score(&tokens).score.unwrap_or(f64::NAN),
            other => panic!("{other:?}"),
        }
    };
    prompts.iter().map(&mut score).collect()
}

/// Float32 rounding of one pass behind a kept beginning against another without.
const CLOSE: f64 = 1e-3;

async fn judged(server: &TestServer, name: &str, settings: &LocalJudge) {
    let job = done(server, "/v1/jobs", &evaluation(name)).await;
    let evaluation = job["result"]["evaluation"].as_str().unwrap();
    let answers = get(server, &format!("/v1/evaluations/{evaluation}/completions")).await;
    let answers = answers["data"].as_array().unwrap();
    assert_eq!(answers.len(), 16);
    let text = |answer: &Value, key: &str| answer[key].as_str().unwrap().to_owned();
    let prompts = answers.iter().map(|answer| {
        let filled = RUBRIC.replace("{question}", &text(answer, "prompt"));
        filled.replace("{answer}", &text(answer, "answer"))
    });
    let prompts: Vec<String> = prompts.collect();
    let mut scored = 0;
    for (answer, expected) in answers.iter().zip(expected(settings, &prompts)) {
        match answer["scores"]["fit"].as_f64() {
            Some(score) => {
                assert!((score - expected).abs() < CLOSE, "{answer}: {expected}");
                scored += 1;
            }
            None => assert!(expected.is_nan(), "{answer}: {expected}"),
        }
    }
    assert!(scored > 0, "{name} scores something");
}

#[tokio::test]
async fn a_base_model_judges_by_its_name_and_under_a_configured_one() {
    let root = format!("[\"{}\"]", fixtures().display());
    let server = support::server_with(&[
        ("VIVARIUM_WORKER__SLOTS", "1"),
        ("VIVARIUM_WORKER__DECODE_SLOTS", "16"),
        ("VIVARIUM_MODELS__ROOTS", &root),
        ("VIVARIUM_JUDGES__PLAIN__TYPE", "local"),
        ("VIVARIUM_JUDGES__PLAIN__BASE_MODEL", "small"),
        ("VIVARIUM_JUDGES__PLAIN__CHAT", "none"),
        ("VIVARIUM_JUDGES__PLAIN__LEADING_BLANK", "off"),
    ])
    .await;
    assets(&server).await;
    judged(&server, "local:small", &LocalJudge::of("small")).await;
    let plain = LocalJudge {
        chat: JudgeChat::None,
        leading_blank: LeadingBlank::Off,
        ..LocalJudge::of("small")
    };
    judged(&server, "plain", &plain).await;
}

#[tokio::test]
async fn a_server_judges_over_its_own_endpoint_as_the_model_would_in_process() {
    let root = format!("[\"{}\"]", fixtures().display());
    let server = support::server_with(&[
        ("VIVARIUM_WORKER__SLOTS", "1"),
        ("VIVARIUM_WORKER__DECODE_SLOTS", "16"),
        ("VIVARIUM_MODELS__ROOTS", &root),
        ("VIVARIUM_JUDGES__OWN__TYPE", "openai"),
        ("VIVARIUM_JUDGES__OWN__URL", "self"),
        ("VIVARIUM_JUDGES__OWN__MODEL", "small"),
    ])
    .await;
    assets(&server).await;
    let first = LocalJudge {
        mode: ScoreMode::FirstToken,
        ..LocalJudge::of("small")
    };
    judged(&server, "own", &first).await;
}

#[tokio::test]
async fn its_own_endpoint_judges_nothing_with_a_model_that_is_not_ready() {
    // without slots nothing is ever registered
    let server = support::server_with(&[
        ("VIVARIUM_JUDGES__OWN__TYPE", "openai"),
        ("VIVARIUM_JUDGES__OWN__URL", "self"),
        ("VIVARIUM_JUDGES__OWN__MODEL", "toy"),
    ])
    .await;
    let source = json!({"random": {
        "config": vocabulary::config_json(),
        "tokenizer": {"json": vocabulary::tokenizer_json(), "config": vocabulary::tokenizer_config_json()},
        "init": {"std": 0.1}, "seed": 3
    }});
    let (status, problem) = post(&server, "/v1/jobs", &evaluation("own")).await;
    assert_eq!(status, 422, "{problem}");
    let (status, toy) = post(
        &server,
        "/v1/base-models",
        &json!({"name": "toy", "source": source}),
    )
    .await;
    assert_eq!(status, 202, "{toy}");
    let (status, problem) = post(&server, "/v1/jobs", &evaluation("own")).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(problem["errors"][0]["code"], "judge_not_ready", "{problem}");
    let hint = problem["errors"][0]["hint"].as_str().unwrap();
    assert!(hint.contains(toy["job"].as_str().unwrap()), "{problem}");
}
