//! What an attempt's thread and those who watch over it tell each other, without locks on the way of a step.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::job::JobKind;
use crate::domain::time::Clock;
use crate::execution::Interrupted;
use crate::storage::queue::Lease;

/// Reasons to stop; a larger one wins over a smaller.
const GO: u8 = 0;
const DRAIN: u8 = 1;
const CANCEL: u8 = 2;
const LOST: u8 = 3;

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
        }
    }

    /// Returns at once while nothing is the matter; waits while the lease can neither be trusted nor is known as lost.
    ///
    /// A fair order among attempts on one device belongs here, behind the check of the flags.
    pub fn turn(&self) -> Result<(), Interrupted> {
        self.sign();
        loop {
            match self.stop.load(Ordering::Acquire) {
                GO => {}
                DRAIN => return Err(Interrupted::Draining),
                CANCEL => return Err(Interrupted::Cancelled),
                _ => return Err(Interrupted::LeaseLost),
            }
            if self.trusted() {
                return Ok(());
            }
            let guard = ignore_poison(self.waiting.lock());
            drop(ignore_poison(self.renewed.wait_timeout(guard, LOOK)));
        }
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
