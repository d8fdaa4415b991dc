//! The outside as one attempt's recipe meets it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Shared;
use super::control::Control;
use super::writer::{Message, Writer, patiently};
use crate::domain::assets::FileEntry;
use crate::domain::evaluation::Completion;
use crate::domain::job::{ErrorClass, JobKind};
use crate::execution::files::{is_damage, unreadable};
use crate::execution::{
    Blobs, Commit, Committed, Context, Failure, Interrupted, LocalFile, Report, Resume,
    ResumeState, Settings, Stop,
};
use crate::storage::{Error, reports};

/// One attempt's context.
pub(super) struct AttemptContext<'a> {
    shared: &'a Shared,
    control: &'a Control,
    messages: mpsc::Sender<Message>,
    broken: Arc<Mutex<Option<Error>>>,
    writing: JoinHandle<()>,
    /// What this attempt computes under, once that is settled.
    settings: OnceLock<Settings>,
}

impl<'a> AttemptContext<'a> {
    /// A context whose reports are written from now on.
    pub fn open(shared: &'a Shared, control: &'a Arc<Control>) -> Self {
        let (messages, receiver) = mpsc::channel(shared.config.report_queue.max(1));
        let broken = Arc::new(Mutex::new(None));
        let writer = Writer {
            storage: shared.storage.clone(),
            control: control.clone(),
            window: shared.config.report_window,
            broken: broken.clone(),
        };
        let writing = shared.runtime.spawn(writer.run(receiver));
        Self {
            shared,
            control,
            messages,
            broken,
            writing,
            settings: OnceLock::new(),
        }
    }

    /// Settles what this attempt computes under.
    pub fn compute_under(&self, settings: Settings) {
        // asked once an attempt; a second answer would be the same
        let _ = self.settings.set(settings);
    }

    /// Waits until everything reported is written; an error when it could not be.
    pub fn close(self) -> Result<(), Stop> {
        drop(self.messages);
        let written = self.shared.runtime.block_on(self.writing);
        if written.is_err() {
            return Err(fault("report_writer", "reports could not be written").into());
        }
        match take(&self.broken) {
            Some(error) => Err(stop_of(error)),
            None => Ok(()),
        }
    }

    fn send(&self, message: Message) -> Result<(), Stop> {
        self.control.sign();
        let sent = self.messages.blocking_send(message);
        sent.map_err(|_| self.why_broken())
    }

    fn why_broken(&self) -> Stop {
        match take(&self.broken) {
            Some(error) => stop_of(error),
            // The reason was taken by an earlier call, or the process is about to end.
            None => Interrupted::LeaseLost.into(),
        }
    }

    fn newest_state(&self) -> Result<Option<ResumeState>, Stop> {
        let job = &self.control.lease.job;
        let states = self.ask(|| reports::resume_states(&self.shared.storage, job))?;
        for (step, files) in states {
            match self.verified(&files)? {
                Ok(files) => return Ok(Some(ResumeState { step, files })),
                Err(file) => self.report(Report::Event {
                    r#type: "state_skipped",
                    data: json!({"step": step, "file": file}),
                })?,
            }
        }
        Ok(None)
    }

    /// The files of a state, or the name of the first that is missing or damaged.
    fn verified(&self, files: &[FileEntry]) -> Result<Result<Vec<LocalFile>, String>, Stop> {
        let mut found = Vec::with_capacity(files.len());
        for entry in files {
            match self.shared.blobs.verified(entry) {
                Ok(file) => found.push(file),
                Err(error) if is_damage(&error) => return Ok(Err(entry.name.clone())),
                Err(error) => return Err(unreadable(&entry.name, &error).into()),
            }
        }
        Ok(Ok(found))
    }

    fn ask<T, F: Future<Output = Result<T, Error>>>(
        &self,
        call: impl FnMut() -> F,
    ) -> Result<T, Stop> {
        let answer = patiently(self.control, call);
        self.shared.runtime.block_on(answer).map_err(stop_of)
    }
}

impl Context for AttemptContext<'_> {
    fn turn(&self) -> Result<(), Interrupted> {
        self.control.turn()
    }

    fn resume(&self) -> Result<Resume, Stop> {
        let (storage, lease) = (&self.shared.storage, &self.control.lease);
        match self.control.kind {
            JobKind::Register | JobKind::Analyze => Ok(Resume::default()),
            JobKind::Evaluate => {
                let answered = self.ask(|| reports::answered(storage, &lease.job))?;
                let answered: HashSet<_> = answered.into_iter().collect();
                let judged = self.ask(|| reports::judged(storage, &lease.job))?;
                Ok(Resume {
                    state: None,
                    answered,
                    judged,
                })
            }
            JobKind::Finetune => {
                let state = self.newest_state()?;
                let step = state.as_ref().map(|state| state.step);
                self.ask(|| reports::begin_resume(storage, lease, step))?;
                Ok(Resume {
                    state,
                    ..Resume::default()
                })
            }
        }
    }

    fn report(&self, report: Report) -> Result<(), Stop> {
        self.send(Message::Report(report))
    }

    fn commit(&self, commit: Commit) -> Result<Committed, Stop> {
        // The database's time is nobody's device time; the next turn takes the device again.
        self.control.leave();
        let (reply, answer) = oneshot::channel();
        self.send(Message::Commit(Box::new(commit), reply))?;
        let committed = answer.blocking_recv();
        self.control.sign();
        committed.map_err(|_| self.why_broken())
    }

    fn unjudged(&self, after: i64, limit: u32) -> Result<Vec<(i64, Completion)>, Stop> {
        let (storage, lease) = (&self.shared.storage, &self.control.lease);
        self.ask(|| reports::unjudged(storage, lease, after, limit))
    }

    fn blobs(&self) -> &dyn Blobs {
        self.shared.blobs.as_ref()
    }

    fn settings(&self) -> &Settings {
        self.settings.get().unwrap_or(&self.shared.config.settings)
    }

    fn seconds(&self) -> f64 {
        self.shared.clock.monotonic_seconds()
    }
}

fn take(broken: &Mutex<Option<Error>>) -> Option<Error> {
    broken.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A failed call to storage as the recipe hears of it.
pub(super) fn stop_of(error: Error) -> Stop {
    match error {
        Error::LeaseLost { .. } => Interrupted::LeaseLost.into(),
        // Waited for as long as there was hope; the sweep takes the job back.
        error if error.is_outage() => Interrupted::LeaseLost.into(),
        error => {
            tracing::error!(%error, "an attempt's records could not be written");
            fault(
                "records",
                "what the attempt found could not be recorded; the server's log says why",
            )
            .into()
        }
    }
}

pub(super) fn fault(code: &'static str, message: impl Into<String>) -> Failure {
    Failure {
        class: ErrorClass::Internal,
        code,
        message: message.into(),
        retryable: false,
    }
}
