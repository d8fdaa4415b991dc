//! One cluster: made by initdb, started, freed from what an earlier server left running.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::account::Account;
use super::binaries::Binaries;
use super::error::{Error, Result};
use super::place::Place;
use super::processes::{postmaster, signal, working_in};

/// Settings of the managed server. Nothing is given away of durability.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "64"),
    ("shared_buffers", "64MB"),
    ("max_wal_size", "512MB"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// Pause between two looks at a process.
const LOOK: Duration = Duration::from_millis(50);

/// A cluster with all that is needed to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its folders.
    pub place: Place,
    /// Who runs it.
    pub account: Account,
    /// What runs it.
    pub binaries: Binaries,
}

impl Cluster {
    /// Makes the cluster where there is none; a making that broke off is begun again.
    pub fn initialise(&self) -> Result<()> {
        if self.place.made_by().is_some() {
            return Ok(());
        }
        let unfinished = self.place.top.join("cluster.new");
        remove(&unfinished)?;
        self.run_initdb(&unfinished)?;
        let cluster = &self.place.cluster;
        std::fs::rename(&unfinished, cluster).map_err(Error::io("name", cluster))?;
        sync_folder(&self.place.top)
    }

    fn run_initdb(&self, folder: &Path) -> Result<()> {
        let mut command = self.account.command(&self.binaries.program("initdb"));
        command.arg("-D").arg(folder);
        command.args([
            "-U",
            "vivarium",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--data-checksums",
        ]);
        let program = self.binaries.program("initdb");
        let output = command.output().map_err(Error::io("run", &program))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Error::Failed {
            program: "initdb".into(),
            status: output.status.to_string(),
            log,
        })
    }

    /// Starts the server with `extra` settings after ours; its output goes to the log file.
    pub fn spawn(&self, extra: &[(&str, &str)]) -> Result<Child> {
        let program = self.binaries.program("postgres");
        let mut command = self.account.command(&program);
        command
            .arg("-D")
            .arg(&self.place.cluster)
            .arg("-k")
            .arg(&self.place.socket);
        for (name, value) in SETTINGS.iter().chain(extra) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        self.log_to_file(&mut command)?;
        command.spawn().map_err(Error::io("run", &program))
    }

    fn log_to_file(&self, command: &mut Command) -> Result<()> {
        let log = &self.place.log;
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let (out, err) = (
            open().map_err(Error::io("open", log))?,
            open().map_err(Error::io("open", log))?,
        );
        command.stdout(Stdio::from(out)).stderr(Stdio::from(err));
        Ok(())
    }

    /// Ends whatever still runs on the cluster, gently first.
    ///
    /// PostgreSQL copes with a stale `postmaster.pid` by itself, but not when its number was given to another process, so
    /// the file is removed once nothing runs here.
    pub fn stop_leftover(&self) -> Result<()> {
        let folder = &self.place.cluster;
        for (sign, seconds) in [(Signal::INT, 20), (Signal::QUIT, 5), (Signal::KILL, 5)] {
            let running = working_in(folder);
            if running.is_empty() {
                return remove_file(&folder.join("postmaster.pid"));
            }
            tell(folder, &running, sign);
            wait_until_empty(folder, seconds);
        }
        match working_in(folder).first() {
            None => remove_file(&folder.join("postmaster.pid")),
            Some(pid) => Err(Error::Leftover {
                pid: *pid,
                folder: folder.clone(),
            }),
        }
    }
}

/// A postmaster passes the word on; without one its orphans see its death themselves, or are told one by one.
fn tell(folder: &Path, running: &[i32], sign: Signal) {
    match postmaster(folder, running) {
        Some(pid) if sign != Signal::KILL => signal(pid, sign),
        _ => running.iter().for_each(|pid| signal(*pid, sign)),
    }
}

fn wait_until_empty(folder: &Path, seconds: u32) {
    let looks = seconds * 1000 / LOOK.as_millis() as u32;
    for _ in 0..looks {
        if working_in(folder).is_empty() {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    let synced = std::fs::File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(Error::io("sync", folder))
}
