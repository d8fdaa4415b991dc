//! Templates that say what they should, and templates that should never have been written.

use super::*;

fn conversation(json: &str) -> Conversation {
    let messages: Vec<Value> = serde_json::from_str(json).unwrap();
    Conversation {
        messages,
        tools: None,
    }
}

fn render(source: &str, json: &str, asked: Asked) -> Result<String, ChatError> {
    Template::compile(source, &BTreeMap::new())?.render(&conversation(json), asked)
}

#[test]
fn numbers_in_json_have_python_s_exponents() {
    // Source: json.dumps of Python 3.11.
    let messages = "[[0.0001,1.2e-5,123456789012345.6,1e15,1e16,-2.5e-7,1e22,0.5,1.0,5e-324,7]]";
    let text = render("{{ messages[0]|tojson }}", messages, Asked::default());
    let python = "[0.0001, 1.2e-05, 123456789012345.6, 1000000000000000.0, 1e+16, -2.5e-07, 1e+22, 0.5, 1.0, 5e-324, 7]";
    assert_eq!(text.unwrap(), python);
}

#[test]
fn json_is_printed_as_python_prints_it() {
    // Source: json.dumps of Python 3.11 with ensure_ascii=False, with ensure_ascii=True, with indent=2, and as named.
    let messages = r#"[{"b":1,"a":["é<&>","x'y"],"c":{}}]"#;
    let plain = render("{{ messages[0]|tojson }}", messages, Asked::default());
    assert_eq!(plain.unwrap(), r#"{"b": 1, "a": ["é<&>", "x'y"], "c": {}}"#);
    let ascii = render(
        "{{ messages[0].a|tojson(ensure_ascii=true) }}",
        messages,
        Asked::default(),
    );
    assert_eq!(ascii.unwrap(), r#"["\u00e9<&>", "x'y"]"#);
    let pretty = render(
        "{{ messages[0].a|tojson(indent=2) }}",
        messages,
        Asked::default(),
    );
    assert_eq!(pretty.unwrap(), "[\n  \"é<&>\",\n  \"x'y\"\n]");
}

#[test]
fn json_takes_separators_order_and_options_by_place() {
    // Source: json.dumps of Python 3.11.
    let messages = r#"[{"b":1,"a":[1.5,null,true],"c":{},"d":[]}]"#;
    for (filter, wanted) in [
        (
            "separators=(',',':')",
            r#"{"b":1,"a":[1.5,null,true],"c":{},"d":[]}"#,
        ),
        (
            "sort_keys=true",
            r#"{"a": [1.5, null, true], "b": 1, "c": {}, "d": []}"#,
        ),
        (
            "false, 1",
            "{\n \"b\": 1,\n \"a\": [\n  1.5,\n  null,\n  true\n ],\n \"c\": {},\n \"d\": []\n}",
        ),
    ] {
        let source = format!("{{{{ messages[0]|tojson({filter}) }}}}");
        let text = render(&source, messages, Asked::default());
        assert_eq!(text.unwrap(), wanted, "{filter}");
    }
}

#[test]
fn blocks_leave_no_blank_lines_and_generation_marks_nothing() {
    let source = "{% for m in messages %}\n  {% if true %}\n{{ m.role }}:\n  {%- generation %}\n{{ m.content }}|\n  {% endgeneration %}\n{% endfor %}\nend\n";
    let text = render(
        source,
        r#"[{"role":"user","content":"hi"}]"#,
        Asked::default(),
    );
    assert!(text.is_err(), "an unclosed block is refused");
    let source = source.replace(
        "{% endgeneration %}\n",
        "{% endgeneration %}\n{% endif %}\n",
    );
    let text = render(
        &source,
        r#"[{"role":"user","content":"hi"}]"#,
        Asked::default(),
    );
    // Source: Jinja2 3.1.6 with trim_blocks and lstrip_blocks, the tag replaced by {% if true %}.
    assert_eq!(text.unwrap(), "user:hi|\nend");
}

#[test]
fn a_date_is_printed_only_when_it_is_pinned() {
    let source = "{{ strftime_now('%d %b %Y') }}";
    let error = render(source, "[]", Asked::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("chat.date"), "{error}");
    let date = Some("2025-06-03".parse().unwrap());
    let asked = Asked {
        date,
        ..Asked::default()
    };
    assert_eq!(render(source, "[]", asked).unwrap(), "03 Jun 2025");
    let fixed = "{{ date_string|default('26 Jul 2024') }}";
    assert_eq!(render(fixed, "[]", asked).unwrap(), "03 Jun 2025");
    let unpinned = render(fixed, "[]", Asked::default());
    assert_eq!(unpinned.unwrap(), "26 Jul 2024");
}

/// Why a template is refused; within its bounds it must never end the process.
fn refusal(source: &str) -> String {
    let error = render(source, "[]", Asked::default()).unwrap_err();
    error.to_string()
}

#[test]
fn endless_work_and_endless_text_are_stopped() {
    for source in [
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x]|join %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}\
         {% set ns.x = y %}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
    ] {
        assert!(refusal(source).contains("fuel"), "{source}");
    }
    assert!(refusal("{{ range(100000000000)|list }}").contains("too many"));
    let text = "{% for i in range(9999) %}{{ 'xxxxxxxxxx' * 100 }}{% endfor %}";
    assert!(refusal(text).contains("4194304"));
}

#[test]
fn endless_recursion_is_stopped() {
    for source in [
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    ] {
        assert!(refusal(source).contains("recursion limit"), "{source}");
    }
}

#[test]
fn values_nested_or_shared_without_end_are_refused_before_they_are_printed() {
    let grown = |step: &str, end: &str| {
        format!(
            "{{% set ns = namespace(x=[1], y=[1]) %}}{{% for i in range(9999) %}}{step}{{% endfor %}}{end}"
        )
    };
    let nested = grown("{% set ns.x = [ns.x] %}", "{{ ns.x|tojson }}");
    assert!(refusal(&nested).contains("nested deeper"));
    let shared = grown(
        "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}",
        "{{ ns.x == ns.y }}",
    );
    assert!(refusal(&shared).contains("more items"));
    let joined = grown("{% set ns.x = ns.x + ns.x %}", "{{ ns.x|length }}");
    assert!(refusal(&joined).contains("more items"));
    let unrolled = format!(
        "{{% set x = [1] %}}{}{{{{ x == x }}}}",
        "{% set x = [x, x] %}".repeat(60)
    );
    assert!(refusal(&unrolled).contains("more items"));
}

#[test]
fn a_namespace_cannot_come_to_hold_itself() {
    for source in [
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x = [1] + [{'a': ns}] %}{{ ns|tojson }}",
        "{% set ns = namespace() %}{% set ns.x, y = ns, 1 %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.x|default(ns, true) %}{% endset %}{{ ns }}",
        "{% set ns = namespace() %}{% for a in [ns, 1] %}{% set ns.x = loop %}{% endfor %}{{ ns }}",
    ] {
        assert!(
            refusal(source).contains("a namespace may not hold"),
            "{source}"
        );
    }
}

#[test]
fn an_expression_as_deep_as_its_tag_is_long_ends_as_an_error_or_as_text() {
    let fill = |start: &str, unit: &str, end: &str| {
        let times = (16_000 - start.len() - end.len()) / unit.len();
        format!("{{{{ {start}{}{end} }}}}", unit.repeat(times))
    };
    assert_eq!(
        render(&fill("", "-", "1"), "[]", Asked::default())
            .unwrap()
            .len(),
        2
    );
    for source in [
        fill("x", ".a", ""),
        fill("x", "[0]", ""),
        fill("x", "()", ""),
    ] {
        assert!(render(&source, "[]", Asked::default()).is_err());
    }
    assert!(refusal(&fill("", "(", "1")).contains("syntax error"));
    assert!(refusal(&"x".repeat(200_000)).contains("131072"));
    assert!(refusal(&format!("{{{{ '{}' }}}}", "x".repeat(20_000))).contains("tags has"));
}

#[test]
fn what_the_template_raises_is_told() {
    let source = "{{ raise_exception('roles must alternate') }}";
    let error = render(source, "[]", Asked::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("roles must alternate"), "{error}");
}

#[test]
fn methods_of_python_strings_work_and_none_is_not_iterable() {
    let source = "{{ messages[0].content.strip().split(' ')[-1] }} {{ none is iterable }} {{ none }} {{ true }}";
    let text = render(source, r#"[{"content":" a bc "}]"#, Asked::default());
    assert_eq!(text.unwrap(), "bc False None True");
}

#[test]
fn conversations_are_rendered_as_transformers_renders_them() {
    // Source: scripts/oracles/generate.py.
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/generate/rendered.json"
    );
    #[derive(serde::Deserialize)]
    struct Oracle {
        messages: Vec<Value>,
        cases: Vec<serde_json::Value>,
    }
    let oracle: Oracle = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let conversation = Conversation {
        messages: oracle.messages,
        tools: None,
    };
    for case in oracle.cases {
        let source = case["template"].as_str().unwrap();
        let asked = Asked {
            generation_prompt: case["add_generation_prompt"] == true,
            ..Asked::default()
        };
        let template = Template::compile(source, &BTreeMap::new()).unwrap();
        assert_eq!(
            template.render(&conversation, asked).unwrap(),
            case["text"],
            "{source}"
        );
    }
}
