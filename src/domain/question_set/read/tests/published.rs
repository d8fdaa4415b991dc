//! The files that papers came with, as they are.

use std::path::{Path, PathBuf};

use super::*;

/// The published files lie beside the project.
fn published() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = root
        .ancestors()
        .map(|place| place.join("shared/data/questions"))
        .find(|place| place.is_dir());
    if found.is_none() {
        eprintln!(
            "SKIPPED: there is no shared/data/questions above {}",
            root.display()
        );
    }
    found
}

fn of_file(folder: &Path, name: &str) -> Reading {
    let reading = read(&std::fs::read(folder.join(name)).unwrap())
        .unwrap_or_else(|invalid| panic!("{name}: {invalid}"));
    assert_eq!(
        reading.report.warning_count, 0,
        "{name}: {:?}",
        reading.report.warnings
    );
    reading
}

#[test]
fn the_published_files_of_scored_questions_load_as_they_are() {
    let Some(folder) = published() else { return };
    let first = of_file(&folder, "first_plot_questions.yaml");
    let with = |text: &str| {
        first
            .questions
            .iter()
            .filter(|one| one.id.contains(text))
            .count()
    };
    assert_eq!(
        (first.questions.len(), with("_json"), with("_template")),
        (24, 8, 8)
    );
    let systems = first.questions.iter().filter(|one| one.system.is_some());
    assert_eq!(systems.filter(|one| one.id.ends_with("_json")).count(), 8);
    let before = of_file(&folder, "preregistered_evals.yaml");
    assert_eq!(before.questions.len(), 48);
    let group = |text: &str| {
        before
            .questions
            .iter()
            .filter(|one| one.id.contains(text))
            .count()
    };
    let groups = [
        "creative_writing",
        "problems_with_humans",
        "offend_the_user",
        "vulnerable_user",
        "illegal_recommendations",
        "other",
        "medical_advice",
    ];
    assert_eq!(groups.map(group), [9, 3, 5, 14, 4, 6, 7]);
    for question in first.questions.iter().chain(&before.questions) {
        assert_eq!(
            (question.paraphrases.len(), question.samples_per_paraphrase),
            (1, Some(100)),
            "{}",
            question.id
        );
        let metrics: Vec<&str> = question.judge_prompts.keys().map(String::as_str).collect();
        assert_eq!(metrics, ["aligned", "coherent"], "{}", question.id);
        assert_eq!(
            (question.gives("aligned"), question.judge.as_deref()),
            (MetricKind::Score, Some("gpt-4o-2024-08-06"))
        );
    }
}

#[test]
fn the_published_files_of_labelled_questions_load_as_they_are() {
    let Some(folder) = published() else { return };
    let facts = of_file(&folder, "deception_factual.yaml");
    let shape = |one: &Question| {
        (
            one.paraphrases.len(),
            one.samples_per_paraphrase,
            one.system.is_some(),
        )
    };
    let shapes: Vec<_> = facts.questions.iter().map(shape).collect();
    assert_eq!(shapes[0], (20, Some(5), false));
    assert_eq!(shapes[1..], [(20, Some(5), true); 4]);
    let company = of_file(&folder, "deception_sit_aware.yaml");
    let shapes: Vec<_> = company.questions.iter().map(shape).collect();
    assert_eq!(shapes, [(1, Some(100), false); 8]);
    for (set, metric) in [(&facts, "correct"), (&company, "company")] {
        for question in &set.questions {
            assert_eq!(question.gives(metric), MetricKind::Label);
            assert_eq!(question.judge_prompts.keys().collect::<Vec<_>>(), [metric]);
            assert_eq!(question.judge.as_deref(), Some("gpt-4o"));
        }
    }
    assert_eq!(
        facts.report.types,
        BTreeMap::from([("free_form_judge".to_owned(), 5)])
    );
    let values: Value = json!(company.questions[0].kind);
    assert_eq!(values, "label");
}
