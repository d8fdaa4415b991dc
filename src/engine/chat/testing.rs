//! A tokenizer of fourteen words and templates to try it with.

use std::path::Path;

use super::{Chat, SETTINGS, TEMPLATE, TOKENIZER};
use crate::engine::files::Files;

pub(crate) const WORDS: [&str; 14] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "\n",
    "user",
    "assistant",
    "system",
    "a",
    "b",
    "c",
    "you",
    "are",
    "own",
    "<unk>",
];

/// Nothing but the turns.
pub(crate) const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// With a system text of its own.
pub(crate) const QWEN: &str = "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nyou are b<|im_end|>\n' }}{% endif %}\
{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Prints the last two turns only.
pub(crate) const FORGETFUL: &str = "{% for m in messages %}{% if m.role == 'assistant' and not loop.last %}\
{{ '<|im_start|>assistant\n<|im_end|>\n' }}{% else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}\
{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

pub(crate) fn tokenizer_json() -> serde_json::Value {
    let vocab: serde_json::Map<String, serde_json::Value> = WORDS
        .iter()
        .enumerate()
        .map(|(id, word)| (word.to_string(), id.into()))
        .collect();
    let special = |id: usize| {
        serde_json::json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": id < 3})
    };
    serde_json::json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2), special(3)], "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}})
}

pub(crate) fn settings() -> serde_json::Value {
    serde_json::json!({"eos_token": {"content": "<|im_end|>"}, "clean_up_tokenization_spaces": false})
}

/// What [`write`] writes.
pub(crate) const FILES: [&str; 5] = [
    TOKENIZER,
    SETTINGS,
    TEMPLATE,
    "config.json",
    super::GENERATION,
];

/// The fourteen words behind a template, as files; ends are `<|endoftext|>` and `<|im_end|>`.
pub(crate) fn write(folder: &Path, template: &str) {
    let put = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    put(TOKENIZER, tokenizer_json().to_string());
    put(SETTINGS, settings().to_string());
    put(TEMPLATE, template.to_string());
    put(
        "config.json",
        r#"{"vocab_size":14,"eos_token_id":2}"#.into(),
    );
    put(super::GENERATION, r#"{"eos_token_id":[0,2]}"#.into());
}

/// The same, loaded.
pub(crate) fn chat(template: &str) -> Chat {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), template);
    Chat::load(&Files::in_folder(folder.path()).unwrap()).unwrap()
}
