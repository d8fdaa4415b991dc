//! What a tokenizer.json may ask for, looked at before any of it is run.
//!
//! Its rules are a stranger's: expressions that nest until the stack ends, replacements that double a text sixty times over,
//! draws that make tokens random. The foreign code would do all of it; here it is refused by name.

use serde::Deserialize;
use serde_json::Value;

/// Longest regular expression in bytes; published ones have a few hundred.
const MOST_EXPRESSION: usize = 8 << 10;
/// Deepest nesting of its brackets.
const DEEPEST: usize = 64;
/// Times that replacements may lengthen a text.
const MOST_GROWTH: f64 = 256.0;
/// Parts of a sequence of rules.
const MOST_RULES: usize = 256;
/// Tokens that the tokenizer may put around a text.
const MOST_ADDED: usize = 64;

/// The parts that are run; the vocabulary and whatever cuts or pads is skipped.
#[derive(Deserialize)]
#[serde(default)]
struct Outline {
    normalizer: Value,
    pre_tokenizer: Value,
    post_processor: Value,
    decoder: Value,
    model: Model,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Model {
    dropout: Option<f64>,
}

impl Default for Outline {
    fn default() -> Self {
        Self {
            normalizer: Value::Null,
            pre_tokenizer: Value::Null,
            post_processor: Value::Null,
            decoder: Value::Null,
            model: Model::default(),
        }
    }
}

/// *Errors* in words: what in a tokenizer.json is not run here.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let outline: Outline = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if let Some(dropout) = outline.model.dropout.filter(|dropout| *dropout != 0.0) {
        return Err(format!(
            "model.dropout {dropout} would make tokens random; set it to null"
        ));
    }
    let parts = [
        ("normalizer", &outline.normalizer),
        ("pre_tokenizer", &outline.pre_tokenizer),
        ("post_processor", &outline.post_processor),
        ("decoder", &outline.decoder),
    ];
    for (name, part) in parts {
        let told = |detail: String| format!("{name}: {detail}");
        let mut rules = Vec::new();
        collect(part, &mut rules);
        if rules.len() > MOST_RULES {
            return Err(told(format!(
                "{} rules are more than any needs",
                rules.len()
            )));
        }
        rules
            .iter()
            .try_for_each(|rule| rule_fits(rule))
            .map_err(told)?;
        let growth: f64 = rules.iter().map(|rule| growth(rule)).product();
        if growth > MOST_GROWTH {
            let detail = "its replacements could lengthen a text more than 256-fold";
            return Err(told(detail.into()));
        }
    }
    Ok(())
}

/// Every object with a `type`, at whatever depth; the JSON reader has bounded it.
fn collect<'a>(value: &'a Value, rules: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            if map.contains_key("type") {
                rules.push(value);
            }
            map.values().for_each(|inner| collect(inner, rules));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, rules)),
        _ => {}
    }
}

fn rule_fits(rule: &Value) -> Result<(), String> {
    if rule["type"] == "Precompiled" {
        return Err("rules of type Precompiled are not supported".into());
    }
    if let Some(expression) = rule["pattern"]["Regex"].as_str() {
        check_expression(expression)?;
    }
    let prepend = rule["prepend"].as_str().map_or(0, str::len);
    if prepend > 64 {
        return Err(format!("prepend has {prepend} bytes, more than 64"));
    }
    let single = rule["single"].as_array().map_or(0, Vec::len);
    let pair = rule["pair"].as_array().map_or(0, Vec::len);
    let tokens = rule["special_tokens"].as_object().into_iter().flatten();
    let longest = tokens
        .filter_map(|(_, token)| token["ids"].as_array().map(Vec::len))
        .max()
        .unwrap_or(0);
    if single.max(pair).max(longest) > MOST_ADDED {
        return Err(format!("it adds more than {MOST_ADDED} tokens to a text"));
    }
    Ok(())
}

fn check_expression(expression: &str) -> Result<(), String> {
    if expression.len() > MOST_EXPRESSION {
        let bytes = expression.len();
        return Err(format!(
            "a regular expression has {bytes} bytes, more than {MOST_EXPRESSION}"
        ));
    }
    let (mut depth, mut deepest, mut escaped) = (0_usize, 0, false);
    for letter in expression.bytes() {
        match letter {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > DEEPEST {
        return Err(format!(
            "a regular expression is nested deeper than {DEEPEST} brackets"
        ));
    }
    Ok(())
}

/// How much longer a text can become by a rule; what an expression finds may be as short as one byte.
fn growth(rule: &Value) -> f64 {
    let content = match rule["type"].as_str() {
        Some("Replace") => rule["content"].as_str().map_or(0, str::len),
        _ => 0,
    };
    let found = rule["pattern"]["String"].as_str().map_or(1, str::len);
    match found {
        // An empty text is found between any two letters.
        0 => content as f64 + 1.0,
        found => (content as f64 / found as f64).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::super::tokenizer::Tokenizer;
    use serde_json::{Value, json};

    /// The words with other rules.
    fn with(changes: &[(&str, Value)]) -> Result<Tokenizer, String> {
        let mut json = testing::tokenizer_json();
        for (name, value) in changes {
            json[*name] = value.clone();
        }
        let loaded = Tokenizer::from_bytes(json.to_string().as_bytes(), &Value::Null);
        loaded.map_err(|error| error.to_string())
    }

    fn refusal(name: &str, rule: Value) -> String {
        let error = with(&[(name, rule)]).err().unwrap();
        assert!(error.starts_with("tokenizer.json: "), "{error}");
        error
    }

    fn split(expression: &str) -> Value {
        json!({"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": false})
    }

    #[test]
    fn rules_that_would_take_stack_memory_or_chance_without_end_are_refused_by_name() {
        let doubling = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
        let sequence = json!({"type": "Sequence", "normalizers": vec![doubling; 60]});
        assert!(refusal("normalizer", sequence).contains("256-fold"));
        let huge =
            json!({"type": "Replace", "pattern": {"Regex": "."}, "content": "x".repeat(1000)});
        assert!(refusal("decoder", huge).contains("256-fold"));
        let deep = split(&format!("{}a{}", "(".repeat(3000), ")".repeat(3000)));
        assert!(refusal("pre_tokenizer", deep).contains("nested deeper"));
        assert!(refusal("pre_tokenizer", split(&"a".repeat(10_000))).contains("10000 bytes"));
        let charsmap = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
        assert!(refusal("normalizer", charsmap).contains("Precompiled"));
        let prepend = json!({"type": "Prepend", "prepend": "x".repeat(100)});
        assert!(refusal("normalizer", prepend).contains("prepend"));
        let ids = vec![0; 1000];
        let template = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "b", "type_id": 0}}],
            "pair": [], "special_tokens": {"b": {"id": "b", "ids": ids, "tokens": []}}});
        assert!(refusal("post_processor", template).contains("adds more"));
        let random = json!({"type": "BPE", "dropout": 0.5, "vocab": {"a": 0}, "merges": []});
        assert!(refusal("model", random).contains("dropout 0.5"));
    }

    #[test]
    fn an_expression_that_backtracks_without_end_is_refused_when_the_tokenizer_is_read() {
        for expression in [r"(a+)+$", r"(\s+)+$", r"(\d+)+$"] {
            let error = refusal("pre_tokenizer", split(expression));
            assert!(error.contains("retry-limit"), "{error}");
        }
    }

    #[test]
    fn expressions_of_published_tokenizers_are_fine() {
        let published =
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|\s*[\r\n]+|\s+(?!\S)|\s+";
        assert!(with(&[("pre_tokenizer", split(published))]).is_ok());
        let repeated = split("((a{1000}){1000}){1000}");
        assert!(with(&[("pre_tokenizer", repeated)]).is_ok());
    }

    #[test]
    fn cutting_and_padding_of_the_file_play_no_part() {
        let plain = with(&[]).unwrap();
        let cut =
            json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
        let pad = json!({"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<|endoftext|>"});
        let set = with(&[("truncation", cut), ("padding", pad)]).unwrap();
        let text = "a b c a b c";
        assert_eq!(set.encode(text).unwrap(), plain.encode(text).unwrap());
    }

    #[test]
    fn numbers_and_names_beyond_reason_end_as_errors_or_work() {
        let far = json!({"type": "WordLevel", "vocab": {"a": u32::MAX, "<unk>": 0}, "unk_token": "<unk>"});
        let _ = with(&[("model", far)]);
        let bpe = json!({"type": "BPE", "vocab": {"a": u32::MAX, "b": 1}, "merges": [], "unk_token": null});
        let _ = with(&[("model", bpe)]);
        let pieces =
            json!({"type": "Unigram", "unk_id": 4_000_000_000_u32, "vocab": [["a", -1.0]]});
        assert!(with(&[("model", pieces)]).is_err());
        let missing = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "gone"});
        assert!(with(&[("model", missing)]).is_err());
        let empty = json!([{"id": 0, "content": "", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}]);
        let _ = with(&[("added_tokens", empty)]);
    }

    #[test]
    fn a_file_larger_than_any_honest_one_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        testing::write(folder.path(), testing::CHATML);
        let file = std::fs::File::create(folder.path().join("tokenizer.json")).unwrap();
        file.set_len(1 << 40).unwrap();
        let files = crate::engine::files::Files::in_folder(folder.path()).unwrap();
        let error = super::super::Chat::load(&files).err().unwrap().to_string();
        assert!(error.contains("more than the"), "{error}");
    }
}
