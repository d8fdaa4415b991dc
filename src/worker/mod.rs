//! Runs queued jobs: slots, leases, threads, time. Holds a `dyn Execute` and never learns what a tensor is.
//!
//! One task claims, one takes back what others lost, one operating-system thread renews every lease of the process, and
//! each attempt has a thread of its own. Nothing here keeps a transaction open while a recipe runs.

mod attempt;
mod context;
mod control;
mod heartbeat;
mod numerics;
mod preempt;
mod resolve;
mod slot;
mod watch;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch as signal};
use tokio::task::JoinHandle;

use crate::domain::local_judge::LocalJudge;
use crate::domain::scheduling::RetryPolicy;
use crate::domain::time::Clock;
use crate::execution::lanes::Lanes;
use crate::execution::{Blobs, Execute, Settings};
use crate::storage::Storage;

use control::Controls;

/// Bounds and intervals of a worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Shown with attempts; unique among the processes on one database.
    pub name: String,
    /// Attempts at a time.
    pub slots: u32,
    /// Length of a lease.
    pub lease: Duration,
    /// Time between two renewals.
    pub heartbeat: Duration,
    /// Time between two looks at the queue while nothing is heard.
    pub poll: Duration,
    /// Whether hints within the process are listened to; without them everything happens by polling.
    pub hints: bool,
    /// Time between two sweeps.
    pub sweep: Duration,
    /// Time without any sign from a recipe that is worth an event.
    pub stalled_after: Duration,
    /// What is done about failures that may pass.
    pub retry: RetryPolicy,
    /// Reports that may wait to be written before `report` blocks.
    pub report_queue: usize,
    /// Longest time that a report waits for others.
    pub report_window: Duration,
    /// Folders that a base model's path may lie under; looked at again when its registration is claimed.
    pub model_roots: Vec<std::path::PathBuf>,
    /// Base models that judge under a name of the operator's.
    pub local_judges: std::collections::BTreeMap<String, LocalJudge>,
    /// Settings of the machine that recipes obey.
    pub settings: Settings,
    /// Where training takes turns on the device with answers; none where there is nothing else.
    pub lanes: Option<Arc<Lanes>>,
}

impl WorkerConfig {
    /// The design's intervals for a worker called `name`.
    pub fn new(name: impl Into<String>, slots: u32, settings: Settings) -> Self {
        Self {
            name: name.into(),
            slots,
            lease: Duration::from_secs(30),
            heartbeat: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            hints: true,
            sweep: Duration::from_secs(30),
            stalled_after: Duration::from_secs(600),
            retry: RetryPolicy::default(),
            report_queue: 1024,
            report_window: Duration::from_millis(200),
            model_roots: Vec::new(),
            local_judges: Default::default(),
            settings,
            lanes: None,
        }
    }
}

/// What every part of a worker holds.
struct Shared {
    config: WorkerConfig,
    storage: Storage,
    execute: Arc<dyn Execute>,
    blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    /// The runtime on which attempts' writes are made.
    runtime: tokio::runtime::Handle,
    /// The running attempts.
    controls: Controls,
    /// One permit a slot. The one place where room is taken; memory will be asked for here as well.
    slots: Arc<Semaphore>,
    /// False until the worker stops.
    stopping: signal::Sender<bool>,
}

/// A running worker.
pub struct WorkerHandle {
    shared: Arc<Shared>,
    claiming: JoinHandle<()>,
    preempting: JoinHandle<()>,
    watching: JoinHandle<()>,
    heartbeat: heartbeat::Heartbeat,
}

/// Starts a worker on the current runtime.
///
/// *Errors*: the heartbeat's thread could not be started.
pub fn start(
    config: WorkerConfig,
    storage: Storage,
    execute: Arc<dyn Execute>,
    blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
) -> std::io::Result<WorkerHandle> {
    let slots = Arc::new(Semaphore::new(config.slots as usize));
    let shared = Arc::new(Shared {
        config,
        storage,
        execute,
        blobs,
        clock,
        runtime: tokio::runtime::Handle::current(),
        controls: Controls::default(),
        slots,
        stopping: signal::Sender::new(false),
    });
    Ok(WorkerHandle {
        heartbeat: heartbeat::start(shared.clone())?,
        claiming: tokio::spawn(slot::claim_jobs(shared.clone())),
        preempting: tokio::spawn(preempt::make_room(shared.clone())),
        watching: tokio::spawn(watch::keep_watch(shared.clone())),
        shared,
    })
}

impl WorkerHandle {
    /// Attempts that run now.
    pub fn running(&self) -> usize {
        self.shared.controls.all().len()
    }

    /// Stops: claims nothing more, asks every attempt to keep its state and give its job back, and waits for them.
    ///
    /// False when some attempt had not ended after `limit`; its job is taken back by a sweep when its lease runs out.
    pub async fn drain(self, limit: Duration) -> bool {
        self.shared.stopping.send_replace(true);
        // An attempt that is claimed at this moment is among the controls when the loop has ended.
        let _ = self.claiming.await;
        for control in self.shared.controls.all() {
            control.drain();
        }
        let all = self.shared.slots.acquire_many(self.shared.config.slots);
        let ended = tokio::time::timeout(limit, all).await.is_ok();
        for control in self.shared.controls.all() {
            control.give_up();
        }
        let _ = self.preempting.await;
        let _ = self.watching.await;
        self.heartbeat.stop().await;
        ended
    }
}
