//! Streams of messages (server-sent events): what happens to a job, and an answer while it is drawn.

use std::collections::VecDeque;

use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use super::{Client, ClientError, Outcome, problem};

/// One message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Its type; empty where it has none.
    pub event: String,
    /// What it says.
    pub data: String,
    /// Its id, from which a reader that was cut off goes on.
    pub id: Option<String>,
}

/// A stream that is open.
#[derive(Debug)]
pub struct Messages {
    client: Client,
    response: Response,
    reader: Reader,
}

impl Messages {
    /// The next message; none at the end.
    ///
    /// *Errors* a connection that broke, or one that stayed silent for too long.
    pub async fn next(&mut self) -> Outcome<Option<Message>> {
        loop {
            if let Some(message) = self.reader.ready.pop_front() {
                return Ok(Some(message));
            }
            let piece = self.response.chunk().await;
            match piece.map_err(|source| self.client.unreachable(source))? {
                Some(bytes) => self.reader.take(&bytes),
                None => return Ok(None),
            }
        }
    }
}

impl Client {
    /// Events of a job behind the one with the id `after`, until the job has ended.
    pub async fn events(&self, job: &str, after: Option<&str>) -> Outcome<Messages> {
        let request = self.patient.get(self.url(&["v1", "jobs", job, "events"]));
        let request = match after {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        self.messages(request.header("accept", "text/event-stream"))
            .await
    }

    /// An answer to a chat while it is drawn; `body` must ask for a stream.
    pub async fn chat(&self, body: &Value) -> Outcome<Messages> {
        let url = self.url(&["openai", "v1", "chat", "completions"]);
        self.messages(self.patient.post(url).json(body)).await
    }

    async fn messages(&self, request: RequestBuilder) -> Outcome<Messages> {
        Ok(Messages {
            client: self.clone(),
            response: self.accepted(request).await?,
            reader: Reader::default(),
        })
    }
}

impl Message {
    /// The message as JSON.
    ///
    /// *Errors* what the server says went wrong after it had begun to answer.
    pub fn json(&self, url: &str) -> Outcome<Value> {
        let value: Value =
            serde_json::from_str(&self.data).map_err(|error| ClientError::Unexpected {
                url: url.to_owned(),
                status: 200,
                detail: error.to_string(),
            })?;
        match problem::in_openai_form(500, &value) {
            Some(problem) => Err(ClientError::Refused(Box::new(problem))),
            None => Ok(value),
        }
    }
}

/// Puts pieces of a stream together to messages, wherever they were cut.
#[derive(Debug, Default)]
struct Reader {
    rest: Vec<u8>,
    open: Message,
    ready: VecDeque<Message>,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.rest);
                    let line = String::from_utf8_lossy(&line);
                    self.line(line.trim_end_matches('\r'));
                }
                other => self.rest.push(*other),
            }
        }
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let message = std::mem::take(&mut self.open);
            if !message.data.is_empty() || !message.event.is_empty() {
                self.ready.push_back(message);
            }
            return;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => self.open.event = value.to_owned(),
            "id" => self.open.id = Some(value.to_owned()),
            "data" => {
                if !self.open.data.is_empty() {
                    self.open.data.push('\n');
                }
                self.open.data.push_str(value);
            }
            // a comment, or the pause before a browser connects again
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "retry: 2000\n\n: ping\n\nid: 7\nevent: phase\ndata: {\"a\":\"ü\"}\n\nevent: end\r\ndata: one\r\ndata: two\r\n\r\ndata: cut";

    #[test]
    fn messages_are_the_same_wherever_the_stream_is_cut() {
        let mut whole = Reader::default();
        whole.take(TEXT.as_bytes());
        let mut bytes = Reader::default();
        for byte in TEXT.as_bytes() {
            bytes.take(&[*byte]);
        }
        assert_eq!(whole.ready, bytes.ready);
        let texts: Vec<(&str, &str)> = whole
            .ready
            .iter()
            .map(|message| (message.event.as_str(), message.data.as_str()))
            .collect();
        assert_eq!(texts, [("phase", "{\"a\":\"ü\"}"), ("end", "one\ntwo")]);
        assert_eq!(whole.ready[0].id.as_deref(), Some("7"));
    }

    #[test]
    fn an_error_inside_a_stream_is_one() {
        let message = Message {
            data: "{\"error\":{\"message\":\"the model is gone\",\"code\":\"gone\"}}".into(),
            ..Message::default()
        };
        let error = message.json("u").unwrap_err().to_string();
        assert!(error.contains("the model is gone"), "{error}");
    }
}
