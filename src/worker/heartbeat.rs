//! Renews every lease of the process from a thread and a connection of its own, so that neither a recipe that holds all
//! cores nor a pool without a free connection can make a living attempt look dead.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Shared;
use super::control::Control;
use crate::domain::scheduling::trusted_until;
use crate::storage::queue::{Lease, Renewals, Signal};
use crate::storage::{Result, Storage};

/// Pause after a renewal that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// The thread and its off switch.
pub(super) struct Heartbeat {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

impl Heartbeat {
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // At most one renewal is under way, and that is bounded.
        let _ = tokio::task::spawn_blocking(|| self.thread.join()).await;
    }
}

pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Heartbeat> {
    let stop = watch::Sender::new(false);
    let mut stopped = stop.subscribe();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new()
        .name("heartbeat".into())
        .spawn(move || runtime.block_on(beat_until_stopped(&shared, &mut stopped)))?;
    Ok(Heartbeat { stop, thread })
}

async fn beat_until_stopped(shared: &Shared, stopped: &mut watch::Receiver<bool>) {
    let mut link = None;
    let mut cancels = shared.storage.hints().cancel();
    let mut pause = shared.config.heartbeat;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            heard = cancels.changed(), if shared.config.hints => {
                if heard.is_err() { return; }
            }
            _ = stopped.changed() => return,
        }
        pause = match beat(shared, &mut link).await {
            Ok(()) => shared.config.heartbeat,
            Err(error) => {
                tracing::warn!(%error, "leases could not be renewed");
                link = None;
                AGAIN.min(shared.config.heartbeat)
            }
        };
    }
}

async fn beat(shared: &Shared, link: &mut Option<Renewals>) -> Result<()> {
    let controls = shared.controls.all();
    if controls.is_empty() {
        return Ok(());
    }
    let length = shared.config.lease.as_secs_f64();
    let leases: Vec<Lease> = controls.iter().map(|one| one.lease.clone()).collect();
    let renewals = connected(&shared.storage, link).await?;
    // Read before the question is sent: the database starts to count later, so trust ends before the lease does.
    let asked = shared.clock.monotonic_seconds();
    let answers = renewals.renew(&leases, length).await?;
    for control in &controls {
        tell(control, &answers, trusted_until(asked, length));
    }
    Ok(())
}

async fn connected<'a>(
    storage: &Storage,
    link: &'a mut Option<Renewals>,
) -> Result<&'a mut Renewals> {
    let renewals = match link.take() {
        Some(renewals) => renewals,
        None => Renewals::connect(storage).await?,
    };
    Ok(link.insert(renewals))
}

fn tell(control: &Control, answers: &[(Lease, Signal)], trusted_until: f64) {
    match answers.iter().find(|(lease, _)| *lease == control.lease) {
        Some((_, signal)) => {
            control.trust_until(trusted_until);
            match signal {
                Signal::Go => {}
                Signal::Pause => control.pause(),
                Signal::Cancel => control.cancel(),
            }
        }
        None => control.lose(),
    }
}
