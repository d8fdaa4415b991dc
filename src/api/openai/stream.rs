//! Pieces of answers as server-sent events, with signs of life, a deadline, and an end that clients know.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Serialize;
use tokio::time::{Sleep, sleep};

use super::refusal;
use super::telling::{Piece, Telling};
use crate::api::ApiState;
use crate::api::error::{Answer, DEADLINE, Problem, UNAVAILABLE};
use crate::domain::openai::answers::Usage;

/// Time between two signs of life.
const PING: Duration = Duration::from_secs(15);

/// Turns pieces into messages.
pub(super) trait Form: Send + 'static {
    /// What a message says.
    type Chunk: Serialize;
    /// What comes before every piece.
    fn opening(&mut self) -> Vec<Self::Chunk> {
        Vec::new()
    }
    /// What a piece becomes.
    fn piece(&mut self, piece: Piece) -> Vec<Self::Chunk>;
    /// The counts, where they are wanted.
    fn usage(&mut self, usage: Usage) -> Option<Self::Chunk>;
}

/// The answer that tells `telling` as it goes on.
pub(super) fn respond(state: &ApiState, telling: Telling, form: impl Form) -> Response {
    let reader = Reader {
        state: state.clone(),
        deadline: Box::pin(sleep(state.settings.inference.request)),
        telling: Some(telling),
        read: VecDeque::new(),
        form,
    };
    let messages = Sse::new(reader.messages()).keep_alive(KeepAlive::new().interval(PING));
    let mut response = messages.into_response();
    let unbuffered = HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", unbuffered);
    response
}

struct Reader<F> {
    state: ApiState,
    deadline: Pin<Box<Sleep>>,
    /// Let go at the end, which ends the rows.
    telling: Option<Telling>,
    read: VecDeque<Message>,
    form: F,
}

impl<F: Form> Reader<F> {
    fn messages(mut self) -> impl Stream<Item = Result<Message, Infallible>> {
        let opening = self.form.opening();
        self.write(opening);
        stream::unfold(self, |mut reader| async move {
            while reader.read.is_empty() && reader.telling.is_some() {
                reader.go_on().await;
            }
            let message = reader.read.pop_front()?;
            Some((Ok(message), reader))
        })
    }

    async fn go_on(&mut self) {
        let Some(telling) = &mut self.telling else {
            return;
        };
        let next: Answer<Option<Piece>> = tokio::select! {
            next = telling.next() => next,
            () = &mut self.deadline => Err(late(self.state.settings.inference.request)),
            () = self.state.closing.cancelled() => {
                Err(Problem::new(&UNAVAILABLE, "the server is shutting down"))
            }
        };
        match next {
            Ok(Some(piece)) => {
                let chunks = self.form.piece(piece);
                self.write(chunks);
            }
            Ok(None) => {
                let usage = telling.usage();
                let chunk = self.form.usage(usage);
                self.write(chunk);
                self.end();
            }
            Err(problem) => {
                let id = uuid::Uuid::now_v7().simple().to_string();
                tracing::warn!(request_id = %id, code = problem.code(), cause = problem.cause(), "a stream broke off");
                let body = refusal::body(&problem, &id);
                self.read.extend(Message::default().json_data(&body).ok());
                self.end();
            }
        }
    }

    fn write(&mut self, chunks: impl IntoIterator<Item = F::Chunk>) {
        let messages = chunks.into_iter();
        self.read
            .extend(messages.filter_map(|chunk| Message::default().json_data(&chunk).ok()));
    }

    fn end(&mut self) {
        self.telling = None;
        self.read.push_back(Message::default().data("[DONE]"));
    }
}

fn late(limit: Duration) -> Problem {
    let seconds = limit.as_secs_f64();
    let detail =
        format!("the answer was not complete within {seconds} s (inference.request_seconds)");
    Problem::new(&DEADLINE, detail)
}
