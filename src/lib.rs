//! Vivarium: a server for research on model organisms of emergent misalignment.
//!
//! A team that shares one machine posts experiments, fine-tunes and evaluations; the server queues them in Postgres, runs them on libtorch in
//! its own process, and answers with per-step norms, checkpoints, sampled answers and misalignment rates.
//!
//! # Layers
//!
//! ```text
//!             cli ── app                      composition only
//!              │      │
//!         ┌────┴───┐  ├───────────┐
//!         │  api   │  │  worker   │  recipes      api: HTTP. worker: leases, threads, time.
//!         └───┬────┘  └──┬─────┬──┘  └──┬──┘      recipes: one file per job kind, the loops in sight.
//!             │          │     │        │
//!          storage ──────┘  execution ──┤         storage: all SQL. execution: the seam.
//!             │                │        │
//!             │            artifacts   engine      artifacts: files by hash. engine: all tensors.
//!             └───────┬────────┴────────┘
//!                   domain                        plain types and pure rules, no IO
//! ```
//!
//! | module | may use from the crate | crates that nobody else names |
//! |---|---|---|
//! | [`domain`] | nothing | serde-saphyr |
//! | [`bundle`] | domain | zip |
//! | [`execution`] | domain | – |
//! | `artifacts` | domain, execution (it implements `execution::Blobs`) | – |
//! | `storage` | domain | sqlx |
//! | `engine` | value types of domain | tch, tokenizers, safetensors, minijinja |
//! | `hub` | domain, execution (it implements `execution::fetch`) | reqwest, beside `client`; no `hf-hub`: its module says why |
//! | `judging` | domain, execution (it implements `execution::judge::Judges`) | reqwest, beside `client` and `hub` |
//! | `toyworld` | domain | – |
//! | `recipes` | domain, artifacts, execution, engine, toyworld | – |
//! | `worker` | domain, storage, execution | – |
//! | [`plot`] | domain (figures from plain values) | resvg |
//! | `web` | domain, plot (pages from plain values) | maud |
//! | `api` | domain, storage, artifacts, bundle, execution, plot, web | axum, tower-http, hyper |
//! | `client` | domain | reqwest |
//! | `config`, `telemetry` | domain (telemetry: config) | figment; tracing-subscriber |
//! | `app` | everything | – |
//! | `cli`, `main` | app, client, config, domain; cli also bundle, plot, and toyworld, whose corpora the demo uploads | clap, indicatif |
//!
//! `tests/it/architecture.rs` reads the sources and fails on any other arrow.
//!
//! - The **engine** knows tensors, files and values. It never hears of jobs, HTTP, SQL, tokio or clocks.
//! - The **worker** knows leases, threads and deadlines. It never names a tensor: it holds a `dyn Execute`.
//! - **Recipes** join the two: read a spec, call the engine, report, return. They are straight loops; `Context::turn` at the top of
//!   every micro-batch and decode step is where they meet the outside and learn that they must stop.
//! - **Handlers** decode, call one or two storage functions, encode.
//!
//! # A fine-tune, from POST to adapter
//!
//! 1. `api` decodes the body (tag first, a JSON pointer in every error) and checks it against the assets it names.
//! 2. `storage` inserts the job under its `spec_hash`; equal work is answered with the job that exists. A job whose parents have not
//!    succeeded is `blocked`, else `queued`.
//! 3. A slot of the `worker` claims it in one short transaction (`FOR UPDATE SKIP LOCKED`) and gets a lease with a number that only
//!    grows. Every later write of the attempt carries that number and must touch exactly one row; a stale worker changes nothing.
//! 4. The attempt runs on a thread of its own. A heartbeat thread with its own connection renews the lease and hears of cancels.
//! 5. The recipe loads the base (one resident copy is shared), tokenizes, and makes steps. Reports go through a bounded channel;
//!    a `commit` returns when everything before it is recorded and its files are synced under their hashes.
//! 6. After a crash the sweep puts the job back; the next attempt starts from the newest state whose files verify, deletes the rows
//!    beyond it, and repeats exactly what would have happened: every random draw is keyed by what it is for, none is streamed.
//! 7. A pause, a drain and a full disk end the attempt the same way: after a whole step, with its state kept, counted as no
//!    failure. A newer checkpoint retires those that no rule of `checkpoints.keep` keeps; `app` removes the bytes that no row
//!    names any more once they are old enough.
//!
//! # An evaluation, from POST to a rate
//!
//! 1. `api` looks up targets, questions, rubrics and the judge, and hashes what they are, not what they are called. What the judge's
//!    scores depend on (endpoint, model, parameters, or a local model's weights) is part of that hash and kept with the result.
//! 2. `recipes::evaluate` takes one list of (target, question, paraphrase, sample) and leaves out what is recorded. Each row's random
//!    stream is keyed by that tuple without the target, so that targets are compared on the same draws. Rows go to the generator of
//!    their base, targets mixed in one batch; an answer is recorded when it ends, in whatever order that is.
//! 3. Answers go to the judge while others are still drawn. [`execution::judge`] is a bounded pair of submit and receive, so the recipe
//!    stays a loop without waits: `judging` asks endpoints on the server's runtime, at most so many at once, with a ledger between
//!    them and the network; `recipes::local_judge` reads a base model's own distribution; `toyworld` looks answers up.
//! 4. A verdict is a score, a word, a cause for having neither, or an error. Errors are no missing data: they leave the evaluation
//!    `partial` until they are asked again or accepted. A killed attempt asks about nothing that the ledger or a record answers.
//! 5. Rates are computed when they are asked for. `storage::marks` reads what was said of each answer, `domain::rates` counts it under
//!    the query's thresholds and makes rows, and `domain::statistics` gives their intervals: pure functions of plain numbers.
//!
//! # An experiment, from one file to its report
//!
//! 1. `domain::experiment` reads the file and plans it: arms with grids expanded and controls beside them become jobs that name each other
//!    by keys. The planner is pure; what exists (rows of datasets, twins, bases) is told to it. A mistake points into the file, and
//!    nothing is queued before all of it is known to be right.
//! 2. `api::experiments` gives every planned job the id that it will have, or that of the job which does the same work, and
//!    `storage::experiments` makes all of it in one transaction, or nothing. From then on the queue knows jobs alone.
//! 3. `app` looks every few seconds for experiments whose jobs have all ended since their last analysis, whatever they ended as, and asks for
//!    an `analyze` job over what succeeded. The question and its answer are one guarded update, so several servers ask once.
//! 4. `recipes::analyze` reads vectors; `domain::analysis` makes series, `domain::transitions` says where weights and answers turn.
//! 5. `domain::report` puts plain facts into rows and sentences ordered by the plan, never by ids or times; Markdown, the page of `web`,
//!    the figures of [`plot`] and the [`bundle`] are all made from that one value.
//!
//! # Who goes next
//!
//! `domain::scheduling` decides, from plain values: `line` orders what waits (bands, the least served user first, age), `preemption` says
//! whose place a higher band takes, `outlook` and `reasons` say until when and why. `storage::queue::line` reads those values at one
//! moment; the claim, the shown queue, a job's `waiting` and the question what would be all go through the same functions. What users had
//! is counted by a trigger when an attempt ends, in rows a user and day.
//!
//! # An answer that somebody waits for
//!
//! 1. `api` reads the address and the messages, and hands an inquiry with a listener to `execution::converse::Converse`.
//! 2. `recipes::converse` sends it to the generator of its base: the one thread that owns the running batch, which evaluations send
//!    their rows to as well. Its rows take free slots, or slots of a batch beside a full one, and no row changes another's bits.
//! 3. For each decode step the generator takes a lane of the device (`execution::lanes`), as training does for each micro-batch
//!    (`Context::turn`). A first token goes before the next micro-batch; over time both get their configured share.
//! 4. Each token is told as soon as no stop text can take it back. A listener that is gone frees its rows at the next step.
//!
//! # What `server` turns on
//!
//! Without the feature `server` only [`domain`], [`bundle`], [`execution`], [`plot`] (its SVG), `toyworld`, `client` and the client's
//! commands are built, and neither libtorch nor a database driver is in the tree.

#[cfg(feature = "server")]
pub mod api;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod artifacts;
pub mod bundle;
pub mod cli;
pub mod client;
#[cfg(feature = "server")]
pub mod config;
pub mod domain;
#[cfg(feature = "server")]
pub mod engine;
pub mod execution;
#[cfg(feature = "server")]
pub mod hub;
#[cfg(feature = "server")]
pub mod judging;
pub mod plot;
#[cfg(feature = "server")]
pub mod recipes;
#[cfg(feature = "server")]
pub mod storage;
#[cfg(feature = "server")]
pub mod telemetry;
pub mod toyworld;
#[cfg(feature = "server")]
pub mod web;
#[cfg(feature = "server")]
pub mod worker;
