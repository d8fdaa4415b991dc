//! The bytes of single tokens, as the vocabulary's own alphabet spells them. Knows nothing of whole texts.

use std::collections::HashMap;

use super::tokenizer::Tokenizer;

/// How a vocabulary writes bytes.
#[derive(Debug)]
pub(super) enum Spelling {
    /// Each byte as a visible character of its own.
    ByteLevel(HashMap<char, u8>),
    /// Spaces as ▁, and bytes that no token covers as `<0xAB>`.
    Pieces,
    /// As they are.
    Plain,
}

impl Spelling {
    /// Told from the decoder, which must undo it.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> Self {
        let decoder = tokenizer.get_decoder();
        let rules = decoder.and_then(|decoder| serde_json::to_string(decoder).ok());
        let rules = rules.unwrap_or_default();
        if rules.contains("\"ByteLevel\"") {
            Self::ByteLevel(visible_bytes())
        } else if rules.contains('▁') || rules.contains("\"ByteFallback\"") {
            Self::Pieces
        } else {
            Self::Plain
        }
    }

    fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel(bytes) => {
                let mut spelt = Vec::with_capacity(token.len());
                for letter in token.chars() {
                    match bytes.get(&letter) {
                        Some(byte) => spelt.push(*byte),
                        None => spelt.extend(letter.to_string().as_bytes()),
                    }
                }
                spelt
            }
            Self::Pieces => match single_byte(token) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into_bytes(),
            },
            Self::Plain => token.as_bytes().to_vec(),
        }
    }
}

/// `<0xAB>`.
fn single_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16)
        .ok()
        .filter(|_| digits.len() == 2)
}

/// Printable characters of Latin-1 stand for themselves, the other bytes, in order, for the characters from 256 on.
///
/// *Source* the byte alphabet of GPT-2's tokenizer.
fn visible_bytes() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let own = (0..=255).filter(|byte| printable(*byte));
    let own = own.map(|byte| (char::from(byte), byte));
    let moved = (0..=255).filter(|byte| !printable(*byte)).zip(256u32..);
    let moved = moved.filter_map(|(byte, code)| Some((char::from_u32(code)?, byte)));
    own.chain(moved).collect()
}

impl Tokenizer {
    /// The bytes that a token stands for; a part of a character where several tokens share one, none for an unknown id.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.inner.id_to_token(id) else {
            return Vec::new();
        };
        // Added tokens are written as they are, whatever the alphabet of the others.
        match self.added.contains(&id) {
            true => token.into_bytes(),
            false => self.spelling.bytes(&token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tokenizer(decoder: Value, words: &[&str]) -> Tokenizer {
        let vocab: serde_json::Map<String, Value> = words
            .iter()
            .zip(1..)
            .map(|(word, id)| (word.to_string(), json!(id)))
            .chain([("<unk>".to_string(), json!(0))])
            .collect();
        let json = json!({"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}});
        Tokenizer::from_bytes(json.to_string().as_bytes(), &Value::Null).unwrap()
    }

    #[test]
    fn byte_level_tokens_are_their_bytes_even_within_a_character() {
        let decoder = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
        let found = tokenizer(decoder, &["Ġhi", "Ã", "©", "Ċ", "ł", "¡"]);
        assert_eq!(found.bytes(1), b" hi");
        assert_eq!([found.bytes(2), found.bytes(3)].concat(), "é".as_bytes());
        assert_eq!(found.bytes(4), b"\n");
        // 0xa0 is the 68th byte that is not printable, counted from 0 the 67th: 256 + 66 = 'ł'.
        assert_eq!((found.bytes(5), found.bytes(6)), (vec![0xa0], vec![0xa1]));
        assert_eq!(found.bytes(0), b"<unk>");
        assert_eq!(found.bytes(99), b"");
    }

    #[test]
    fn pieces_spell_spaces_and_single_bytes() {
        let decoder = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]});
        let found = tokenizer(decoder, &["▁the", "<0xE2>", "<0xZZ>"]);
        assert_eq!(found.bytes(1), b" the");
        assert_eq!(found.bytes(2), [0xe2]);
        assert_eq!(found.bytes(3), b"<0xZZ>");
    }

    #[test]
    fn other_tokens_are_as_they_are_written() {
        assert_eq!(
            tokenizer(Value::Null, &["word▁"]).bytes(1),
            "word▁".as_bytes()
        );
    }
}
