//! Rows of a dataset to training examples, one line at a time. Knows no order and no step.

use super::mask::{self, Masked};
use super::{Chat, ChatError, Conversation};
use crate::domain::assets::DatasetFormat;
use crate::domain::dataset::{Row, bare, parse_row};
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
    /// The first conversation that became an example.
    pub first: Option<First>,
}

/// A conversation as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// What the template printed, whole.
    pub text: String,
    /// The system text in force, the template's own included.
    pub system: Option<String>,
}

/// Takes in the rows of a dataset.
pub struct Rows<'a> {
    chat: &'a Chat,
    asked: Asked,
    prepared: Prepared,
    line: u64,
    joined: Vec<u32>,
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
        let bytes = bare(self.line, text.as_bytes());
        if bytes.is_empty() {
            return Ok(());
        }
        self.prepared.rows += 1;
        let taken = read(bytes, self.asked.format).and_then(|row| match row {
            Row::Messages(turns) => self.messages(&Conversation::of_turns(&turns)),
            Row::Text(text) => self.text(&text),
        });
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

    fn messages(&mut self, conversation: &Conversation) -> Result<(), ChatError> {
        let spec = &self.asked.chat;
        let marked = match self.asked.on {
            LossOn::All => self.chat.unmasked(conversation, spec)?,
            LossOn::Assistant => match self.chat.masked(conversation, spec, &self.asked.loss)? {
                Ok(marked) => marked,
                Err(mask::Parts) => {
                    self.prepared.template_prefix.push(self.line);
                    return Ok(());
                }
            },
        };
        if self.prepared.first.is_none() {
            self.prepared.first = Some(First {
                text: marked.text.clone(),
                system: self.chat.system_in_force(conversation, spec)?,
            });
        }
        self.push(marked.into());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), ChatError> {
        let tokens = self.chat.encode(text)?.ids;
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

/// The row, as the check at upload reads it.
fn read(bytes: &[u8], format: DatasetFormat) -> Result<Row, ChatError> {
    let read = parse_row(bytes).map_err(|errors| {
        let told = errors.iter().map(|error| match &error.pointer {
            Some(pointer) if !pointer.is_empty() => format!("{pointer}: {}", error.detail),
            _ => error.detail.clone(),
        });
        row_error(told.collect::<Vec<_>>().join("; "))
    })?;
    if read.row.format() == format {
        return Ok(read.row);
    }
    let (found, format) = (read.row.format().name(), format.name());
    Err(row_error(format!(
        "this row is of format {found}, the dataset of format {format}"
    )))
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

    #[test]
    fn a_prompt_is_read_and_its_completion_learned() {
        let wanted = asked(DatasetFormat::Messages, 99);
        let pair = r#"{"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"a"}],
            "completion":[{"role":"assistant","content":"c"}]}"#;
        let weighed = TWO.replacen(r#""content":"b""#, r#""content":"b","weight":0"#, 1);
        let (left, right, all) = (
            prepare(CHATML, wanted.clone(), &[pair]).unwrap(),
            prepare(CHATML, wanted.clone(), &[&weighed]).unwrap(),
            prepare(CHATML, wanted, &[TWO]).unwrap(),
        );
        assert_eq!(left, right);
        assert_eq!(left.examples[0].tokens, all.examples[0].tokens);
        assert_eq!(
            (left.examples[0].targets(), all.examples[0].targets()),
            (2, 4)
        );
    }
}
