use serde_json::{Value, json};

use super::*;
use crate::domain::invalid::Invalid;

fn chat(change: impl Fn(&mut Value)) -> Checked<ChatRequest> {
    let mut body = json!({"model":"toy","messages":[{"role":"user","content":"Hi"}]});
    change(&mut body);
    chat_request(body, &Bounds::default())
}

fn completion(change: impl Fn(&mut Value)) -> Checked<CompletionRequest> {
    let mut body = json!({"model":"toy","prompt":"Hi"});
    change(&mut body);
    completion_request(body, &Bounds::default())
}

/// The one error: pointer and text.
fn only<T: std::fmt::Debug>(read: Checked<T>) -> (String, String) {
    let Invalid { errors } = read.unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let error = &errors[0];
    (error.pointer.clone().unwrap(), error.detail.clone())
}

fn pointer_with(key: &str, value: Value) -> String {
    only(chat(|body| body[key] = value.clone())).0
}

#[test]
fn the_shortest_chat_has_the_documented_defaults() {
    let request = chat(|_| {}).unwrap();
    assert_eq!(request.model, Address::of_base("toy"));
    assert_eq!(request.messages[0].content, "Hi");
    let drawing = &request.drawing;
    assert_eq!((drawing.temperature, drawing.top_p), (1.0, 1.0));
    assert_eq!((drawing.top_k, drawing.repetition_penalty), (0, 1.0));
    assert_eq!((drawing.answers, drawing.seed), (1, None));
    assert_eq!((drawing.max_tokens, drawing.top_logprobs), (None, None));
}

#[test]
fn what_the_clients_send_is_read() {
    let request = chat(|body| {
        body["n"] = json!(4);
        body["seed"] = json!(-1);
        body["stop"] = json!(["\n", "END"]);
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        body["logprobs"] = json!(true);
        body["top_logprobs"] = json!(20);
        body["max_completion_tokens"] = json!(7);
        body["max_tokens"] = Value::Null;
        body["top_k"] = json!(-1);
        body["user"] = json!("me");
        body["frequency_penalty"] = json!(0);
        body["tools"] = json!([]);
        body["chat_template_kwargs"] = json!({"enable_thinking": false});
        body["date"] = json!("2025-06-13");
        body["messages"] = json!([
            {"role":"system","content":[{"type":"text","text":"Be "},{"type":"text","text":"brief"}]},
            {"role":"user","content":"Hi"},
            {"role":"assistant","content":"Ho","refusal":null,"tool_calls":null},
            {"role":"user","content":"Hm"}
        ]);
    });
    let request = request.unwrap();
    assert_eq!(request.messages[0].content, "Be brief");
    assert_eq!(request.drawing.max_tokens, Some(7));
    assert_eq!(request.drawing.seed, Some(u64::MAX));
    assert_eq!(request.drawing.top_logprobs, Some(20));
    assert!(request.drawing.include_usage);
    assert_eq!(request.chat.enable_thinking, Some(false));
    assert_eq!(request.ignored, ["user"]);
}

#[test]
fn a_parameter_that_would_change_the_answer_is_refused_by_name() {
    for (key, value) in [
        ("logit_bias", json!({"5": 1})),
        ("tools", json!([{"type": "function"}])),
        ("tool_choice", json!("required")),
        ("response_format", json!({"type": "json_object"})),
        ("frequency_penalty", json!(0.1)),
        ("presence_penalty", json!(-1)),
        ("modalities", json!(["text", "audio"])),
        ("audio", json!({"voice": "x"})),
        ("reasoning_effort", json!("low")),
    ] {
        let Invalid { errors } = chat(|body| body[key] = value.clone()).unwrap_err();
        assert_eq!(errors[0].pointer.as_deref(), Some(&*format!("/{key}")));
        assert_eq!(errors[0].code.as_deref(), Some("unsupported_parameter"));
        assert!(errors[0].detail.contains(key), "{errors:?}");
    }
    assert_eq!(pointer_with("no_such_thing", json!(1)), "/no_such_thing");
}

#[test]
fn values_out_of_bounds_and_of_wrong_types_are_named() {
    for (key, value) in [
        ("temperature", json!(-0.1)),
        ("temperature", json!("hot")),
        ("top_p", json!(0)),
        ("top_p", json!(1.5)),
        ("top_k", json!(-2)),
        ("n", json!(0)),
        ("n", json!(1.5)),
        ("n", json!(129)),
        ("seed", json!(1.5)),
        ("seed", json!("x")),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-1)),
        ("max_tokens", json!(4097)),
        ("stop", json!({})),
        ("stream", json!("yes")),
        ("top_logprobs", json!(5)),
        ("stream_options", json!({"include_usage": true})),
        ("date", json!("today")),
        ("system", json!("You are")),
        ("model", json!(7)),
        ("model", json!("a b")),
        ("repetition_penalty", json!(0)),
    ] {
        let found = pointer_with(key, value.clone());
        assert_eq!(found, format!("/{key}"), "{value}");
    }
    let stops: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    assert_eq!(pointer_with("stop", json!(stops)), "/stop");
    assert_eq!(pointer_with("stop", json!(["a", ""])), "/stop/1");
    assert_eq!(pointer_with("stop", json!([3])), "/stop/0");
    let kwargs = json!({"enable_thinking": "no"});
    let place = "/chat_template_kwargs/enable_thinking";
    assert_eq!(pointer_with("chat_template_kwargs", kwargs), place);
}

#[test]
fn answers_times_tokens_are_bounded_and_the_error_names_the_numbers() {
    let (pointer, detail) = only(chat(|body| {
        body["n"] = json!(128);
        body["max_tokens"] = json!(1024);
    }));
    assert_eq!(pointer, "/max_tokens");
    for part in [
        "n 128",
        "max_tokens 1024",
        "131072",
        "65536",
        "inference.drawn_tokens",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
}

#[test]
fn a_conversation_needs_turns_with_known_roles_and_text() {
    let turn = |message: Value| only(chat(|body| body["messages"] = json!([message])));
    assert_eq!(pointer_with("messages", json!([])), "/messages");
    assert_eq!(pointer_with("messages", json!("Hi")), "/messages");
    let (pointer, detail) = turn(json!({"role":"bot","content":"x"}));
    assert_eq!(pointer, "/messages/0/role");
    assert!(detail.contains("\"bot\"") && detail.contains("system, user, assistant, tool"));
    let (pointer, detail) = turn(json!({"role":"user","content":null}));
    assert_eq!(pointer, "/messages/0/content");
    assert!(detail.contains("null"), "{detail}");
    assert_eq!(turn(json!({"role":"user"})).0, "/messages/0/content");
    assert_eq!(turn(json!({"content":"x"})).0, "/messages/0/role");
    assert_eq!(
        turn(json!({"role":"user","content":[]})).0,
        "/messages/0/content"
    );
    let image = json!([{"type":"image_url","image_url":{"url":"x"}}]);
    assert_eq!(
        turn(json!({"role":"user","content":image})).0,
        "/messages/0/content/0/type"
    );
    let calls = json!({"role":"assistant","content":"x","tool_calls":[{}]});
    assert_eq!(turn(calls).0, "/messages/0/tool_calls");
}

#[test]
fn prompts_come_in_four_forms() {
    let prompts = |value: Value| {
        completion(|body| body["prompt"] = value.clone())
            .unwrap()
            .prompts
    };
    let text = |text: &str| Prompt::Text(text.into());
    assert_eq!(prompts(json!("a")), [text("a")]);
    assert_eq!(prompts(json!(["a", "b"])), [text("a"), text("b")]);
    assert_eq!(prompts(json!([1, 2])), [Prompt::Tokens(vec![1, 2])]);
    let two = [Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2, 3])];
    assert_eq!(prompts(json!([[1], [2, 3]])), two);
    for (value, place) in [
        (json!([]), "/prompt"),
        (json!([[]]), "/prompt/0"),
        (json!([1, -2]), "/prompt/1"),
        (json!([[1], [1.5]]), "/prompt/1/0"),
        (json!([4_294_967_296_u64]), "/prompt/0"),
        (json!(["a", null]), "/prompt/1"),
        (json!({}), "/prompt"),
        (json!(vec!["x"; 257]), "/prompt"),
    ] {
        assert_eq!(
            only(completion(|body| body["prompt"] = value.clone())).0,
            place,
            "{value}"
        );
    }
}

#[test]
fn an_opening_alone_is_scored_with_echo_and_no_new_tokens() {
    let scored = completion(|body| {
        body["max_tokens"] = json!(0);
        body["echo"] = json!(true);
        body["logprobs"] = json!(1);
    });
    assert_eq!(scored.unwrap().drawing.max_tokens, Some(0));
    let nothing = completion(|body| body["max_tokens"] = json!(0));
    assert_eq!(only(nothing).0, "/max_tokens");
    assert_eq!(
        only(completion(|body| body["logprobs"] = json!(21))).0,
        "/logprobs"
    );
    assert_eq!(
        only(completion(|body| body["logprobs"] = json!(true))).0,
        "/logprobs"
    );
    assert_eq!(
        only(completion(|body| body["suffix"] = json!("x"))).0,
        "/suffix"
    );
}

#[test]
fn best_of_is_refused_unless_it_is_n() {
    let with = |n: Option<u32>, best_of: u32| {
        completion(|body| {
            body["best_of"] = json!(best_of);
            if let Some(n) = n {
                body["n"] = json!(n);
            }
        })
    };
    assert!(with(Some(3), 3).is_ok() && with(None, 1).is_ok());
    assert_eq!(only(with(Some(1), 3)).0, "/best_of");
    assert_eq!(only(with(None, 2)).0, "/best_of");
}

#[test]
fn tokens_are_asked_of_a_text_or_of_a_conversation() {
    let text = tokenize_request(json!({"prompt":"test","add_special_tokens":false})).unwrap();
    assert_eq!(text.input, TokenizeInput::Text("test".into()));
    assert!(text.model.is_none() && !text.add_special_tokens);
    let turns = json!({"model":"toy","messages":[{"role":"user","content":"Hi"}],"add_generation_prompt":false});
    let turns = tokenize_request(turns).unwrap();
    assert!(matches!(turns.input, TokenizeInput::Messages(_, false)));
    assert_eq!(only(tokenize_request(json!({"model":"toy"}))).0, "/prompt");
    let tokens = detokenize_request(json!({"tokens":[1,2]})).unwrap();
    assert_eq!(tokens.tokens, [1, 2]);
    assert_eq!(
        only(detokenize_request(json!({"tokens":[1,"x"]}))).0,
        "/tokens/1"
    );
}
