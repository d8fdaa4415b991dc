//! The arrows of the design, read from the sources: who may use which module, and who may name which crate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module → modules of the crate that it may use. `*` is everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("artifacts", &["domain", "execution"]),
    ("bundle", &["domain"]),
    ("storage", &["domain", "execution"]),
    ("engine", &["domain"]),
    ("execution", &["domain", "artifacts"]),
    ("hub", &["domain", "artifacts", "execution"]),
    ("judging", &["domain", "execution"]),
    ("toyworld", &["domain"]),
    (
        "recipes",
        &["domain", "artifacts", "execution", "engine", "toyworld"],
    ),
    ("worker", &["domain", "storage", "execution"]),
    (
        "api",
        &[
            "domain",
            "storage",
            "artifacts",
            "bundle",
            "execution",
            "plot",
            "toyworld",
            "web",
        ],
    ),
    ("plot", &["domain"]),
    ("web", &["domain", "plot"]),
    ("client", &["domain"]),
    ("config", &["domain"]),
    ("telemetry", &["domain", "config"]),
    ("app", &["*"]),
    (
        "cli",
        &[
            "app", "bundle", "client", "config", "domain", "plot", "toyworld",
        ],
    ),
    (
        "main",
        &["app", "cli", "client", "config", "domain", "engine"],
    ),
];

/// External crate → modules that may name it.
const OWNERS: &[(&str, &[&str])] = &[
    ("tch", &["engine"]),
    ("torch_sys", &["engine"]),
    ("tokenizers", &["engine"]),
    ("safetensors", &["engine"]),
    ("minijinja", &["engine"]),
    ("sqlx", &["storage"]),
    ("axum", &["api", "app"]),
    ("parquet", &["api"]),
    ("serde_saphyr", &["domain"]),
    ("maud", &["web"]),
    ("zip", &["bundle"]),
    ("tower_http", &["api", "app"]),
    ("hyper", &["api", "app"]),
    ("hyper_util", &["api", "app"]),
    ("reqwest", &["client", "hub", "judging"]),
    ("figment", &["config"]),
    ("tracing_subscriber", &["telemetry"]),
    ("clap", &["cli", "main"]),
    ("indicatif", &["cli"]),
    ("resvg", &["plot"]),
    ("epaint_default_fonts", &["plot"]),
];

/// Modules in which nothing may be asynchronous.
const BLOCKING: &[&str] = &["engine", "recipes"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with its path of modules: `src/engine/model/rope.rs` is `["engine", "model", "rope"]`.
fn modules() -> Vec<(Vec<String>, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    paths
        .iter()
        .map(|path| (module_of(path.strip_prefix(&root).unwrap()), code_of(path)))
        .collect()
}

fn module_of(relative: &Path) -> Vec<String> {
    let mut parts: Vec<String> = relative
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The file without comments.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .collect();
    lines.join("\n")
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Names right behind each `prefix` (such as `crate::`), braces opened: `crate::{a::b, c}` gives a and c.
fn names_behind(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (start, _) in code.match_indices(prefix) {
        if code[..start]
            .chars()
            .next_back()
            .is_some_and(|before| is_word(before) || before == ':' || before == '$')
        {
            continue;
        }
        let rest = &code[start + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(first_words_of_group(group)),
            None => names.extend(first_word(rest)),
        }
    }
    names
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text.chars().take_while(|c| is_word(*c)).collect();
    (!word.is_empty()).then_some(word)
}

fn first_words_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut at_start, mut words) = (1, true, Vec::new());
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => at_start = true,
            c if depth == 1 && at_start && is_word(c) => {
                words.extend(first_word(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    words
}

/// Top-level modules of the crate that this file names, through `crate::`, `vivarium::` or enough `super::`.
fn used(module: &[String], code: &str) -> BTreeSet<String> {
    let mut names = names_behind(code, "crate::");
    names.extend(names_behind(code, "vivarium::"));
    let depth = module.len();
    if depth > 0 {
        names.extend(names_behind(code, &"super::".repeat(depth)));
    }
    names
}

fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let in_path = code.match_indices(&path).any(|(start, _)| {
        !code[..start]
            .chars()
            .next_back()
            .is_some_and(|before| is_word(before) || before == ':')
    });
    in_path || code.contains(&format!("use {name};"))
}

#[test]
fn only_the_arrows_of_the_design_exist() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (module, code) in modules() {
        let Some(top) = module
            .first()
            .map(String::as_str)
            .filter(|top| *top != "lib")
        else {
            continue;
        };
        let Some(allowed) = arrows.get(top) else {
            wrong.push(format!(
                "src/{top} stands nowhere in the design; give it a row"
            ));
            continue;
        };
        let known = |name: &str| arrows.contains_key(name);
        for name in used(&module, &code) {
            let fine = name == top || allowed.contains(&"*") || allowed.contains(&name.as_str());
            if known(&name) && !fine {
                wrong.push(format!("{} uses {name}", module.join("::")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that the design does not have:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_crate_is_named_only_where_its_owner_is() {
    let mut wrong = Vec::new();
    for (module, code) in modules() {
        let top = module.first().cloned().unwrap_or_default();
        for (name, owners) in OWNERS {
            if names_crate(&code, name) && !owners.contains(&top.as_str()) {
                wrong.push(format!("{} names {name}", module.join("::")));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "crates named outside their owners:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn engine_and_recipes_hold_nothing_asynchronous() {
    for (module, code) in modules() {
        if module
            .first()
            .is_some_and(|top| BLOCKING.contains(&top.as_str()))
        {
            for word in ["async fn", "async move", ".await", "tokio::"] {
                assert!(!code.contains(word), "{} holds `{word}`", module.join("::"));
            }
        }
    }
}

#[test]
fn time_and_randomness_are_asked_for_in_named_places_only() {
    let free = ["app", "worker", "client", "cli", "main", "api"];
    for (module, code) in modules() {
        let top = module.first().cloned().unwrap_or_default();
        if free.contains(&top.as_str())
            || module == ["domain", "time"]
            || module.starts_with(&["storage".into(), "embedded".into()])
        {
            continue;
        }
        for call in [
            "SystemTime::now",
            "Instant::now",
            "now_utc",
            "Uuid::now_v7",
            "Uuid::new_v4",
            "rand::",
        ] {
            assert!(
                !code.contains(call),
                "{} calls {call}; take it as a parameter",
                module.join("::")
            );
        }
    }
}

#[test]
fn sql_reads_time_only_through_its_one_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<(String, String)> = modules()
        .into_iter()
        .filter(|(module, _)| module.first().is_some_and(|top| top == "storage"))
        .map(|(m, c)| (m.join("::"), c))
        .collect();
    for entry in std::fs::read_dir(root.join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        texts.push((
            path.display().to_string(),
            std::fs::read_to_string(&path).unwrap(),
        ));
    }
    for (name, text) in texts {
        let lower = text.to_lowercase().replace("queue_now()", "");
        for clock in [
            "now()",
            "current_timestamp",
            "localtimestamp",
            "statement_timestamp",
            "transaction_timestamp",
        ] {
            assert!(!lower.contains(clock), "{name} asks {clock}");
        }
        let asked = lower.matches("clock_timestamp()").count();
        assert!(
            asked == 0 || (name.ends_with("0001_first.sql") && asked == 1),
            "{name} asks clock_timestamp()"
        );
    }
}

/// A file that no `mod` line names is compiled by nobody and fails for nobody.
#[test]
fn every_file_of_tests_is_in_the_binary() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let registered = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry
            .unwrap()
            .path()
            .file_stem()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let line = format!("mod {name};");
        assert!(
            name == "main" || registered.lines().any(|found| found == line),
            "tests/it/main.rs lacks `{line}`"
        );
    }
}

#[test]
fn the_reader_of_arrows_sees_each_way_of_naming_a_module() {
    let module = ["engine".to_owned(), "train".to_owned()];
    let code = "use crate::storage::x; use super::super::api::y; use crate::{worker::{a, b}, domain}; fn f(c: &crate::artifacts::S) {}";
    let seen = used(&module, code);
    for name in ["storage", "api", "worker", "domain", "artifacts"] {
        assert!(seen.contains(name), "{name} was not seen in {seen:?}");
    }
    assert!(
        names_crate("let t = tch::Tensor::new();", "tch")
            && !names_crate("batch::tch_like::f()", "tch")
    );
}
