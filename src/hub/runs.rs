//! Published runs from a hub: a folder for each checkpoint, of which only what a run is read from is brought.

use serde_json::json;

use super::client::Broken;
use super::download::{Carrier, Progress};
use super::error::Error;
use super::{Hub, pickles};
use crate::domain::adapter;
use crate::domain::job::ErrorClass;
use crate::domain::published_run::{
    CHECKPOINTS, MOST_BYTES, MOST_CHECKPOINTS, file_of, refusal, step_of,
};
use crate::execution::fetch::{FetchedFile, Wanted, Watch};
use crate::execution::{Failure, Stop};

/// Files by which a repository's commit is asked: a run's adapter, and what nearly every repository has.
const BEACONS: [&str; 3] = [adapter::CONFIG, ".gitattributes", "README.md"];

impl Hub {
    pub(super) fn commit_of_run(
        &self,
        repository: &str,
        revision: &str,
    ) -> Result<String, Failure> {
        let mut last = None;
        for beacon in BEACONS {
            match self
                .client
                .head(repository, revision, beacon, &mut || Ok(()))
            {
                Ok(head) => return Ok(head.commit),
                Err(Broken::Hub(error @ Error::NoFile { .. })) => last = Some(error),
                Err(Broken::Hub(error)) => return Err(error.into()),
                Err(Broken::Stop(stop)) => return Err(interrupted(&stop)),
            }
        }
        Err(last.map_or_else(|| failure("the hub names no commit"), Failure::from))
    }

    pub(super) fn bring_run(
        &self,
        wanted: &Wanted,
        watch: &mut dyn Watch,
    ) -> Result<Vec<FetchedFile>, Stop> {
        let listed = self.listed_run(wanted, watch)?;
        refuse(wanted, listed.iter().map(|(name, _)| name.as_str()))?;
        let bytes: u64 = listed.iter().map(|(_, bytes)| bytes).sum();
        if bytes > MOST_BYTES {
            let error = Error::TooLarge {
                model: wanted.model.clone(),
                bytes,
                limit: MOST_BYTES,
            };
            return Err(error.into());
        }
        let place = self.place(&wanted.model);
        place.prepare()?;
        let carrier = Carrier {
            client: &self.client,
            place: &place,
            wanted,
        };
        let told = json!({"model": wanted.model, "commit": wanted.commit, "files": listed.len(), "bytes": bytes});
        let mut progress = Progress {
            watch,
            done: 0,
            total: bytes,
        };
        progress.watch.event("hub_files", told)?;
        let mut brought = Vec::with_capacity(listed.len());
        for (name, _) in &listed {
            brought.push(carrier.bring(name, &mut progress)?);
        }
        place.refer(&wanted.revision, &wanted.commit)?;
        Ok(brought)
    }

    /// Names and lengths of the run's files.
    fn listed_run(
        &self,
        wanted: &Wanted,
        watch: &mut dyn Watch,
    ) -> Result<Vec<(String, u64)>, Stop> {
        let mut pulse = || watch.progress(0, 0);
        let mut listed = self
            .client
            .list(&wanted.model, &wanted.commit, "", &mut pulse)?;
        if listed
            .iter()
            .any(|it| it.is_folder && it.name == CHECKPOINTS)
        {
            let folder = format!("/{CHECKPOINTS}");
            listed.extend(
                self.client
                    .list(&wanted.model, &wanted.commit, &folder, &mut pulse)?,
            );
        }
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let folders = listed
            .iter()
            .filter(|it| it.is_folder && step_of(&last(&it.name)).is_some());
        let folders: Vec<String> = folders.map(|it| format!("/{}", it.name)).collect();
        if folders.is_empty() || folders.len() > MOST_CHECKPOINTS {
            let detail = match folders.len() {
                0 => "has no folder checkpoint-<step>".to_string(),
                count => format!("has {count} checkpoints; at most {MOST_CHECKPOINTS} are read"),
            };
            return Err(failure(&format!("{} {detail}", wanted.model)).into());
        }
        for folder in &folders {
            listed.extend(
                self.client
                    .list(&wanted.model, &wanted.commit, folder, &mut pulse)?,
            );
        }
        let files = listed.into_iter().filter(|it| !it.is_folder);
        let files = files.filter(|it| file_of(&it.name).is_some());
        Ok(files.map(|file| (file.name, file.bytes)).collect())
    }

    /// The run's files that the cache has.
    pub(super) fn take_cached_run(&self, wanted: &Wanted) -> Result<Vec<FetchedFile>, Error> {
        let place = self.place(&wanted.model);
        let snapshot = place.snapshot(&wanted.commit);
        let mut names = below(&snapshot, "");
        names.extend(below(
            &snapshot.join(CHECKPOINTS),
            &format!("{CHECKPOINTS}/"),
        ));
        names.retain(|name| file_of(name).is_some());
        self.all_cached(&place, wanted, &names)
    }
}

/// Files in a folder and in its checkpoints' folders, as paths that begin with `before`.
fn below(folder: &std::path::Path, before: &str) -> Vec<String> {
    let mut names = super::names_in(folder, before);
    let folders: Vec<String> = names
        .iter()
        .filter_map(|name| name.strip_prefix(before))
        .filter(|name| step_of(name).is_some())
        .map(str::to_string)
        .collect();
    for name in folders {
        let inside = std::fs::read_dir(folder.join(&name));
        let entries = inside.into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.extend(files.map(|file| format!("{before}{name}/{file}")));
    }
    names
}

/// *Errors* where only pickles stand for weights, before anything is brought.
fn refuse<'a>(wanted: &Wanted, names: impl Iterator<Item = &'a str>) -> Result<(), Stop> {
    let files = names.filter_map(|name| Some((name, file_of(name)?)));
    let (read, refused): (Vec<_>, Vec<_>) =
        files.partition(|(_, file)| refusal(file.name).is_none());
    let has_adapters = read.iter().any(|(_, file)| file.name == adapter::MODEL);
    if has_adapters || refused.is_empty() {
        return Ok(());
    }
    let first: Vec<String> = refused
        .iter()
        .take(3)
        .map(|(name, _)| (*name).to_string())
        .collect();
    Err(pickles(&wanted.model, &first).into())
}

fn failure(message: &str) -> Failure {
    Failure {
        class: ErrorClass::Data,
        code: "hub_no_run",
        message: message.into(),
        retryable: false,
    }
}

fn interrupted(stop: &Stop) -> Failure {
    Failure {
        class: ErrorClass::Internal,
        code: "hub",
        message: stop.to_string(),
        retryable: true,
    }
}
