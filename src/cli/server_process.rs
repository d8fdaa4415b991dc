//! A server of one's own: `vivarium serve` as a child process on a free port with a data folder of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longest wait for a first start, which creates a database.
const START_SECONDS: u64 = 180;
/// Longest wait for a shutdown; jobs are stopped at a step.
const STOP_SECONDS: u64 = 60;
/// The base trains alone, so one attempt gets two processors; numbers depend on it, so it does not follow the machine.
const THREADS: (&str, &str) = ("VIVARIUM_WORKER__THREADS_PER_ATTEMPT", "2");
const POLL: Duration = Duration::from_millis(50);

/// A running child; killed when dropped without [`ServerProcess::stop`].
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub(super) address: String,
    /// What it writes.
    pub(super) log: PathBuf,
}

/// Settings that put a server on `data`, with its own database, as environment variables.
pub(super) fn environment(data: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("VIVARIUM_DATABASE__URL", String::new()),
        ("VIVARIUM_DATA__FOLDER", data.display().to_string()),
    ]
}

impl ServerProcess {
    /// Starts a server on `data`, with further settings, and waits until it listens.
    ///
    /// *Errors* name the log when the server ends before that.
    pub(super) async fn start(data: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let log = data.join("server.log");
        let address_file = data.join("address");
        let _ = std::fs::remove_file(&address_file);
        let mut child = spawn(data, settings, &log, &address_file)?;
        for _ in 0..START_SECONDS * 1000 / POLL.as_millis() as u64 {
            if let Some(address) = read_address(&address_file) {
                return Ok(Self {
                    child,
                    address,
                    log,
                });
            }
            if let Some(status) = child.try_wait()? {
                bail!(
                    "the server ended ({status}) before it listened; {}",
                    last_words(&log)
                );
            }
            tokio::time::sleep(POLL).await;
        }
        let _ = child.kill();
        bail!(
            "the server does not listen after {START_SECONDS} s; {}",
            last_words(&log)
        )
    }

    /// Asks the server to end and waits for it.
    pub(super) async fn stop(mut self) -> Result<()> {
        terminate(self.child.id())?;
        for _ in 0..STOP_SECONDS * 1000 / POLL.as_millis() as u64 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!(
            "the server did not end within {STOP_SECONDS} s and is killed; {}",
            last_words(&self.log)
        )
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn spawn(data: &Path, settings: &[(&str, &str)], log: &Path, address_file: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let mut command = Command::new(program);
    for (name, value) in settings.iter().chain([&THREADS]) {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command
        .arg("serve")
        .envs(environment(data))
        .env("VIVARIUM_SERVER__BIND", "127.0.0.1:0")
        .env("VIVARIUM_SERVER__ADDRESS_FILE", address_file)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start the server")
}

/// SIGTERM through the shell's own `kill`, which is there wherever a shell is.
fn terminate(pid: u32) -> Result<()> {
    Command::new("sh")
        .args(["-c", &format!("kill -TERM {pid}")])
        .status()
        .context("cannot ask the server to end")?;
    Ok(())
}

fn read_address(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let address = text.trim();
    address.starts_with("http").then(|| address.to_owned())
}

/// The end of a log, to be shown with an error.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(8)..];
    format!("its log {} ends with:\n{}", log.display(), tail.join("\n"))
}
