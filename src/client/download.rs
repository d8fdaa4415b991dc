//! Files from a server: written aside, gone on with after a break, checked by their hash, renamed when they are whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Response, StatusCode};
use sha2::{Digest, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Client, ClientError, Outcome};
use crate::domain::assets::FileEntry;
use crate::domain::canonical::hex;

/// Breaks in a row without a byte after which a download is given up.
const BREAKS: u32 = 5;

/// What is fetched, and where it goes.
#[derive(Debug, Clone)]
pub struct Download<'a> {
    /// Path on the server.
    pub path: Vec<&'a str>,
    /// Its query.
    pub query: Vec<(&'a str, &'a str)>,
    /// What the server told of the bytes before; a download begun by an earlier process is gone on with only then.
    pub expected: Option<&'a FileEntry>,
    /// The file it becomes.
    pub to: &'a Path,
    /// Pause after the first break; each further one is twice as long.
    pub pause: Duration,
}

/// What became of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Length of the file.
    pub bytes: u64,
    /// Bytes that came over the line now.
    pub received: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whether a hash that the server named was compared.
    pub checked: bool,
}

impl Client {
    /// Fetches a file; `seen` hears of bytes done and, where it is known, bytes in all.
    ///
    /// *Errors* a refusal at once, a broken connection after some tries; what came until then stays beside the file for the next
    /// call. Bytes with another hash are removed.
    pub async fn download(
        &self,
        wanted: &Download<'_>,
        seen: &mut (dyn FnMut(u64, Option<u64>) + Send),
    ) -> Outcome<Fetched> {
        if let Some(there) = present(wanted).await? {
            seen(there.bytes, Some(there.bytes));
            return Ok(there);
        }
        let mut part = Part::begin(wanted).await?;
        let mut breaks = 0;
        while !part.whole {
            let before = part.done;
            match self.go_on(wanted, &mut part, seen).await {
                Ok(()) => {}
                Err(error) if error.may_pass() && breaks < BREAKS => {
                    breaks = if part.done > before { 1 } else { breaks + 1 };
                    tokio::time::sleep(wanted.pause * (1 << breaks.min(5))).await;
                }
                Err(error) => return Err(error),
            }
        }
        part.finish(wanted).await
    }

    async fn go_on(
        &self,
        wanted: &Download<'_>,
        part: &mut Part,
        seen: &mut (dyn FnMut(u64, Option<u64>) + Send),
    ) -> Outcome<()> {
        let mut request = self
            .patient
            .get(self.url(&wanted.path))
            .query(&wanted.query);
        if let (Some(tag), true) = (&part.tag, part.done > 0) {
            request = request.header("range", format!("bytes={}-", part.done));
            request = request.header("if-range", tag);
        }
        let mut response = self.accepted(request).await?;
        part.take_head(&response).await?;
        seen(part.done, part.total);
        while let Some(bytes) =
            (response.chunk().await).map_err(|source| self.unreachable(source))?
        {
            part.write(&bytes).await?;
            seen(part.done, part.total);
        }
        part.whole = part.total.is_none_or(|total| part.done >= total);
        Ok(())
    }
}

/// The file, where it is there with the right bytes already.
async fn present(wanted: &Download<'_>) -> Outcome<Option<Fetched>> {
    let Some(expected) = wanted.expected else {
        return Ok(None);
    };
    let there = fs::metadata(wanted.to).await;
    if !there.is_ok_and(|found| found.is_file() && found.len() == expected.bytes) {
        return Ok(None);
    }
    let sha256 = hash(wanted.to).await?;
    Ok((sha256 == expected.sha256).then_some(Fetched {
        bytes: expected.bytes,
        received: 0,
        sha256,
        checked: true,
    }))
}

/// A file that is on its way.
struct Part {
    path: PathBuf,
    file: File,
    done: u64,
    received: u64,
    total: Option<u64>,
    /// Strong tag of the bytes so far.
    tag: Option<String>,
    /// SHA-256 that the server names, in hexadecimal digits.
    digest: Option<String>,
    whole: bool,
}

impl Part {
    async fn begin(wanted: &Download<'_>) -> Outcome<Self> {
        let path = beside(wanted.to);
        if let Some(folder) = path.parent() {
            let made = fs::create_dir_all(folder).await;
            made.map_err(|source| file_error(folder, source))?;
        }
        let goes_on = wanted.expected.is_some();
        let mut options = OpenOptions::new();
        let options = options.create(true).append(goes_on).write(true);
        let opened = options.truncate(!goes_on).open(&path).await;
        let file = opened.map_err(|source| file_error(&path, source))?;
        let found = file.metadata().await;
        let mut part = Self {
            done: found.map_err(|source| file_error(&path, source))?.len(),
            path,
            file,
            received: 0,
            total: wanted.expected.map(|expected| expected.bytes),
            tag: wanted
                .expected
                .map(|expected| format!("\"{}\"", expected.sha256)),
            digest: wanted.expected.map(|expected| expected.sha256.clone()),
            whole: false,
        };
        if part.total.is_some_and(|total| part.done > total) {
            part.begin_anew().await?;
        }
        part.whole = part
            .total
            .is_some_and(|total| part.done == total && total > 0);
        Ok(part)
    }

    async fn begin_anew(&mut self) -> Outcome<()> {
        self.done = 0;
        let emptied = self.file.set_len(0).await;
        emptied.map_err(|source| file_error(&self.path, source))?;
        let reopened = OpenOptions::new().append(true).open(&self.path).await;
        self.file = reopened.map_err(|source| file_error(&self.path, source))?;
        Ok(())
    }

    /// Whether the answer goes on or begins anew, how long it is, what it promises to be.
    async fn take_head(&mut self, response: &Response) -> Outcome<()> {
        if response.status() != StatusCode::PARTIAL_CONTENT && self.done > 0 {
            self.begin_anew().await?;
        }
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        if let Some(length) = response.content_length() {
            self.total = Some(self.done + length);
        }
        let strong = header("etag").filter(|tag| !tag.starts_with("W/"));
        self.tag = strong.map(str::to_owned).or(self.tag.take());
        if self.digest.is_none() {
            self.digest = header("repr-digest").and_then(sha256_of);
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        let written = self.file.write_all(bytes).await;
        written.map_err(|source| file_error(&self.path, source))?;
        self.done += bytes.len() as u64;
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// Compares the hash and gives the file its name.
    async fn finish(mut self, wanted: &Download<'_>) -> Outcome<Fetched> {
        let failed = |source| file_error(&self.path, source);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)?;
        let sha256 = hash(&self.path).await?;
        if let Some(expected) = self.digest.as_ref().filter(|digest| **digest != sha256) {
            let _ = fs::remove_file(&self.path).await;
            return Err(ClientError::Corrupt {
                name: wanted.to.display().to_string(),
                expected: expected.clone(),
                found: sha256,
            });
        }
        let renamed = fs::rename(&self.path, wanted.to).await;
        renamed.map_err(|source| file_error(wanted.to, source))?;
        Ok(Fetched {
            bytes: self.done,
            received: self.received,
            sha256,
            checked: self.digest.is_some(),
        })
    }
}

/// Where a file lies until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

async fn hash(path: &Path) -> Outcome<String> {
    let failed = |source| file_error(path, source);
    let mut file = File::open(path).await.map_err(failed)?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer).await.map_err(failed)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn file_error(path: &Path, source: std::io::Error) -> ClientError {
    ClientError::File {
        path: path.to_owned(),
        source,
    }
}

/// The hash in `sha-256=:…:` (RFC 9530) in hexadecimal digits.
fn sha256_of(header: &str) -> Option<String> {
    let items = header.split(',').map(str::trim);
    let text = items
        .filter_map(|item| item.strip_prefix("sha-256=:"))
        .find_map(|text| text.strip_suffix(':'))?;
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bytes.len() == 32).then(|| hex(&bytes))
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
