//! HTTP: decodes requests, calls storage, encodes answers. Knows resources; never a tensor, never a row.
//!
//! Routes exist only through [`utoipa_axum`]'s `routes!`, so a route that is missing from the spec cannot exist.

mod adapters;
mod analyses;
mod archive;
mod base_models;
pub mod catalogue;
mod checkpoints;
mod columns;
mod datasets;
mod devices;
mod edge;
pub mod error;
mod evaluations;
mod events;
pub mod experiments;
pub mod extract;
mod files;
mod form;
mod jobs;
mod json_text;
mod judges;
mod meta;
mod metrics;
pub mod model_files;
pub mod openai;
pub mod openapi;
mod paging;
mod prefer;
mod presets;
pub mod query;
mod question_sets;
mod queue;
mod rubrics;
mod rules;
mod runs;
mod table;
mod vectors;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::artifacts;
use crate::domain::local_judge::LocalJudge;
use crate::domain::time::Clock;
use crate::execution::converse::Converse;
use crate::execution::devices::Devices;
use crate::execution::fetch::{Fetch, NoHub};
use crate::execution::inspect::{Inspect, NoEngine};
use crate::execution::judge::{Judges, NoJudges};
use crate::storage::Storage;

/// Bounds that handlers and the edge enforce; from the configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Longest JSON body.
    pub json_bytes: u64,
    /// Longest upload.
    pub upload_bytes: u64,
    /// Longest page of a list.
    pub page_items: u32,
    /// Jobs that may wait at once.
    pub queued_jobs: u32,
    /// Threads of every attempt, as far as estimates count with them.
    pub threads_per_attempt: u32,
    /// Rows of one sampling call.
    pub decode_slots: u32,
    /// Requests in the handlers at once.
    pub in_flight: usize,
    /// Time for a request whose body is JSON or empty.
    pub request: Duration,
    /// Longest pause inside a body.
    pub body_stall: Duration,
    /// Folders that a base model's path may lie under.
    pub model_roots: Vec<std::path::PathBuf>,
    /// Bounds of inference.
    pub inference: openai::Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            json_bytes: 8 << 20,
            upload_bytes: 1 << 30,
            page_items: 200,
            queued_jobs: 10_000,
            threads_per_attempt: 1,
            decode_slots: 32,
            in_flight: 256,
            request: Duration::from_secs(30),
            body_stall: Duration::from_secs(10),
            model_roots: Vec::new(),
            inference: openai::Settings::default(),
        }
    }
}

/// What every handler can reach; cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub storage: Storage,
    /// Bounds.
    pub settings: Arc<Settings>,
    /// For durations and records.
    pub clock: Arc<dyn Clock>,
    /// Files by hash.
    pub files: Arc<artifacts::Store>,
    /// Where base models come from by name.
    pub hub: Arc<dyn Fetch>,
    /// The judges that the operator configured.
    pub judges: Arc<dyn Judges>,
    /// The base models that judge under a name of the operator's.
    pub local_judges: Arc<std::collections::BTreeMap<String, LocalJudge>>,
    /// What jobs run on; none where no job runs here.
    pub devices: Option<Arc<dyn Devices>>,
    /// Whether new requests should go elsewhere.
    pub readiness: Readiness,
    /// Cancelled when answers must end: event streams stop here, and clients resume them elsewhere.
    pub closing: CancellationToken,
    /// Tokenizers and chat templates.
    pub inspect: Arc<dyn Inspect>,
    /// Who answers chats and completions; nobody where this process runs no models.
    pub converse: Option<Arc<dyn Converse>>,
    in_flight: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    inspections: Arc<Semaphore>,
}

impl ApiState {
    /// A state that is ready at once.
    pub fn new(
        storage: Storage,
        files: Arc<artifacts::Store>,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            storage,
            files,
            hub: Arc::new(NoHub),
            judges: Arc::new(NoJudges),
            local_judges: Arc::default(),
            devices: None,
            in_flight: Arc::new(Semaphore::new(settings.in_flight)),
            watchers: Arc::new(Semaphore::new(events::MOST_WATCHERS)),
            settings: Arc::new(settings),
            clock,
            readiness: Readiness::default(),
            closing: CancellationToken::new(),
            inspect: Arc::new(NoEngine),
            converse: None,
            inspections: Arc::new(Semaphore::new(model_files::MOST_INSPECTIONS)),
        }
    }

    /// The same state with somebody who answers questions about tokens.
    pub fn with_inspector(mut self, inspect: Arc<dyn Inspect>) -> Self {
        self.inspect = inspect;
        self
    }

    /// The same state with somebody who answers chats and completions.
    pub fn with_converse(mut self, converse: Arc<dyn Converse>) -> Self {
        self.converse = Some(converse);
        self
    }
}

/// Tells load balancers when the server is on its way out.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/readyz` says no.
    pub fn drain(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`Self::drain`] was called.
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Who submits work as long as there are no keys.
const OWNER: &str = "local";

/// Every documented route; a resource's file adds itself here.
fn documented() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(meta::routes())
        .merge(devices::routes())
        .merge(datasets::routes())
        .merge(base_models::routes())
        .merge(adapters::routes())
        .merge(question_sets::routes())
        .merge(rubrics::routes())
        .merge(judges::routes())
        .merge(checkpoints::routes())
        .merge(metrics::routes())
        .merge(vectors::routes())
        .merge(evaluations::routes())
        .merge(analyses::routes())
        .merge(jobs::routes())
        .merge(queue::routes())
        .merge(presets::routes())
        .merge(experiments::routes())
        .merge(runs::routes())
        .merge(events::routes())
        .merge(openai::routes())
}

/// The whole API as a service.
pub fn router(state: ApiState) -> Router {
    let (routes, spec) = documented().split_for_parts();
    let rules = rules::Rules::read(&spec);
    let routes = routes.merge(openapi::routes(&spec));
    edge::around(routes, state, rules)
}
