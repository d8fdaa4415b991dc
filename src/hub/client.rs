//! The hub's answers: what a revision names, which files there are, what a file's bytes are called. Knows no cache.
//!
//! Requests run on the server's runtime while the calling thread waits in short slices, in which it can be told to end.

use std::time::Duration;

use reqwest::header::{self, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::runtime::Handle;

use super::cache::{checked_etag, is_commit};
use super::error::{Error, Result};
use super::settings::Settings;
use crate::execution::Stop;

/// How long a waiting thread goes without a look at whether it must end.
const SLICE: Duration = Duration::from_millis(250);
/// Relative redirects that are followed; a renamed repository needs one.
const HOPS: u32 = 5;
/// Pages of a listing that are read; a page has a thousand files.
const PAGES: u32 = 50;

/// Called in every slice of a wait; an error ends the wait.
pub(super) type Pulse<'a> = &'a mut dyn FnMut() -> std::result::Result<(), Stop>;

/// Why a call has no answer.
pub(super) enum Broken {
    /// The caller was told to end.
    Stop(Stop),
    /// The hub or the way to it.
    Hub(Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Hub(error)
    }
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stop(stop) => stop,
            Broken::Hub(error) => error.into(),
        }
    }
}

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) is_folder: bool,
}

/// What a file's head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) commit: String,
    pub(super) etag: String,
    pub(super) bytes: u64,
}

/// One hub.
pub(super) struct Client {
    settings: Settings,
    runtime: Handle,
    /// Follows redirects; reqwest sends the token to no other host.
    following: reqwest::Client,
    still: reqwest::Client,
}

impl Client {
    pub(super) fn new(settings: Settings, runtime: Handle) -> reqwest::Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("vivarium/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(settings.metadata)
        };
        Ok(Self {
            following: builder().redirect(Policy::limited(10)).build()?,
            still: builder().redirect(Policy::none()).build()?,
            settings,
            runtime,
        })
    }

    /// What `name` is at `revision`, without its bytes.
    pub(super) fn head(
        &self,
        model: &str,
        revision: &str,
        name: &str,
        pulse: Pulse<'_>,
    ) -> std::result::Result<Head, Broken> {
        let mut url = self.file_url(model, revision, name);
        for _ in 0..HOPS {
            let request = self.request(&self.still, Method::HEAD, &url);
            let answer = self.send(request, self.settings.metadata, pulse)?;
            let status = answer.status();
            let headers = answer.headers();
            match relative(headers).filter(|_| status.is_redirection()) {
                Some(path) => url = format!("{}{path}", self.origin()),
                None if status.is_success() || status.is_redirection() => {
                    return Ok(head_of(headers, name)?);
                }
                None => return Err(self.refusal(status, headers, model, revision, name).into()),
            }
        }
        let detail = "it redirects for ever".to_owned();
        let what = name.to_owned();
        Err(Error::Odd { what, detail }.into())
    }

    /// The files at the top of the repository, or in one of its folders.
    pub(super) fn list(
        &self,
        model: &str,
        commit: &str,
        folder: &str,
        pulse: Pulse<'_>,
    ) -> std::result::Result<Vec<Listed>, Broken> {
        let endpoint = &self.settings.endpoint;
        let mut url = Some(format!(
            "{endpoint}/api/models/{model}/tree/{commit}{folder}"
        ));
        let mut files = Vec::new();
        for _ in 0..PAGES {
            let Some(page) = url.take() else { break };
            let request = self.request(&self.following, Method::GET, &page);
            let answer = self.send(request, self.settings.metadata, pulse)?;
            if !answer.status().is_success() {
                let refused = self.refusal(
                    answer.status(),
                    answer.headers(),
                    model,
                    commit,
                    "config.json",
                );
                return Err(refused.into());
            }
            url = next_page(answer.headers()).filter(|next| next.starts_with(self.origin()));
            let body = self.wait(answer.bytes(), self.settings.metadata, pulse)?;
            let body = body.map_err(|error| self.unreachable(&error))?;
            files.extend(listed(&body)?);
        }
        Ok(files)
    }

    /// Begins to bring a file, from byte `from`.
    pub(super) fn open(
        &self,
        model: &str,
        commit: &str,
        name: &str,
        from: u64,
        pulse: Pulse<'_>,
    ) -> std::result::Result<Response, Broken> {
        let url = self.file_url(model, commit, name);
        let mut request = self.request(&self.following, Method::GET, &url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        let limit = self.settings.metadata + self.settings.download;
        let answer = self.send(request, limit, pulse)?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer);
        }
        Err(self
            .refusal(status, answer.headers(), model, commit, name)
            .into())
    }

    /// The next bytes of a file; none at its end.
    pub(super) fn next(
        &self,
        answer: &mut Response,
        pulse: Pulse<'_>,
    ) -> std::result::Result<Option<Vec<u8>>, Broken> {
        let piece = self.wait(answer.chunk(), self.settings.download, pulse)?;
        let piece = piece.map_err(|error| self.unreachable(&error))?;
        Ok(piece.map(|piece| piece.to_vec()))
    }

    fn request(&self, client: &reqwest::Client, method: Method, url: &str) -> RequestBuilder {
        let request = client
            .request(method, url)
            .header(header::ACCEPT_ENCODING, "identity");
        match self.settings.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn send(
        &self,
        request: RequestBuilder,
        limit: Duration,
        pulse: Pulse<'_>,
    ) -> std::result::Result<Response, Broken> {
        let answer = self.wait(request.send(), limit, pulse)?;
        Ok(answer.map_err(|error| self.unreachable(&error))?)
    }

    /// Waits for at most `limit`; time is counted in slices.
    fn wait<T>(
        &self,
        future: impl Future<Output = T>,
        limit: Duration,
        pulse: Pulse<'_>,
    ) -> std::result::Result<T, Broken> {
        let mut future = std::pin::pin!(future);
        let slices = limit.as_millis() / SLICE.as_millis() + 1;
        for _ in 0..slices {
            pulse()?;
            // made inside, because a timer belongs to a runtime
            let step = async { tokio::time::timeout(SLICE, future.as_mut()).await };
            if let Ok(done) = self.runtime.block_on(step) {
                return Ok(done);
            }
        }
        let cause = format!("nothing came for {} seconds", limit.as_secs());
        Err(self.unreachable_for(cause).into())
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        // the innermost cause says most, and none of them holds the token
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        self.unreachable_for(cause.to_string())
    }

    fn unreachable_for(&self, cause: String) -> Error {
        Error::Unreachable {
            endpoint: self.settings.endpoint.clone(),
            cause,
        }
    }

    fn file_url(&self, model: &str, revision: &str, name: &str) -> String {
        let revision = revision.replace('/', "%2F");
        format!(
            "{}/{model}/resolve/{revision}/{name}",
            self.settings.endpoint
        )
    }

    fn origin(&self) -> &str {
        let endpoint = self.settings.endpoint.as_str();
        let host = endpoint.find("://").map_or(0, |place| place + 3);
        let end = endpoint[host..].find('/').map(|place| place + host);
        &endpoint[..end.unwrap_or(endpoint.len())]
    }

    /// What a status and the hub's own headers mean.
    fn refusal(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        model: &str,
        revision: &str,
        name: &str,
    ) -> Error {
        let (code, says) = (
            text(headers, "x-error-code"),
            text(headers, "x-error-message"),
        );
        let token_sent = self.settings.token().is_some();
        let endpoint = self.settings.endpoint.clone();
        let (model, revision) = (model.to_owned(), revision.to_owned());
        let page = format!("{endpoint}/{model}");
        match (code, status.as_u16()) {
            ("GatedRepo", _) => Error::Gated {
                model,
                page,
                token_sent,
            },
            ("RevisionNotFound", _) => Error::NoRevision {
                model,
                revision,
                page,
            },
            ("EntryNotFound", _) => Error::NoFile {
                model,
                commit: revision,
                name: name.to_owned(),
            },
            (_, 401) if says == "Invalid credentials in Authorization header" => Error::BadToken,
            ("RepoNotFound", _) | (_, 401 | 404) => Error::NoModel {
                model,
                endpoint,
                token_sent,
            },
            (_, 403) => Error::Refused {
                model,
                says: says
                    .chars()
                    .take(200)
                    .collect::<String>()
                    .escape_debug()
                    .to_string(),
            },
            (_, 408 | 425 | 429 | 500..) => Error::Busy {
                status: status.as_u16(),
            },
            (_, other) => Error::Odd {
                what: name.to_owned(),
                detail: format!("status {other}"),
            },
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
}

/// A redirect to another place of the same host.
fn relative(headers: &HeaderMap) -> Option<String> {
    let place = text(headers, "location");
    (place.starts_with('/') && !place.starts_with("//")).then(|| place.to_owned())
}

fn head_of(headers: &HeaderMap, name: &str) -> Result<Head> {
    let either = |linked: &str, own: &str| {
        let linked = text(headers, linked);
        if linked.is_empty() {
            text(headers, own).to_owned()
        } else {
            linked.to_owned()
        }
    };
    let odd = |detail: &str| Error::Odd {
        what: name.to_owned(),
        detail: detail.to_owned(),
    };
    let commit = text(headers, "x-repo-commit");
    if !is_commit(commit) {
        return Err(odd(
            "it names no commit; is HF_ENDPOINT the address of a hub?",
        ));
    }
    let bytes = either("x-linked-size", "content-length").parse();
    Ok(Head {
        commit: commit.to_owned(),
        etag: checked_etag(&either("x-linked-etag", "etag"), name)?,
        bytes: bytes.map_err(|_| odd("it names no length"))?,
    })
}

fn listed(body: &[u8]) -> Result<Vec<Listed>> {
    #[derive(Deserialize)]
    struct Line {
        r#type: String,
        path: String,
        #[serde(default)]
        size: u64,
    }
    let lines: Vec<Line> = serde_json::from_slice(body).map_err(|error| Error::Odd {
        what: "the list of files".into(),
        detail: error.to_string(),
    })?;
    Ok(lines
        .into_iter()
        .map(|line| Listed {
            name: line.path,
            bytes: line.size,
            is_folder: line.r#type == "directory",
        })
        .collect())
}

/// The address behind `rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = text(headers, "link").split(',');
    let mut next = links.filter(|link| link.contains("rel=\"next\""));
    let link = next.next()?;
    let (begin, end) = (link.find('<')?, link.find('>')?);
    link.get(begin + 1..end).map(str::to_owned)
}
