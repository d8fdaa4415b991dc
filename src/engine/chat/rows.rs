//! Rows of a dataset to training examples, one line at a time. Knows no order and no step.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde::Deserialize;

use super::mask::{self, Masked};
use super::{Chat, ChatError, Conversation};
use crate::domain::assets::DatasetFormat;
use crate::domain::finetune::{ChatSpec, LossOn, LossSpec, Packing};
use crate::engine::train::batch::Example;

/// How rows become examples.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Form of the rows.
    pub format: DatasetFormat,
    /// Which tokens of chat rows carry loss; text rows always all.
    pub on: LossOn,
    /// What of a turn's end carries loss.
    pub loss: LossSpec,
    /// Weight of each target.
    pub weight: f64,
    /// Tokens at which an example is cut.
    pub max_tokens: u32,
    /// Joining of text rows.
    pub packing: Packing,
    /// How conversations become text.
    pub chat: ChatSpec,
}

/// What the rows of a dataset became.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prepared {
    /// In the rows' order.
    pub examples: Vec<Example>,
    /// Rows that were longer than allowed.
    pub cut: u64,
    /// Lines, counted from 1, that were left out because the template rewrites their earlier turns.
    pub template_prefix: Vec<u64>,
    /// Examples without a single target.
    pub without_target: u64,
    /// Rows in all.
    pub rows: u64,
}

/// Takes in the rows of a dataset.
pub struct Rows<'a> {
    chat: &'a Chat,
    asked: Asked,
    prepared: Prepared,
    line: u64,
    joined: Vec<u32>,
}

#[derive(Deserialize)]
struct MessagesRow {
    messages: Vec<Value>,
    #[serde(default)]
    tools: Option<Value>,
}

#[derive(Deserialize)]
struct TextRow {
    text: String,
}

impl<'a> Rows<'a> {
    /// Ready for the first line.
    pub fn new(chat: &'a Chat, asked: Asked) -> Self {
        Self {
            chat,
            asked,
            prepared: Prepared::default(),
            line: 0,
            joined: Vec::new(),
        }
    }

    /// Takes in the next line; empty ones are counted and passed over.
    ///
    /// *Errors* name the line.
    pub fn line(&mut self, text: &str) -> Result<(), ChatError> {
        self.line += 1;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Ok(());
        }
        self.prepared.rows += 1;
        let taken = match self.asked.format {
            DatasetFormat::Messages => self.messages(text),
            DatasetFormat::Text => self.text(text),
        };
        taken.map_err(|error| self.at_line(error))
    }

    /// All examples, with what is left of joined rows as a last one.
    ///
    /// *Errors* `EveryRowParts`.
    pub fn finish(mut self) -> Result<Prepared, ChatError> {
        if !self.joined.is_empty() {
            let rest = std::mem::take(&mut self.joined);
            self.push(mask::all(rest));
        }
        let rows = self.prepared.rows;
        if rows > 0 && self.prepared.template_prefix.len() as u64 == rows {
            return Err(ChatError::EveryRowParts { rows });
        }
        Ok(self.prepared)
    }

    fn messages(&mut self, text: &str) -> Result<(), ChatError> {
        let row: MessagesRow = read(text)?;
        let messages = row.messages.iter().map(plain).collect::<Result<_, _>>()?;
        let tools = row.tools.filter(|tools| !tools.is_none());
        let conversation = Conversation { messages, tools };
        let spec = &self.asked.chat;
        match self.asked.on {
            LossOn::All => {
                let masked = self.chat.unmasked(&conversation, spec)?;
                self.push(masked.into());
            }
            LossOn::Assistant => match self.chat.masked(&conversation, spec, &self.asked.loss)? {
                Ok(masked) => self.push(masked.into()),
                Err(mask::Parts) => self.prepared.template_prefix.push(self.line),
            },
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), ChatError> {
        let row: TextRow = read(text)?;
        let tokens = self.chat.encode(&row.text)?.ids;
        match self.asked.packing {
            Packing::None => self.push(mask::all(tokens)),
            Packing::Documents => self.join(tokens),
        }
        Ok(())
    }

    fn join(&mut self, tokens: Vec<u32>) {
        self.joined.extend(tokens);
        let most = (self.asked.max_tokens as usize).max(1);
        while self.joined.len() >= most {
            let rest = self.joined.split_off(most);
            let full = std::mem::replace(&mut self.joined, rest);
            self.push(mask::all(full));
        }
    }

    fn push(&mut self, mut masked: Masked) {
        let most = self.asked.max_tokens as usize;
        if masked.tokens.len() > most {
            self.prepared.cut += 1;
            masked.tokens.truncate(most);
            masked.target.truncate(most);
        }
        if let Some(first) = masked.target.first_mut() {
            *first = false;
        }
        let example = Example {
            tokens: masked.tokens,
            target: masked.target,
            weight: self.asked.weight as f32,
        };
        self.prepared.without_target += u64::from(example.targets() == 0);
        self.prepared.examples.push(example);
    }

    fn at_line(&self, error: ChatError) -> ChatError {
        match error {
            ChatError::Template { detail } => ChatError::Row {
                line: self.line,
                detail: format!("the chat template refused the conversation: {detail}"),
            },
            ChatError::Row { detail, .. } => ChatError::Row {
                line: self.line,
                detail,
            },
            other => other,
        }
    }
}

fn row_error(detail: impl Into<String>) -> ChatError {
    ChatError::Row {
        line: 0,
        detail: detail.into(),
    }
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ChatError> {
    serde_json::from_str(text).map_err(|error| row_error(error.to_string()))
}

/// A message whose content is one string: parts of text are joined, anything else is refused.
///
/// Null is refused because Jinja and this engine print it differently.
fn plain(message: &Value) -> Result<Value, ChatError> {
    let content = message
        .get_attr("content")
        .map_err(|error| row_error(error.to_string()))?;
    if content.as_str().is_some() {
        return Ok(message.clone());
    }
    let refused = || row_error("a message's content is neither a string nor a list of text parts");
    if content.kind() != ValueKind::Seq {
        return Err(refused());
    }
    let mut text = String::new();
    for part in content.try_iter().map_err(|_| refused())? {
        let piece = part.get_attr("text").map_err(|_| refused())?;
        text.push_str(piece.as_str().ok_or_else(refused)?);
    }
    let mut fields = std::collections::BTreeMap::new();
    for key in message.try_iter().map_err(|_| refused())? {
        let value = message.get_item(&key).map_err(|_| refused())?;
        fields.insert(key.to_string(), value);
    }
    fields.insert("content".to_string(), Value::from(text));
    Ok(Value::from(fields))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{CHATML, FORGETFUL, chat};
    use super::*;

    fn asked(format: DatasetFormat, max_tokens: u32) -> Asked {
        Asked {
            format,
            on: LossOn::Assistant,
            loss: LossSpec::default(),
            weight: 0.5,
            max_tokens,
            packing: Packing::None,
            chat: ChatSpec::default(),
        }
    }

    fn prepare(template: &str, asked: Asked, lines: &[&str]) -> Result<Prepared, ChatError> {
        let chat = chat(template);
        let mut rows = Rows::new(&chat, asked);
        lines.iter().try_for_each(|line| rows.line(line))?;
        rows.finish()
    }

    const ONE: &str =
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}"#;
    const TWO: &str = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
        {"role":"user","content":"a"},{"role":"assistant","content":"c"}]}"#;

    #[test]
    fn long_rows_are_cut_and_counted() {
        let prepared = prepare(CHATML, asked(DatasetFormat::Messages, 9), &[ONE, "", ONE]).unwrap();
        assert_eq!(
            (prepared.rows, prepared.cut, prepared.without_target),
            (2, 2, 2)
        );
        assert_eq!(prepared.examples[0].tokens, [1, 4, 3, 7, 2, 3, 1, 5, 3]);
        let short = prepare(CHATML, asked(DatasetFormat::Messages, 10), &[ONE]).unwrap();
        assert_eq!(short.examples[0].targets(), 1);
        assert_eq!(short.examples[0].weight, 0.5);
    }

    #[test]
    fn rows_that_the_template_rewrites_are_told_by_line_and_refused_only_together() {
        let wanted = asked(DatasetFormat::Messages, 99);
        let prepared = prepare(FORGETFUL, wanted.clone(), &[ONE, TWO]).unwrap();
        assert_eq!(
            (prepared.examples.len(), prepared.template_prefix),
            (1, vec![2])
        );
        let error = prepare(FORGETFUL, wanted, &[TWO, TWO]).unwrap_err();
        assert_eq!(error, ChatError::EveryRowParts { rows: 2 });
    }

    #[test]
    fn text_rows_are_targets_throughout_and_joined_where_asked() {
        let lines = [r#"{"text":"a b c"}"#, r#"{"text":"c c"}"#];
        let single = prepare(CHATML, asked(DatasetFormat::Text, 99), &lines).unwrap();
        assert_eq!(single.examples[0].target, [false, true, true]);
        let joined = Asked {
            packing: Packing::Documents,
            ..asked(DatasetFormat::Text, 4)
        };
        let joined = prepare(CHATML, joined, &lines).unwrap();
        let tokens: Vec<&[u32]> = joined
            .examples
            .iter()
            .map(|e| e.tokens.as_slice())
            .collect();
        assert_eq!(tokens, [&[7, 8, 9, 9][..], &[9][..]]);
    }

    #[test]
    fn null_content_is_refused_by_line_and_parts_of_text_are_joined() {
        let wanted = asked(DatasetFormat::Messages, 99);
        let null = r#"{"messages":[{"role":"user","content":null}]}"#;
        let error = prepare(CHATML, wanted.clone(), &[ONE, null])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("line 2: "), "{error}");
        let parts = ONE.replace(
            r#""content":"a""#,
            r#""content":[{"type":"text","text":"a"}]"#,
        );
        let (left, right) = (
            prepare(CHATML, wanted.clone(), &[ONE]),
            prepare(CHATML, wanted, &[&parts]),
        );
        assert_eq!(left.unwrap(), right.unwrap());
    }
}
