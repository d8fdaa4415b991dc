//! A model's files into the store: small ones as copies of their own, weights where they lie.
//!
//! Weights of 60 GB need no second copy: the store refers to them and finds any change of theirs by their hash.

use std::io;

use serde_json::json;

use super::pace::Pace;
use super::{INDEX, Shape, WEIGHTS, checked, keep, scratch, unfinished};
use crate::domain::assets::{FileEntry, ModelFacts};
use crate::domain::job::{ErrorClass, Phase};
use crate::domain::model_files::{BESIDE, is_shard, is_template, shards};
use crate::engine::files::Files;
use crate::execution::fetch::{Fetch, FetchedFile, Wanted, Watch};
use crate::execution::{Context, Report, Stop};
use crate::recipes::{broken_file, failure};

/// A model from a hub.
pub(super) fn from_hub(
    wanted: &Wanted,
    hub: &dyn Fetch,
    context: &dyn Context,
) -> Result<ModelFacts, Stop> {
    let began = context.seconds();
    let files = hub.fetch(wanted, &mut Pace::new(context))?;
    let seconds = context.seconds() - began;
    context.report(Report::Event {
        r#type: "hub_fetched",
        data: json!({"model": wanted.model, "commit": wanted.commit, "files": files.len(), "seconds": seconds}),
    })?;
    from_files(&files, context)
}

/// A model whose files are on this machine.
pub(super) fn from_files(found: &[FetchedFile], context: &dyn Context) -> Result<ModelFacts, Stop> {
    let files: Files = found
        .iter()
        .map(|file| (file.name.clone(), file.path.clone()))
        .collect();
    let shape: Shape = checked(&files)?;
    context.report(Report::Phase(Phase::Save))?;
    let names = wanted(&files)?;
    let taken = found.iter().filter(|file| names.contains(&file.name));
    let taken: Vec<&FetchedFile> = taken.collect();
    let mut taker = Taker {
        context,
        pace: Pace::new(context),
        done: 0,
        total: taken.iter().map(|file| length(file)).sum(),
        scratch: scratch(context)?,
    };
    let mut entries = Vec::new();
    for file in taken {
        entries.push(taker.take(file)?);
    }
    Ok(shape.with(entries))
}

/// The names of a model's files: its weights, as one file or in shards, and what stands beside them.
fn wanted(files: &Files) -> Result<Vec<String>, Stop> {
    let beside = BESIDE.into_iter().filter(|name| files.get(name).is_some());
    let further = files.names().into_iter().filter(|name| is_template(name));
    let mut names: Vec<String> = beside.chain(further).map(str::to_string).collect();
    if files.get(WEIGHTS).is_some() {
        names.retain(|name| name != INDEX);
        names.push(WEIGHTS.into());
        return Ok(names);
    }
    let text = std::fs::read(files.require(INDEX)?);
    let text = text.map_err(|error| broken_file(INDEX, &error))?;
    let named =
        shards(&text).map_err(|detail| failure(ErrorClass::Data, "file_invalid", detail))?;
    names.extend(named);
    Ok(names)
}

fn length(file: &FetchedFile) -> u64 {
    std::fs::metadata(&file.path).map_or(0, |facts| facts.len())
}

struct Taker<'a> {
    context: &'a dyn Context,
    pace: Pace<'a>,
    done: u64,
    total: u64,
    scratch: super::Scratch,
}

impl Taker<'_> {
    fn take(&mut self, file: &FetchedFile) -> Result<FileEntry, Stop> {
        let entry = match is_shard(&file.name) {
            true => self.refer(file)?,
            false => self.copy(file)?,
        };
        if file
            .sha256
            .as_ref()
            .is_some_and(|said| *said != entry.sha256)
        {
            let message = format!(
                "the cached {} is damaged: its bytes do not have the hash that it is named by; remove it from the cache and register again",
                file.name
            );
            return Err(failure(ErrorClass::Data, "hub_cache_damaged", message).into());
        }
        Ok(entry)
    }

    fn copy(&mut self, file: &FetchedFile) -> Result<FileEntry, Stop> {
        let copied = std::fs::copy(&file.path, unfinished(&file.name, &self.scratch));
        let bytes = copied.map_err(|error| broken_file(&file.name, &error))?;
        self.done += bytes;
        self.pace.progress(self.done, self.total)?;
        keep(&file.name, &self.scratch, self.context)
    }

    fn refer(&mut self, file: &FetchedFile) -> Result<FileEntry, Stop> {
        let known = file.sha256.as_deref().filter(|_| file.checked);
        let (mut stopped, before) = (None, self.done);
        let mut seen = |bytes| {
            self.done += bytes;
            self.pace.progress(self.done, self.total).map_err(|stop| {
                stopped = Some(stop);
                io::Error::other("ended")
            })
        };
        let blobs = self.context.blobs();
        let referred = blobs.refer(&file.name, &file.path, known, &mut seen);
        match (referred, stopped) {
            (_, Some(stop)) => Err(stop),
            (Err(error), None) => Err(broken_file(&file.name, &error)),
            (Ok(kept), None) => {
                self.done = before + kept.entry.bytes;
                self.pace.progress(self.done, self.total)?;
                Ok(kept.entry)
            }
        }
    }
}
