//! What a fine-tune leaves behind and when: checkpoints that users load, states that attempts go on from.

use std::path::Path;

use serde_json::{Value, json};

use super::card::Card;
use super::early::{Early, SEEN};
use super::vectors::Vectors;
use crate::domain::adapter::{CARD, MANIFEST};
use crate::domain::assets::WeightsKind;
use crate::domain::finetune::Method;
use crate::domain::forecast::disk::DiskForecast;
use crate::engine::Error;
use crate::engine::adapter::Base;
use crate::engine::files::Files;
use crate::engine::model::config::text_only;
use crate::engine::train::Trainer;
use crate::engine::train::checkpoint::{STATE, find_state};
use crate::execution::{Commit, Context, FinetuneWork, LocalFile, Report, ResumeState, Stop};
use crate::recipes::{broken_file, disk_full, register::write};

/// Steps after which a state is kept at the latest.
const STATE_STEPS: u64 = 50;
/// Seconds after which a state is kept at the latest; no number depends on when.
const STATE_SECONDS: f64 = 60.0;
const CONFIG: &str = "config.json";
/// Files of the base that make a full checkpoint a model of its own.
const OF_THE_BASE: [&str; 5] = [
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// Saves and restores the run of one attempt.
pub(super) struct Keeper<'a> {
    work: &'a FinetuneWork,
    context: &'a dyn Context,
    total: u64,
    vectors: Vectors<'a>,
    /// Step and second of the newest state.
    newest: (u64, f64),
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        work: &'a FinetuneWork,
        context: &'a dyn Context,
        total: u64,
        vectors: Vectors<'a>,
    ) -> Self {
        Self {
            work,
            context,
            total,
            vectors,
            newest: (0, context.seconds()),
        }
    }

    /// Puts the trainer where an earlier attempt left off.
    pub(super) fn restore(
        &mut self,
        trainer: &mut Trainer,
        early: &mut Early<'_>,
        state: &ResumeState,
    ) -> Result<(), Stop> {
        let file = find_state(&state.files, |file| &file.entry.name)?;
        let file = self.context.blobs().verified(&file.entry);
        let file = file.map_err(|error| broken_file(STATE, &error))?;
        trainer.restore(&file.path, state.step)?;
        if early.watches() {
            self.restore_seen(early, state)?;
        }
        self.newest = (state.step, self.context.seconds());
        Ok(())
    }

    /// Tells what the run will write, before its first step.
    ///
    /// *Errors*: held when the disk has no room for it.
    pub(super) fn forecast(&self, trainer: &Trainer) -> Result<(), Stop> {
        let spec = &self.work.spec.checkpoints;
        let (weights, state) = (trainer.weights_bytes(), trainer.state_bytes());
        let forecast = DiskForecast::new(spec, self.total, weights, state);
        let room = self.context.blobs().room();
        let free = room.as_ref().map(|room| room.free_bytes);
        self.context.report(Report::Event {
            r#type: "disk_forecast",
            data: json!({"forecast": forecast, "free_bytes": free}),
        })?;
        match room.filter(|room| room.free_bytes < forecast.total_bytes) {
            None => Ok(()),
            Some(room) => Err(disk_full(format_args!(
                "the run's files take up to {} bytes in {} and {} are free; no step was made",
                forecast.total_bytes,
                room.folder.display(),
                room.free_bytes
            ))
            .into()),
        }
    }

    /// Records the vectors before the first update.
    pub(super) fn begin(&mut self, trainer: &Trainer) -> Result<(), Stop> {
        self.vectors.begin(trainer)
    }

    fn restore_seen(&self, early: &mut Early<'_>, state: &ResumeState) -> Result<(), Stop> {
        let kept = state.files.iter().find(|file| file.entry.name == SEEN);
        let kept = kept.ok_or_else(|| Error::MissingFile {
            name: SEEN.into(),
            remedy: "the state cannot be resumed from; run the job again".into(),
        })?;
        let broken = |error: std::io::Error| broken_file(SEEN, &error);
        let file = self.context.blobs().verified(&kept.entry).map_err(broken)?;
        let seen = std::fs::read_to_string(&file.path).map_err(broken)?;
        match early.restore(&seen) {
            true => Ok(()),
            false => Err(Error::bad_file(SEEN, "is not what a state keeps").into()),
        }
    }

    /// Keeps what the step just made asks for: vectors, a checkpoint, a state.
    pub(super) fn keep(&mut self, trainer: &Trainer, early: &Early<'_>) -> Result<(), Stop> {
        let step = trainer.updates();
        self.vectors.add(trainer)?;
        if self.work.spec.checkpoints.keeps(step, self.total) || early.stopped(step).is_some() {
            return self.commit(trainer, early, true);
        }
        let (newest, second) = self.newest;
        let late = step - newest >= STATE_STEPS || self.context.seconds() - second >= STATE_SECONDS;
        if late {
            self.commit(trainer, early, false)
        } else {
            Ok(())
        }
    }

    /// Keeps the state, unless it is kept already.
    pub(super) fn save_state(&mut self, trainer: &Trainer, early: &Early<'_>) -> Result<(), Stop> {
        if self.newest.0 == trainer.updates() {
            return Ok(());
        }
        self.commit(trainer, early, false)
    }

    fn commit(
        &mut self,
        trainer: &Trainer,
        early: &Early<'_>,
        for_users: bool,
    ) -> Result<(), Stop> {
        let flushed = self.vectors.flush();
        flushed.map_err(|stop| self.with_figures(stop, trainer, for_users))?;
        let scratch = self.context.blobs().scratch();
        let scratch = scratch.map_err(|error| broken_file("scratch folder", &error))?;
        let commit = self.saved(trainer, early, for_users, &scratch);
        // what could not be kept is garbage; the store removes what is left at its next start
        let _ = std::fs::remove_dir_all(&scratch);
        let commit = commit.map_err(|stop| self.with_figures(stop, trainer, for_users))?;
        self.context.commit(commit)?;
        self.newest = (trainer.updates(), self.context.seconds());
        Ok(())
    }

    /// A full disk with what was to be written and what there is room for.
    fn with_figures(&self, stop: Stop, trainer: &Trainer, for_users: bool) -> Stop {
        let (Stop::Held(_), Some(room)) = (&stop, self.context.blobs().room()) else {
            return stop;
        };
        let needed = trainer.state_bytes() + u64::from(for_users) * trainer.weights_bytes();
        disk_full(format_args!(
            "step {} was not kept, for which about {needed} bytes are needed in {} and {} are free; {}",
            trainer.updates(),
            room.folder.display(),
            room.free_bytes,
            match self.newest.0 {
                0 => "nothing was kept before it".into(),
                step => format!("the state of step {step} stands"),
            }
        ))
        .into()
    }

    fn saved(
        &self,
        trainer: &Trainer,
        early: &Early<'_>,
        for_users: bool,
        scratch: &Path,
    ) -> Result<Commit, Stop> {
        let kept = |name: &str| {
            let file = self.context.blobs().keep(name, &scratch.join(name));
            file.map_err(|error| broken_file(name, &error))
        };
        trainer.save_state(&scratch.join(STATE))?;
        let mut state = vec![kept(STATE)?];
        if let Some(seen) = early.seen() {
            let written = std::fs::write(scratch.join(SEEN), seen);
            written.map_err(|error| broken_file(SEEN, &error))?;
            state.push(kept(SEEN)?);
        }
        let mut files = Vec::new();
        if for_users {
            for name in trainer.save_weights(scratch, self.base())? {
                files.push(kept(name)?);
            }
            files.extend(self.of_the_base());
            if let Some(config) = self.own_config()? {
                write(&scratch.join(CONFIG), CONFIG, &config)?;
                files.retain(|file| file.entry.name != CONFIG);
                files.push(kept(CONFIG)?);
            }
            files.extend(self.origin(trainer, early, scratch, &files)?);
        }
        Ok(Commit::Checkpoint {
            step: trainer.updates(),
            kind: self.kind(),
            files,
            state,
        })
    }

    /// The base as others find it: on the hub, or else by the name that it has here.
    fn base(&self) -> Base<'_> {
        match &self.work.provenance.published {
            Some(published) => Base {
                name: Some(&published.hub),
                revision: published.commit.as_deref(),
            },
            None => self.work.base.name.as_str().into(),
        }
    }

    /// The files that say what `files` are and where they come from.
    fn origin(
        &self,
        trainer: &Trainer,
        early: &Early<'_>,
        scratch: &Path,
        files: &[LocalFile],
    ) -> Result<[LocalFile; 2], Stop> {
        let card = Card {
            work: self.work,
            modules: &trainer.modules(),
            step: trainer.updates(),
            total: self.total,
            ended: early.stopped(trainer.updates()),
        };
        let kept = |name: &str, text: String| {
            let path = scratch.join(name);
            let file = std::fs::write(&path, text);
            let file = file.and_then(|()| self.context.blobs().keep(name, &path));
            file.map_err(|error| broken_file(name, &error))
        };
        Ok([
            kept(CARD, card.text())?,
            kept(MANIFEST, card.manifest(files, self.context.settings()))?,
        ])
    }

    fn kind(&self) -> WeightsKind {
        match self.work.spec.method {
            Method::Lora(_) => WeightsKind::Lora,
            Method::Full(_) => WeightsKind::Full,
            Method::SteeringVector(_) => WeightsKind::SteeringVector,
        }
    }

    /// config.json of all weights where the base's does not describe them: a vision tower is not trained and not written.
    fn own_config(&self) -> Result<Option<Value>, Stop> {
        let config = self.of_the_base().into_iter();
        let config: Files = config
            .filter(|file| file.entry.name == CONFIG)
            .map(|file| (file.entry.name, file.path))
            .collect();
        match config.names().is_empty() {
            true => Ok(None),
            false => Ok(text_only(&config.json(CONFIG)?)),
        }
    }

    /// The base's own files that a full checkpoint needs beside its weights; they are in the store already.
    fn of_the_base(&self) -> Vec<LocalFile> {
        if self.kind() != WeightsKind::Full {
            return Vec::new();
        }
        let wanted = |file: &&LocalFile| OF_THE_BASE.contains(&file.entry.name.as_str());
        self.work
            .base
            .files
            .iter()
            .filter(wanted)
            .cloned()
            .collect()
    }
}
