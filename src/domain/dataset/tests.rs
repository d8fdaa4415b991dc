use super::*;

const GOOD: &str =
    r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#;

fn check(file: &[u8]) -> Checked<Facts> {
    let mut checker = Checker::default();
    checker.push(file);
    checker.finish()
}

fn refused(file: impl AsRef<[u8]>) -> Vec<FieldError> {
    check(file.as_ref()).unwrap_err().errors
}

#[test]
fn line_17_with_role_bot_is_named_exactly() {
    let bad = GOOD.replace("\"user\"", "\"bot\"");
    let file = [vec![GOOD; 16], vec![&bad], vec![GOOD; 3]]
        .concat()
        .join("\n");
    let detail = r#"role "bot" is not one of system, user, assistant, tool"#;
    assert_eq!(
        refused(file),
        [FieldError::on_line(17, "/messages/0/role", detail)]
    );
}

#[test]
fn rows_that_are_refused_have_a_pointer_and_a_reason() {
    let table = [
        (r#"[]"#, "", "expected an object, found an array"),
        (
            r#"{"a":1"#,
            "",
            "not JSON: EOF while parsing an object at column 6",
        ),
        (r#"{"x":1}"#, "", "neither"),
        (r#"{"messages":[],"text":"a"}"#, "", "both"),
        (
            r#"{"messages":{}}"#,
            "/messages",
            "expected a list, found an object",
        ),
        (r#"{"messages":[]}"#, "/messages", "no assistant turn"),
        (
            r#"{"messages":[{"role":"user","content":"a"}]}"#,
            "/messages",
            "no assistant turn",
        ),
        (r#"{"messages":[3]}"#, "/messages/0", "found a number"),
        (
            r#"{"messages":[{"content":"a"}]}"#,
            "/messages/0/role",
            "missing",
        ),
        (
            r#"{"messages":[{"role":1,"content":"a"}]}"#,
            "/messages/0/role",
            "found a number",
        ),
        (
            r#"{"messages":[{"role":"assistant"}]}"#,
            "/messages/0/content",
            "missing",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":null}]}"#,
            "/messages/0/content",
            "found null",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":["a"]}]}"#,
            "/messages/0/content/0",
            "found a string",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"image"}]}]}"#,
            "/messages/0/content/0/type",
            "text",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"text"}]}]}"#,
            "/messages/0/content/0/text",
            "string",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":"","name":"x"}]}"#,
            "/messages/0/name",
            "unknown key",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":""}],"tools":[]}"#,
            "/tools",
            "not supported",
        ),
        (
            r#"{"prompt":"a","completion":"b"}"#,
            "/prompt",
            "found a string",
        ),
        (r#"{"text":null}"#, "/text", "found null"),
        (r#"{"text":""}"#, "/text", "empty"),
        (r#"{"text":"\ud800"}"#, "", "not JSON: "),
    ];
    for (row, pointer, reason) in table {
        let errors = refused(row);
        assert_eq!(
            errors[0].pointer.as_deref(),
            Some(pointer),
            "{row}: {errors:?}"
        );
        assert_eq!(errors[0].line, Some(1), "{row}");
        assert!(errors[0].detail.contains(reason), "{row}: {errors:?}");
    }
}

#[test]
fn every_wrong_message_of_a_row_is_told() {
    let row = r#"{"messages":[{"role":"bot","content":1},{"role":"user"}]}"#;
    let places: Vec<_> = refused(row)
        .into_iter()
        .filter_map(|error| error.pointer)
        .collect();
    assert_eq!(
        places,
        [
            "/messages/0/role",
            "/messages/0/content",
            "/messages/1/content"
        ]
    );
}

#[test]
fn depth_is_bounded_and_brackets_in_strings_are_no_depth() {
    let nested = |levels: usize| {
        format!(
            r#"{{"text":"x","y":{}{}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(check(nested(31).as_bytes()).is_ok());
    assert!(refused(nested(32))[0].detail.contains("32 levels"));
    assert!(refused(nested(200_000))[0].detail.contains("32 levels"));
    let text = format!(r#"{{"text":"\"{}"}}"#, "[".repeat(100));
    assert!(check(text.as_bytes()).is_ok());
}

#[test]
fn byte_order_mark_crlf_and_blank_lines_are_tolerated() {
    let file = format!(
        "\u{feff}{GOOD}\r\n\r\n   \n{}\r\n\n",
        GOOD.replace('b', "c")
    );
    let facts = check(file.as_bytes()).unwrap();
    assert_eq!((facts.examples, facts.report.warning_count), (2, 0));
    let lines: Vec<u64> = rows(file.as_bytes()).map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 4]);
    for (_, row) in rows(file.as_bytes()) {
        assert!(parse_row(row).is_ok());
    }
}

#[test]
fn pieces_of_any_size_give_the_same_facts() {
    let file = format!("\u{feff}{GOOD}\r\n{{\"text\":\"é\"}}\n{GOOD}\nnonsense");
    let whole = refused(&file);
    assert_eq!(whole.len(), 2);
    for size in 1..40 {
        let mut checker = Checker::default();
        file.as_bytes()
            .chunks(size)
            .for_each(|piece| checker.push(piece));
        assert_eq!(
            checker.finish().unwrap_err().errors,
            whole,
            "pieces of {size}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_place() {
    let errors = refused(b"{\"text\":\"\xff\"}");
    assert_eq!(errors[0].detail, "byte 10 of the line is not UTF-8");
}

#[test]
fn an_overlong_line_is_refused_and_the_next_one_is_read() {
    let long = format!("{{\"text\":\"{}\"}}\nnonsense\n", "x".repeat(LINE_BYTES));
    let errors = refused(long);
    assert_eq!(errors.len(), 2);
    assert_eq!((errors[0].line, errors[1].line), (Some(1), Some(2)));
    assert!(errors[0].detail.contains("4 MiB"));
}

#[test]
fn an_empty_file_is_refused() {
    for file in ["", "\n\n", "\u{feff}\r\n"] {
        assert_eq!(refused(file)[0].detail, "the dataset is empty");
    }
}

#[test]
fn mixed_formats_are_refused_on_the_first_other_row() {
    let errors = refused(format!("{{\"text\":\"a\"}}\n{GOOD}"));
    assert_eq!(errors[0].line, Some(2));
    assert!(
        errors[0]
            .detail
            .contains("format messages, the first one of text")
    );
}

#[test]
fn twenty_errors_are_shown_and_the_rest_are_counted() {
    let errors = refused("x\n".repeat(57));
    assert_eq!(errors.len(), 20);
    assert_eq!(
        errors[19].hint.as_deref(),
        Some("20 of 57 errors are shown")
    );
}

#[test]
fn duplicates_unknown_keys_and_empty_content_are_warned_of() {
    let respelled = r#"{"id":1,"messages":[{"content":[{"type":"text","text":"a"}],"role":"user"},{"role":"assistant","content":"b"}]}"#;
    let empty = r#"{"id":2,"messages":[{"role":"assistant","content":""}]}"#;
    let facts = check(format!("{GOOD}\n{respelled}\n{empty}").as_bytes()).unwrap();
    let told: Vec<_> = facts
        .report
        .warnings
        .iter()
        .map(|w| (w.line, w.code.as_str(), w.detail.as_str()))
        .collect();
    let expected = [
        (
            2,
            "unknown_key",
            "\"id\" plays no part, here and in later rows",
        ),
        (2, "duplicate_of", "line 1"),
        (3, "empty_content", "message 0"),
    ];
    assert_eq!(told, expected);
    assert_eq!(facts.report.roles["assistant"], 3);
}

#[test]
fn warnings_beyond_twenty_are_counted() {
    let facts = check(format!("{GOOD}\n").repeat(100).as_bytes()).unwrap();
    assert_eq!(
        (facts.report.warnings.len(), facts.report.warning_count),
        (20, 99)
    );
}

#[test]
fn prompts_with_completions_and_weights_are_read_and_counted() {
    let pair = r#"{"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]}"#;
    let weighed = r#"{"messages":[{"role":"assistant","content":"a","weight":0},{"role":"assistant","content":"b","weight":1}]}"#;
    let facts = check(format!("{pair}\n{weighed}").as_bytes()).unwrap();
    assert_eq!(facts.report.forms["prompt_completion"], 1);
    assert_eq!(facts.report.forms["messages"], 1);
    let row = parse_row(weighed.as_bytes()).unwrap().row;
    let learned: Vec<bool> = row.turns().iter().map(|turn| turn.learned).collect();
    assert_eq!(learned, [false, true]);
    for (row, pointer, detail) in [
        (r#"{"prompt":[]}"#, "", "go together"),
        (
            r#"{"prompt":[{"role":"user","content":"a"}],"completion":[]}"#,
            "/completion",
            "no assistant turn",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":"a","weight":0.5}]}"#,
            "/messages/0/weight",
            "expected 0",
        ),
    ] {
        let errors = refused(row);
        assert_eq!(errors[0].pointer.as_deref(), Some(pointer), "{row}");
        assert!(errors[0].detail.contains(detail), "{:?}", errors[0]);
    }
}
