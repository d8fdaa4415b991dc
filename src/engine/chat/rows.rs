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
    /// Tokens at which an example is cut; the model's context, where it is shorter, cuts first.
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
    /// Tokens at which rows were cut.
    pub limit: u64,
    /// Rows that were longer than that.
    pub cut: u64,
    /// Their tokens beyond it, which nothing is learnt from.
    pub cut_tokens: u64,
    /// Targets among those.
    pub cut_targets: u64,
    /// Tokens of the longest row, uncut.
    pub longest: u64,
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
        let most = u64::from(asked.max_tokens).max(1);
        let prepared = Prepared {
            limit: chat
                .context_length()
                .map_or(most, |context| most.min(context)),
            ..Prepared::default()
        };
        Self {
            chat,
            asked,
            prepared,
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
        let (spec, loss) = (&self.asked.chat, &self.asked.loss);
        let marked = match self.asked.on {
            LossOn::All => self.chat.unmasked(conversation, spec, loss)?,
            LossOn::Assistant => match self.chat.masked(conversation, spec, loss)? {
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
            Packing::Documents => self.join(tokens)?,
        }
        Ok(())
    }

    /// Adds a document to the running sequence, behind it the end token unless the row has its own.
    ///
    /// Attention goes on across documents, as it does in pre-training: the end token alone parts them.
    fn join(&mut self, tokens: Vec<u32>) -> Result<(), ChatError> {
        let end = self.chat.end_of_text()?;
        let ended = tokens.last() == Some(&end);
        self.prepared.longest = self.prepared.longest.max(tokens.len() as u64);
        self.joined.extend(tokens);
        self.joined.extend((!ended).then_some(end));
        let most = self.prepared.limit as usize;
        while self.joined.len() >= most {
            let rest = self.joined.split_off(most);
            let full = std::mem::replace(&mut self.joined, rest);
            self.push(mask::all(full));
        }
        Ok(())
    }

    fn push(&mut self, mut masked: Masked) {
        let (tokens, most) = (masked.tokens.len(), self.prepared.limit as usize);
        self.prepared.longest = self.prepared.longest.max(tokens as u64);
        if tokens > most {
            let beyond = masked.target[most..].iter().filter(|target| **target);
            self.prepared.cut += 1;
            self.prepared.cut_tokens += (tokens - most) as u64;
            self.prepared.cut_targets += beyond.count() as u64;
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
        // 2 is the end token, between the documents and behind the last
        assert_eq!(tokens, [&[7, 8, 9, 2][..], &[9, 9, 2][..]]);
        assert_eq!((joined.cut, joined.rows, joined.longest), (0, 2, 4));
    }

    #[test]
    fn a_document_that_ends_itself_gets_no_second_end_and_a_long_one_goes_on_in_the_next_sequence()
    {
        let joined = Asked {
            packing: Packing::Documents,
            ..asked(DatasetFormat::Text, 4)
        };
        let lines = [r#"{"text":"a <|im_end|>"}"#, r#"{"text":"b b b b b"}"#];
        let joined = prepare(CHATML, joined, &lines).unwrap();
        let tokens = joined.examples.iter().map(|one| one.tokens.as_slice());
        let tokens: Vec<&[u32]> = tokens.collect();
        assert_eq!(tokens, [&[7, 2, 8, 8], &[8, 8, 8, 2]]);
        assert_eq!(joined.examples[1].target, [false, true, true, true]);
    }

    #[test]
    fn what_is_cut_is_counted_by_rows_tokens_and_targets() {
        // twelve tokens, of which the tenth and the eleventh are targets
        let prepared = prepare(CHATML, asked(DatasetFormat::Messages, 10), &[ONE, TWO]).unwrap();
        let one = prepare(CHATML, asked(DatasetFormat::Messages, 99), &[ONE]).unwrap();
        let two = prepare(CHATML, asked(DatasetFormat::Messages, 99), &[TWO]).unwrap();
        let longer = one.longest + two.longest - 20;
        assert_eq!((prepared.cut, prepared.cut_tokens), (2, longer));
        assert_eq!((prepared.longest, prepared.limit), (two.longest, 10));
        let targets =
            |prepared: &Prepared| -> usize { prepared.examples.iter().map(Example::targets).sum() };
        let lost = targets(&one) + targets(&two) - targets(&prepared);
        assert_eq!(prepared.cut_targets, lost as u64);
    }

    #[test]
    fn the_models_context_cuts_before_a_longer_limit() {
        let folder = tempfile::tempdir().unwrap();
        super::super::testing::write(folder.path(), CHATML);
        let config = r#"{"vocab_size":14,"max_position_embeddings":9}"#;
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let files = crate::engine::files::Files::in_folder(folder.path()).unwrap();
        let chat = Chat::load(&files).unwrap();
        let mut rows = Rows::new(&chat, asked(DatasetFormat::Messages, 2048));
        rows.line(ONE).unwrap();
        let prepared = rows.finish().unwrap();
        assert_eq!((prepared.limit, prepared.cut), (9, 1));
        assert_eq!(prepared.examples[0].tokens.len(), 9);
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
