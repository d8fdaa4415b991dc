//! "Look now" within one process. Carries no fact: whoever hears it asks the database, and asks it anyway from time to time.

use tokio::sync::watch;

/// Two bells. A listener that subscribed before it asked the database misses no ring.
#[derive(Debug, Clone)]
pub struct Hints {
    work: watch::Sender<u64>,
    cancel: watch::Sender<u64>,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            work: watch::Sender::new(0),
            cancel: watch::Sender::new(0),
        }
    }
}

impl Hints {
    /// A job may be waiting for a slot.
    pub fn ring_work(&self) {
        self.work.send_modify(|count| *count += 1);
    }

    /// A running job may have been cancelled.
    pub fn ring_cancel(&self) {
        self.cancel.send_modify(|count| *count += 1);
    }

    /// Hears of work.
    pub fn work(&self) -> watch::Receiver<u64> {
        self.work.subscribe()
    }

    /// Hears of cancels.
    pub fn cancel(&self) -> watch::Receiver<u64> {
        self.cancel.subscribe()
    }
}
