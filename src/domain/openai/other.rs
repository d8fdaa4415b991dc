//! The bodies of requests about tokens alone.

use serde_json::{Map, Value};

use super::Message;
use super::completion::read_token;
use super::conversation::{read_chat, read_message};
use super::drawing::fields_of;
use crate::domain::address::Address;
use crate::domain::finetune::ChatSpec;
use crate::domain::invalid::{Checked, FieldError};
use crate::domain::requests::fields::Fields;

/// What is to be tokenized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenizeInput {
    /// A text.
    Text(String),
    /// A conversation, with or without the opening of an answer.
    Messages(Vec<Message>, bool),
}

/// `POST /openai/v1/tokenize`, read.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizeRequest {
    /// Whose tokenizer; may be left out where there is one base model.
    pub model: Option<Address>,
    /// What.
    pub input: TokenizeInput,
    /// How turns become text.
    pub chat: ChatSpec,
    /// Whether the tokenizer puts its own tokens around a text; never around a conversation.
    pub add_special_tokens: bool,
    /// Whether the tokens' texts are given too.
    pub return_token_strs: bool,
}

/// `POST /openai/v1/detokenize`, read.
#[derive(Debug, Clone, PartialEq)]
pub struct DetokenizeRequest {
    /// Whose tokenizer; may be left out where there is one base model.
    pub model: Option<Address>,
    /// Token ids.
    pub tokens: Vec<u32>,
}

fn read_model(fields: &mut Fields) -> Option<Option<Address>> {
    let text = fields.optional::<String>("model")?;
    let read = text.map(|text| {
        text.parse::<Address>().map_err(|error| {
            let error = FieldError::at("/model", error.to_string());
            error.code("model_not_found").into()
        })
    });
    fields.note(read.transpose())
}

pub(super) fn read_tokenize(body: Map<String, Value>) -> Checked<TokenizeRequest> {
    let (mut fields, _) = fields_of(body)?;
    let model = read_model(&mut fields);
    let prompt = fields.optional::<String>("prompt");
    let has_messages = fields.has("messages");
    let messages = match has_messages {
        true => fields.list("messages", "give messages", read_message),
        false => Some(Vec::new()),
    };
    let generation_prompt = fields.or("add_generation_prompt", true);
    let add_special_tokens = fields.or("add_special_tokens", true);
    let return_token_strs = fields.or("return_token_strs", false);
    let chat = read_chat(&mut fields);
    let request = (|| {
        let input = match (prompt?, has_messages) {
            (Some(text), false) => TokenizeInput::Text(text),
            (None, true) => TokenizeInput::Messages(messages?, generation_prompt?),
            _ => {
                let error =
                    FieldError::at("/prompt", "exactly one of prompt and messages is needed");
                return fields.note(Err(error.into()));
            }
        };
        Some(TokenizeRequest {
            model: model?,
            input,
            chat: chat?,
            add_special_tokens: add_special_tokens?,
            return_token_strs: return_token_strs?,
        })
    })();
    fields.finish(request)
}

pub(super) fn read_detokenize(body: Map<String, Value>) -> Checked<DetokenizeRequest> {
    let (mut fields, _) = fields_of(body)?;
    let model = read_model(&mut fields);
    let tokens = fields.list("tokens", "give a list of token ids", |pointer, item| {
        read_token(pointer, &item)
    });
    let request = model.zip(tokens);
    let request = request.map(|(model, tokens)| DetokenizeRequest { model, tokens });
    fields.finish(request)
}
