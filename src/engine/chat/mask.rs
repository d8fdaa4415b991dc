//! Which tokens of a conversation carry loss: by text prefixes and character offsets, never by searching for text.

use minijinja::Value;

use super::{Chat, ChatError, Conversation, Encoded};
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
        let whole = self.render(&arranged, spec, false)?;
        let encoded = self.encode(&whole)?;
        let mut target = vec![false; encoded.ids.len()];
        for turn in (0..arranged.messages.len()).filter(|&turn| counts(&arranged.messages[turn])) {
            match self.turn_span(&arranged, turn, spec, &whole)? {
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
    ) -> Result<Marked, ChatError> {
        let arranged = self.arranged(conversation, spec)?;
        self.marked_text(self.render(&arranged, spec, false)?)
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

    /// The bytes of `whole` that a turn adds to the text before it with its opening; none where the texts part.
    fn turn_span(
        &self,
        conversation: &Conversation,
        turn: usize,
        spec: &ChatSpec,
        whole: &str,
    ) -> Result<Option<(usize, usize)>, ChatError> {
        let first = |count: usize| Conversation {
            messages: conversation.messages[..count].to_vec(),
            tools: conversation.tools.clone(),
        };
        let before = self.render(&first(turn), spec, true)?;
        let last = turn + 1 == conversation.messages.len();
        let upto = if last {
            whole.to_string()
        } else {
            self.render(&first(turn + 1), spec, false)?
        };
        let continues = whole.starts_with(&upto) && upto.starts_with(&before);
        Ok(continues.then_some((before.len(), upto.len())))
    }

    /// Marks a turn's tokens, up to its end token and beyond it as asked.
    ///
    /// The end token is the last special one of the turn; what stands behind it is what the template prints there.
    fn mark(&self, encoded: &Encoded, span: (usize, usize), loss: &LossSpec, target: &mut [bool]) {
        let inside = |place: &usize| (span.0..span.1).contains(&encoded.spans[*place].0);
        let places: Vec<usize> = (0..target.len()).filter(inside).collect();
        let special = |place: &usize| self.is_end(encoded.ids[*place]);
        let end = places.iter().rev().find(|place| special(place)).copied();
        for place in places {
            target[place] = match end {
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
    use super::super::testing::{CHATML, FORGETFUL, chat};
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
