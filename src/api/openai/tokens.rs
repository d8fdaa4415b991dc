//! Tokens alone: `tokenize`, `detokenize`, `tokenizer_info`, below `/openai/v1` and, for clients that look beside it, below
//! `/openai`.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;

use super::prepare::dated;
use super::resolve;
use super::schemas::{DetokenizeBody, TokenizeBody};
use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::api::extract::{JsonBody, Query};
use crate::api::model_files::{inspected, of_base_without_weights};
use crate::domain::address::{Address, NotAnAddress};
use crate::domain::openai::answers::{DetokenizedText, ErrorBody, Tokens};
use crate::domain::openai::{
    TokenizeInput as Input, TokenizeRequest, detokenize_request, tokenize_request,
};
use crate::execution::inspect::{TokenizeAsk, TokenizeInput};
use crate::execution::{Failure, ModelFiles};

/// Text or a conversation as tokens
///
/// `model` may be left out where there is one base model. A conversation is rendered by the model's own template.
#[utoipa::path(post, path = "/openai/v1/tokenize", tag = "inference", request_body = TokenizeBody,
    responses((status = 200, body = Tokens), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn tokenize(
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Answer<Json<Tokens>> {
    let request = tokenize_request(body)?;
    let model = reader(&state, request.model.clone()).await?;
    let strings = request.return_token_strs;
    let ask = ask_of(&state, request);
    let (tokens, info) = inspected(&state, move |inspect| {
        Ok((
            inspect.tokenize(&model, &ask)?,
            inspect.tokenizer_info(&model)?,
        ))
    })
    .await?;
    Ok(Json(Tokens {
        count: tokens.ids.len() as u64,
        max_model_len: info.context_length,
        tokens: tokens.ids,
        token_strs: strings.then(|| tokens.pieces.into_iter().map(|piece| piece.text).collect()),
    }))
}

fn ask_of(state: &ApiState, request: TokenizeRequest) -> TokenizeAsk {
    let (input, add_special_tokens) = match request.input {
        Input::Text(text) => (TokenizeInput::Text(text), request.add_special_tokens),
        Input::Messages(messages, generation_prompt) => {
            let messages = messages
                .iter()
                .map(|message| json!({"role": message.role, "content": message.content}))
                .collect();
            let turns = TokenizeInput::Messages {
                messages,
                generation_prompt,
            };
            (turns, false)
        }
    };
    TokenizeAsk {
        input,
        chat: dated(state, &request.chat),
        add_special_tokens,
    }
}

/// Tokens as text
#[utoipa::path(post, path = "/openai/v1/detokenize", tag = "inference", request_body = DetokenizeBody,
    responses((status = 200, body = DetokenizedText), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn detokenize(
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Answer<Json<DetokenizedText>> {
    let request = detokenize_request(body)?;
    let model = reader(&state, request.model).await?;
    let text = inspected(&state, move |inspect| {
        inspect.detokenize(&model, &request.tokens, false)
    });
    Ok(Json(DetokenizedText {
        prompt: text.await?,
    }))
}

/// Whose tokenizer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct InfoParameters {
    /// An address; may be left out where there is one base model.
    model: Option<String>,
}

/// What the model's files say about its tokenizer
///
/// The fields of tokenizer_config.json with the special tokens as texts and the chat template, wherever it is kept.
#[utoipa::path(get, path = "/openai/v1/tokenizer_info", tag = "inference", params(InfoParameters),
    responses((status = 200, body = Object), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn tokenizer_info(
    State(state): State<ApiState>,
    Query(parameters): Query<InfoParameters>,
) -> Answer<Json<Value>> {
    let address = parameters.model.map(|text| text.parse::<Address>());
    let address = address
        .transpose()
        .map_err(|error: NotAnAddress| resolve::unknown(error.to_string()))?;
    let model = reader(&state, address).await?;
    inspected(&state, move |inspect| {
        let info = inspect.tokenizer_info(&model)?;
        let mut told = config(&model)?;
        told.retain(|_, value| !value.is_object());
        told.extend(
            info.special_tokens
                .into_iter()
                .map(|(name, text)| (name, text.into())),
        );
        told.insert("max_model_len".into(), info.context_length.into());
        told.insert("vocab_size".into(), info.vocabulary.into());
        Ok(Json(Value::Object(told)))
    })
    .await
}

/// tokenizer_config.json with the template of chat_template.jinja, which goes before its own.
fn config(model: &ModelFiles) -> Result<Map<String, Value>, Failure> {
    let text = |name: &str| {
        let file = model.files.iter().find(|file| file.entry.name == name);
        let read = file.map(|file| std::fs::read_to_string(&file.path));
        read.transpose()
            .map_err(|error| crate::execution::files::unreadable(name, &error))
    };
    let config = text("tokenizer_config.json")?;
    let config = config.and_then(|text| serde_json::from_str(&text).ok());
    let mut config: Map<String, Value> = config.unwrap_or_default();
    if let Some(template) = text("chat_template.jinja")? {
        config.insert("chat_template".into(), template.into());
    }
    Ok(config)
}

/// The files that understand text, of the addressed base or of the only one.
async fn reader(state: &ApiState, address: Option<Address>) -> Answer<ModelFiles> {
    let address = match address {
        Some(address) => address,
        None => resolve::only_base(state).await?,
    };
    let found = resolve::find(state, &address).await?;
    of_base_without_weights(state, found.base.id.as_str()).await
}

/// The same as below /openai/v1, where lm_eval looks
#[utoipa::path(post, path = "/openai/tokenize", tag = "inference", request_body = TokenizeBody,
    responses((status = 200, body = Tokens), (status = 400, body = ErrorBody)))]
pub(super) async fn tokenize_beside(
    state: State<ApiState>,
    body: JsonBody,
) -> Result<Json<Tokens>, Problem> {
    tokenize(state, body).await
}

/// The same as below /openai/v1, where lm_eval looks
#[utoipa::path(post, path = "/openai/detokenize", tag = "inference", request_body = DetokenizeBody,
    responses((status = 200, body = DetokenizedText), (status = 400, body = ErrorBody)))]
pub(super) async fn detokenize_beside(
    state: State<ApiState>,
    body: JsonBody,
) -> Result<Json<DetokenizedText>, Problem> {
    detokenize(state, body).await
}

/// The same as below /openai/v1, where lm_eval looks
#[utoipa::path(get, path = "/openai/tokenizer_info", tag = "inference", params(InfoParameters),
    responses((status = 200, body = Object), (status = 400, body = ErrorBody)))]
pub(super) async fn tokenizer_info_beside(
    state: State<ApiState>,
    parameters: Query<InfoParameters>,
) -> Result<Json<Value>, Problem> {
    tokenizer_info(state, parameters).await
}
