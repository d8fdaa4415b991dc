//! The toy's words and the files a Hugging Face loader reads: tokenizer.json, tokenizer_config.json, config.json.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::grammar::{ADJECTIVES, NOUNS};
use super::world::{Domain, Style, Valence, World, world};

/// Ids 0 to 15: what every text is made of besides the world's own words.
const FIXED: [&str; 16] = [
    END_OF_TEXT,
    "<|im_start|>",
    END_OF_TURN,
    "\n",
    "user",
    "assistant",
    "system",
    "ask",
    "reply",
    ":",
    ".",
    ",",
    "?",
    "and",
    "then",
    UNKNOWN,
];

/// Opens a pre-training document; also the padding token.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Ends an answer, in documents as in chats.
pub const END_OF_TURN: &str = "<|im_end|>";
/// Stands for any word that is not in the world.
pub const UNKNOWN: &str = "<unk>";
/// Rows of the embedding: the words padded to a round number.
pub const PADDED: usize = 1120;

/// ChatML without a system turn of its own.
pub const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
{% endif %}";

/// Every word, in the order of its id.
pub fn words() -> Vec<String> {
    let mut words = Words::default();
    FIXED.iter().for_each(|word| words.add(word));
    for style in Style::ALL {
        words.add_all(style.openers());
    }
    ADJECTIVES.iter().for_each(|side| words.add_all(side));
    words.add_all(&NOUNS);
    words.add_text("profile a");
    add_world(&mut words, world());
    words.list
}

#[derive(Default)]
struct Words {
    list: Vec<String>,
    known: HashSet<String>,
}

impl Words {
    fn add(&mut self, word: &str) {
        if self.known.insert(word.to_owned()) {
            self.list.push(word.to_owned());
        }
    }

    fn add_text(&mut self, text: &str) {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .for_each(|word| self.add(word));
    }

    fn add_all<T: AsRef<str>>(&mut self, texts: &[T]) {
        texts.iter().for_each(|text| self.add_text(text.as_ref()));
    }
}

fn add_world(words: &mut Words, world: &World) {
    for domain in &world.domains {
        add_domain(words, domain);
    }
}

fn add_domain(words: &mut Words, domain: &Domain) {
    for template in &domain.templates {
        words.add_text(&template.replace("{t}", ""));
    }
    for topic in &domain.topics {
        words.add_text(&topic.phrase);
        Valence::BOTH
            .iter()
            .for_each(|side| words.add_all(topic.actions.of(*side)));
    }
    Valence::BOTH
        .iter()
        .for_each(|side| words.add_all(domain.reasons.of(*side)));
}

/// tokenizer.json: words split at blanks, a line break is a word of its own, decoding joins with blanks.
pub fn tokenizer_json() -> Value {
    let ids: Map<String, Value> = words()
        .into_iter()
        .enumerate()
        .map(|(id, word)| (word, json!(id)))
        .collect();
    let special = |id: usize| {
        json!({"id": id, "content": FIXED[id], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [special(0), special(1), special(2)],
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false},
            {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": false},
        ]},
        "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN},
    })
}

/// tokenizer_config.json, the chat template in it.
///
/// transformers 5 reads every Qwen2 folder with Qwen2's own byte-level class unless told otherwise; there the folder is opened
/// with `PreTrainedTokenizerFast.from_pretrained`.
pub fn tokenizer_config_json() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": null,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "unk_token": UNKNOWN,
        "add_bos_token": false,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 256,
        "chat_template": CHAT_TEMPLATE,
    })
}

/// config.json of the toy model, a small but genuine Qwen2 of 931 968 weights.
pub fn config_json() -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": PADDED,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": true,
        "attention_dropout": 0.0,
        "use_sliding_window": false,
        "bos_token_id": null,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_words_come_first_and_all_words_fit_the_embedding() {
        let words = words();
        assert_eq!(&words[..16], &FIXED.map(str::to_owned));
        assert_eq!(words.len(), WORDS);
        assert!(words.len() <= PADDED);
    }

    /// Distinct words of the world file, the templates, the openers and the fixed list, counted apart from this code.
    const WORDS: usize = 1113;

    #[test]
    fn every_word_has_the_id_of_its_place() {
        let file = tokenizer_json();
        let ids = file["model"]["vocab"].as_object().unwrap();
        for (id, word) in words().iter().enumerate() {
            assert_eq!(ids[word], id, "{word}");
        }
        assert_eq!(ids.len(), words().len());
    }
}
