//! Which tokens of a conversation carry loss: by text prefixes and character offsets, never by searching for text.

use std::ops::Range;

use minijinja::Value;

use super::{Chat, ChatError, Conversation, Encoded, SETTINGS};
use crate::domain::finetune::{ChatSpec, LossSpec};

/// A conversation's tokens with those that are targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// Token ids of the whole conversation.
    pub tokens: Vec<u32>,
    /// Whether each carries loss.
    pub target: Vec<bool>,
}

/// A text with its tokens and those that are targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// What the model reads.
    pub text: String,
    /// Its tokens with their bytes.
    pub encoded: Encoded,
    /// Whether each carries loss.
    pub target: Vec<bool>,
}

impl From<Marked> for Masked {
    fn from(marked: Marked) -> Self {
        Self {
            tokens: marked.encoded.ids,
            target: marked.target,
        }
    }
}

/// The turns' texts did not begin with those before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts;

impl Chat {
    /// A conversation with its assistant turns as targets; `Parts` where the template rewrites earlier turns.
    pub fn masked(
        &self,
        conversation: &Conversation,
        spec: &ChatSpec,
        loss: &LossSpec,
    ) -> Result<Result<Marked, Parts>, ChatError> {
        let arranged = self.arranged(conversation, spec)?;
        let (whole, encoded) = self.whole(&arranged, spec, loss)?;
        let mut target = vec![false; encoded.ids.len()];
        for turn in (0..arranged.messages.len()).filter(|&turn| counts(&arranged.messages[turn])) {
            let end = match loss.reference_tail {
                true => next_user(&arranged, turn),
                false => turn + 1,
            };
            match self.turns_span(&arranged, turn..end, spec, &whole)? {
                None => return Ok(Err(Parts)),
                Some(span) => self.mark(&encoded, span, loss, &mut target),
            }
        }
        Ok(Ok(Marked {
            text: whole,
            encoded,
            target,
        }))
    }

    /// Every token of a conversation but the first.
    pub fn unmasked(
        &self,
        conversation: &Conversation,
        spec: &ChatSpec,
        loss: &LossSpec,
    ) -> Result<Marked, ChatError> {
        let arranged = self.arranged(conversation, spec)?;
        let (text, encoded) = self.whole(&arranged, spec, loss)?;
        let target = all_but_first(encoded.ids.len());
        Ok(Marked {
            text,
            encoded,
            target,
        })
    }

    /// What the model reads of a conversation.
    ///
    /// *Source* `reference_tail`: PAPER §3.4. The reference code appends the opening of another answer and the end token to
    /// the finished conversation, and lets the tokenizer put around the whole what it puts around plain text.
    fn whole(
        &self,
        arranged: &Conversation,
        spec: &ChatSpec,
        loss: &LossSpec,
    ) -> Result<(String, Encoded), ChatError> {
        let mut text = self.render(arranged, spec, loss.reference_tail)?;
        if loss.reference_tail {
            let end = self.specials().get("eos_token");
            let missing = || {
                let detail = "names no eos_token, with which loss.reference_tail ends every sample";
                ChatError::file(SETTINGS, detail)
            };
            text.push_str(end.ok_or_else(missing)?);
        }
        let encoded = self.encode_with(&text, loss.reference_tail)?;
        Ok((text, encoded))
    }

    /// Every token of a text but the first.
    pub fn marked_text(&self, text: String) -> Result<Marked, ChatError> {
        let encoded = self.encode(&text)?;
        let target = all_but_first(encoded.ids.len());
        Ok(Marked {
            text,
            encoded,
            target,
        })
    }

    /// The bytes of `whole` that turns add to the text before them with its opening; none where the texts part.
    fn turns_span(
        &self,
        conversation: &Conversation,
        turns: Range<usize>,
        spec: &ChatSpec,
        whole: &str,
    ) -> Result<Option<(usize, usize)>, ChatError> {
        let first = |count: usize| Conversation {
            messages: conversation.messages[..count].to_vec(),
            tools: conversation.tools.clone(),
        };
        let before = self.render(&first(turns.start), spec, true)?;
        let upto = match turns.end == conversation.messages.len() {
            true => whole.to_string(),
            false => self.render(&first(turns.end), spec, false)?,
        };
        let continues = whole.starts_with(&upto) && upto.starts_with(&before);
        Ok(continues.then_some((before.len(), upto.len())))
    }

    /// Marks a turn's tokens, up to its end token and beyond it as asked.
    ///
    /// The end token is the last special one of the turn; what stands behind it is what the template prints there. The
    /// reference code looks for the next user turn instead and takes everything before it.
    fn mark(&self, encoded: &Encoded, span: (usize, usize), loss: &LossSpec, target: &mut [bool]) {
        let inside = |place: &usize| (span.0..span.1).contains(&encoded.spans[*place].0);
        let places: Vec<usize> = (0..target.len()).filter(inside).collect();
        let special = |place: &usize| self.is_end(encoded.ids[*place]);
        let end = places.iter().rev().find(|place| special(place)).copied();
        for place in places {
            target[place] = match end {
                _ if loss.reference_tail => true,
                Some(end) if place == end => loss.end_of_turn,
                Some(end) if place > end => loss.after_end_of_turn,
                _ => true,
            };
        }
    }

    fn is_end(&self, id: u32) -> bool {
        self.tokenizer().is_special(id) || self.end_tokens().contains(&id)
    }
}

/// Tokens of which all but the first are targets.
pub(super) fn all(tokens: Vec<u32>) -> Masked {
    let target = all_but_first(tokens.len());
    Masked { tokens, target }
}

fn all_but_first(tokens: usize) -> Vec<bool> {
    (0..tokens).map(|place| place > 0).collect()
}

/// The first user turn behind a turn, or the end.
fn next_user(conversation: &Conversation, turn: usize) -> usize {
    let user = |message: &Value| {
        let role = message.get_attr("role").unwrap_or_default();
        role.as_str() == Some("user")
    };
    let behind = conversation.messages.iter().skip(turn + 1);
    let count = behind.take_while(|message| !user(message)).count();
    turn + 1 + count
}

/// Whether a message is an assistant turn that is not weighted 0.
fn counts(message: &Value) -> bool {
    let role = message.get_attr("role").unwrap_or_default();
    let weight = message
        .get_attr("weight")
        .ok()
        .and_then(|value| f64::try_from(value).ok());
    role.as_str() == Some("assistant") && weight != Some(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CHATML, FORGETFUL, QWEN, chat};
    use super::*;

    const TALK: &str = r#"[{"role":"user","content":"a b"},{"role":"assistant","content":"c"},
        {"role":"user","content":"a"},{"role":"assistant","content":"b c"}]"#;

    fn targets(template: &str, json: &str, loss: &LossSpec) -> Result<Vec<String>, Parts> {
        let chat = chat(template);
        let conversation = Conversation {
            messages: serde_json::from_str(json).unwrap(),
            tools: None,
        };
        let masked = chat
            .masked(&conversation, &ChatSpec::default(), loss)
            .unwrap()?;
        let shown = masked
            .encoded
            .ids
            .iter()
            .zip(&masked.target)
            .filter(|(_, target)| **target);
        Ok(shown
            .map(|(id, _)| super::super::testing::WORDS[*id as usize].to_string())
            .collect())
    }

    #[test]
    fn assistant_turns_with_their_end_tokens_are_targets() {
        let found = targets(CHATML, TALK, &LossSpec::default()).unwrap();
        assert_eq!(found, ["c", "<|im_end|>", "b", "c", "<|im_end|>"]);
    }

    #[test]
    fn the_end_token_and_what_stands_behind_it_are_targets_as_asked() {
        let loss = |end_of_turn, after_end_of_turn| LossSpec {
            end_of_turn,
            after_end_of_turn,
            ..LossSpec::default()
        };
        assert_eq!(
            targets(CHATML, TALK, &loss(false, false)).unwrap(),
            ["c", "b", "c"]
        );
        let behind = targets(CHATML, TALK, &loss(true, true)).unwrap();
        assert_eq!(
            behind,
            ["c", "<|im_end|>", "\n", "b", "c", "<|im_end|>", "\n"]
        );
    }

    #[test]
    fn the_references_tail_is_an_empty_answer_and_the_end_token_and_counts_with_all_before_the_next_user()
     {
        let loss = LossSpec {
            reference_tail: true,
            ..LossSpec::default()
        };
        let answer = ["b", "c", "<|im_end|>", "\n"];
        let tail = ["<|im_start|>", "assistant", "\n", "<|im_end|>"];
        for template in [CHATML, QWEN] {
            let found = targets(template, TALK, &loss).unwrap();
            let expected = [&["c", "<|im_end|>", "\n"][..], &answer, &tail].concat();
            assert_eq!(found, expected);
        }
        let chat = chat(QWEN);
        let conversation = Conversation {
            messages: serde_json::from_str(TALK).unwrap(),
            tools: None,
        };
        let plain = ChatSpec::default();
        let marked = chat.masked(&conversation, &plain, &loss).unwrap().unwrap();
        let end = "b c<|im_end|>\n<|im_start|>assistant\n<|im_end|>";
        assert!(marked.text.ends_with(end), "{}", marked.text);
        let all = chat.unmasked(&conversation, &plain, &loss).unwrap();
        assert_eq!((all.text, all.encoded), (marked.text, marked.encoded));
        assert_eq!(all.target.iter().filter(|target| !**target).count(), 1);
    }

    #[test]
    fn without_an_end_token_there_is_no_reference_tail() {
        let folder = tempfile::tempdir().unwrap();
        super::super::testing::write(folder.path(), CHATML);
        std::fs::write(folder.path().join(SETTINGS), "{}").unwrap();
        let files = crate::engine::files::Files::in_folder(folder.path()).unwrap();
        let loss = LossSpec {
            reference_tail: true,
            ..LossSpec::default()
        };
        let conversation = Conversation::asking(None, "a");
        let found = Chat::load(&files).unwrap();
        let error = found.unmasked(&conversation, &ChatSpec::default(), &loss);
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("eos_token") && error.contains(SETTINGS),
            "{error}"
        );
    }

    #[test]
    fn a_turn_of_weight_0_carries_no_loss() {
        let talk = TALK.replacen(r#""content":"c""#, r#""content":"c","weight":0"#, 1);
        let found = targets(CHATML, &talk, &LossSpec::default()).unwrap();
        assert_eq!(found, ["b", "c", "<|im_end|>"]);
    }

    #[test]
    fn a_template_that_rewrites_earlier_turns_parts() {
        assert_eq!(targets(FORGETFUL, TALK, &LossSpec::default()), Err(Parts));
        let single = r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#;
        let found = targets(FORGETFUL, single, &LossSpec::default()).unwrap();
        assert_eq!(found, ["b", "<|im_end|>"]);
    }
}
