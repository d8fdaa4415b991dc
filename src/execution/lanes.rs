//! Who computes on a device now: a few lanes, taken for one piece of work at a time, shared fairly between jobs and chat.
//!
//! A piece of work is a micro-batch, a decode step or the reading of a prompt. It is never cut short, so whoever comes
//! waits for at most one of them. Knows no tensor, no job and no request.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::time::Clock;

/// How long a waiting thread sleeps between two looks at whether it should go on waiting.
const LOOK: Duration = Duration::from_millis(50);

/// Who wants a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// A job's next piece of work.
    Job,
    /// An answer that somebody waits for.
    Chat {
        /// It has not said anything yet.
        first: bool,
    },
}

/// What each side gets while both want the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Part of the time that jobs get at least, from 0 up to but not 1.
    pub jobs: f64,
    /// How far the sides may run ahead of each other; also what first tokens may take from the jobs in advance.
    pub ahead_seconds: f64,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            jobs: 0.5,
            ahead_seconds: 1.0,
        }
    }
}

/// The lanes of one device.
pub struct Lanes {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}

struct State {
    free: usize,
    share: Share,
    next: u64,
    jobs: VecDeque<u64>,
    chat: VecDeque<(u64, bool)>,
    /// Device seconds that jobs are owed for what chat took while they waited.
    owed: f64,
}

/// The right to compute until it is dropped.
#[derive(Debug)]
pub struct Lane {
    lanes: Arc<Lanes>,
    who: Who,
    since: f64,
    held: bool,
}

impl Lanes {
    /// So many pieces of work at once, at least one.
    pub fn new(count: u32, share: Share, clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = State {
            free: count.max(1) as usize,
            share,
            next: 0,
            jobs: VecDeque::new(),
            chat: VecDeque::new(),
            owed: 0.0,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            clock,
        })
    }

    /// Waits for a lane; none when `leave` said so while it waited.
    pub fn enter(self: &Arc<Self>, who: Who, leave: &dyn Fn() -> bool) -> Option<Lane> {
        let mut state = self.lock();
        let ticket = state.ask(who);
        self.wait(state, ticket, who, leave)
    }

    /// Gives a lane back and asks for the next piece of work in one go, so that nobody else slips in between for free.
    pub fn again(
        self: &Arc<Self>,
        lane: Option<Lane>,
        who: Who,
        leave: &dyn Fn() -> bool,
    ) -> Option<Lane> {
        let mut state = self.lock();
        // Asked before the lane is free: whoever decides then knows all who want it.
        let ticket = state.ask(who);
        if let Some(mut lane) = lane {
            lane.held = false;
            state.give(lane.who, self.clock.monotonic_seconds() - lane.since);
            self.changed.notify_all();
        }
        self.wait(state, ticket, who, leave)
    }

    /// Lets waiting threads look again whether they should leave.
    pub fn nudge(&self) {
        // Held for a moment, so that nobody who just looked misses it.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// How many wait: (jobs, chat).
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.jobs.len(), state.chat.len())
    }
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        ticket: u64,
        who: Who,
        leave: &dyn Fn() -> bool,
    ) -> Option<Lane> {
        loop {
            if state.free > 0 && state.chosen() == Some(ticket) {
                state.free -= 1;
                state.forget(ticket);
                // With another lane free the next one's turn has come as well.
                self.changed.notify_all();
                return Some(Lane {
                    lanes: self.clone(),
                    who,
                    since: self.clock.monotonic_seconds(),
                    held: true,
                });
            }
            if leave() {
                state.forget(ticket);
                self.changed.notify_all();
                return None;
            }
            let woken = self.changed.wait_timeout(state, LOOK);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.held {
            let seconds = self.lanes.clock.monotonic_seconds() - self.since;
            self.lanes.lock().give(self.who, seconds);
            self.lanes.changed.notify_all();
        }
    }
}

impl State {
    fn ask(&mut self, who: Who) -> u64 {
        self.next += 1;
        match who {
            Who::Job => self.jobs.push_back(self.next),
            Who::Chat { first } => self.chat.push_back((self.next, first)),
        }
        self.next
    }

    fn forget(&mut self, ticket: u64) {
        self.jobs.retain(|own| *own != ticket);
        self.chat.retain(|(own, _)| *own != ticket);
    }

    /// Whose turn it is: chat's, first tokens before others, until jobs are owed too much.
    fn chosen(&self) -> Option<u64> {
        let job = self.jobs.front().copied();
        let first = self.chat.iter().find(|(_, first)| *first);
        let Some((chat, first)) = first.or(self.chat.front()).copied() else {
            return job;
        };
        let patience = if first { self.share.ahead_seconds } else { 0.0 };
        job.filter(|_| self.owed > patience).or(Some(chat))
    }

    /// Takes a lane back and settles what was used; time that nobody else wanted is nobody's debt.
    fn give(&mut self, who: Who, seconds: f64) {
        self.free += 1;
        let ahead = self.share.ahead_seconds;
        self.owed = match who {
            Who::Chat { .. } if !self.jobs.is_empty() => {
                self.owed + seconds * self.share.jobs / (1.0 - self.share.jobs)
            }
            Who::Job if !self.chat.is_empty() => (self.owed - seconds).max(-ahead),
            _ => 0.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;

    /// Milliseconds that only tests let pass.
    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> time::OffsetDateTime {
            time::OffsetDateTime::UNIX_EPOCH
        }

        fn monotonic_seconds(&self) -> f64 {
            self.0.load(Ordering::SeqCst) as f64 / 1000.0
        }
    }

    fn lanes(count: u32, share: Share) -> (Arc<Lanes>, Arc<Hand>) {
        let clock = Arc::new(Hand::default());
        (Lanes::new(count, share, clock.clone()), clock)
    }

    const STAY: &dyn Fn() -> bool = &|| false;

    fn until(condition: impl Fn() -> bool) {
        while !condition() {
            std::thread::yield_now();
        }
    }

    /// Chat and one job that both always want the only lane: how often each got it in so many pieces of work.
    fn contend(share: Share, micro_batch: u64, decode_step: u64, pieces: usize) -> (usize, usize) {
        let (lanes, clock) = lanes(1, share);
        let mut state = lanes.lock();
        let (mut job, mut chat) = (0, 0);
        let mut tickets = (state.ask(Who::Job), state.ask(Who::Chat { first: true }));
        for _ in 0..pieces {
            let chosen = state.chosen().unwrap();
            state.free -= 1;
            state.forget(chosen);
            let (who, spent) = match chosen == tickets.0 {
                true => (Who::Job, micro_batch),
                false => (Who::Chat { first: false }, decode_step),
            };
            clock.0.fetch_add(spent, Ordering::SeqCst);
            match who {
                Who::Job => (job, tickets.0) = (job + 1, state.ask(who)),
                Who::Chat { .. } => (chat, tickets.1) = (chat + 1, state.ask(who)),
            }
            state.give(who, spent as f64 / 1000.0);
        }
        (job, chat)
    }

    #[test]
    fn both_sides_get_their_share_of_the_time_while_both_want_it() {
        for jobs in [0.2, 0.5, 0.8] {
            let share = Share {
                jobs,
                ahead_seconds: 1.0,
            };
            let (job, chat) = contend(share, 100, 20, 5000);
            let (job, chat) = (job as f64 * 100.0, chat as f64 * 20.0);
            let found = job / (job + chat);
            // Tolerance: what one side may be ahead by, over the whole time.
            assert!((found - jobs).abs() < 0.02, "{jobs}: {found}");
        }
    }

    #[test]
    fn a_share_of_nothing_lets_chat_go_first_always() {
        let share = Share {
            jobs: 0.0,
            ahead_seconds: 1.0,
        };
        assert_eq!(contend(share, 100, 20, 50), (0, 50));
    }

    #[test]
    fn a_first_token_waits_for_the_micro_batch_under_way_and_no_other() {
        let (lanes, clock) = lanes(1, Share::default());
        let training = lanes.enter(Who::Job, STAY);
        let (told, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let lane = lanes.enter(Who::Chat { first: true }, STAY);
                told.send("chat").unwrap();
                until(|| lanes.waiting().0 == 1);
                drop(lane);
            });
            until(|| lanes.waiting().1 == 1);
            clock.0.fetch_add(300, Ordering::SeqCst);
            let next = lanes.again(training, Who::Job, STAY);
            told.send("micro-batch").unwrap();
            drop(next);
        });
        assert_eq!(
            heard.try_iter().collect::<Vec<_>>(),
            ["chat", "micro-batch"]
        );
    }

    #[test]
    fn training_goes_on_while_chat_streams() {
        let (lanes, clock) = lanes(1, Share::default());
        let (batches, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let mut steps = 0;
        let entered = lanes.enter(Who::Chat { first: true }, STAY);
        std::thread::scope(|scope| {
            let mut lane = entered;
            scope.spawn(|| {
                let mut lane = None;
                while !stop.load(Ordering::SeqCst) {
                    lane = lanes.again(lane, Who::Job, &|| stop.load(Ordering::SeqCst));
                    clock.0.fetch_add(50, Ordering::SeqCst);
                    batches.fetch_add(1, Ordering::SeqCst);
                }
            });
            while batches.load(Ordering::SeqCst) < 20 {
                clock.0.fetch_add(10, Ordering::SeqCst);
                steps += 1;
                lane = lanes.again(lane, Who::Chat { first: false }, STAY);
            }
            stop.store(true, Ordering::SeqCst);
            drop(lane);
        });
        assert!(steps >= 20, "{steps} tokens beside 20 micro-batches");
    }

    #[test]
    fn many_first_tokens_do_not_keep_training_out() {
        let (lanes, _) = lanes(1, Share::default());
        let mut state = lanes.lock();
        let job = state.ask(Who::Job);
        let mut passed_over = 0;
        loop {
            let chat = state.ask(Who::Chat { first: true });
            if state.chosen() == Some(job) {
                break;
            }
            state.free -= 1;
            state.forget(chat);
            state.give(Who::Chat { first: true }, 0.1);
            passed_over += 1;
        }
        // A second in advance at a tenth each, and the one that passes it.
        assert!((10..=11).contains(&passed_over), "{passed_over}");
    }

    #[test]
    fn lanes_are_given_in_the_order_of_asking_among_jobs() {
        let (lanes, _) = lanes(2, Share::default());
        let first = lanes.enter(Who::Job, STAY).unwrap();
        let second = lanes.enter(Who::Job, STAY).unwrap();
        assert!(lanes.enter(Who::Job, &|| true).is_none(), "both are taken");
        drop(first);
        let third = lanes.enter(Who::Job, &|| true);
        assert!(third.is_some());
        drop(second);
        assert_eq!(lanes.waiting(), (0, 0));
    }

    #[test]
    fn who_waits_may_leave_when_nudged() {
        let (lanes, _) = lanes(1, Share::default());
        let lane = lanes.enter(Who::Job, STAY);
        let gone = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let leave = || gone.load(Ordering::SeqCst);
                lanes.enter(Who::Job, &leave).is_none()
            });
            until(|| lanes.waiting().0 == 1);
            gone.store(true, Ordering::SeqCst);
            lanes.nudge();
            assert!(waits.join().unwrap());
        });
        drop(lane);
    }
}
