//! `POST /openai/v1/completions`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::note_ignored;
use super::prepare::{Head, Wanted, of_prompt, prepare};
use super::render::Offset;
use super::schemas::TextCompletionRequest;
use super::stream::{self, Form};
use super::telling::{Piece, Telling};
use crate::api::ApiState;
use crate::api::error::Answer;
use crate::api::extract::JsonBody;
use crate::domain::openai::answers::{ErrorBody, TextChoice, TextCompletion, Usage};
use crate::domain::openai::completion_request;

/// Go on from texts or tokens
///
/// With `echo` and `logprobs` the prompt's own probabilities are told, with `max_tokens` 0 these alone; an end token is told
/// among the tokens though it is no part of the text. Texts get what the model's tokenizer puts around them, tokens are taken
/// as they are. Each prompt is answered as it would be alone under the same seed. Defaults are those of a chat.
#[utoipa::path(post, path = "/openai/v1/completions", tag = "inference", request_body = TextCompletionRequest,
    responses(
        (status = 200, content((TextCompletion = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = ErrorBody, description = "a parameter cannot be used"),
        (status = 404, body = ErrorBody, description = "no such model"),
        (status = 429, body = ErrorBody, description = "the queue of the device is full"),
        (status = 503, body = ErrorBody, description = "this process runs no models")
    ))]
pub(super) async fn create(
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Answer<Response> {
    let is_list = body.get("prompt").is_some_and(is_list);
    let request = completion_request(body, &state.settings.inference.bounds)?;
    let openings = request.prompts.into_iter().enumerate();
    let openings = openings.map(|(index, prompt)| {
        let pointer = if is_list {
            format!("/prompt/{index}")
        } else {
            "/prompt".into()
        };
        (of_prompt(prompt), pointer)
    });
    let wanted = Wanted {
        prefix: "cmpl",
        model: &request.model,
        openings: openings.collect(),
        drawing: &request.drawing,
        echo: request.echo,
        continues: true,
    };
    let prepared = prepare(&state, wanted).await?;
    let mut telling = Telling::start(&state, prepared.inquiries)?;
    let mut form = TextForm {
        head: prepared.head,
        logprobs: request.drawing.top_logprobs.is_some(),
        include_usage: request.drawing.include_usage,
        offsets: HashMap::new(),
    };
    let mut response = if request.drawing.stream {
        stream::respond(&state, telling, form)
    } else {
        let answers = telling.whole().await?;
        form.include_usage = true;
        let choices = answers.into_iter().map(|answer| form.choice(answer));
        let choices = choices.collect();
        Json(form.completion(choices, Some(telling.usage()))).into_response()
    };
    note_ignored(response.headers_mut(), &request.ignored);
    Ok(response)
}

/// Whether a prompt is a list of prompts, not one of tokens.
fn is_list(prompt: &serde_json::Value) -> bool {
    let first = prompt.as_array().and_then(|items| items.first());
    first.is_some_and(|first| !first.is_number())
}

/// Completions, whole or in pieces.
struct TextForm {
    head: Head,
    logprobs: bool,
    include_usage: bool,
    offsets: HashMap<u32, Offset>,
}

impl TextForm {
    fn choice(&mut self, piece: Piece) -> TextChoice {
        let offset = self.offsets.entry(piece.choice).or_default();
        let tokens = piece.tokens.iter().chain(&piece.end);
        TextChoice {
            index: piece.choice,
            logprobs: self.logprobs.then(|| offset.logprobs(tokens)),
            text: piece.text,
            finish_reason: piece.finish,
        }
    }

    fn completion(&self, choices: Vec<TextChoice>, usage: Option<Usage>) -> TextCompletion {
        TextCompletion {
            id: self.head.id.clone(),
            object: "text_completion",
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            usage: self.include_usage.then_some(usage),
            system_fingerprint: self.head.fingerprint.clone(),
            seed: self.head.seed,
        }
    }
}

impl Form for TextForm {
    type Chunk = TextCompletion;

    fn piece(&mut self, piece: Piece) -> Vec<TextCompletion> {
        let silent = piece.text.is_empty() && piece.finish.is_none();
        if silent && !self.logprobs {
            return Vec::new();
        }
        let choice = self.choice(piece);
        vec![self.completion(vec![choice], None)]
    }

    fn usage(&mut self, usage: Usage) -> Option<TextCompletion> {
        self.include_usage
            .then(|| self.completion(Vec::new(), Some(usage)))
    }
}
