//! Which processes run on a cluster, by their working folder: PostgreSQL's all work in their data directory.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Process ids of everything that works in `folder`.
pub fn working_in(folder: &Path) -> Vec<i32> {
    let Ok(folder) = folder.canonicalize() else {
        return Vec::new();
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder))
        .collect()
}

/// The main process according to `postmaster.pid`, if it is among `running`.
pub fn postmaster(folder: &Path, running: &[i32]) -> Option<i32> {
    let text = std::fs::read_to_string(folder.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    running.contains(&pid).then_some(pid)
}

/// Sends `signal`; a process that is gone already is no error.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}
