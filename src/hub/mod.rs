//! Models from a hub through the cache that Python shares: names resolved to commits, files brought, nothing but what a model
//! is loaded from. Knows HTTP and the cache's folders; no job, no tensor.
//!
//! This is a small client of its own on reqwest. The crate `hf-hub` 1.0.0 was looked at and not taken: it has no offline mode,
//! reads the `HF_*` variables in one release and not in the next, reports no bytes between which a caller could end it, and
//! brings 90 crates that nothing else here needs, the Xet transfer and a second tower-http among them. What the hub serves
//! over Xet it serves over plain HTTP as well.

mod cache;
mod client;
mod download;
mod error;
mod runs;
mod settings;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use tokio::runtime::Handle;

use crate::domain::model_files::{
    self, BESIDE, CONFIG, INDEX, Layout, TEMPLATES, TOKENIZER, WEIGHTS, is_template, is_wanted,
};
use crate::execution::fetch::{Fetch, FetchedFile, Wanted, Watch};
use crate::execution::{Failure, Stop};
use cache::{Place, is_commit, sha256_of};
use client::{Broken, Client};
use download::{Carrier, Progress};
use error::{Error, disk};
pub use settings::{Given, Settings};

/// Longest index that is read.
const LONGEST_INDEX: u64 = 64 << 20;

/// A hub with its cache.
pub struct Hub {
    settings: Settings,
    client: Client,
}

impl Hub {
    /// A hub whose requests run on `runtime`; its calls must come from threads that are none of the runtime's own.
    ///
    /// *Errors* where the system's certificates cannot be read.
    pub fn new(settings: Settings, runtime: Handle) -> Result<Self, Failure> {
        let client = Client::new(settings.clone(), runtime);
        let client = client.map_err(|error| Error::Unreachable {
            endpoint: settings.endpoint.clone(),
            cause: error.to_string(),
        })?;
        Ok(Self { settings, client })
    }

    fn place(&self, model: &str) -> Place {
        Place::new(&self.settings.cache, model)
    }

    fn cached_commit(&self, model: &str, revision: &str) -> Result<String, Error> {
        let place = self.place(model);
        let commit = match is_commit(revision) {
            true => Some(revision.to_owned()),
            false => place.reference(revision),
        };
        let commit = commit.filter(|commit| place.snapshot(commit).is_dir());
        commit.ok_or_else(|| Error::NotCached {
            model: model.to_owned(),
            revision: revision.to_owned(),
        })
    }

    /// Everything from the cache, or what it lacks.
    fn take_cached(&self, wanted: &Wanted) -> Result<Vec<FetchedFile>, Error> {
        let place = self.place(&wanted.model);
        let names = names_in(&place.snapshot(&wanted.commit), "");
        let layout = model_files::layout(names.iter().map(String::as_str));
        let mut needed: Vec<String> = vec![CONFIG.into(), TOKENIZER.into()];
        match layout {
            Layout::Single => needed.push(WEIGHTS.into()),
            Layout::Sharded => {
                let index = place.snapshot(&wanted.commit).join(INDEX);
                needed.extend(self.shards(&wanted.model, &index)?);
            }
            Layout::Pickles(names) => return Err(pickles(&wanted.model, &names)),
            Layout::Nothing => needed.push(WEIGHTS.into()),
        }
        let beside = BESIDE
            .iter()
            .filter(|name| names.iter().any(|it| it == *name));
        needed.extend(beside.map(|name| (*name).to_owned()));
        let further = names.iter().filter(|name| is_template(name));
        needed.extend(further.cloned());
        needed.extend(listed_in_tree(&place, &wanted.commit));
        let skip = names.iter().any(|name| name == WEIGHTS);
        needed.retain(|name| !(skip && name == INDEX));
        needed.sort();
        needed.dedup();
        self.all_cached(&place, wanted, &needed)
    }

    fn all_cached(
        &self,
        place: &Place,
        wanted: &Wanted,
        needed: &[String],
    ) -> Result<Vec<FetchedFile>, Error> {
        let mut missing = Vec::new();
        let mut files = Vec::new();
        for name in needed {
            match place.file(&wanted.commit, name) {
                Some(path) => files.push(FetchedFile {
                    name: name.clone(),
                    sha256: sha256_of(&path),
                    path,
                    checked: false,
                }),
                None => missing.push(name.as_str()),
            }
        }
        match missing.is_empty() {
            true => Ok(files),
            false => Err(Error::Incomplete {
                model: wanted.model.clone(),
                commit: wanted.commit.clone(),
                missing: missing.join(", "),
            }),
        }
    }

    fn shards(&self, model: &str, index: &Path) -> Result<Vec<String>, Error> {
        let bad = |detail: String| Error::BadIndex {
            model: model.to_owned(),
            detail,
        };
        let length = std::fs::metadata(index).map_err(disk("snapshots"))?.len();
        if length > LONGEST_INDEX {
            return Err(bad(format!("{INDEX} has {length} bytes")));
        }
        let text = std::fs::read(index).map_err(disk("snapshots"))?;
        model_files::shards(&text).map_err(bad)
    }

    fn bring_all(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop> {
        let place = self.place(&wanted.model);
        let files = self.listing(wanted, watch)?;
        let (names, layout) = beside(&wanted.model, &files)?;
        self.check_room(&place, wanted, &names, &files)?;
        let carrier = Carrier {
            client: &self.client,
            place: &place,
            wanted,
        };
        let total = names.iter().filter_map(|name| files.get(name)).sum();
        let mut progress = Progress {
            watch,
            done: 0,
            total,
        };
        let mut brought = Vec::new();
        for name in &names {
            brought.push(carrier.bring(name, &mut progress)?);
        }
        let weights = self.weights(wanted, &layout, &place, &files)?;
        self.check_room(&place, wanted, &weights, &files)?;
        let bytes: u64 = weights.iter().filter_map(|name| files.get(name)).sum();
        progress.total = progress.done + bytes;
        let told = json!({"model": wanted.model, "commit": wanted.commit,
            "files": names.len() + weights.len(), "bytes": progress.total});
        progress.watch.event("hub_files", told)?;
        for name in &weights {
            brought.push(carrier.bring(name, &mut progress)?);
        }
        place.refer(&wanted.revision, &wanted.commit)?;
        Ok(brought)
    }

    /// Files of the repository that a model may consist of, with their lengths.
    fn listing(
        &self,
        wanted: &Wanted,
        watch: &mut dyn Watch,
    ) -> Result<BTreeMap<String, u64>, Stop> {
        let mut pulse = || watch.progress(0, 0);
        let (model, commit) = (&wanted.model, &wanted.commit);
        let mut listed = self.client.list(model, commit, "", &mut pulse)?;
        if listed.iter().any(|it| it.is_folder && it.name == TEMPLATES) {
            let folder = format!("/{TEMPLATES}");
            listed.extend(self.client.list(model, commit, &folder, &mut pulse)?);
        }
        let files = listed.into_iter().filter(|it| !it.is_folder);
        Ok(files
            .filter(|file| is_wanted(&file.name) || model_files::is_pickle(&file.name))
            .map(|file| (file.name, file.bytes))
            .collect())
    }

    fn weights(
        &self,
        wanted: &Wanted,
        layout: &Layout,
        place: &Place,
        files: &BTreeMap<String, u64>,
    ) -> Result<Vec<String>, Error> {
        if *layout == Layout::Single {
            return Ok(vec![WEIGHTS.into()]);
        }
        let index = place.snapshot(&wanted.commit).join(INDEX);
        let shards = self.shards(&wanted.model, &index)?;
        match shards.iter().find(|shard| !files.contains_key(*shard)) {
            None => Ok(shards),
            Some(lost) => Err(Error::BadIndex {
                model: wanted.model.clone(),
                detail: format!("{INDEX} names {lost}, which the repository lacks"),
            }),
        }
    }

    /// Whether files fit what is allowed and what the disk has.
    fn check_room(
        &self,
        place: &Place,
        wanted: &Wanted,
        names: &[String],
        files: &BTreeMap<String, u64>,
    ) -> Result<(), Error> {
        let size = |name: &String| files.get(name).copied().unwrap_or(0);
        let bytes: u64 = names.iter().map(size).fold(0, u64::saturating_add);
        let (model, limit) = (wanted.model.clone(), self.settings.model_bytes);
        if bytes > limit {
            return Err(Error::TooLarge {
                model,
                bytes,
                limit,
            });
        }
        place.prepare()?;
        let missing = names
            .iter()
            .filter(|name| place.file(&wanted.commit, name).is_none());
        let bytes: u64 = missing.map(size).fold(0, u64::saturating_add);
        let (free, spare) = (place.free()?, self.settings.spare_bytes);
        match bytes == 0 || bytes.saturating_add(spare) <= free {
            true => Ok(()),
            false => Err(Error::DiskFull {
                model,
                bytes,
                free,
                spare,
            }),
        }
    }
}

impl Fetch for Hub {
    fn commit(&self, model: &str, revision: &str) -> Result<String, Failure> {
        if self.settings.offline {
            return Ok(self.cached_commit(model, revision)?);
        }
        let head = self.client.head(model, revision, CONFIG, &mut || Ok(()));
        match head {
            Ok(head) => Ok(head.commit),
            Err(Broken::Hub(error)) => Err(error.into()),
            // nothing stops a wait whose pulse always says go
            Err(Broken::Stop(stop)) => Err(Failure {
                class: crate::domain::job::ErrorClass::Internal,
                code: "hub",
                message: stop.to_string(),
                retryable: true,
            }),
        }
    }

    fn fetch(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop> {
        match self.settings.offline {
            true => Ok(self.take_cached(wanted)?),
            false => self.bring_all(wanted, watch),
        }
    }

    fn run_commit(&self, repository: &str, revision: &str) -> Result<String, Failure> {
        match self.settings.offline {
            true => Ok(self.cached_commit(repository, revision)?),
            false => self.commit_of_run(repository, revision),
        }
    }

    fn fetch_run(&self, wanted: &Wanted, watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop> {
        match self.settings.offline {
            true => Ok(self.take_cached_run(wanted)?),
            false => self.bring_run(wanted, watch),
        }
    }
}

/// What is brought before the weights, and how those lie.
fn beside(model: &str, files: &BTreeMap<String, u64>) -> Result<(Vec<String>, Layout), Error> {
    let layout = model_files::layout(files.keys().map(String::as_str));
    let wanted =
        |name: &&&str| files.contains_key(**name) && !(layout == Layout::Single && **name == INDEX);
    let names = BESIDE.iter().filter(wanted).map(|name| (*name).to_owned());
    let further = files.keys().filter(|name| is_template(name)).cloned();
    let names = names.chain(further).collect();
    match layout {
        Layout::Single | Layout::Sharded => Ok((names, layout)),
        Layout::Pickles(found) => Err(pickles(model, &found)),
        Layout::Nothing => Err(Error::NoWeights {
            model: model.to_owned(),
        }),
    }
}

fn pickles(model: &str, names: &[String]) -> Error {
    Error::Pickles {
        model: model.to_owned(),
        names: names.join(", "),
    }
}

/// Names in a snapshot, with those of further templates.
fn names_in(folder: &Path, before: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.map(|name| format!("{before}{name}")).collect();
    if before.is_empty() {
        names.extend(names_in(&folder.join(TEMPLATES), &format!("{TEMPLATES}/")));
    }
    names
}

/// What Python noted that the commit holds, as far as it is wanted beside the weights; nothing where it noted nothing.
fn listed_in_tree(place: &Place, commit: &str) -> Vec<String> {
    let names = place.noted_tree(commit);
    let beside = names
        .into_iter()
        .filter(|name| BESIDE.contains(&name.as_str()) || is_template(name));
    beside.collect()
}
