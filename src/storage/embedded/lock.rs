//! One server per data folder: a file lock that the system releases when its holder ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::error::{Error, Result};

/// Held as long as it lives; not inherited by child processes.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `data`.
    ///
    /// *Errors*: locked, with the holder's process id, when another server has it.
    pub fn take(data: &Path) -> Result<Self> {
        let path = data.join("server.lock");
        let mut options = OpenOptions::new();
        let opened = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = opened.map_err(Error::io("open", &path))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            file.read_to_string(&mut pid)
                .map_err(Error::io("read", &path))?;
            return Err(Error::Locked {
                folder: data.to_owned(),
                pid: pid.trim().to_owned(),
            });
        }
        let written = file
            .set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(Error::io("write", &path))?;
        Ok(Self { _file: file })
    }
}
