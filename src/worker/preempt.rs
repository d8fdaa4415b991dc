//! Makes room for jobs of a higher band: one running job of a lower band keeps its state and goes back to the line.

use std::sync::Arc;

use super::Shared;
use crate::domain::scheduling::preemption::victim;
use crate::storage::Result;
use crate::storage::queue::{self, line};

/// Looks at the line while every slot is taken.
pub(super) async fn make_room(shared: Arc<Shared>) {
    let mut stopping = shared.stopping.subscribe();
    let mut work = shared.storage.hints().work();
    while !*stopping.borrow() {
        work.mark_unchanged();
        if shared.slots.available_permits() == 0
            && let Err(error) = look(&shared).await
        {
            tracing::warn!(%error, "the line could not be looked at for higher bands");
        }
        tokio::select! {
            () = tokio::time::sleep(shared.config.poll) => {}
            _ = work.changed(), if shared.config.hints => {}
            _ = stopping.changed() => return,
        }
    }
}

async fn look(shared: &Shared) -> Result<()> {
    let storage = &shared.storage;
    let snapshot = line::snapshot(storage, Some(1)).await?;
    let line = snapshot.line(storage.rules());
    let Some(next) = line.first().map(|place| &snapshot.candidates[place.index]) else {
        return Ok(());
    };
    let own = snapshot.running.iter();
    let own: Vec<_> = own
        .filter(|run| run.worker == shared.config.name)
        .cloned()
        .collect();
    if let Some(job) = victim(next, &own, storage.rules())
        && queue::preempt(storage, &job, &next.job, &next.owner).await?
    {
        tracing::info!(%job, by = %next.job, "a job of a higher band takes its place");
    }
    Ok(())
}
