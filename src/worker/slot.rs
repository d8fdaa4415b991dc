//! Takes room, then a job, then gives the job a thread.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::control::Control;
use super::{Shared, attempt};
use crate::domain::scheduling::trusted_until;
use crate::storage::queue::{self, Claim};

/// Claims while the worker runs.
pub(super) async fn claim_jobs(shared: Arc<Shared>) {
    let mut stopping = shared.stopping.subscribe();
    let mut work = shared.storage.hints().work();
    loop {
        let permit = tokio::select! {
            permit = shared.slots.clone().acquire_owned() => permit,
            _ = stopping.changed() => return,
        };
        let Ok(permit) = permit else { return };
        // What rings from here on is heard after the query, so no job that comes during the query waits for the poll.
        work.mark_unchanged();
        if claim_one(&shared, permit).await {
            if *stopping.borrow() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(shared.config.poll) => {}
            _ = work.changed(), if shared.config.hints => {}
            _ = stopping.changed() => return,
        }
    }
}

/// Whether there was a job.
async fn claim_one(shared: &Arc<Shared>, permit: OwnedSemaphorePermit) -> bool {
    let length = shared.config.lease.as_secs_f64();
    let asked = shared.clock.monotonic_seconds();
    match queue::claim(&shared.storage, &shared.config.name, length).await {
        Ok(Some(claim)) => {
            launch(shared, claim, trusted_until(asked, length), permit).await;
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "the queue could not be asked for work");
            false
        }
    }
}

async fn launch(
    shared: &Arc<Shared>,
    claim: Claim,
    trusted_until: f64,
    permit: OwnedSemaphorePermit,
) {
    let (lease, kind) = (claim.lease.clone(), claim.kind);
    let control = Control::new(lease.clone(), kind, trusted_until, shared.clock.clone());
    let control = Arc::new(control.on(shared.config.lanes.clone()));
    shared.controls.add(control.clone());
    let name = format!("{}#{}", lease.job, claim.attempt);
    let worker = shared.clone();
    let started = std::thread::Builder::new().name(name).spawn({
        let control = control.clone();
        move || {
            attempt::run(&worker, claim, &control);
            worker.controls.remove(&control);
            drop(permit);
        }
    });
    if let Err(error) = started {
        tracing::error!(%error, job = %lease.job, "no thread for an attempt");
        shared.controls.remove(&control);
        // Given back as if the server stopped; should that fail too, the lease runs out.
        let _ = queue::finish_drained(&shared.storage, &lease).await;
    }
}
