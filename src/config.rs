//! The settings of a server: every key, its type, what holds between them. Knows where values come from, not what they do.
//!
//! `config.toml` is the one list of keys, defaults and meanings; it is compiled in.

mod judges;
mod read;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::scheduling::line::Rules;
use serde::{Deserialize, Deserializer};

pub use judges::{Endpoint, Judge, Judges, WithoutLogprobs};
pub use read::{Loaded, Refused, load};

/// The defaults, as text.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// All settings.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// HTTP.
    pub server: Server,
    /// The database.
    pub database: Database,
    /// What is kept.
    pub data: Data,
    /// What runs jobs.
    pub worker: Worker,
    /// The order of what waits.
    pub queue: Queue,
    /// Bounds of what users may ask.
    pub limits: Limits,
    /// Chats and completions.
    pub inference: Inference,
    /// Base models.
    pub models: Models,
    /// Where base models come from by name.
    pub hub: Hub,
    /// What scores answers, by name.
    #[serde(default)]
    pub judges: Judges,
    /// The log.
    pub log: Log,
}

/// HTTP.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Where the address is written once the server listens.
    #[serde(deserialize_with = "optional_path")]
    pub address_file: Option<PathBuf>,
    /// For the head of a request.
    #[serde(rename = "header_seconds", deserialize_with = "seconds")]
    pub header: Duration,
    /// Without a byte in either direction.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds")]
    pub idle: Duration,
    /// Until the answer to a JSON request.
    #[serde(rename = "request_seconds", deserialize_with = "seconds")]
    pub request: Duration,
    /// Longest pause inside a request's body.
    #[serde(rename = "body_stall_seconds", deserialize_with = "seconds")]
    pub body_stall: Duration,
    /// Longest time that an answer stays unread.
    #[serde(rename = "write_stall_seconds", deserialize_with = "seconds")]
    pub write_stall: Duration,
    /// For running attempts at the end.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds")]
    pub drain: Duration,
    /// Longest JSON body.
    pub json_bytes: u64,
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// Requests at work at once.
    pub requests_in_flight: usize,
}

/// The database.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Address of a server of the user's own; none for the managed cluster.
    #[serde(deserialize_with = "optional_text")]
    pub url: Option<String>,
    /// Programs for the managed cluster.
    #[serde(deserialize_with = "optional_path")]
    pub binaries: Option<PathBuf>,
    /// Connections at most.
    pub connections: u32,
    /// For getting one.
    #[serde(rename = "acquire_seconds", deserialize_with = "seconds")]
    pub acquire: Duration,
    /// For one statement.
    #[serde(rename = "statement_seconds", deserialize_with = "seconds")]
    pub statement: Duration,
    /// For one lock.
    #[serde(rename = "lock_seconds", deserialize_with = "seconds")]
    pub lock: Duration,
    /// For a transaction that does nothing.
    #[serde(rename = "idle_transaction_seconds", deserialize_with = "seconds")]
    pub idle_transaction: Duration,
}

impl std::fmt::Debug for Database {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.url.as_ref().map(|_| "…");
        f.debug_struct("Database")
            .field("url", &url)
            .finish_non_exhaustive()
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder of everything.
    pub folder: PathBuf,
    /// Age at which a file that nobody names is removed.
    #[serde(rename = "unreferenced_seconds", deserialize_with = "seconds")]
    pub unreferenced: Duration,
}

/// What runs jobs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Jobs at once.
    pub slots: u32,
    /// Threads of one attempt.
    pub threads_per_attempt: u32,
    /// Where tensors are.
    pub device: Device,
    /// Rows of one sampling call.
    pub decode_slots: u32,
    /// Between renewals.
    #[serde(rename = "heartbeat_seconds", deserialize_with = "seconds")]
    pub heartbeat: Duration,
    /// Life of a lease.
    #[serde(rename = "lease_seconds", deserialize_with = "seconds")]
    pub lease: Duration,
    /// Between sweeps.
    #[serde(rename = "sweep_seconds", deserialize_with = "seconds")]
    pub sweep: Duration,
    /// Between looks of an idle slot.
    #[serde(rename = "poll_seconds", deserialize_with = "seconds")]
    pub poll: Duration,
}

/// The order of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Until what was used counts half.
    pub half_life_seconds: f64,
    /// Until a job whose band got nothing counts as one band higher.
    pub ageing_seconds: f64,
    /// What a job counts beyond what it has had.
    pub entry_seconds: f64,
    /// That a job runs before one of a higher band takes its place.
    pub undisturbed_seconds: f64,
}

/// Where tensors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Device {
    /// The first GPU where there is one.
    Auto,
    /// The processor.
    Cpu,
    /// A GPU by number.
    Cuda(u32),
}

impl TryFrom<String> for Device {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let number = text
            .strip_prefix("cuda:")
            .and_then(|number| number.parse().ok());
        match (text.as_str(), number) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(number)) => Ok(Self::Cuda(number)),
            _ => Err(format!("\"{text}\" is not one of auto, cpu, cuda:0")),
        }
    }
}

/// Bounds of what users may ask.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Waiting jobs.
    pub queued_jobs: u32,
    /// Longest upload.
    pub upload_bytes: u64,
    /// Longest page.
    pub page_items: u32,
    /// Failed attempts that fail a job.
    pub attempts: u32,
}

/// Chats and completions.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// Prompts that are answered or wait at once.
    pub queue: u32,
    /// Least part of the time that training gets.
    pub training_share: f64,
    /// How far training and answers may run ahead of their shares.
    #[serde(rename = "max_wait_seconds", deserialize_with = "seconds")]
    pub max_wait: Duration,
    /// Without a request until memory is given back.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds")]
    pub idle: Duration,
    /// Adapters in memory, of each base.
    pub adapters: u32,
    /// For one request, streams included.
    #[serde(rename = "request_seconds", deserialize_with = "seconds")]
    pub request: Duration,
    /// Largest `n`.
    pub answers: u32,
    /// Largest `max_tokens`.
    pub new_tokens: u32,
    /// Largest product of prompts, `n` and `max_tokens`.
    pub drawn_tokens: u64,
    /// Most prompts of a request.
    pub prompts: u32,
    /// Most tokens of a request's prompts together.
    pub prompt_tokens: u64,
    /// Most stop texts.
    pub stop_texts: u32,
}

/// Base models.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Models {
    /// Folders that a path may lie under.
    pub roots: Vec<PathBuf>,
    /// Bytes in memory on each device; 0 is a sensible share.
    pub memory_bytes: u64,
}

/// Where base models come from by name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Address.
    #[serde(deserialize_with = "optional_text")]
    pub endpoint: Option<String>,
    /// Folder of what came.
    #[serde(deserialize_with = "optional_path")]
    pub cache: Option<PathBuf>,
    /// Whether the hub is never asked.
    pub offline: bool,
    /// Bytes of one model at most.
    pub model_bytes: u64,
    /// Bytes of disk that stay free.
    pub spare_bytes: u64,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
    /// Least weight that is shown.
    pub level: LogLevel,
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One object a line.
    Json,
}

/// Least weight that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the words of every log
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Queue {
    /// *Source* ten years; a longer half-life would be read from more rows than there are days.
    const LONGEST: f64 = 10.0 * 366.0 * 86_400.0;

    fn contradictions(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("queue.half_life_seconds", self.half_life_seconds, 1.0),
            ("queue.ageing_seconds", self.ageing_seconds, 0.0),
            ("queue.entry_seconds", self.entry_seconds, 0.0),
            ("queue.undisturbed_seconds", self.undisturbed_seconds, 0.0),
        ];
        let wrong =
            |(_, value, least): &(&str, f64, f64)| !(*least..=Self::LONGEST).contains(value);
        let told = |(key, value, least): (&'static str, f64, f64)| {
            (
                key,
                format!("{value} is not from {least} to {}", Self::LONGEST),
            )
        };
        all.into_iter().filter(wrong).map(told).collect()
    }

    /// The same for the queue.
    pub fn rules(&self) -> Rules {
        Rules {
            half_life_seconds: self.half_life_seconds,
            ageing_seconds: self.ageing_seconds,
            entry_seconds: self.entry_seconds,
            undisturbed_seconds: self.undisturbed_seconds,
        }
    }
}

impl Config {
    /// What is wrong between or with values that each have the right type: key and reason.
    fn contradictions(&self) -> Vec<(String, String)> {
        let found = self.between_values().into_iter();
        let found = found.map(|(key, detail)| (key.to_owned(), detail));
        found.chain(judges::contradictions(&self.judges)).collect()
    }

    fn between_values(&self) -> Vec<(&'static str, String)> {
        let mut found = self.too_small();
        if self.worker.lease < 3 * self.worker.heartbeat {
            let detail = "must be at least three times worker.heartbeat_seconds, or one lost renewal loses the lease";
            found.push(("worker.lease_seconds", detail.into()));
        }
        if self.server.idle <= self.server.request {
            let detail = "must be more than server.request_seconds, or waiting clients are cut off";
            found.push(("server.idle_seconds", detail.into()));
        }
        for root in self.models.roots.iter().filter(|root| !root.is_absolute()) {
            found.push((
                "models.roots",
                format!("\"{}\" is not an absolute path", root.display()),
            ));
        }
        let share = self.inference.training_share;
        if !(0.0..=0.9).contains(&share) {
            let detail = format!("{share} is not a part from 0 up to 0.9");
            found.push(("inference.training_share", detail));
        }
        found.extend(self.queue.contradictions());
        if self.data.folder.as_os_str().is_empty() {
            found.push(("data.folder", "is empty; name a folder".into()));
        }
        found
    }

    fn too_small(&self) -> Vec<(&'static str, String)> {
        let (server, database, worker, limits) =
            (&self.server, &self.database, &self.worker, &self.limits);
        let inference = &self.inference;
        let least: [(&str, u64, u64); 18] = [
            ("server.json_bytes", server.json_bytes, 1024),
            ("server.connections", server.connections as u64, 1),
            (
                "server.connections_per_address",
                server.connections_per_address as u64,
                1,
            ),
            (
                "server.requests_in_flight",
                server.requests_in_flight as u64,
                1,
            ),
            ("database.connections", database.connections.into(), 2),
            (
                "worker.threads_per_attempt",
                worker.threads_per_attempt.into(),
                1,
            ),
            ("worker.decode_slots", worker.decode_slots.into(), 1),
            ("inference.queue", inference.queue.into(), 1),
            ("inference.adapters", inference.adapters.into(), 1),
            ("limits.queued_jobs", limits.queued_jobs.into(), 1),
            ("limits.upload_bytes", limits.upload_bytes, 1024),
            ("limits.page_items", limits.page_items.into(), 1),
            ("limits.attempts", limits.attempts.into(), 1),
            ("inference.answers", inference.answers.into(), 1),
            ("inference.new_tokens", inference.new_tokens.into(), 1),
            ("inference.drawn_tokens", inference.drawn_tokens, 1),
            ("inference.prompts", inference.prompts.into(), 1),
            ("inference.prompt_tokens", inference.prompt_tokens, 1),
        ];
        let short = least.into_iter().filter(|(_, value, least)| value < least);
        short
            .map(|(key, value, least)| (key, format!("{value} is less than {least}")))
            .collect()
    }
}

/// A positive number of seconds, at most a day.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    if seconds > 0.0 && seconds <= 86_400.0 {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(serde::de::Error::custom(format!(
        "{seconds} is not a number of seconds over 0 and at most 86400"
    )))
}

fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Some(String::deserialize(deserializer)?).filter(|text| !text.is_empty()))
}

fn optional_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(optional_text(deserializer)?.map(PathBuf::from))
}
