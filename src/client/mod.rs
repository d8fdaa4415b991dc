//! A typed client of the HTTP API. Knows paths and shapes; keeps no state but the connection.

mod download;
mod plain;
mod problem;
mod request;
mod stream;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::domain::assets::{BaseModel, BaseModelState, Checkpoint, Dataset};
use crate::domain::job::{Job, JobState};
use crate::domain::page::Page;
use crate::domain::rates::Rates;
use crate::domain::series::{LoraNorms, Metrics};

pub use download::{Download, Fetched};
pub use problem::{ClientError, Problem};
pub use request::JobRequest;
pub use stream::{Message, Messages};

/// For a connection to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// For the whole of an answer that is not a stream.
const WHOLE: Duration = Duration::from_secs(120);
/// Longest silence inside a stream; a server gives signs of life far more often.
const SILENCE: Duration = Duration::from_secs(90);

/// A connection to one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Bounds the silence, not the whole: for downloads and streams.
    patient: reqwest::Client,
    base: Url,
}

type Outcome<T> = Result<T, ClientError>;

impl Client {
    /// A client of the server at `address`, such as `http://127.0.0.1:8080`.
    ///
    /// *Errors* an address that is no URL. A server on this machine is never asked through a proxy.
    pub fn new(address: &str) -> Outcome<Self> {
        let unusable = |detail: String| ClientError::Address {
            address: address.to_owned(),
            detail,
        };
        let base = Url::parse(address).map_err(|error| unusable(error.to_string()))?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(unusable(
                "it does not begin with http:// or https://".into(),
            ));
        }
        let build = |builder: reqwest::ClientBuilder| {
            let builder = match is_local(&base) {
                true => builder.no_proxy(),
                false => builder,
            };
            let built = builder.connect_timeout(CONNECT).build();
            built.map_err(|error| unusable(error.to_string()))
        };
        Ok(Self {
            http: build(reqwest::Client::builder().timeout(WHOLE))?,
            patient: build(reqwest::Client::builder().read_timeout(SILENCE))?,
            base,
        })
    }

    /// The server's address, without a slash at the end.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Uploads JSON lines as a dataset; the same name with the same bytes gives the dataset that is there.
    pub async fn upload_dataset(&self, name: &str, lines: String) -> Outcome<Dataset> {
        let request = self
            .request(Method::POST, "/v1/datasets")
            .query(&[("name", name)]);
        let request = request
            .header("content-type", "application/jsonl")
            .body(lines);
        self.read(request).await
    }

    /// Asks for a base model made from `source`; poll its register job or use [`Self::wait_for_base_model`].
    pub async fn register_base_model(&self, name: &str, source: &Value) -> Outcome<BaseModel> {
        let body = json!({"name": name, "source": source});
        self.read(self.request(Method::POST, "/v1/base-models").json(&body))
            .await
    }

    /// A base model by id or name.
    pub async fn base_model(&self, id: &str) -> Outcome<BaseModel> {
        self.get(&["v1", "base-models", id], &[]).await
    }

    /// Polls until a base model is ready.
    ///
    /// *Errors* [`ClientError::NotReady`] when its register job ends otherwise.
    pub async fn wait_for_base_model(&self, id: &str, every: Duration) -> Outcome<BaseModel> {
        loop {
            let model = self.base_model(id).await?;
            match model.state {
                BaseModelState::Ready => return Ok(model),
                BaseModelState::Failed => return Err(self.why_not_ready(model).await),
                BaseModelState::Registering => tokio::time::sleep(every).await,
            }
        }
    }

    async fn why_not_ready(&self, model: BaseModel) -> ClientError {
        let job = match &model.job {
            Some(job) => self.job(job.as_str()).await.ok(),
            None => None,
        };
        let error = job.and_then(|job| job.error);
        ClientError::NotReady {
            name: model.name,
            detail: error.map_or_else(
                || "its register job did not succeed".into(),
                |error| error.message,
            ),
        }
    }

    /// Hands in a job; `deduplicated` in the answer says that the work was there already.
    pub async fn submit(&self, job: &JobRequest) -> Outcome<Job> {
        self.submit_body(&job.body()).await
    }

    /// Hands in a job that is JSON already.
    pub async fn submit_body(&self, body: &Value) -> Outcome<Job> {
        self.read(self.request(Method::POST, "/v1/jobs").json(body))
            .await
    }

    /// A job by its id.
    pub async fn job(&self, id: &str) -> Outcome<Job> {
        self.get(&["v1", "jobs", id], &[]).await
    }

    /// Polls until a job ends, showing every answer to `seen`.
    ///
    /// *Errors* [`ClientError::JobEnded`] when it failed or was cancelled.
    pub async fn wait(
        &self,
        id: &str,
        every: Duration,
        mut seen: impl FnMut(&Job),
    ) -> Outcome<Job> {
        loop {
            let job = self.job(id).await?;
            seen(&job);
            match job.state {
                JobState::Succeeded => return Ok(job),
                state if state.is_final() => return Err(ClientError::ended(job)),
                _ => tokio::time::sleep(every).await,
            }
        }
    }

    /// The kept checkpoints of a fine-tune.
    pub async fn checkpoints(&self, job: &str) -> Outcome<Vec<Checkpoint>> {
        let list: Page<Checkpoint> = self.get(&["v1", "jobs", job, "checkpoints"], &[]).await?;
        Ok(list.data)
    }

    /// Loss, rate and gradient norm of every step of a fine-tune.
    pub async fn metrics(&self, job: &str) -> Outcome<Metrics> {
        self.get(&["v1", "jobs", job, "metrics"], &[]).await
    }

    /// Norms of every adapted module; `from` is the first step wanted.
    pub async fn lora_norms(&self, job: &str, from: u64) -> Outcome<LoraNorms> {
        let from = from.to_string();
        self.get(&["v1", "jobs", job, "lora-norms"], &[("from", &from)])
            .await
    }

    /// Rates of an evaluation, grouped by `by`, such as `target`.
    pub async fn rates(&self, evaluation: &str, by: &str) -> Outcome<Rates> {
        self.get(&["v1", "evaluations", evaluation, "rates"], &[("by", by)])
            .await
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Outcome<T> {
        self.read(self.http.get(self.url(path)).query(query)).await
    }

    /// The address of a path whose parts are names as they are.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.address()))
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Outcome<T> {
        let response = self.accepted(request).await?;
        let (url, status) = (response.url().to_string(), response.status());
        let text = self.text_of(response).await?;
        serde_json::from_str(&text).map_err(|error| ClientError::Unexpected {
            url,
            status: status.as_u16(),
            detail: error.to_string(),
        })
    }

    /// The head of an answer that is no refusal; its body is still to be read.
    async fn accepted(&self, request: RequestBuilder) -> Outcome<Response> {
        let sent = request.send().await;
        let response = sent.map_err(|source| self.unreachable(source))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (url, status) = (response.url().to_string(), response.status());
        let text = self.text_of(response).await?;
        Err(problem::refused(&url, status.as_u16(), &text))
    }

    async fn text_of(&self, response: Response) -> Outcome<String> {
        let text = response.text().await;
        text.map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            address: self.address().to_owned(),
            source,
        }
    }
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
