//! One file from the hub into the cache: what is there is kept, what is missing is brought from where it broke off, and the
//! bytes are hashed on their way.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::cache::{Place, is_sha256};
use super::client::{Broken, Client, Head};
use super::error::{Error, disk};
use crate::domain::canonical::hex;
use crate::execution::fetch::{FetchedFile, Wanted, Watch};
use crate::execution::{Failure, Stop};

/// Broken connections in a row, without a byte between them, that a file survives.
const PATIENCE: u32 = 5;
/// First pause after a broken connection; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
const SLICE: Duration = Duration::from_millis(100);

/// How far all files of a model are.
pub(super) struct Progress<'a> {
    pub(super) watch: &'a mut dyn Watch,
    pub(super) done: u64,
    pub(super) total: u64,
}

impl Progress<'_> {
    fn pulse(&mut self) -> Result<(), Stop> {
        self.watch.progress(self.done, self.total)
    }

    pub(super) fn add(&mut self, bytes: u64) -> Result<(), Stop> {
        self.done += bytes;
        self.total = self.total.max(self.done);
        self.pulse()
    }
}

/// What brings files of one model.
pub(super) struct Carrier<'a> {
    pub(super) client: &'a Client,
    pub(super) place: &'a Place,
    pub(super) wanted: &'a Wanted,
}

impl Carrier<'_> {
    /// The file `name`, brought unless the cache has it.
    pub(super) fn bring(
        &self,
        name: &str,
        progress: &mut Progress<'_>,
    ) -> Result<FetchedFile, Stop> {
        let (model, commit) = (&self.wanted.model, &self.wanted.commit);
        let head = self
            .client
            .head(model, commit, name, &mut || progress.pulse())?;
        if head.commit != *commit {
            let detail = format!("it belongs to commit {}", head.commit);
            let what = name.to_owned();
            return Err(Error::Odd { what, detail }.into());
        }
        let has_all = |path: &Path| fs::metadata(path).is_ok_and(|it| it.len() == head.bytes);
        let blob = self.place.blob(&head.etag);
        if has_all(&blob) {
            progress.add(head.bytes)?;
            return Ok(self.named(name, &head, false)?);
        }
        let lock = self.lock(&head.etag, progress)?;
        if has_all(&blob) {
            progress.add(head.bytes)?;
            return Ok(self.named(name, &head, false)?);
        }
        self.complete(name, &head, progress)?;
        drop(lock);
        Ok(self.named(name, &head, true)?)
    }

    fn named(&self, name: &str, head: &Head, checked: bool) -> super::error::Result<FetchedFile> {
        let sha256 = Some(head.etag.clone()).filter(|etag| is_sha256(etag));
        Ok(FetchedFile {
            path: self.place.name(&self.wanted.commit, name, &head.etag)?,
            name: name.to_owned(),
            checked: checked && sha256.is_some(),
            sha256,
        })
    }

    /// Waits while another process brings the same bytes.
    fn lock(&self, etag: &str, progress: &mut Progress<'_>) -> Result<File, Stop> {
        loop {
            progress.pulse()?;
            if let Some(lock) = self.place.lock(etag)? {
                return Ok(lock);
            }
            std::thread::sleep(SLICE);
        }
    }

    fn complete(&self, name: &str, head: &Head, progress: &mut Progress<'_>) -> Result<(), Stop> {
        let path = self.place.unfinished(&head.etag);
        let mut part = Part::open(&path, head.bytes, progress)?;
        let (mut failures, mut reached) = (0, part.bytes);
        while part.bytes < head.bytes {
            match self.some_more(name, head, &mut part, progress) {
                Ok(()) => break,
                Err(Broken::Stop(stop)) => return Err(stop),
                Err(Broken::Hub(error)) if error.may_pass() && failures < PATIENCE => {
                    failures = if part.bytes > reached {
                        1
                    } else {
                        failures + 1
                    };
                    reached = part.bytes;
                    tracing::warn!(file = name, bytes = part.bytes, %error, "a download broke off");
                    pause(PAUSE * 2u32.pow(failures - 1), progress)?;
                }
                Err(Broken::Hub(error)) => return Err(error.into()),
            }
        }
        self.keep(name, head, part, &path)
    }

    /// Brings the rest through one connection.
    fn some_more(
        &self,
        name: &str,
        head: &Head,
        part: &mut Part,
        progress: &mut Progress<'_>,
    ) -> Result<(), Broken> {
        let (model, commit) = (&self.wanted.model, &self.wanted.commit);
        let mut answer = self
            .client
            .open(model, commit, name, part.bytes, &mut || progress.pulse())?;
        if !goes_on_at(&answer, part.bytes) {
            progress.done = progress.done.saturating_sub(part.bytes);
            part.restart()?;
        }
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // what is here is not part of what is there; the next connection brings all of it
            return Err(self.wrong(name).into());
        }
        while let Some(piece) = self.client.next(&mut answer, &mut || progress.pulse())? {
            part.take(&piece)?;
            if part.bytes > head.bytes {
                part.restart()?;
                return Err(self.wrong(name).into());
            }
            progress.add(piece.len() as u64)?;
        }
        match part.bytes == head.bytes {
            true => Ok(()),
            false => Err(Error::Unreachable {
                endpoint: "the hub".into(),
                cause: format!("{name} ended after {} of {} bytes", part.bytes, head.bytes),
            }
            .into()),
        }
    }

    /// The bytes are all here: under their tag if they are what it says, nowhere otherwise.
    fn keep(&self, name: &str, head: &Head, part: Part, path: &Path) -> Result<(), Stop> {
        let found = hex(&part.hasher.finalize());
        if is_sha256(&head.etag) && found != head.etag {
            let _ = fs::remove_file(path);
            return Err(Failure::from(self.wrong(name)).into());
        }
        part.file.sync_all().map_err(disk("blobs"))?;
        fs::rename(path, self.place.blob(&head.etag)).map_err(disk("blobs"))?;
        Ok(())
    }

    fn wrong(&self, name: &str) -> Error {
        Error::WrongBytes {
            model: self.wanted.model.clone(),
            name: name.to_owned(),
        }
    }
}

/// Whether the answer begins where our part ends.
fn goes_on_at(answer: &Response, place: u64) -> bool {
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return place == 0 && answer.status() == StatusCode::OK;
    }
    let range = answer.headers().get("content-range");
    let range = range.and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {place}-")))
}

fn pause(length: Duration, progress: &mut Progress<'_>) -> Result<(), Stop> {
    for _ in 0..length.as_millis() / SLICE.as_millis() {
        progress.pulse()?;
        std::thread::sleep(SLICE);
    }
    Ok(())
}

/// What has come of a file so far.
struct Part {
    file: File,
    path: PathBuf,
    bytes: u64,
    hasher: Sha256,
}

impl Part {
    /// What an earlier attempt left, hashed, or nothing.
    fn open(path: &Path, most: u64, progress: &mut Progress<'_>) -> Result<Self, Stop> {
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut part = Self {
            file: options.map_err(disk("blobs"))?,
            path: path.to_owned(),
            bytes: 0,
            hasher: Sha256::new(),
        };
        let mut piece = vec![0; 1 << 20];
        loop {
            let read = part.file.read(&mut piece).map_err(disk("blobs"))?;
            if read == 0 {
                break;
            }
            part.hasher.update(&piece[..read]);
            part.bytes += read as u64;
            if part.bytes > most {
                part.restart()?;
                return Ok(part);
            }
            progress.pulse()?;
        }
        progress.add(part.bytes)?;
        Ok(part)
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.file.write_all(piece).map_err(disk("blobs"))?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), Error> {
        tracing::debug!(path = %self.path.display(), "a download begins anew");
        self.file.set_len(0).map_err(disk("blobs"))?;
        self.file.seek(SeekFrom::Start(0)).map_err(disk("blobs"))?;
        self.bytes = 0;
        self.hasher = Sha256::new();
        Ok(())
    }
}
