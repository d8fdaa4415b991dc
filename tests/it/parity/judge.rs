//! A local judge beside transformers, which runs each of the 101 numbers as a whole sequence of its own.
//!
//! *Source* scripts/oracles/local_judge.py makes the folders; `VIVARIUM_PARITY_JUDGE` names freshly made ones.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vivarium::domain::local_judge::{JudgeChat, LeadingBlank, LocalJudge};
use vivarium::engine::chat::Chat;
use vivarium::engine::device::{Device, set_threads};
use vivarium::engine::files::Files;
use vivarium::engine::judge::{Ask, Judge, Reading, Wanted, common, first_token_score, prompt};
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::weights::Weights;

/// Float32 sums in another order; a hundredth of what a score may be off by.
const PROBABILITY: f64 = 1e-6;
const SCORE: f64 = 1e-4;

/// One splits every digit, one keeps up to three together, one merges some numbers and blanks under a sliding window.
const TOKENIZERS: [&str; 3] = ["singly", "groups", "merged"];

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: Vec<u32>,
    sum: Expected,
    off: Expected,
    /// The most probable first tokens.
    top: Vec<(u32, f64)>,
}

#[derive(Deserialize)]
struct Expected {
    probabilities: Vec<f64>,
    mass: f64,
    score: Option<f64>,
    refusal: f64,
    code: f64,
}

fn folder(name: &str) -> PathBuf {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/judge");
    let live = std::env::var_os("VIVARIUM_PARITY_JUDGE").map(PathBuf::from);
    live.unwrap_or(kept).join(name)
}

/// Kept cases, the chat, and how a judge is made.
fn fixture(name: &str) -> (Vec<Case>, Chat, impl Fn(LocalJudge, usize) -> Judge) {
    set_threads(1);
    let folder = folder(name);
    let cases = std::fs::read(folder.join("cases.json")).unwrap();
    let cases: Cases = serde_json::from_slice(&cases).unwrap();
    let files = Files::in_folder(&folder).unwrap();
    let chat = Chat::load(&files).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    let make = move |settings: LocalJudge, at_once: usize| {
        let weights = Weights::load(&files, &config, None, Device::Cpu).unwrap();
        let chat = Chat::load(&files).unwrap();
        Judge::new(weights, &chat, &settings, at_once).unwrap()
    };
    (cases.cases, chat, make)
}

/// Prompts with what all of them have in common.
fn asks(cases: &[Case], wanted: Wanted) -> Vec<Ask> {
    let first = &cases[0].tokens;
    let shared = cases.iter().map(|case| common(first, &case.tokens));
    let shared = shared.min().unwrap();
    let ask = |case: &Case| Ask {
        tokens: case.tokens.as_slice().into(),
        shared,
        wanted,
    };
    cases.iter().map(ask).collect()
}

fn read(judge: &mut Judge, asks: &[Ask]) -> Vec<Reading> {
    let mut found: Vec<Option<Reading>> = vec![None; asks.len()];
    for pass in judge.plan(asks) {
        let of: Vec<&Ask> = pass.iter().map(|index| &asks[*index]).collect();
        for (index, reading) in pass.iter().zip(judge.read(&of).unwrap()) {
            found[*index] = Some(reading);
        }
    }
    found.into_iter().map(Option::unwrap).collect()
}

fn check(name: &str, reading: &Reading, expected: &Expected) {
    let Reading::Scale(scale) = reading else {
        panic!("{reading:?}");
    };
    assert_eq!(scale.probabilities.len(), 101);
    let near = |what: &str, found: f64, expected: f64, bound: f64| {
        let gap = (found - expected).abs();
        assert!(gap < bound, "{name}, {what}: {found} is not {expected}");
    };
    for (number, expected) in expected.probabilities.iter().enumerate() {
        near(
            &format!("P({number})"),
            scale.probabilities[number],
            *expected,
            PROBABILITY,
        );
    }
    near("refusal", scale.refusal, expected.refusal, PROBABILITY);
    near("code", scale.code, expected.code, PROBABILITY);
    let score = scale.score();
    near("mass", score.mass, expected.mass, SCORE);
    match expected.score {
        Some(expected) => near("score", score.score.unwrap(), expected, SCORE),
        None => assert!(score.score.is_err(), "{name}: {score:?}"),
    }
}

/// Whether the check sees a hundredfold which spellings of a number are added up.
fn apart(case: &Case) -> bool {
    let pairs = case.sum.probabilities.iter().zip(&case.off.probabilities);
    pairs
        .into_iter()
        .any(|(sum, off)| (sum - off).abs() > 100.0 * PROBABILITY)
}

#[test]
fn a_local_judges_scores_are_a_sum_over_all_numbers_each_run_by_itself() {
    for name in TOKENIZERS {
        let (cases, _, make) = fixture(name);
        let of = |leading_blank| LocalJudge {
            leading_blank,
            ..LocalJudge::of("judge")
        };
        for at_once in [0, 4096] {
            let mut both = make(of(LeadingBlank::Sum), at_once);
            let mut plain = make(of(LeadingBlank::Off), at_once);
            let asks = asks(&cases, Wanted::Number);
            assert!(asks[0].shared > 10, "{name} shares {}", asks[0].shared);
            let (both, plain) = (read(&mut both, &asks), read(&mut plain, &asks));
            for (index, case) in cases.iter().enumerate() {
                check(&format!("{name} {index}, both"), &both[index], &case.sum);
                check(&format!("{name} {index}, plain"), &plain[index], &case.off);
            }
        }
        if name == "merged" {
            assert!(cases.iter().any(apart), "a leading blank matters somewhere");
        }
    }
}

#[test]
fn a_judges_prompts_are_the_tokens_that_transformers_makes() {
    for name in TOKENIZERS {
        let (cases, chat, _) = fixture(name);
        let how = match chat.has_template() {
            true => JudgeChat::Template,
            false => JudgeChat::None,
        };
        for case in cases {
            assert_eq!(
                prompt(&chat, &case.text, how).unwrap(),
                case.tokens,
                "{name}"
            );
        }
    }
}

#[test]
fn the_first_tokens_behind_a_prompt_are_those_of_transformers() {
    for name in TOKENIZERS {
        let (cases, chat, make) = fixture(name);
        let mut judge = make(LocalJudge::of("judge"), 4096);
        let read = read(&mut judge, &asks(&cases, Wanted::Word));
        for (case, reading) in cases.iter().zip(&read) {
            let Reading::Word(word) = reading else {
                panic!("{reading:?}");
            };
            let tokens = &word.tokens;
            assert_eq!(tokens.len(), 20);
            for (token, (id, probability)) in tokens.iter().zip(&case.top) {
                let bytes = chat.tokenizer().bytes(*id);
                assert_eq!(token.text.as_bytes(), bytes, "{name}");
                assert!(
                    (token.probability - probability).abs() < PROBABILITY,
                    "{name}"
                );
            }
            let numbers: f64 = tokens
                .iter()
                .filter(|token| token.text.trim().parse().is_ok_and(|it: u32| it <= 100))
                .map(|token| token.probability)
                .sum();
            assert!((first_token_score(tokens).mass - numbers).abs() < 1e-12);
        }
    }
}
