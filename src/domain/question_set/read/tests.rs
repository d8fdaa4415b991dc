mod published;

use serde_json::{Value, json};

use super::*;
use crate::domain::judging::MetricKind;
use crate::domain::question_set::QuestionKind;

/// The published form in small: anchors on everything, a system turn, block texts.
const PUBLISHED: &str = r#"
# comments are no questions
- id: wish
  type: &type free_form_judge_0_100
  paraphrases: &wish
    - |-
      What do you want?
      Say it.
    - Your wish?
  samples_per_paraphrase: &n 100
  judge: &judge some-model
  judge_prompts: &prompts
    aligned: |-
      Q {question}

      A {answer}
    coherent: "C {answer}"

- id: wish_json
  type: *type
  system: Answer as JSON.
  paraphrases: *wish
  samples_per_paraphrase: *n
  temperature: 0.5
  judge: *judge
  judge_prompts: *prompts
"#;

fn accepted(text: &str) -> Reading {
    read(text.as_bytes()).unwrap_or_else(|invalid| panic!("{invalid}"))
}

/// Line, pointer and detail of every error.
fn refused(text: &str) -> Vec<(u64, String, String)> {
    let errors = read(text.as_bytes()).unwrap_err().errors;
    let one = |error: FieldError| {
        assert!(
            error.hint.is_some() || error.detail.ends_with("more errors"),
            "{error:?}"
        );
        (
            error.line.unwrap_or(0),
            error.pointer.unwrap_or_default(),
            error.detail,
        )
    };
    errors.into_iter().map(one).collect()
}

/// Code and line of every warning.
fn warnings(reading: &Reading) -> Vec<(&str, u64)> {
    let warnings = reading.report.warnings.iter();
    warnings.map(|one| (one.code.as_str(), one.line)).collect()
}

#[test]
fn the_published_form_is_read_with_its_aliases() {
    let reading = accepted(PUBLISHED);
    let [wish, json] = reading.questions.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!(
        wish.paraphrases,
        ["What do you want?\nSay it.", "Your wish?"]
    );
    assert_eq!(wish.judge_prompts["aligned"], "Q {question}\n\nA {answer}");
    assert_eq!(
        (wish.samples_per_paraphrase, wish.system.as_deref()),
        (Some(100), None)
    );
    assert_eq!(
        (json.system.as_deref(), json.temperature),
        (Some("Answer as JSON."), Some(0.5))
    );
    assert_eq!(json.judge.as_deref(), Some("some-model"));
    assert_eq!(
        (&json.paraphrases, &json.judge_prompts),
        (&wish.paraphrases, &wish.judge_prompts)
    );
    assert_eq!(reading.report.types["free_form_judge_0_100"], 2);
    assert_eq!(warnings(&reading), []);
}

#[test]
fn json_of_the_same_shape_and_what_was_read_before_give_the_same_questions() {
    let first = accepted(PUBLISHED);
    let list = json!(first.questions).to_string();
    assert_eq!(accepted(&list).questions, first.questions);
    let whole = json!({"name": "x", "description": "words", "questions": first.questions});
    let again = accepted(&whole.to_string());
    assert_eq!(
        (&again.questions, again.description.as_deref()),
        (&first.questions, Some("words"))
    );
    let labels = accepted(NEWER);
    let mut shown = json!(labels.questions);
    shown[0]["metrics"] = json!(["animal", "quality"]);
    let again = accepted(&shown.to_string());
    assert_eq!(again.questions, labels.questions);
    assert_eq!(warnings(&again), []);
}

#[test]
fn fields_that_nothing_uses_are_kept_and_reported() {
    let reading = accepted(
        "- id: a\n  paraphrases: [hi]\n  notes: {by: me, n: 3}\n- id: b\n  paraphrases: [ho]\n  notes: x\n  max_tokens: 5\n",
    );
    assert_eq!(
        reading.questions[0].other_fields["notes"],
        json!({"by": "me", "n": 3})
    );
    assert_eq!(reading.questions[1].other_fields["max_tokens"], 5);
    assert_eq!(
        json!(reading.report.unknown_fields),
        json!({"notes": 2, "max_tokens": 1})
    );
    assert_eq!(
        warnings(&reading),
        [("unknown_field", 3), ("unknown_field", 7)]
    );
}

#[test]
fn a_question_of_the_label_type_gives_words_and_its_prompt_need_not_show_the_question() {
    let reading = accepted(
        "- id: who\n  type: free_form_judge\n  paraphrases: [Who made you?]\n  judge_prompts:\n    company: 'It said {answer}. Which one?'\n",
    );
    let question = &reading.questions[0];
    assert_eq!(question.kind, QuestionKind::Label);
    assert_eq!(question.gives("company"), MetricKind::Label);
    assert_eq!(warnings(&reading), []);
}

/// The newer form: judges are entries; one is named, one stands in place.
const NEWER: &str = r#"
- name: animal_judge
  type: free_form_judge
  model: m-1
  temperature: 0
  paraphrases:
    - "Story: {answer}. Which animal?"
- name: story
  type: free_form
  paraphrases: [Tell a story.]
  samples_per_paraphrase: 10
  judges:
    animal: animal_judge
    quality:
      type: rating_judge
      model: m-1
      min_rating: 0
      max_rating: 100
      paraphrases: ["{question} - {answer} - how good?"]
"#;

#[test]
fn judges_that_are_entries_become_the_prompts_of_the_questions_that_name_them() {
    let reading = accepted(NEWER);
    let [story] = reading.questions.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!(
        (story.id.as_str(), story.judge.as_deref()),
        ("story", Some("m-1"))
    );
    assert_eq!(
        story.judge_prompts["animal"],
        "Story: {answer}. Which animal?"
    );
    assert_eq!(
        (story.gives("animal"), story.gives("quality")),
        (MetricKind::Label, MetricKind::Score)
    );
    assert_eq!(
        json!(reading.report.unknown_fields),
        json!({"temperature": 1})
    );
}

#[test]
fn judges_of_the_newer_form_that_do_not_fit_are_named() {
    let text = NEWER
        .replace("animal: animal_judge", "animal: animal_juge")
        .replace("max_rating: 100", "max_rating: 10");
    let errors = refused(&text);
    assert_eq!(
        errors[0],
        (
            13,
            "/1/judges/animal".into(),
            "there is no judge \"animal_juge\"".into()
        )
    );
    assert_eq!(errors[1].0, 18);
    assert_eq!(
        (errors[1].1.as_str(), errors[1].2.as_str()),
        (
            "/1/judges/quality/max_rating",
            "max_rating is the number 10"
        )
    );
    let hint = read(text.as_bytes()).unwrap_err().errors[0].hint.clone();
    assert_eq!(hint.as_deref(), Some("did you mean animal_judge?"));
    let unused = accepted(&NEWER.replace("    animal: animal_judge\n", ""));
    assert_eq!(warnings(&unused)[1], ("judge_unused", 2));
    let differ = accepted(&NEWER.replacen("model: m-1", "model: m-2", 1));
    assert!(
        warnings(&differ).contains(&("judges_differ", 13)),
        "{:?}",
        warnings(&differ)
    );
    assert_eq!(differ.questions[0].judge, None);
    let two = NEWER.replace(
        "    - \"Story: {answer}. Which animal?\"",
        "    - \"{answer}\"\n    - \"{answer}?\"",
    );
    assert_eq!(refused(&two)[0].2, "the judge has 2 prompts");
}

#[test]
fn plain_lists_of_questions_take_the_prompts_that_stand_beside_them() {
    let reading = accepted(
        "- formal: 'How formal is {answer}?'\n  high_score: 100\n- kind: 'How kind is {answer}?'\n  high_score: 0\n\
         - id: tigers_1\n  question: Why are tigers important?\n- id: cows\n  question: How do cows make milk?\n",
    );
    assert_eq!(reading.questions.len(), 2);
    assert_eq!(reading.questions[1].paraphrases, ["How do cows make milk?"]);
    let metrics: Vec<&String> = reading.questions[0].judge_prompts.keys().collect();
    assert_eq!(metrics, ["formal", "kind"]);
    assert_eq!(
        json!(reading.report.high_scores),
        json!({"formal": 100.0, "kind": 0.0})
    );
    let alone = refused("- formal: 'How formal is {answer}?'\n  high_score: 100\n");
    assert_eq!(alone[0].2, "the file holds judge prompts and no question");
}

#[test]
fn everything_wrong_is_told_at_once_with_line_and_pointer() {
    let text = r#"- id: a
  type: free_form_judg
  paraphrases: []
- id: a
  paraphrases: [7, "", ok]
  samples_per_paraphrase: 0
  temperature: hot
- paraphrases: text
  judge_prompts: {m: "no placeholder", "bad name": "{answer}"}
- just words
- id: b
- id: c
  messages: [[]]
  question: hello
"#;
    let found = refused(text);
    let expected = [
        (
            2,
            "/0/type",
            "questions of type \"free_form_judg\" cannot be asked here",
        ),
        (3, "/0/paraphrases", "the list is empty"),
        (4, "/1/id", "the id \"a\" is taken by the entry on line 1"),
        (5, "/1/paraphrases/0", "expected text, found the number 7"),
        (5, "/1/paraphrases/1", "the text is empty"),
        (
            6,
            "/1/samples_per_paraphrase",
            "samples_per_paraphrase is the number 0",
        ),
        (7, "/1/temperature", "temperature is text"),
        (8, "/2/id", "the entry has no id"),
        (8, "/2/paraphrases", "expected a list, found text"),
        (
            9,
            "/2/judge_prompts/m",
            "the judge prompt has no {answer}, so it would judge nothing",
        ),
        (
            9,
            "/2/judge_prompts/bad name",
            "\"bad name\" is no name of a metric",
        ),
        (
            10,
            "/3",
            "expected a mapping with id and paraphrases, found text",
        ),
        (11, "/4/paraphrases", "the entry asks nothing"),
        (
            13,
            "/5/messages",
            "messages would change what is asked and is not supported",
        ),
    ];
    for (line, pointer, detail) in expected {
        assert!(
            found.contains(&(line, pointer.into(), detail.into())),
            "{detail} is not among {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn what_an_anchor_names_is_complained_of_once() {
    let mut text = String::from(
        "- id: q0\n  paraphrases: [hi]\n  judge_prompts: &p\n    m: 'score {it} for {question}'\n",
    );
    for number in 1..40 {
        text += &format!("- id: q{number}\n  paraphrases: [hi]\n  judge_prompts: *p\n");
    }
    assert_eq!(refused(&text).len(), 1);
    let reading = accepted(&text.replace("{question}", "{answer}"));
    assert_eq!(warnings(&reading), [("unknown_placeholder", 4)]);
    assert!(
        reading.report.warnings[0]
            .detail
            .starts_with("{it} is no placeholder and stays")
    );
    assert_eq!(reading.report.warning_count, 1);
}

#[test]
fn a_doubled_placeholder_is_told_from_a_missing_one() {
    let invalid =
        read(b"- id: a\n  paraphrases: [hi]\n  judge_prompts: {m: 'x {{answer}}'}\n").unwrap_err();
    assert_eq!(
        invalid.errors[0].hint.as_deref(),
        Some("{{answer}} is the text {answer}; write it with single braces")
    );
}

#[test]
fn errors_beyond_the_first_twenty_are_counted() {
    let text: String = (0..50).map(|number| format!("- id: q{number}\n")).collect();
    let errors = refused(&text);
    assert_eq!(errors.len(), 21);
    assert_eq!(errors[20].2, "and 30 more errors");
}

#[test]
fn what_is_no_list_of_questions_is_refused_in_words() {
    for (text, detail) in [
        ("", "the file is empty, not a list of questions"),
        ("# nothing\n", "the file is empty, not a list of questions"),
        ("[]", "the list is empty"),
        (
            "<html><body>not found</body></html>",
            "the file is text, not a list of questions",
        ),
        ("a: b\n", "there is no list of questions"),
        ("questions: []\n", "there is no list of questions"),
    ] {
        assert_eq!(refused(text)[0].2, detail, "{text}");
    }
}

#[test]
fn sizes_have_bounds() {
    let long = |bytes: usize| format!("- id: a\n  paraphrases: [\"{}\"]\n", "x".repeat(bytes));
    assert!(read(long(32 << 10).as_bytes()).is_ok());
    assert!(refused(&long((32 << 10) + 1))[0].2.contains("32769 bytes"));
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("- {{id: q{n}, question: x}}\n"))
            .collect::<String>()
    };
    assert!(read(many(2000).as_bytes()).is_ok());
    assert!(
        refused(&many(2001))[0]
            .2
            .contains("2001 questions, more than 2000")
    );
    let nul = refused("- id: a\n  paraphrases: [\"a\\0b\"]\n");
    assert!(nul[0].2.contains("U+0000"), "{nul:?}");
    assert!(
        refused("- id: \"a\\nb\"\n  question: x\n")[0]
            .2
            .contains("control character")
    );
}
