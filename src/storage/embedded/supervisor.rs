//! A thread that holds the server's process: waits for it, starts it again when it dies, stops it when told.

use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::error::{Error, Result};
use super::processes::signal;

/// Pause between two looks at the process.
const LOOK: Duration = Duration::from_millis(100);
/// Looks that a process must survive to count as started; sooner ends are failures to start.
const STEADY_LOOKS: u32 = 50;
/// Failures to start in a row after which no more is tried.
const STARTS: u32 = 5;

#[derive(Debug, Default)]
struct Shared {
    stopping: bool,
    gave_up: Option<String>,
}

#[derive(Debug, Default)]
struct Signals {
    shared: Mutex<Shared>,
    changed: Condvar,
}

impl Signals {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one look; true when it is time to stop.
    fn pause(&self) -> bool {
        let guard = self.lock();
        if guard.stopping {
            return true;
        }
        let waited = self.changed.wait_timeout(guard, LOOK);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

/// The holder of a running server; stops it when dropped.
#[derive(Debug)]
pub struct Supervisor {
    signals: Arc<Signals>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the server of `cluster` and its thread.
    pub fn start(cluster: Cluster) -> Result<Self> {
        let child = cluster.spawn(&[])?;
        let signals = Arc::new(Signals::default());
        let theirs = signals.clone();
        let builder = std::thread::Builder::new().name("postgres".into());
        let thread = builder.spawn(move || watch(&cluster, child, &theirs));
        let thread = thread.map_err(Error::io(
            "start a thread for",
            std::path::Path::new("postgres"),
        ))?;
        Ok(Self {
            signals,
            thread: Some(thread),
        })
    }

    /// How the server ended, when it cannot be started.
    pub fn gave_up(&self) -> Option<String> {
        self.signals.lock().gave_up.clone()
    }

    /// Stops the server and waits for its end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.signals.lock().stopping = true;
        self.signals.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end();
    }
}

fn watch(cluster: &Cluster, mut child: Child, signals: &Signals) {
    let mut failures = 0;
    let mut looks = 0;
    loop {
        if signals.pause() {
            return shut_down(&mut child);
        }
        looks += 1;
        let Ok(Some(status)) = child.try_wait() else {
            continue;
        };
        failures = if looks < STEADY_LOOKS {
            failures + 1
        } else {
            0
        };
        if failures == STARTS {
            signals.lock().gave_up = Some(status.to_string());
            return;
        }
        tracing::error!(%status, "the managed PostgreSQL ended; starting it again");
        match cluster.stop_leftover().and_then(|()| cluster.spawn(&[])) {
            Ok(next) => (child, looks) = (next, 0),
            Err(error) => tracing::error!(%error, "the managed PostgreSQL could not be started"),
        }
    }
}

/// Fast shutdown, then immediate, then by force.
fn shut_down(child: &mut Child) {
    let pid = child.id() as i32;
    for (sign, seconds) in [(Signal::INT, 20), (Signal::QUIT, 5)] {
        signal(pid, sign);
        for _ in 0..seconds * 1000 / LOOK.as_millis() {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}
