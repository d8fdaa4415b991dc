//! Writing a bundle in one pass, to anything that takes bytes. Equal content makes equal bytes: no time, owner or host is in them.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use sha2::{Digest, Sha256};
use thiserror::Error;
use zip::result::ZipError;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, System, ZipWriter};

use super::{Entry, FORMAT, MANIFEST, Manifest, NotAPath, VERSION, require_plain};
use crate::domain::canonical::hex;

/// Why a bundle could not be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A name that no bundle may hold.
    #[error("entry \"{path}\": {reason}")]
    Path {
        /// The name.
        path: String,
        /// What is wrong with it.
        reason: NotAPath,
    },
    /// Two entries of one name.
    #[error("entry \"{0}\" is there already")]
    Duplicate(String),
    /// A source that is shorter or longer than was said.
    #[error("entry \"{path}\" has {found} bytes, not {said}")]
    Length {
        /// The name.
        path: String,
        /// Bytes that were announced.
        said: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The source or the target failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The zip could not be formed.
    #[error(transparent)]
    Zip(#[from] ZipError),
}

/// A bundle that is being written.
pub struct Writer<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    names: BTreeSet<String>,
    entries: Vec<Entry>,
}

/// Beyond it an entry needs the fields of zip64.
const SMALL: u64 = u32::MAX as u64;

/// Contents that deflating does not shorten.
const STORED: [&str; 3] = [".safetensors", ".png", ".parquet"];

fn options(path: &str, bytes: u64) -> SimpleFileOptions {
    let stored = STORED.iter().any(|ending| path.ends_with(ending));
    let method = match stored {
        true => CompressionMethod::Stored,
        false => CompressionMethod::Deflated,
    };
    SimpleFileOptions::DEFAULT
        .compression_method(method)
        .system(System::Unix)
        .unix_permissions(0o644)
        .large_file(bytes >= SMALL)
}

impl<W: Write> Writer<W> {
    /// An empty bundle.
    pub fn begin(target: W) -> Self {
        Self {
            zip: ZipWriter::new_stream(target),
            names: BTreeSet::from([MANIFEST.to_owned()]),
            entries: Vec::new(),
        }
    }

    /// Adds a file of `bytes` bytes.
    pub fn add(
        &mut self,
        path: &str,
        bytes: u64,
        content: &mut impl Read,
    ) -> Result<(), WriteError> {
        let refused = |reason| WriteError::Path {
            path: path.to_owned(),
            reason,
        };
        require_plain(path).map_err(refused)?;
        if !self.names.insert(path.to_owned()) {
            return Err(WriteError::Duplicate(path.to_owned()));
        }
        let (found, sha256) = self.put(path, bytes, content)?;
        if found != bytes {
            return Err(WriteError::Length {
                path: path.to_owned(),
                said: bytes,
                found,
            });
        }
        self.entries.push(Entry {
            path: path.to_owned(),
            bytes,
            sha256,
        });
        Ok(())
    }

    /// Adds a file that is in memory.
    pub fn add_bytes(&mut self, path: &str, content: &[u8]) -> Result<(), WriteError> {
        self.add(path, content.len() as u64, &mut &*content)
    }

    /// Writes the manifest and the zip's directory; answers the manifest and what was written to.
    pub fn finish(mut self, of: &str) -> Result<(Manifest, W), WriteError> {
        let manifest = Manifest {
            format: FORMAT.into(),
            version: VERSION,
            of: of.to_owned(),
            entries: std::mem::take(&mut self.entries),
        };
        let text = serde_json::to_vec_pretty(&manifest).map_err(std::io::Error::from)?;
        self.put(MANIFEST, text.len() as u64, &mut text.as_slice())?;
        let target = self.zip.finish()?.into_inner();
        Ok((manifest, target))
    }

    fn put(
        &mut self,
        path: &str,
        bytes: u64,
        content: &mut impl Read,
    ) -> Result<(u64, String), WriteError> {
        self.zip.start_file(path, options(path, bytes))?;
        let (mut hash, mut total) = (Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = content.read(&mut buffer)?;
            if read == 0 {
                return Ok((total, hex(&hash.finalize())));
            }
            self.zip.write_all(&buffer[..read])?;
            hash.update(&buffer[..read]);
            total += read as u64;
        }
    }
}
