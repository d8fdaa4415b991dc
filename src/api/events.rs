//! `/v1/jobs/{id}/events`: what happened, as a page or as a stream that follows the job to its end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{self, Answer, Problem, ProblemBody};
use super::extract::{InPath, Query};
use super::paging;
use crate::domain::ids::JobId;
use crate::domain::job::{Event, JobState};
use crate::domain::page::Page;
use crate::storage::events;

/// Streams and long polls at once.
pub(super) const MOST_WATCHERS: usize = 128;

/// Time between two looks at the table.
const LOOK: Duration = Duration::from_millis(250);
/// Time between two signs of life.
const PING: Duration = Duration::from_secs(15);
/// Events that are read at once.
const PIECE: u32 = 200;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Where a reader goes on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventParameters {
    /// Only events behind the one with this id.
    after: Option<i64>,
    /// Events on the page, at most the configured page size; 50 where absent. A stream has no pages.
    limit: Option<u32>,
}

/// Show what happened to a job, oldest first
///
/// With `Accept: text/event-stream` it is a stream that goes on until the job has ended: `id` is the event's id, `event` its
/// type, `data` the event; the last message is `end`. A reader that was cut off goes on with `Last-Event-ID` or `after`.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = JobId, Path), EventParameters, ("Last-Event-ID" = Option<i64>, Header)),
    responses(
        (status = 200, content((Page<Event> = "application/json"), (String = "text/event-stream"))),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "a parameter cannot be used"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "too many streams"),
))]
async fn list(
    State(state): State<ApiState>,
    InPath(id): InPath<JobId>,
    Query(parameters): Query<EventParameters>,
    headers: HeaderMap,
) -> Answer<Response> {
    events::state(&state.storage, &id).await?;
    if wants_stream(&headers) {
        let after = last_seen(&headers)?.or(parameters.after);
        return follow(state, id, after.unwrap_or(0));
    }
    let limit = paging::limit(parameters.limit, &state)?;
    let after = parameters.after.unwrap_or(0);
    let found = events::after(&state.storage, &id, after, limit as u32 + 1).await?;
    let page = Page::cut(found, limit, |event| event.id.to_string());
    Ok(Json(page).into_response())
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok());
    texts.any(|text| text.contains("text/event-stream"))
}

/// What a browser sends by itself when it connects again.
fn last_seen(headers: &HeaderMap) -> Answer<Option<i64>> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| {
        let detail = "the header Last-Event-ID must be the id of an event, a whole number";
        Problem::new(&error::BAD_REQUEST, detail)
    })
}

fn follow(state: ApiState, job: JobId, after: i64) -> Answer<Response> {
    let place = state.watchers.clone().try_acquire_owned();
    let place = place.map_err(|_| {
        let detail = format!("{MOST_WATCHERS} streams are open, as many as this server keeps");
        Problem::new(&error::UNAVAILABLE, detail).retry_after(5)
    })?;
    let reader = Reader {
        state,
        job,
        after,
        read: VecDeque::from([Ok(Message::default().retry(Duration::from_secs(2)))]),
        ended: false,
        _place: place,
    };
    let messages = Sse::new(reader.messages()).keep_alive(KeepAlive::new().interval(PING));
    let mut response = messages.into_response();
    let unbuffered = HeaderValue::from_static("no");
    response
        .headers_mut()
        .insert("x-accel-buffering", unbuffered);
    Ok(response)
}

/// One reader of one job's events.
struct Reader {
    state: ApiState,
    job: JobId,
    after: i64,
    read: VecDeque<Result<Message, Infallible>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    fn messages(self) -> impl Stream<Item = Result<Message, Infallible>> {
        stream::unfold(self, |mut reader| async move {
            while reader.read.is_empty() && !reader.ended {
                reader.look().await;
            }
            let message = reader.read.pop_front()?;
            Some((message, reader))
        })
    }

    /// Reads what is new; waits where there is nothing. The state is read first, so that a job that has ended has all its
    /// events in the table already.
    async fn look(&mut self) {
        let storage = &self.state.storage;
        let seen = async {
            let state = events::state(storage, &self.job).await?;
            let found = events::after(storage, &self.job, self.after, PIECE).await?;
            Ok::<_, crate::storage::Error>((state, found))
        };
        match seen.await {
            Ok((state, found)) if found.is_empty() && state.is_final() => self.end(state),
            Ok((_, found)) if !found.is_empty() => self.take(found),
            Ok(_) => self.pause().await,
            // The client connects again with the last id it saw.
            Err(error) => {
                tracing::warn!(job = %self.job, %error, "a stream of events ends early");
                self.ended = true;
            }
        }
    }

    async fn pause(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = self.state.closing.cancelled() => self.ended = true,
        }
    }

    fn take(&mut self, found: Vec<Event>) {
        for event in found {
            self.after = event.id;
            let message = Message::default()
                .id(event.id.to_string())
                .event(&event.r#type);
            self.read.extend(message.json_data(&event).ok().map(Ok));
        }
    }

    fn end(&mut self, state: JobState) {
        let data = json!({"job": self.job, "state": state}).to_string();
        self.read
            .push_back(Ok(Message::default().event("end").data(data)));
        self.ended = true;
    }
}
