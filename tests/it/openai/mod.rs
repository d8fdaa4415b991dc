//! OpenAI-style inference over HTTP: the real router and database, with a speaker that says what it was told to say.

mod addresses;
mod chats;
mod completions;
mod real;
mod refusals;
mod streams;
mod tokens;

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vivarium::api::{ApiState, Settings, router};
use vivarium::artifacts::Store;
use vivarium::domain::adapter::AdapterFacts;
use vivarium::domain::invalid::Invalid;
use vivarium::domain::job::ErrorClass;
use vivarium::domain::time::SystemClock;
use vivarium::execution::converse::{Converse, Ending, Event, Inquiry, Listen, Opening, Said};
use vivarium::execution::inspect::{
    Dimensions, Inspect, Piece, RowAsk, RowTokens, TokenizeAsk, TokenizeInput, Tokenized,
    TokenizerInfo,
};
use vivarium::execution::{Blobs, Failure, LocalFile, ModelFiles};

use crate::support::{TestDatabase, database};

/// Positions of the base models of these tests, whose tokens are bytes.
const CONTEXT: u64 = 64;

/// How the speaker behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Each answer is `abc…`, as long as may be, at most 5 tokens, then an end token.
    Plain,
    /// Is not there.
    Absent,
    /// The queue is full.
    Busy,
    /// Breaks off after two tokens.
    Breaks,
    /// Lets the listener go after one token.
    Vanishes,
    /// Says a token every 10 ms until nobody listens.
    Endless,
    /// Says nothing.
    Silent,
}

/// A speaker that keeps what it was asked.
struct Speaker {
    manner: Manner,
    asked: Mutex<Vec<Inquiry>>,
    /// Set when an endless answer found nobody listening.
    deserted: Mutex<bool>,
}

fn said(byte: u8, inquiry: &Inquiry, place: u32) -> Said {
    let logprob = inquiry.top_logprobs.map(|_| -1.0 - place as f32 / 4.0);
    let top = inquiry.top_logprobs.unwrap_or(0);
    Said {
        id: byte.into(),
        bytes: vec![byte],
        text: char::from(byte).to_string(),
        logprob,
        top: (0..top)
            .map(|rank| (rank, vec![b'A' + rank as u8], -0.5 - rank as f32))
            .collect(),
    }
}

fn opening_of(inquiry: &Inquiry) -> Vec<u32> {
    match &inquiry.opening {
        Opening::Tokens(ids) => ids.clone(),
        other => panic!("an opening that was not tokenized: {other:?}"),
    }
}

fn began(inquiry: &Inquiry) -> Event {
    let ids = opening_of(inquiry);
    let echo = ids.iter().enumerate().map(|(place, id)| {
        let mut said = said(*id as u8, inquiry, place as u32);
        if place == 0 {
            (said.logprob, said.top) = (None, Vec::new());
        }
        said
    });
    Event::Began {
        opening_tokens: ids.len() as u32,
        echo: if inquiry.echo {
            echo.collect()
        } else {
            Vec::new()
        },
    }
}

fn speak_plainly(inquiry: &Inquiry, listener: &mut dyn Listen) {
    let most = inquiry.sampling.max_new_tokens;
    for answer in 0..inquiry.answers {
        for place in 0..most.min(5) {
            let said = said(b'a' + place as u8, inquiry, place);
            listener.hear(Event::Token { answer, said });
        }
        let ends = most > 5;
        listener.hear(Event::Ended {
            answer,
            ending: if ends { Ending::Stop } else { Ending::Length },
            text: String::new(),
            tokens: most.min(5) + u32::from(ends),
            end: ends.then(|| Said {
                bytes: b"<end>".to_vec(),
                text: String::new(),
                ..said(0, inquiry, 5)
            }),
        });
    }
}

fn broken() -> Failure {
    Failure {
        class: ErrorClass::Data,
        code: "broken",
        message: "the adapter has a tensor of another shape".into(),
        retryable: false,
    }
}

/// One of the handles of a speaker.
struct Handle(Arc<Speaker>);

impl Converse for Handle {
    fn ask(&self, inquiry: Inquiry, mut listener: Box<dyn Listen>) -> Result<(), Failure> {
        if self.0.manner == Manner::Busy {
            return Err(Failure {
                class: ErrorClass::Device,
                code: "busy",
                message: "64 requests wait already".into(),
                retryable: true,
            });
        }
        self.0.asked.lock().unwrap().push(inquiry.clone());
        let speaker = self.0.clone();
        std::thread::spawn(move || {
            listener.hear(began(&inquiry));
            let token = |place| Event::Token {
                answer: 0,
                said: said(b'a', &inquiry, place),
            };
            match speaker.manner {
                Manner::Plain => speak_plainly(&inquiry, listener.as_mut()),
                Manner::Breaks => {
                    listener.hear(token(0));
                    listener.hear(token(1));
                    listener.hear(Event::Failed(broken()));
                }
                Manner::Vanishes => drop(listener.hear(token(0))),
                Manner::Endless => {
                    while listener.hear(token(0)) {
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    *speaker.deserted.lock().unwrap() = true;
                }
                Manner::Silent => std::thread::sleep(std::time::Duration::from_secs(5)),
                Manner::Busy | Manner::Absent => {}
            }
        });
        Ok(())
    }
}

/// A tokenizer whose tokens are bytes and whose template writes `role:content;` and `assistant:`.
struct Bytes;

impl Inspect for Bytes {
    fn adapter(
        &self,
        _: &ModelFiles,
        _: &[LocalFile],
    ) -> Result<Result<AdapterFacts, Invalid>, Failure> {
        Err(broken())
    }

    fn row(&self, _: &ModelFiles, _: &RowAsk) -> Result<RowTokens, Failure> {
        Err(broken())
    }

    fn tokenize(&self, _: &ModelFiles, ask: &TokenizeAsk) -> Result<Tokenized, Failure> {
        let text = match &ask.input {
            TokenizeInput::Text(text) if ask.add_special_tokens => format!("^{text}"),
            TokenizeInput::Text(text) => text.clone(),
            TokenizeInput::Messages {
                messages,
                generation_prompt,
            } => {
                let turn = |message: &Value| {
                    let text = |key: &str| message[key].as_str().unwrap().to_owned();
                    format!("{}:{};", text("role"), text("content"))
                };
                let turns: String = messages.iter().map(turn).collect();
                turns + if *generation_prompt { "assistant:" } else { "" }
            }
        };
        let piece = |(start, byte): (usize, u8)| Piece {
            id: byte.into(),
            text: char::from(byte).to_string(),
            start: start as u64,
            end: start as u64 + 1,
        };
        Ok(Tokenized {
            ids: text.bytes().map(u32::from).collect(),
            pieces: text.bytes().enumerate().map(piece).collect(),
            text,
        })
    }

    fn detokenize(&self, _: &ModelFiles, ids: &[u32], _: bool) -> Result<String, Failure> {
        Ok(ids.iter().map(|id| char::from(*id as u8)).collect())
    }

    fn tokenizer_info(&self, _: &ModelFiles) -> Result<TokenizerInfo, Failure> {
        Ok(TokenizerInfo {
            special_tokens: [("eos_token".to_owned(), "<end>".to_owned())].into(),
            end_token_ids: vec![0],
            vocabulary: 256,
            context_length: Some(CONTEXT),
            has_chat_template: true,
            warnings: Vec::new(),
        })
    }

    fn dimensions(&self, _: &Value) -> Result<Dimensions, Failure> {
        Err(broken())
    }
}

/// A router with its own database, two ready bases `toy` and `other`, and a speaker.
struct Api {
    database: TestDatabase,
    data: tempfile::TempDir,
    files: Arc<Store>,
    speaker: Arc<Speaker>,
    router: Router,
}

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// The answer, which must be a success.
    fn good(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.json()
    }

    /// The failure, after its form was checked.
    fn error(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/json");
        let error = self.json()["error"].clone();
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{error}"
        );
        assert!(
            error["code"].is_string() && error.get("param").is_some(),
            "{error}"
        );
        error
    }
}

async fn api() -> Api {
    api_with(Manner::Plain, |_| {}).await
}

async fn api_with(manner: Manner, change: impl Fn(&mut Settings)) -> Api {
    let database = database().await;
    let storage = database.storage().await;
    let data = tempfile::tempdir().unwrap();
    let files = Arc::new(Store::open(data.path()).unwrap());
    let mut settings = Settings::default();
    change(&mut settings);
    let speaker = Arc::new(Speaker {
        manner,
        asked: Mutex::default(),
        deserted: Mutex::default(),
    });
    let clock = Arc::new(SystemClock::start());
    let mut state =
        ApiState::new(storage, files.clone(), settings, clock).with_inspector(Arc::new(Bytes));
    if manner != Manner::Absent {
        state = state.with_converse(Arc::new(Handle(speaker.clone())));
    }
    let api = Api {
        database,
        data,
        files,
        speaker,
        router: router(state),
    };
    api.base(1, "toy", "ready").await;
    api.base(2, "other", "ready").await;
    api
}

impl Api {
    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header("authorization", "Bearer anything");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// A chat with the shortest body and `more`.
    async fn chat(&self, more: Value) -> Reply {
        let body = json!({"model":"toy","messages":[{"role":"user","content":"Hi"}]});
        self.post("/openai/v1/chat/completions", &with(body, more))
            .await
    }

    /// A completion of `Hi` with `more`.
    async fn complete(&self, more: Value) -> Reply {
        let body = json!({"model":"toy","prompt":"Hi","max_tokens":3});
        self.post("/openai/v1/completions", &with(body, more)).await
    }

    fn asked(&self) -> Vec<Inquiry> {
        self.speaker.asked.lock().unwrap().clone()
    }

    async fn execute(&self, statement: &str) {
        let mut connection = self.database.connection().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// A base model with one file; its id ends with `number`.
    async fn base(&self, number: u32, name: &str, state: &str) {
        let file = self.file("config.json", format!("{{\"base\":{number}}}").as_bytes());
        self.execute(&format!(
            "insert into base_models (id, name, state, source, source_hash, vocab_size, files)
             values ('bm_{number:026}', '{name}', '{state}', '{{}}', 's{number}', 256, '[{file}]')"
        ))
        .await;
    }

    /// A job on the base named `base`; its id ends with `number`.
    async fn job(&self, number: u32, kind: &str, base: &str, steps: &[u64]) -> String {
        let job = format!("job_{number:026}");
        self.execute(&format!(
            "insert into jobs (id, kind, owner, state, priority, spec, numerics_hash, spec_hash, finished_at)
             values ('{job}', '{kind}', 'test', 'succeeded', 1, '{{\"base_model\":\"{base}\"}}', 'n{number}', 's{number}', queue_now())"
        ))
        .await;
        for step in steps {
            let file = self.file("adapter_config.json", format!("{number} {step}").as_bytes());
            self.execute(&format!(
                "insert into checkpoints (id, job, step, kind, files)
                 values ('cp_{number:013}{step:013}', '{job}', {step}, 'lora', '[{file}]')"
            ))
            .await;
        }
        job
    }

    /// A stored file, as the tables describe it.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.files.scratch().unwrap().join("half");
        std::fs::write(&path, bytes).unwrap();
        let kept = self.files.keep(name, &path).unwrap();
        serde_json::to_string(&kept.entry).unwrap()
    }

    fn blobs(&self) -> std::path::PathBuf {
        Path::new(self.data.path()).join("blobs")
    }
}

/// `body` with the fields of `more` in place of its own.
fn with(mut body: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}
