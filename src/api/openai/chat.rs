//! `POST /openai/v1/chat/completions`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::note_ignored;
use super::prepare::{Head, Wanted, of_messages, prepare};
use super::render::chat_logprobs;
use super::schemas::ChatCompletionRequest;
use super::stream::{self, Form};
use super::telling::{Piece, Telling};
use crate::api::ApiState;
use crate::api::error::Answer;
use crate::api::extract::JsonBody;
use crate::domain::openai::answers::{
    AnswerMessage, ChatChoice, ChatChunk, ChatCompletion, ChatDelta, Delta, ErrorBody,
    FinishReason, Usage,
};
use crate::domain::openai::chat_request;

/// Answer a conversation
///
/// Defaults are temperature 1 and top_p 1; a model's generation_config.json is not applied. Without `max_tokens` an answer may
/// go on to the end of the context, at most `inference.new_tokens`. Answers with the same seed, model and messages are equal.
/// `top_k`, `repetition_penalty`, `system`, `date` and `chat_template_kwargs.enable_thinking` are extensions. A parameter that
/// would change the answer and is not known here is refused; harmless ones are named in `x-vivarium-ignored`.
#[utoipa::path(post, path = "/openai/v1/chat/completions", tag = "inference", request_body = ChatCompletionRequest,
    responses(
        (status = 200, content((ChatCompletion = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = ErrorBody, description = "a parameter cannot be used"),
        (status = 404, body = ErrorBody, description = "no such model"),
        (status = 429, body = ErrorBody, description = "the queue of the device is full"),
        (status = 503, body = ErrorBody, description = "this process runs no models")
    ))]
pub(super) async fn create(
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Answer<Response> {
    let request = chat_request(body, &state.settings.inference.bounds)?;
    let opening = of_messages(&state, &request.messages, &request.chat);
    let wanted = Wanted {
        prefix: "chatcmpl",
        model: &request.model,
        openings: vec![(opening, "/messages".into())],
        drawing: &request.drawing,
        echo: false,
        continues: false,
    };
    let prepared = prepare(&state, wanted).await?;
    let mut telling = Telling::start(&state, prepared.inquiries)?;
    let logprobs = request.drawing.top_logprobs.is_some();
    let mut response = if request.drawing.stream {
        let form = ChatForm {
            head: prepared.head,
            answers: request.drawing.answers,
            logprobs,
            include_usage: request.drawing.include_usage,
        };
        stream::respond(&state, telling, form)
    } else {
        let answers = telling.whole().await?;
        Json(completion(
            prepared.head,
            answers,
            telling.usage(),
            logprobs,
        ))
        .into_response()
    };
    note_ignored(response.headers_mut(), &request.ignored);
    Ok(response)
}

fn completion(head: Head, answers: Vec<Piece>, usage: Usage, logprobs: bool) -> ChatCompletion {
    let choices = answers.into_iter().map(|answer| ChatChoice {
        index: answer.choice,
        logprobs: logprobs.then(|| chat_logprobs(&answer.tokens)),
        message: AnswerMessage {
            role: "assistant",
            content: answer.text,
            refusal: None,
        },
        finish_reason: answer.finish.unwrap_or(FinishReason::Length),
    });
    ChatCompletion {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        choices: choices.collect(),
        usage,
        system_fingerprint: head.fingerprint,
        seed: head.seed,
    }
}

/// A chat in pieces.
struct ChatForm {
    head: Head,
    answers: u32,
    logprobs: bool,
    include_usage: bool,
}

impl ChatForm {
    fn chunk(&self, choices: Vec<ChatDelta>, usage: Option<Usage>) -> ChatChunk {
        ChatChunk {
            id: self.head.id.clone(),
            object: "chat.completion.chunk",
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            usage: self.include_usage.then_some(usage),
            system_fingerprint: self.head.fingerprint.clone(),
            seed: self.head.seed,
        }
    }
}

impl Form for ChatForm {
    type Chunk = ChatChunk;

    fn opening(&mut self) -> Vec<ChatChunk> {
        let first = |index| ChatDelta {
            index,
            delta: Delta {
                role: Some("assistant"),
                content: Some(String::new()),
            },
            logprobs: None,
            finish_reason: None,
        };
        (0..self.answers)
            .map(|index| self.chunk(vec![first(index)], None))
            .collect()
    }

    fn piece(&mut self, piece: Piece) -> Vec<ChatChunk> {
        let mut chunks = Vec::new();
        let tells = self.logprobs && !piece.tokens.is_empty();
        if tells || !piece.text.is_empty() {
            let delta = ChatDelta {
                index: piece.choice,
                delta: Delta {
                    role: None,
                    content: Some(piece.text),
                },
                logprobs: tells.then(|| chat_logprobs(&piece.tokens)),
                finish_reason: None,
            };
            chunks.push(self.chunk(vec![delta], None));
        }
        if piece.finish.is_some() {
            let last = ChatDelta {
                index: piece.choice,
                delta: Delta::default(),
                logprobs: None,
                finish_reason: piece.finish,
            };
            chunks.push(self.chunk(vec![last], None));
        }
        chunks
    }

    fn usage(&mut self, usage: Usage) -> Option<ChatChunk> {
        self.include_usage
            .then(|| self.chunk(Vec::new(), Some(usage)))
    }
}
