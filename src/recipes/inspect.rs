//! What a model's tokenizer and template make of text, for handlers that want an answer at once. Knows no weights.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::failure;
use crate::domain::adapter::AdapterFacts;
use crate::domain::dataset::Row;
use crate::domain::finetune::{Dtype, LossOn};
use crate::domain::invalid::Checked;
use crate::domain::job::ErrorClass;
use crate::engine::chat::{Chat, Conversation, Encoded, Marked, Parts};
use crate::engine::model::config::ModelConfig;
use crate::execution::inspect::{
    Dimensions, Inspect, Piece, RowAsk, RowTokens, TokenizeAsk, TokenizeInput, Tokenized,
    TokenizerInfo,
};
use crate::execution::{Failure, LocalFile, ModelFiles};

/// Tokenizers that are kept although nobody asks now; the larger ones take a few hundred megabytes.
const MOST: usize = 4;

/// Answers from a few tokenizers that it keeps, the last used last.
#[derive(Default)]
pub struct Inspector {
    kept: Mutex<Vec<(String, Arc<Chat>)>>,
}

impl Inspector {
    /// The tokenizer of `model`, read where it is not kept; two that ask at once may both read it.
    pub(super) fn chat(&self, model: &ModelFiles) -> Result<Arc<Chat>, Failure> {
        let known = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let place = kept.iter().position(|(key, _)| *key == model.identity);
            place.map(|place| kept.remove(place).1)
        };
        let chat = match known {
            Some(chat) => chat,
            None => Arc::new(load(model)?),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(key, _)| *key != model.identity);
        if kept.len() >= MOST {
            kept.remove(0);
        }
        kept.push((model.identity.clone(), chat.clone()));
        Ok(chat)
    }
}

fn load(model: &ModelFiles) -> Result<Chat, Failure> {
    let files = model.files.iter();
    let files = files.map(|file| (file.entry.name.clone(), file.path.clone()));
    Ok(Chat::load(&files.collect())?)
}

impl Inspect for Inspector {
    fn row(&self, model: &ModelFiles, ask: &RowAsk) -> Result<RowTokens, Failure> {
        let chat = self.chat(model)?;
        let (marked, system) = match &ask.row {
            Row::Text(text) => (chat.marked_text(text.clone())?, None),
            Row::Messages(turns) => {
                let conversation = Conversation::of_turns(turns);
                let system = chat.system_in_force(&conversation, &ask.chat)?;
                (marked(&chat, &conversation, ask)?, system)
            }
        };
        Ok(RowTokens {
            pieces: pieces(&marked.text, &marked.encoded),
            text: marked.text,
            target: marked.target,
            system,
        })
    }

    fn tokenize(&self, model: &ModelFiles, ask: &TokenizeAsk) -> Result<Tokenized, Failure> {
        let chat = self.chat(model)?;
        let text = match &ask.input {
            TokenizeInput::Text(text) => text.clone(),
            TokenizeInput::Messages {
                messages,
                generation_prompt,
            } => chat.text(&conversation(messages)?, &ask.chat, *generation_prompt)?,
        };
        let encoded = chat.encode_with(&text, ask.add_special_tokens)?;
        Ok(Tokenized {
            pieces: pieces(&text, &encoded),
            ids: encoded.ids,
            text,
        })
    }

    fn detokenize(
        &self,
        model: &ModelFiles,
        ids: &[u32],
        skip_special: bool,
    ) -> Result<String, Failure> {
        let chat = self.chat(model)?;
        Ok(if skip_special {
            chat.tokenizer().decode(ids)?
        } else {
            chat.tokenizer().spell(ids)?
        })
    }

    fn tokenizer_info(&self, model: &ModelFiles) -> Result<TokenizerInfo, Failure> {
        let chat = self.chat(model)?;
        Ok(TokenizerInfo {
            special_tokens: chat.specials().clone(),
            end_token_ids: chat.end_tokens().iter().copied().collect(),
            vocabulary: chat.tokenizer().size(),
            context_length: chat.context_length(),
            has_chat_template: chat.has_template(),
            warnings: chat.warnings().to_vec(),
        })
    }

    fn adapter(
        &self,
        base: &ModelFiles,
        files: &[LocalFile],
    ) -> Result<Checked<AdapterFacts>, Failure> {
        super::adapter::facts(base, files)
    }

    fn dimensions(&self, config: &Value) -> Result<Dimensions, Failure> {
        Ok(Dimensions {
            shape: ModelConfig::from_json(config)?.shape(),
            dtype: dtype(config),
        })
    }
}

/// The number type that a config names, under its newer or its older key, in the text part where there is one.
fn dtype(config: &Value) -> Option<Dtype> {
    let parts = [Some(config), config.get("text_config")];
    let named = parts.into_iter().flatten().find_map(|part| {
        let named = part.get("dtype").or_else(|| part.get("torch_dtype"));
        named.and_then(Value::as_str)
    });
    match named? {
        "float32" => Some(Dtype::Float32),
        "bfloat16" => Some(Dtype::Bfloat16),
        _ => None,
    }
}

fn marked(chat: &Chat, conversation: &Conversation, ask: &RowAsk) -> Result<Marked, Failure> {
    match ask.loss.on {
        LossOn::All => Ok(chat.unmasked(conversation, &ask.chat, &ask.loss)?),
        LossOn::Assistant => match chat.masked(conversation, &ask.chat, &ask.loss)? {
            Ok(marked) => Ok(marked),
            Err(Parts) => Err(failure(
                ErrorClass::Data,
                "template_prefix",
                "the chat template rewrites earlier turns of this row, so the assistant's text cannot be told apart; a fine-tune \
                 leaves the row out",
            )),
        },
    }
}

fn conversation(messages: &[Value]) -> Result<Conversation, Failure> {
    Conversation::of_json(messages)
        .map_err(|detail| failure(ErrorClass::Config, "messages", detail))
}

/// Tokens with the characters that they cover.
fn pieces(text: &str, encoded: &Encoded) -> Vec<Piece> {
    let starts: Vec<usize> = text.char_indices().map(|(byte, _)| byte).collect();
    let piece = |(id, span): (&u32, &(usize, usize))| {
        let start = starts.partition_point(|byte| *byte < floor(text, span.0));
        let end = starts.partition_point(|byte| *byte < span.1).max(start);
        let byte = |place: usize| starts.get(place).copied().unwrap_or(text.len());
        Piece {
            id: *id,
            text: text[byte(start)..byte(end)].to_string(),
            start: start as u64,
            end: end as u64,
        }
    };
    encoded.ids.iter().zip(&encoded.spans).map(piece).collect()
}

/// The first byte of the character that `byte` belongs to.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::assets::FileEntry;
    use crate::domain::dataset::parse_row;
    use crate::domain::finetune::{ChatSpec, LossSpec};
    use crate::engine::chat::testing::{self, QWEN};
    use crate::execution::LocalFile;

    fn model(folder: &std::path::Path, identity: &str, template: &str) -> ModelFiles {
        testing::write(folder, template);
        let file = |name: &str| LocalFile {
            entry: FileEntry {
                name: name.into(),
                sha256: String::new(),
                bytes: 0,
            },
            path: folder.join(name),
        };
        ModelFiles {
            identity: identity.into(),
            name: "words".into(),
            files: testing::FILES.map(file).into(),
        }
    }

    fn ask(row: &str) -> RowAsk {
        RowAsk {
            row: parse_row(row.as_bytes()).unwrap().row,
            chat: ChatSpec::default(),
            loss: LossSpec::default(),
        }
    }

    const ROW: &str =
        r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b é c"}]}"#;

    #[test]
    fn a_row_is_shown_with_its_tokens_characters_and_targets() {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path(), "one", QWEN);
        let row = Inspector::default().row(&model, &ask(ROW)).unwrap();
        assert_eq!(row.system.as_deref(), Some("you are b"));
        let letters: Vec<char> = row.text.chars().collect();
        for piece in &row.pieces {
            let shown: String = letters[piece.start as usize..piece.end as usize]
                .iter()
                .collect();
            assert_eq!(shown, piece.text);
        }
        let targets = row.pieces.iter().zip(&row.target);
        let targets: Vec<&str> = targets
            .filter(|(_, target)| **target)
            .map(|(piece, _)| piece.text.as_str())
            .collect();
        assert_eq!(targets, ["b", "é", "c", "<|im_end|>"]);
    }

    #[test]
    fn conversations_and_text_are_tokenized_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path(), "one", QWEN);
        let inspector = Inspector::default();
        let messages = |json: &str| TokenizeAsk {
            input: TokenizeInput::Messages {
                messages: serde_json::from_str(json).unwrap(),
                generation_prompt: true,
            },
            chat: ChatSpec::default(),
            add_special_tokens: false,
        };
        let found = inspector
            .tokenize(&model, &messages(r#"[{"role":"user","content":"a"}]"#))
            .unwrap();
        assert!(found.text.ends_with("<|im_start|>assistant\n"));
        assert_eq!(found.ids.len(), found.pieces.len());
        let text = inspector.detokenize(&model, &found.ids, false).unwrap();
        assert!(text.contains("<|im_start|>"), "{text}");
        let null = messages(r#"[{"role":"user","content":null}]"#);
        let error = inspector.tokenize(&model, &null).unwrap_err();
        assert!(error.message.starts_with("messages[0] "), "{error}");
    }

    #[test]
    fn facts_name_special_tokens_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path(), "one", QWEN);
        let info = Inspector::default().tokenizer_info(&model).unwrap();
        assert_eq!(info.special_tokens["eos_token"], "<|im_end|>");
        assert_eq!((info.end_token_ids, info.vocabulary), (vec![0, 2], 14));
        assert!(info.has_chat_template);
    }

    #[test]
    fn only_a_few_tokenizers_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let inspector = Inspector::default();
        for number in 0..2 * MOST {
            let model = model(folder.path(), &number.to_string(), QWEN);
            inspector.tokenizer_info(&model).unwrap();
        }
        let kept = inspector.kept.lock().unwrap();
        let keys: Vec<&str> = kept.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["4", "5", "6", "7"]);
    }
}
