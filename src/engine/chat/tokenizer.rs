//! tokenizer.json and the settings beside it: text to token ids and back, special tokens, end tokens.
//!
//! The file is a stranger's: whatever is in it, loading ends with an error that names it and never with the process.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value;

use super::spelling::Spelling;
use super::{ChatError, vetted};
use crate::engine::files::Files;

/// File of the vocabulary and its rules.
pub const TOKENIZER: &str = "tokenizer.json";
/// File of the special tokens' names and, often, of the chat template.
pub const SETTINGS: &str = "tokenizer_config.json";
const MOST_BYTES: u64 = 64 << 20;
/// What expressions that backtrack without end stumble over, so often.
const RUNS: [&str; 10] = ["a", "A", "1", " ", "\n", "!", "'", "é", "你", "aA1 "];
const PROBED: usize = 500;

/// Text to token ids and back.
pub struct Tokenizer {
    pub(super) inner: tokenizers::Tokenizer,
    /// Tokens that are written as they are.
    pub(super) added: BTreeSet<u32>,
    pub(super) spelling: Spelling,
    specials: BTreeSet<u32>,
    tidy: bool,
}

/// A text as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids.
    pub ids: Vec<u32>,
    /// First and last-but-one byte of each token in the text.
    pub spans: Vec<(usize, usize)>,
}

impl Tokenizer {
    /// Reads tokenizer.json; `settings` is the content of tokenizer_config.json.
    ///
    /// *Errors* name the file: too large, not JSON, not a tokenizer, or one that fails on a plain sentence.
    pub fn load(files: &Files, settings: &Value) -> Result<Self, ChatError> {
        let bytes = read_capped(
            TOKENIZER,
            files.require(TOKENIZER).map_err(ChatError::engine)?,
        )?;
        Self::from_bytes(&bytes, settings)
    }

    /// The same from the file's bytes.
    pub fn from_bytes(bytes: &[u8], settings: &Value) -> Result<Self, ChatError> {
        vetted::check(bytes).map_err(|detail| ChatError::file(TOKENIZER, detail))?;
        let mut inner = guarded("loading", || tokenizers::Tokenizer::from_bytes(bytes))?;
        // What a file says about cutting and padding belongs to other programs' batches.
        inner.with_padding(None);
        guarded("loading", || inner.with_truncation(None).map(|_| ()))?;
        let added = inner.get_added_tokens_decoder();
        let specials = added.iter().filter(|(_, token)| token.special);
        let tidy = settings["clean_up_tokenization_spaces"] == Value::Bool(true);
        let tokenizer = Self {
            specials: specials.map(|(id, _)| *id).collect(),
            added: added.keys().copied().collect(),
            spelling: Spelling::of(&inner),
            inner,
            tidy,
        };
        tokenizer.probe()?;
        Ok(tokenizer)
    }

    /// *Errors* rules that fail on a plain sentence, or that try for ever on long runs of one letter.
    fn probe(&self) -> Result<(), ChatError> {
        let sentence = self.encode_with("Hello, world! 你好 1 + 2\n", true)?;
        self.decode(&sentence.ids)?;
        RUNS.iter().try_for_each(|run| {
            let text = run.repeat(PROBED) + "\u{1}!";
            self.encode(&text).map(|_| ())
        })
    }

    /// Tokens of `text`, none added.
    pub fn encode(&self, text: &str) -> Result<Encoded, ChatError> {
        self.encode_with(text, false)
    }

    /// Tokens of `text`, with those that the tokenizer puts before and behind plain text where `add_special` is set.
    pub fn encode_with(&self, text: &str, add_special: bool) -> Result<Encoded, ChatError> {
        let encoding = guarded("encoding", || self.inner.encode(text, add_special))?;
        Ok(Encoded {
            ids: encoding.get_ids().to_vec(),
            spans: encoding.get_offsets().to_vec(),
        })
    }

    /// Text of tokens, special ones left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ChatError> {
        let text = guarded("decoding", || self.inner.decode(ids, true))?;
        Ok(if self.tidy { tidied(&text) } else { text })
    }

    /// Text of tokens with the special ones in it, for people who want to see what a model sees.
    pub fn spell(&self, ids: &[u32]) -> Result<String, ChatError> {
        guarded("decoding", || self.inner.decode(ids, false))
    }

    /// Tokens in all, added ones included.
    pub fn size(&self) -> u64 {
        self.inner.get_vocab_size(true) as u64
    }

    /// The id of a token's text.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether a token is one of those that text never spells by chance.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.contains(&id)
    }

    /// The token with the smallest id that is not below `count`.
    pub fn first_beyond(&self, count: u64) -> Option<(u32, String)> {
        let all = self.inner.get_vocab(true).into_iter();
        all.filter(|(_, id)| u64::from(*id) >= count)
            .map(|(token, id)| (id, token))
            .min()
    }
}

/// Runs foreign code over foreign data: a panic becomes an error like any other.
fn guarded<T>(doing: &str, work: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, ChatError> {
    let detail = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let told = panic.downcast_ref::<String>().map(String::as_str);
            let told = told.or_else(|| panic.downcast_ref::<&str>().copied());
            format!(
                "its rules contradict each other: {}",
                told.unwrap_or("it panicked")
            )
        }
    };
    let detail: String = detail.chars().take(300).collect();
    Err(ChatError::file(
        TOKENIZER,
        format!("{doing} failed: {detail}"),
    ))
}

/// Bytes of a file that is not larger than any honest one.
pub(super) fn read_capped(name: &str, path: &Path) -> Result<Vec<u8>, ChatError> {
    let fail = |error: std::io::Error| ChatError::file(name, error.to_string());
    let bytes = std::fs::metadata(path).map_err(fail)?.len();
    if bytes > MOST_BYTES {
        let detail = format!("{bytes} bytes are more than the {MOST_BYTES} that are read");
        return Err(ChatError::file(name, detail));
    }
    std::fs::read(path).map_err(fail)
}

/// The JSON of an optional file; null where it is absent.
pub(super) fn optional_json(files: &Files, name: &str) -> Result<Value, ChatError> {
    let Some(path) = files.get(name) else {
        return Ok(Value::Null);
    };
    let bytes = read_capped(name, path)?;
    serde_json::from_slice(&bytes).map_err(|error| ChatError::file(name, error.to_string()))
}

/// *Source* transformers' `clean_up_tokenization`.
fn tidied(text: &str) -> String {
    let pairs = [
        (" .", "."),
        (" ?", "?"),
        (" !", "!"),
        (" ,", ","),
        (" ' ", "'"),
        (" n't", "n't"),
        (" 'm", "'m"),
        (" 's", "'s"),
        (" 've", "'ve"),
        (" 're", "'re"),
    ];
    let start = text.to_string();
    pairs
        .iter()
        .fold(start, |text, (from, to)| text.replace(from, to))
}
