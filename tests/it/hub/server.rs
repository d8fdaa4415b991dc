//! A hub for tests: the real one's paths, headers, redirects and refusals, and the faults that a network has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use sha2::{Digest, Sha256};

/// The one commit of every repository here.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub method: Method,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

/// What the hub has and how it behaves.
#[derive(Default)]
pub struct Shelf {
    /// Name → bytes; safetensors and tokenizer.json lie in large-file storage.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Status, `X-Error-Code`, `X-Error-Message` of every answer.
    pub refusal: Option<(u16, &'static str, &'static str)>,
    /// The next answers with this file's bytes end after so many bytes: name, bytes, how often.
    pub breaks: Option<(String, usize, u32)>,
    /// Large files come with their last byte changed.
    pub damaged: bool,
    /// Nothing is ever answered.
    pub silent: bool,
    /// Every answer with bytes ignores `Range`.
    pub no_ranges: bool,
    pub seen: Vec<Seen>,
}

#[derive(Clone)]
pub struct FakeHub {
    pub shelf: Arc<Mutex<Shelf>>,
    pub url: String,
    port: u16,
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name == "tokenizer.json"
}

/// The tag of a file: SHA-256 in large-file storage, otherwise 40 digits that depend on the bytes.
pub fn tag(name: &str, bytes: &[u8]) -> String {
    let mut tag = sha256(bytes);
    if !is_large(name) {
        tag.truncate(40);
    }
    tag
}

impl FakeHub {
    /// A hub with one repository, `org/model`, that has these files.
    pub async fn with(files: &[(&str, &[u8])]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = files.iter();
        let files = files.map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
        let shelf = Shelf {
            files: files.collect(),
            ..Shelf::default()
        };
        let hub = Self {
            shelf: Arc::new(Mutex::new(shelf)),
            url: format!("http://127.0.0.1:{port}"),
            port,
        };
        let router = Router::new().fallback(answer).with_state(hub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        hub
    }

    pub fn change(&self, change: impl FnOnce(&mut Shelf)) {
        change(&mut self.shelf.lock().unwrap());
    }

    /// What was asked since the last time.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shelf.lock().unwrap().seen)
    }
}

async fn answer(
    State(hub): State<FakeHub>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let header = |name: &str| {
        let value = headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let path = uri.path().to_owned();
    let range = header("range");
    let silent = {
        let mut shelf = hub.shelf.lock().unwrap();
        shelf.seen.push(Seen {
            method: method.clone(),
            path: path.clone(),
            range: range.clone(),
            token: header("authorization"),
        });
        shelf.silent
    };
    if silent {
        std::future::pending::<()>().await;
    }
    reply(&hub, &method, &path, range.as_deref())
}

fn reply(hub: &FakeHub, method: &Method, path: &str, range: Option<&str>) -> Response<Body> {
    let mut shelf = hub.shelf.lock().unwrap();
    if let Some((status, code, message)) = shelf.refusal {
        let refused = Response::builder().status(status);
        let refused = refused.header("x-error-code", code);
        let refused = refused.header("x-error-message", message);
        return refused.body(Body::empty()).unwrap();
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["api", "models", "org", "model", "tree", revision] if known(revision) => list(&shelf, ""),
        [
            "api",
            "models",
            "org",
            "model",
            "tree",
            revision,
            ref folder @ ..,
        ] if known(revision) => list(&shelf, &format!("{}/", folder.join("/"))),
        ["org", "old-name", "resolve", revision, name] => {
            let place = format!("/org/model/resolve/{revision}/{name}");
            redirect(&place, HeaderMap::new())
        }
        ["org", "model", "resolve", revision, ref name @ ..] if known(revision) => {
            let head = *method == Method::HEAD;
            file(&mut shelf, hub.port, &name.join("/"), range, head)
        }
        ["org", "model", ..] => refused(StatusCode::NOT_FOUND, "RevisionNotFound"),
        ["cdn", ref name @ ..] => bytes(&mut shelf, &name.join("/"), range, HeaderMap::new()),
        _ => refused(StatusCode::UNAUTHORIZED, "RepoNotFound"),
    }
}

fn known(revision: &str) -> bool {
    ["main", "refs%2Fpr%2F1", COMMIT].contains(&revision)
}

fn refused(status: StatusCode, code: &str) -> Response<Body> {
    let answer = Response::builder().status(status);
    answer
        .header("x-error-code", code)
        .body(Body::empty())
        .unwrap()
}

fn redirect(place: &str, headers: HeaderMap) -> Response<Body> {
    let mut answer = Response::builder()
        .status(302)
        .header("location", place)
        .body(Body::empty())
        .unwrap();
    answer.headers_mut().extend(headers);
    answer
}

/// The files of one folder, with the folders in it.
fn list(shelf: &Shelf, folder: &str) -> Response<Body> {
    let files = shelf.files.iter();
    let files = files.filter(|(name, _)| {
        let rest = name.strip_prefix(folder);
        rest.is_some_and(|rest| !rest.contains('/'))
    });
    let lines = files.map(|(name, bytes)| {
        let mut line =
            serde_json::json!({"type": "file", "oid": "00", "size": bytes.len(), "path": name});
        if is_large(name) {
            line["lfs"] =
                serde_json::json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
        }
        line
    });
    let mut lines: Vec<_> = lines.collect();
    let names = shelf.files.keys();
    let within = names.filter_map(|name| name.strip_prefix(folder)?.split_once('/'));
    let mut folders: BTreeSet<String> = within
        .map(|(first, _)| format!("{folder}{first}"))
        .collect();
    if folder.is_empty() {
        folders.extend(["original", "additional_chat_templates"].map(String::from));
    }
    for path in folders {
        lines.push(serde_json::json!({"type": "directory", "oid": "00", "size": 0, "path": path}));
    }
    let text = serde_json::to_vec(&lines).unwrap();
    let answer = Response::builder().header("content-type", "application/json");
    answer.body(Body::from(text)).unwrap()
}

fn file(
    shelf: &mut Shelf,
    port: u16,
    name: &str,
    range: Option<&str>,
    head: bool,
) -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert("x-repo-commit", COMMIT.parse().unwrap());
    let Some(content) = shelf.files.get(name) else {
        let mut answer = refused(StatusCode::NOT_FOUND, "EntryNotFound");
        answer.headers_mut().extend(headers);
        return answer;
    };
    let quoted = format!("\"{}\"", tag(name, content)).parse().unwrap();
    if is_large(name) {
        headers.insert("x-linked-etag", quoted);
        headers.insert("x-linked-size", content.len().into());
        // another name of the same host, so that the token must not follow
        return redirect(&format!("http://localhost:{port}/cdn/{name}"), headers);
    }
    headers.insert("etag", quoted);
    if head {
        let mut answer = Response::new(Body::empty());
        headers.insert("content-length", content.len().into());
        *answer.headers_mut() = headers;
        return answer;
    }
    bytes(shelf, name, range, headers)
}

fn bytes(shelf: &mut Shelf, name: &str, range: Option<&str>, headers: HeaderMap) -> Response<Body> {
    let mut content = shelf.files[name].clone();
    let length = content.len();
    if shelf.damaged && is_large(name) {
        *content.last_mut().unwrap() ^= 1;
    }
    let from = range.filter(|_| !shelf.no_ranges).map(|range| {
        let from = range.strip_prefix("bytes=").unwrap();
        from.trim_end_matches('-').parse::<usize>().unwrap()
    });
    let rest = content[from.unwrap_or(0)..].to_vec();
    let mut answer = Response::builder().header("content-length", rest.len());
    if let Some(from) = from {
        let place = format!("bytes {from}-{}/{length}", length - 1);
        answer = answer.status(206).header("content-range", place);
    }
    let mut answer = answer.body(body(shelf, name, rest)).unwrap();
    answer.headers_mut().extend(headers);
    answer
}

/// All bytes, or some and then a broken connection.
fn body(shelf: &mut Shelf, name: &str, rest: Vec<u8>) -> Body {
    let Some((broken, after, times)) = &mut shelf.breaks else {
        return Body::from(rest);
    };
    if broken != name || *times == 0 || rest.len() <= *after {
        return Body::from(rest);
    }
    *times -= 1;
    let some = Bytes::copy_from_slice(&rest[..*after]);
    let pieces = futures::stream::unfold(Some(some), |piece| async {
        match piece {
            Some(piece) => Some((Ok(piece), None)),
            None => {
                // time for the bytes before it to leave
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                Some((Err(std::io::Error::other("broken")), None))
            }
        }
    });
    Body::from_stream(pieces)
}
