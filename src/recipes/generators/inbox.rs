//! What a generator is to do next, sent by anybody, done by its thread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::hall::Hall;
use crate::execution::Failure;

/// How long a generator that is in a hurry still waits.
const MOMENT: Duration = Duration::from_millis(20);

/// Something to do with the rows in work, or with the reason why there are none any more.
pub(in crate::recipes) type Command = Box<dyn FnOnce(Result<&mut Hall, &Failure>) + Send>;

/// The queue of one generator.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    rung: Condvar,
    progress: AtomicU64,
}

#[derive(Default)]
struct State {
    commands: VecDeque<Command>,
    /// Ends as soon as it is idle.
    hurried: bool,
    /// Ends now.
    closed: bool,
    ended: Option<Failure>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command; after the generator's end it is told so at once, on the caller's thread.
    pub(super) fn send(&self, command: Command) {
        let mut state = self.lock();
        if let Some(failure) = state.ended.clone() {
            drop(state);
            return command(Err(&failure));
        }
        state.commands.push_back(command);
        self.rung.notify_all();
    }

    /// What came since the last time.
    pub(super) fn take(&self) -> VecDeque<Command> {
        std::mem::take(&mut self.lock().commands)
    }

    /// Whether something came.
    pub(super) fn is_rung(&self) -> bool {
        let state = self.lock();
        !state.commands.is_empty() || state.closed
    }

    /// Waits until something comes; true when nothing did for so long, or for a moment where there is a hurry.
    pub(super) fn is_idle_for(&self, limit: Duration) -> bool {
        let state = self.lock();
        let hurried = state.hurried;
        let limit = if hurried { limit.min(MOMENT) } else { limit };
        let quiet = |state: &mut State| {
            state.commands.is_empty() && !state.closed && state.hurried == hurried
        };
        let waited = self.rung.wait_timeout_while(state, limit, quiet);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        waited.timed_out() && state.commands.is_empty()
    }

    /// Has the generator end as soon as it is idle.
    pub(super) fn hurry(&self) {
        self.lock().hurried = true;
        self.rung.notify_all();
    }

    /// Has the generator end now.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.rung.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// The generator has ended: whatever is still there, or comes, is told why.
    pub(super) fn end(&self, why: &Failure) {
        let left = {
            let mut state = self.lock();
            state.ended = Some(why.clone());
            std::mem::take(&mut state.commands)
        };
        for command in left {
            command(Err(why));
        }
    }

    /// A piece of work was done.
    pub(super) fn advance(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }
}
