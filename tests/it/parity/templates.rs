//! Published chat templates, rendered here and by transformers.
//!
//! *Source* scripts/parity/templates.py writes cases.json; templates are fetched by it and never stored.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Value;
use serde::Deserialize;
use serde_json::json;
use vivarium::domain::finetune::ChatSpec;
use vivarium::engine::chat::{Chat, Conversation};
use vivarium::engine::files::Files;

#[derive(Deserialize)]
struct Cases {
    date: String,
    templates: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    name: String,
    source: String,
    tokens: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    messages: Vec<Value>,
    tools: Option<Value>,
    add_generation_prompt: bool,
    /// Whether a date is pinned.
    date: bool,
    enable_thinking: Option<bool>,
    /// What transformers made of it; none where it refused.
    text: Option<String>,
}

/// How the renderings of a template went.
#[derive(Default)]
struct Score {
    equal: usize,
    /// The conversations of which at least one rendering is equal.
    conversations: BTreeSet<String>,
    both_refused: usize,
    parted: Vec<String>,
}

fn chat(published: &Published) -> Result<Chat, String> {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}});
    put("tokenizer.json", tokenizer.to_string());
    put("tokenizer_config.json", json!(published.tokens).to_string());
    put("chat_template.jinja", published.source.clone());
    Chat::load(&Files::in_folder(folder.path()).unwrap()).map_err(|error| error.to_string())
}

fn render(chat: &Chat, case: &Case, date: &str) -> Result<String, String> {
    let conversation = Conversation {
        messages: case.messages.clone(),
        tools: case.tools.clone(),
    };
    let spec = ChatSpec {
        date: case.date.then(|| date.into()),
        enable_thinking: case.enable_thinking,
        ..ChatSpec::default()
    };
    let text = chat.text(&conversation, &spec, case.add_generation_prompt);
    text.map_err(|error| error.to_string())
}

fn score(published: &Published, date: &str) -> Score {
    let mut score = Score::default();
    let chat = match chat(published) {
        Ok(chat) => chat,
        Err(error) => {
            score.parted.push(format!("does not load: {error}"));
            return score;
        }
    };
    for case in &published.cases {
        match (render(&chat, case, date), &case.text) {
            (Ok(ours), Some(theirs)) if ours == *theirs => {
                score.equal += 1;
                score.conversations.insert(case.name.clone());
            }
            (Err(_), None) => score.both_refused += 1,
            (ours, theirs) => score
                .parted
                .push(difference(case, &ours, theirs.as_deref())),
        }
    }
    score
}

fn difference(case: &Case, ours: &Result<String, String>, theirs: Option<&str>) -> String {
    let told = match (ours, theirs) {
        (Ok(_), None) => "rendered here, refused by transformers".into(),
        (Err(error), _) => format!("refused here: {error}"),
        (Ok(ours), Some(theirs)) => {
            let same = ours.bytes().zip(theirs.bytes()).take_while(|(a, b)| a == b);
            let place = same.count();
            let near = |text: &str| {
                let bytes = &text.as_bytes()[place.min(text.len())..];
                String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned()
            };
            format!(
                "byte {place}: {:?} instead of {:?}",
                near(ours),
                near(theirs)
            )
        }
    };
    let (opening, thinking) = (case.add_generation_prompt, case.enable_thinking);
    format!(
        "{}, opening {opening}, thinking {thinking:?}: {told}",
        case.name
    )
}

#[test]
#[ignore = "needs VIVARIUM_TEMPLATES, a folder made by scripts/parity/templates.py; make parity runs it"]
fn published_templates_are_rendered_as_transformers_renders_them() {
    let folder = std::env::var("VIVARIUM_TEMPLATES").unwrap();
    let text = std::fs::read(std::path::Path::new(&folder).join("cases.json")).unwrap();
    let cases: Cases = serde_json::from_slice(&text).unwrap();
    println!("conversations renderings refused parted  template");
    let (mut parted, mut thin) = (0, Vec::new());
    for published in &cases.templates {
        let score = score(published, &cases.date);
        let (conversations, differ) = (score.conversations.len(), score.parted.len());
        println!(
            "{conversations:>13} {:>10} {:>7} {differ:>6}  {}",
            score.equal, score.both_refused, published.name,
        );
        score
            .parted
            .iter()
            .take(6)
            .for_each(|one| println!("    {one}"));
        parted += differ;
        if conversations < 10 {
            thin.push(&published.name);
        }
    }
    assert!(
        cases.templates.len() >= 20,
        "{} templates",
        cases.templates.len()
    );
    assert_eq!(parted, 0, "renderings differ");
    assert!(thin.is_empty(), "fewer than ten conversations: {thin:?}");
}
