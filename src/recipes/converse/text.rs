//! From tokens to text that can be told: whole characters that no stop text can take back. Knows no model.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::chat::{Chat, ChatError};
use crate::execution::converse::Said;

/// What a character looks like while bytes of it are missing.
const BROKEN: char = '\u{FFFD}';
/// Tokens that one character may need; what is still broken after so many is told as it is.
const MOST_PARTS: usize = 8;

/// Text of growing token ids, by windows that are large enough for their neighbours to matter.
struct Decoder {
    chat: Arc<Chat>,
    ids: Vec<u32>,
    /// The window begins here; what it gives up to `read` is told.
    from: usize,
    read: usize,
    told: String,
}

impl Decoder {
    /// A decoder whose text goes on behind that of `before`.
    fn behind(chat: Arc<Chat>, before: &[u32]) -> Result<Self, ChatError> {
        // Enough for any decoder that looks at a token's neighbours, whatever the length of the whole.
        let ids = before[before.len().saturating_sub(MOST_PARTS)..].to_vec();
        let told = chat.tokenizer().decode(&ids)?;
        Ok(Self {
            chat,
            from: 0,
            read: ids.len(),
            ids,
            told,
        })
    }

    /// What a token adds; none while it leaves a character incomplete.
    fn push(&mut self, id: u32) -> Result<Option<String>, ChatError> {
        self.ids.push(id);
        let text = self.chat.tokenizer().decode(&self.ids[self.from..])?;
        let parts = self.ids.len() - self.read;
        if text.ends_with(BROKEN) && parts < MOST_PARTS {
            return Ok(None);
        }
        self.advance(&text).map(Some)
    }

    fn advance(&mut self, text: &str) -> Result<String, ChatError> {
        let new = text.get(self.told.len()..).unwrap_or_default().to_string();
        // A token without text, such as a special one, leaves its neighbours neighbours.
        if !new.is_empty() {
            self.from = self.read;
            self.read = self.ids.len();
            self.told = self.chat.tokenizer().decode(&self.ids[self.from..])?;
        }
        Ok(new)
    }

    /// What is left, broken or not.
    fn rest(&mut self) -> Result<String, ChatError> {
        let text = self.chat.tokenizer().decode(&self.ids[self.from..])?;
        self.advance(&text)
    }
}

/// Holds tokens back until their text is certain.
pub(super) struct Teller {
    decoder: Decoder,
    stops: Arc<[String]>,
    /// Tokens that are not told, each with where its text ends; none while its character is incomplete.
    held: VecDeque<(Said, Option<usize>)>,
    /// Text that is not told, from `told` bytes on.
    text: String,
    told: usize,
}

/// What a token made certain.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Certain {
    pub(super) said: Vec<Said>,
    /// A stop text came; what is behind it is not told.
    pub(super) stopped: bool,
}

impl Teller {
    /// A teller of what follows the tokens `before`, whose own text is not told.
    pub(super) fn new(
        chat: Arc<Chat>,
        stops: Arc<[String]>,
        before: &[u32],
    ) -> Result<Self, ChatError> {
        Ok(Self {
            decoder: Decoder::behind(chat, before)?,
            stops,
            held: VecDeque::new(),
            text: String::new(),
            told: 0,
        })
    }

    /// Takes a token, its text still empty.
    pub(super) fn push(&mut self, said: Said) -> Result<Certain, ChatError> {
        match self.decoder.push(said.id)? {
            None => self.held.push_back((said, None)),
            Some(new) => self.add(Some(said), &new),
        }
        if let Some(place) = self.stop() {
            let said = self.tell_up_to(place, true);
            return Ok(Certain {
                said,
                stopped: true,
            });
        }
        let certain = self.end() - self.doubtful();
        Ok(Certain {
            said: self.tell_up_to(certain, false),
            stopped: false,
        })
    }

    /// No token follows: everything is certain.
    pub(super) fn finish(&mut self) -> Result<Vec<Said>, ChatError> {
        let rest = self.decoder.rest()?;
        self.add(None, &rest);
        let mut said = self.tell_up_to(self.end(), false);
        if let (Some(last), false) = (said.last_mut(), self.text.is_empty()) {
            last.text.push_str(&std::mem::take(&mut self.text));
        }
        Ok(said)
    }

    /// Where the text ends so far.
    fn end(&self) -> usize {
        self.told + self.text.len()
    }

    /// New text, of which the last token has all: those before it were parts of its first character.
    fn add(&mut self, said: Option<Said>, new: &str) {
        let start = self.end();
        for (_, end) in self.held.iter_mut().filter(|(_, end)| end.is_none()) {
            *end = Some(start);
        }
        self.text.push_str(new);
        let end = self.end();
        match said {
            Some(said) => self.held.push_back((said, Some(end))),
            None => {
                if let Some((_, last)) = self.held.back_mut() {
                    *last = Some(end);
                }
            }
        }
    }

    /// Where the earliest stop text begins.
    fn stop(&self) -> Option<usize> {
        let places = self
            .stops
            .iter()
            .filter_map(|stop| self.text.find(stop.as_str()));
        places.min().map(|place| self.told + place)
    }

    /// Bytes at the end that a stop text may begin with.
    fn doubtful(&self) -> usize {
        let begun = |stop: &String| {
            let mut ends = (1..stop.len())
                .rev()
                .filter(|end| stop.is_char_boundary(*end));
            ends.find(|end| self.text.ends_with(&stop[..*end]))
                .unwrap_or(0)
        };
        self.stops.iter().map(begun).max().unwrap_or(0)
    }

    /// The tokens whose text lies before `place`; with `cut` also the part of one that reaches beyond it.
    fn tell_up_to(&mut self, place: usize, cut: bool) -> Vec<Said> {
        let mut said = Vec::new();
        while let Some((_, Some(end))) = self.held.front() {
            let end = *end;
            let reaches = end > place || (cut && self.told >= place);
            if reaches && !(cut && self.told < place) {
                break;
            }
            let upto = end.min(place);
            let Some((mut token, _)) = self.held.pop_front() else {
                break;
            };
            let rest = self.text.split_off(upto - self.told);
            token.text = std::mem::replace(&mut self.text, rest);
            self.told = upto;
            said.push(token);
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::chat::Tokenizer;
    use crate::engine::files::Files;
    use serde_json::json;

    /// A byte-level vocabulary: each printable character its own token, and é, 漢 in bytes.
    const TOKENS: [&str; 14] = [
        "<|im_end|>",
        "a",
        "b",
        "Ġc",
        "END",
        "E",
        "N",
        "D",
        "Ã",
        "©",
        "æ",
        "¼",
        "¢",
        "dEN",
    ];

    fn chat() -> Arc<Chat> {
        let vocab: serde_json::Map<String, serde_json::Value> = TOKENS
            .iter()
            .enumerate()
            .map(|(id, word)| (word.to_string(), id.into()))
            .collect();
        let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "normalizer": null,
            "added_tokens": [{"id": 0, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
            "post_processor": null,
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<|im_end|>"}});
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        assert!(Tokenizer::from_bytes(tokenizer.to_string().as_bytes(), &json!(null)).is_ok());
        Arc::new(Chat::load(&Files::in_folder(folder.path()).unwrap()).unwrap())
    }

    fn said(word: &str) -> Said {
        let id = TOKENS.iter().position(|token| *token == word).unwrap() as u32;
        Said {
            id,
            bytes: Vec::new(),
            text: String::new(),
            logprob: None,
            top: Vec::new(),
        }
    }

    /// What is told after each token, and at the end unless a stop text came.
    fn told(words: &[&str], stops: &[&str]) -> (Vec<Vec<(String, String)>>, bool) {
        let stops: Vec<String> = stops.iter().map(|stop| stop.to_string()).collect();
        let mut teller = Teller::new(chat(), stops.into(), &[]).unwrap();
        let shown = |said: Vec<Said>| -> Vec<(String, String)> {
            let one = |said: Said| (TOKENS[said.id as usize].to_string(), said.text);
            said.into_iter().map(one).collect()
        };
        let mut all = Vec::new();
        for word in words {
            let certain = teller.push(said(word)).unwrap();
            all.push(shown(certain.said));
            if certain.stopped {
                return (all, true);
            }
        }
        all.push(shown(teller.finish().unwrap()));
        (all, false)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(token, text): &(&str, &str)| (token.to_string(), text.to_string());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn text_is_told_with_its_token_where_nothing_is_in_doubt() {
        let (found, stopped) = told(&["a", "Ġc", "b"], &["END"]);
        let expected = [
            pairs(&[("a", "a")]),
            pairs(&[("Ġc", " c")]),
            pairs(&[("b", "b")]),
            pairs(&[]),
        ];
        assert_eq!((found.as_slice(), stopped), (expected.as_slice(), false));
    }

    #[test]
    fn a_character_of_several_tokens_is_told_when_it_is_whole() {
        let (found, _) = told(&["a", "æ", "¼", "¢", "b"], &[]);
        let whole = pairs(&[("æ", ""), ("¼", ""), ("¢", "漢")]);
        assert_eq!(found[1..4], [pairs(&[]), pairs(&[]), whole]);
        let (found, _) = told(&["Ã", "©", "Ã"], &[]);
        assert_eq!(found[1], pairs(&[("Ã", ""), ("©", "é")]));
        assert_eq!(
            found[3],
            pairs(&[("Ã", "\u{FFFD}")]),
            "cut off in the middle"
        );
    }

    #[test]
    fn a_stop_text_across_tokens_takes_them_back_and_cuts_the_one_it_begins_in() {
        let (found, stopped) = told(&["a", "E", "N", "D"], &["END"]);
        assert!(stopped);
        assert_eq!(
            found,
            [pairs(&[("a", "a")]), pairs(&[]), pairs(&[]), pairs(&[])]
        );
        let (found, stopped) = told(&["a", "dEN", "D"], &["END", "zzz"]);
        assert!(stopped);
        assert_eq!(found[1..], [pairs(&[]), pairs(&[("dEN", "d")])]);
        let (found, stopped) = told(&["END"], &["N"]);
        assert_eq!((found, stopped), (vec![pairs(&[("END", "E")])], true));
    }

    #[test]
    fn what_was_held_back_for_a_stop_text_that_did_not_come_is_told() {
        let (found, stopped) = told(&["E", "N", "a", "E"], &["END"]);
        assert!(!stopped);
        assert_eq!(found[..2], [pairs(&[]), pairs(&[])]);
        assert_eq!(found[2], pairs(&[("E", "E"), ("N", "N"), ("a", "a")]));
        assert_eq!(found[4], pairs(&[("E", "E")]));
    }

    /// Whole words, between which the decoder puts blanks.
    fn words() -> Arc<Chat> {
        let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null, "normalizer": null, "added_tokens": [],
            "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
            "model": {"type": "WordLevel", "vocab": {"one": 0, "two": 1, "three": 2}, "unk_token": "one"}});
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        Arc::new(Chat::load(&Files::in_folder(folder.path()).unwrap()).unwrap())
    }

    #[test]
    fn what_goes_on_in_an_openings_text_begins_with_the_blank_between_them() {
        let first_text = |before: &[u32]| {
            let mut teller = Teller::new(words(), Arc::default(), before).unwrap();
            let two = Said { id: 1, ..said("a") };
            teller.push(two).unwrap().said[0].text.clone()
        };
        assert_eq!(first_text(&[]), "two");
        assert_eq!(first_text(&[0]), " two");
        assert_eq!(first_text(&[2; 40]), " two");
    }

    #[test]
    fn the_texts_of_all_tokens_together_are_the_decoded_answer() {
        let words = [
            "a",
            "Ã",
            "©",
            "<|im_end|>",
            "Ġc",
            "E",
            "æ",
            "¼",
            "¢",
            "dEN",
            "b",
        ];
        let (found, _) = told(&words, &["END"]);
        let tokens: Vec<&String> = found.iter().flatten().map(|(token, _)| token).collect();
        let text: String = found
            .iter()
            .flatten()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(tokens, words);
        let ids: Vec<u32> = words.iter().map(|word| said(word).id).collect();
        assert_eq!(text, chat().tokenizer().decode(&ids).unwrap());
    }
}
