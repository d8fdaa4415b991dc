//! That the fixtures would show a mistake: spread logits, sharp attention, long sequences, texts that do not loop.

use std::collections::BTreeSet;

use super::fixture::{Fixture, all};

fn measured(fixture: &Fixture, name: &str) -> Option<f64> {
    fixture.cases.measured.get(name).copied()
}

#[test]
fn logits_are_spread_and_attention_is_far_from_uniform() {
    for fixture in all() {
        let name = &fixture.name;
        let spread = fixture.expected("logits").std(true).double_value(&[]);
        assert!((2.0..=5.0).contains(&spread), "{name}: {spread}");
        // Of the entropy of uniform attention, averaged over layers, heads and queries by the script.
        let entropy = measured(&fixture, "entropy").unwrap();
        assert!(entropy < 0.75, "{name}: {entropy}");
    }
}

#[test]
fn greedy_texts_have_twenty_distinct_tokens_and_no_close_calls() {
    for fixture in all() {
        let name = &fixture.name;
        let distinct: BTreeSet<_> = fixture.cases.greedy[0].iter().collect();
        assert_eq!(fixture.cases.greedy[0].len(), 64, "{name}");
        assert!(distinct.len() >= 20, "{name}: {}", distinct.len());
        // Ten times the bound on logits: rounding alone cannot choose another token.
        let margin = measured(&fixture, "margin").unwrap();
        assert!(margin >= 10.0 * super::FLOAT32, "{name}: {margin}");
    }
}

#[test]
fn rows_pass_four_windows_and_the_original_rotary_context_and_differ_in_length() {
    for fixture in all() {
        let (name, rows) = (&fixture.name, &fixture.cases.rows);
        let config = std::fs::read_to_string(fixture.folder.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        let text = config.get("text_config").unwrap_or(&config);
        let longest = rows[0].len() as u64;
        if let Some(window) = text["sliding_window"].as_u64().filter(|_| slides(text)) {
            assert!(longest >= 4 * window, "{name}: {longest}, window {window}");
        }
        let rope = &text["rope_parameters"];
        if let Some(original) = rope["original_max_position_embeddings"].as_u64() {
            assert!(longest >= 2 * original, "{name}: {longest} of {original}");
        }
        let lengths: BTreeSet<_> = rows.iter().map(Vec::len).collect();
        assert_eq!(
            lengths.len(),
            rows.len(),
            "{name}: padding is on every row but one"
        );
    }
}

fn slides(text: &serde_json::Value) -> bool {
    text["model_type"] != "qwen2" && text["model_type"] != "qwen3"
}

#[test]
fn scores_and_logits_reach_half_of_their_soft_caps() {
    for fixture in all().iter().filter(|fixture| fixture.name == "gemma2") {
        // The least layer's largest score over its cap, and the largest logit's, by the script.
        for share in ["score_share", "final_share"] {
            let share = measured(fixture, share).unwrap();
            assert!(share >= 0.5, "{}: {share}", fixture.name);
        }
    }
}
