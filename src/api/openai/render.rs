//! Tokens as the two kinds of completion tell them.

use std::collections::BTreeMap;

use crate::domain::openai::answers::{ChatLogprobs, ChatToken, TextLogprobs, TopToken};
use crate::execution::converse::Said;

/// What stands for the logarithm of 0, which JSON cannot say.
const IMPOSSIBLE: f32 = -9999.0;

fn told(logprob: f32) -> f32 {
    if logprob.is_finite() {
        logprob
    } else {
        IMPOSSIBLE
    }
}

/// A token's text; parts of characters by their bytes.
pub(super) fn token_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let digits: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("bytes:{digits}")
        }
    }
}

/// Probabilities of a chat's tokens.
pub(super) fn chat_logprobs(tokens: &[Said]) -> ChatLogprobs {
    let content = tokens.iter().map(|said| ChatToken {
        token: token_text(&said.bytes),
        logprob: told(said.logprob.unwrap_or(f32::NEG_INFINITY)),
        bytes: said.bytes.clone(),
        top_logprobs: said
            .top
            .iter()
            .map(|(_, bytes, logprob)| TopToken {
                token: token_text(bytes),
                logprob: told(*logprob),
                bytes: bytes.clone(),
            })
            .collect(),
    });
    ChatLogprobs {
        content: content.collect(),
        refusal: None,
    }
}

/// How far a completion's text is told.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Offset(u64);

impl Offset {
    /// Probabilities of the next `tokens`.
    pub fn logprobs<'a>(&mut self, tokens: impl Iterator<Item = &'a Said>) -> TextLogprobs {
        let mut told = TextLogprobs::default();
        for said in tokens {
            self.push(&mut told, said);
        }
        told
    }

    fn push(&mut self, list: &mut TextLogprobs, said: &Said) {
        let text = token_text(&said.bytes);
        let logprob = said.logprob.map(told);
        let top = logprob.map(|own| {
            let mut top = BTreeMap::new();
            // the best first, so that of two tokens with one text the better stays
            for (_, bytes, logprob) in &said.top {
                top.entry(token_text(bytes)).or_insert(told(*logprob));
            }
            top.entry(text.clone()).or_insert(own);
            top
        });
        list.tokens.push(text);
        list.token_logprobs.push(logprob);
        list.top_logprobs.push(top);
        list.text_offset.push(self.0);
        self.0 += characters_begun(&said.bytes);
    }
}

/// Characters whose first byte is among `bytes` (RFC 3629: the others begin with the bits 10).
fn characters_begun(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8], logprob: Option<f32>) -> Said {
        Said {
            id: 0,
            bytes: bytes.to_vec(),
            text: String::new(),
            logprob,
            top: vec![
                (1, b"x".to_vec(), -0.5),
                (2, b"x".to_vec(), -0.75),
                (3, b"y".to_vec(), f32::NEG_INFINITY),
            ],
        }
    }

    #[test]
    fn offsets_count_characters_though_tokens_split_them() {
        // é is c3 a9, € is e2 82 ac
        let tokens = [
            said(b"a\xc3", None),
            said(b"\xa9b", Some(-1.0)),
            said(b"\xe2\x82\xac", Some(-1.0)),
            said(b"c", Some(-1.0)),
        ];
        let told = Offset::default().logprobs(tokens.iter());
        assert_eq!(told.text_offset, [0, 2, 3, 4]);
        assert_eq!(
            told.tokens,
            ["bytes:\\x61\\xc3", "bytes:\\xa9\\x62", "€", "c"]
        );
    }

    #[test]
    fn the_first_token_of_an_echo_has_no_probability() {
        let tokens = [said(b"a", None), said(b"b", Some(-3.0))];
        let told = Offset::default().logprobs(tokens.iter());
        assert_eq!(told.token_logprobs, [None, Some(-3.0)]);
        assert_eq!(told.top_logprobs[0], None);
        let top = told.top_logprobs[1].clone().unwrap();
        assert_eq!((top["x"], top["y"], top["b"]), (-0.5, -9999.0, -3.0));
    }
}
