//! Takes back jobs whose attempt vanished, and notices attempts of this process that live but do not advance.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;

use super::Shared;
use crate::storage::queue::{self, Lease};
use crate::storage::reports::{self, Batch, NewEvent};

/// Sweeps at once and then from time to time.
pub(super) async fn keep_watch(shared: Arc<Shared>) {
    let mut stopping = shared.stopping.subscribe();
    let mut seen = Seen::default();
    while !*stopping.borrow() {
        sweep(&shared).await;
        seen.look(&shared).await;
        tokio::select! {
            () = tokio::time::sleep(shared.config.sweep) => {}
            _ = stopping.changed() => return,
        }
    }
}

async fn sweep(shared: &Shared) {
    match queue::sweep(&shared.storage, shared.config.lease.as_secs_f64()).await {
        Ok(swept) => {
            for job in swept {
                tracing::warn!(job = %job.lease.job, state = job.state.name(), "a lease ran out");
            }
        }
        Err(error) => tracing::warn!(%error, "leases could not be swept"),
    }
    if let Err(error) = queue::settle_blocked(&shared.storage).await {
        tracing::warn!(%error, "blocked jobs could not be looked at");
    }
}

/// The last sign of each attempt: (signs, since when, whether it was told).
#[derive(Default)]
struct Seen(HashMap<Lease, (u64, f64, bool)>);

impl Seen {
    async fn look(&mut self, shared: &Shared) {
        let controls = shared.controls.all();
        self.0
            .retain(|lease, _| controls.iter().any(|one| one.lease == *lease));
        let now = shared.clock.monotonic_seconds();
        for control in controls {
            let entry = self.0.entry(control.lease.clone());
            let last = entry.or_insert((control.signs(), now, false));
            if last.0 != control.signs() {
                *last = (control.signs(), now, false);
            }
            let silent = now - last.1;
            if !last.2 && silent >= shared.config.stalled_after.as_secs_f64() {
                last.2 = true;
                tell(shared, &control.lease, silent).await;
            }
        }
    }
}

async fn tell(shared: &Shared, lease: &Lease, silent: f64) {
    tracing::warn!(job = %lease.job, seconds = silent, "an attempt does not advance");
    let event = NewEvent::new("stalled", json!({"seconds": silent.round()}));
    if let Err(error) = reports::write(&shared.storage, lease, &Batch::event(event)).await {
        tracing::warn!(%error, job = %lease.job, "an event could not be written");
    }
}
