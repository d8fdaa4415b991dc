//! Writes what one attempt tells, in order: reports in batches, a commit behind all reports before it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::control::Control;
use crate::domain::assets::FileEntry;
use crate::domain::ids::CheckpointId;
use crate::execution::{Commit, Committed, LocalFile, Report};
use crate::storage::reports::{self, Batch, NewCheckpoint, NewEvent, Progressed};
use crate::storage::{Error, Result, Storage};

/// Reports of one batch at most.
const LARGEST_BATCH: usize = 512;

/// What an attempt's thread sends.
pub(super) enum Message {
    Report(Report),
    Commit(Box<Commit>, oneshot::Sender<Committed>),
}

/// One attempt's writing end.
pub(super) struct Writer {
    pub storage: Storage,
    pub control: Arc<Control>,
    pub window: Duration,
    /// Why writing ended early; read by the attempt's thread when the channel is closed.
    pub broken: Arc<Mutex<Option<Error>>>,
}

impl Writer {
    /// Writes until the channel is closed, or until a write fails for good.
    pub async fn run(self, mut messages: mpsc::Receiver<Message>) {
        if let Err(error) = self.write_all(&mut messages).await {
            if matches!(error, Error::LeaseLost { .. }) {
                self.control.lose();
            }
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        // Only now is the channel closed, so whoever finds it closed finds the reason as well.
        drop(messages);
    }

    async fn write_all(&self, messages: &mut mpsc::Receiver<Message>) -> Result<()> {
        while let Some(first) = messages.recv().await {
            let (batch, commit) = gather(first, messages, self.window).await;
            patiently(&self.control, || {
                reports::write(&self.storage, &self.control.lease, &batch)
            })
            .await?;
            if let Some((commit, reply)) = commit {
                let committed = self.commit(&commit).await?;
                // A thread that died waits for no answer.
                let _ = reply.send(committed);
            }
        }
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed> {
        let (storage, lease) = (&self.storage, &self.control.lease);
        match commit {
            Commit::Effective(settings) => {
                patiently(&self.control, || {
                    reports::effective(storage, lease, settings)
                })
                .await?;
            }
            Commit::Answers(answers) => {
                patiently(&self.control, || reports::answers(storage, lease, answers)).await?;
            }
            Commit::Judgements(given) => {
                patiently(&self.control, || reports::judgements(storage, lease, given)).await?;
            }
            Commit::Model(facts) => {
                patiently(&self.control, || reports::model(storage, lease, facts)).await?;
            }
            Commit::Analysis(computed) => {
                patiently(&self.control, || {
                    reports::analysis(storage, lease, computed)
                })
                .await?;
            }
            Commit::Vectors { first, last, file } => {
                let span = *first..=*last;
                patiently(&self.control, || {
                    reports::vectors(storage, lease, &span, &file.entry)
                })
                .await?;
            }
            Commit::Checkpoint {
                step,
                kind,
                files,
                state,
            } => {
                let id = CheckpointId::from_uuid(Uuid::now_v7());
                let (files, state) = (entries(files), entries(state));
                let new = NewCheckpoint {
                    id: &id,
                    step: *step,
                    kind: *kind,
                    files: &files,
                    state: &state,
                };
                let kept = patiently(&self.control, || reports::checkpoint(storage, lease, &new));
                if let Some(id) = kept.await? {
                    return Ok(Committed::Checkpoint(id));
                }
            }
        }
        Ok(Committed::Recorded)
    }
}

fn entries(files: &[LocalFile]) -> Vec<FileEntry> {
    files.iter().map(|file| file.entry.clone()).collect()
}

type Waiting = (Box<Commit>, oneshot::Sender<Committed>);

/// The reports that come within `window`, up to and without the first commit.
async fn gather(
    first: Message,
    messages: &mut mpsc::Receiver<Message>,
    window: Duration,
) -> (Batch, Option<Waiting>) {
    let end = tokio::time::sleep(window);
    tokio::pin!(end);
    let (mut batch, mut count, mut message) = (Batch::default(), 0, first);
    loop {
        match message {
            Message::Commit(commit, reply) => return (batch, Some((commit, reply))),
            Message::Report(report) => fold(&mut batch, report),
        }
        count += 1;
        if count >= LARGEST_BATCH {
            return (batch, None);
        }
        message = tokio::select! {
            next = messages.recv() => match next {
                Some(next) => next,
                None => return (batch, None),
            },
            () = &mut end => return (batch, None),
        };
    }
}

fn fold(batch: &mut Batch, report: Report) {
    match report {
        Report::Phase(phase) => {
            batch.phase = Some(phase);
            let event = NewEvent::new("phase", json!({"phase": phase}));
            batch.events.push(event);
        }
        Report::Progress { done, total, unit } => {
            let unit = unit.to_owned();
            batch.progress = Some(Progressed { done, total, unit });
        }
        Report::Modules(modules) => batch.modules = Some(modules),
        Report::Step(point) => batch.steps.push(point),
        Report::Norms(point) => batch.norms.push(point),
        Report::Changes(point) => batch.changes.push(point),
        Report::HoldOut { step, loss } => batch.hold_out.push((step, loss)),
        Report::Event { r#type, data } => batch.events.push(NewEvent::new(r#type, data)),
    }
}

/// Repeats a call that meets an outage, with growing pauses, for as long as the attempt may hope to go on.
pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
    control: &Control,
    mut call: impl FnMut() -> F,
) -> Result<T> {
    let mut pause = Duration::from_millis(100);
    loop {
        match call().await {
            Err(error) if error.is_outage() && control.patient() => {
                tracing::warn!(%error, job = %control.lease.job, "a write waits for the database");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            answer => return answer,
        }
    }
}
