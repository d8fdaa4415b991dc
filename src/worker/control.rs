//! What an attempt's thread and those who watch over it tell each other, without locks on the way of a step.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::job::JobKind;
use crate::domain::time::Clock;
use crate::execution::Interrupted;
use crate::execution::lanes::{Lane, Lanes, Who};
use crate::storage::queue::Lease;

/// Reasons to stop; a larger one wins over a smaller.
const GO: u8 = 0;
const PAUSE: u8 = 1;
const DRAIN: u8 = 2;
const CANCEL: u8 = 3;
const LOST: u8 = 4;

/// How long a thread that waits for its lease sleeps between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// One attempt's flags.
pub(super) struct Control {
    /// The right to write.
    pub lease: Lease,
    /// What the job does.
    pub kind: JobKind,
    clock: Arc<dyn Clock>,
    stop: AtomicU8,
    /// Bits of the clock's seconds until which the lease may be trusted.
    trusted_until: AtomicU64,
    /// Grows with every sign of the recipe.
    signs: AtomicU64,
    given_up: AtomicBool,
    waiting: Mutex<()>,
    renewed: Condvar,
    /// Where the device is shared; none where nobody else computes on it.
    lanes: Option<Arc<Lanes>>,
    /// The right to compute between two turns.
    lane: Mutex<Option<Lane>>,
}

impl Control {
    pub fn new(lease: Lease, kind: JobKind, trusted_until: f64, clock: Arc<dyn Clock>) -> Self {
        Self {
            lease,
            kind,
            clock,
            stop: AtomicU8::new(GO),
            trusted_until: AtomicU64::new(trusted_until.to_bits()),
            signs: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            waiting: Mutex::new(()),
            renewed: Condvar::new(),
            lanes: None,
            lane: Mutex::default(),
        }
    }

    /// Lets a training job take turns on the device with whoever else wants it.
    ///
    /// Only training computes on its own thread: the rows of an evaluation are drawn by a generator, which takes its own turns.
    pub fn on(mut self, lanes: Option<Arc<Lanes>>) -> Self {
        self.lanes = lanes.filter(|_| self.kind == JobKind::Finetune);
        self
    }

    /// Returns when it is this attempt's turn, which lasts until the next call; waits while the lease can neither be trusted
    /// nor is known as lost.
    pub fn turn(&self) -> Result<(), Interrupted> {
        self.sign();
        loop {
            if let Some(reason) = self.interrupted() {
                self.leave();
                return Err(reason);
            }
            if !self.trusted() {
                self.leave();
                let guard = ignore_poison(self.waiting.lock());
                drop(ignore_poison(self.renewed.wait_timeout(guard, LOOK)));
            } else if self.enter() {
                return Ok(());
            }
        }
    }

    fn interrupted(&self) -> Option<Interrupted> {
        match self.stop.load(Ordering::Acquire) {
            GO => None,
            PAUSE => Some(Interrupted::Paused),
            DRAIN => Some(Interrupted::Draining),
            CANCEL => Some(Interrupted::Cancelled),
            _ => Some(Interrupted::LeaseLost),
        }
    }

    /// Gives the device to whoever waits for it and takes it again; false when there is something to look at first.
    fn enter(&self) -> bool {
        let Some(lanes) = &self.lanes else {
            return true;
        };
        let mut own = ignore_poison(self.lane.lock());
        let leave = || self.interrupted().is_some() || !self.trusted();
        let before = own.take();
        *own = lanes.again(before, Who::Job, &leave);
        own.is_some()
    }

    /// Lets others compute: the attempt waits for something else, or has ended.
    pub fn leave(&self) {
        drop(ignore_poison(self.lane.lock()).take());
    }

    fn trusted(&self) -> bool {
        self.clock.monotonic_seconds() <= f64::from_bits(self.trusted_until.load(Ordering::Acquire))
    }

    /// The recipe did something.
    pub fn sign(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
    }

    /// Signs so far.
    pub fn signs(&self) -> u64 {
        self.signs.load(Ordering::Relaxed)
    }

    /// The lease was renewed.
    pub fn trust_until(&self, seconds: f64) {
        self.trusted_until
            .store(seconds.to_bits(), Ordering::Release);
        self.renewed.notify_all();
    }

    /// The server stops.
    pub fn drain(&self) {
        self.stop_for(DRAIN);
    }

    /// A user wants the job to stand still.
    pub fn pause(&self) {
        self.stop_for(PAUSE);
    }

    /// A user cancelled the job.
    pub fn cancel(&self) {
        self.stop_for(CANCEL);
    }

    /// The lease is another's.
    pub fn lose(&self) {
        self.stop_for(LOST);
    }

    fn stop_for(&self, reason: u8) {
        self.stop.fetch_max(reason, Ordering::AcqRel);
        self.renewed.notify_all();
    }

    /// Whether the lease is known to be another's.
    pub fn lost(&self) -> bool {
        self.stop.load(Ordering::Acquire) == LOST
    }

    /// The process is about to end: nobody waits for the database any more.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Release);
    }

    /// Whether a write that met an outage is worth another try.
    pub fn patient(&self) -> bool {
        !self.lost() && !self.given_up.load(Ordering::Acquire)
    }
}

/// The attempts that run in this process.
#[derive(Default)]
pub(super) struct Controls(Mutex<Vec<Arc<Control>>>);

impl Controls {
    pub fn add(&self, control: Arc<Control>) {
        self.list().push(control);
    }

    pub fn remove(&self, control: &Control) {
        self.list().retain(|other| other.lease != control.lease);
    }

    pub fn all(&self) -> Vec<Arc<Control>> {
        self.list().clone()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Control>>> {
        ignore_poison(self.0.lock())
    }
}

/// Nothing behind these locks can be left half done.
fn ignore_poison<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
