//! The managed PostgreSQL, by the real program as a process of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection, PgConnection};
use vivarium::storage::embedded::{Account, Place};

/// `vivarium serve` on a data folder; ended by force when dropped, with all it left.
struct Process {
    child: Child,
    data: PathBuf,
}

impl Process {
    fn spawn(data: &Path) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.join("log"))
            .unwrap();
        let _ = std::fs::remove_file(data.join("address"));
        let child = Command::new(env!("CARGO_BIN_EXE_vivarium"))
            .arg("serve")
            .current_dir(std::env::temp_dir())
            .env("VIVARIUM_SERVER__BIND", "127.0.0.1:0")
            .env("VIVARIUM_SERVER__ADDRESS_FILE", data.join("address"))
            .env("VIVARIUM_DATA__FOLDER", data)
            .env("VIVARIUM_WORKER__SLOTS", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            data: data.to_owned(),
        }
    }

    /// Started and ready.
    async fn start(data: &Path) -> Self {
        let mut process = Self::spawn(data);
        for _ in 0..600 {
            if process.ready().await {
                return process;
            }
            assert!(
                process.child.try_wait().unwrap().is_none(),
                "ended early:\n{}",
                process.log()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not ready after a minute:\n{}", process.log());
    }

    async fn ready(&self) -> bool {
        let Ok(address) = std::fs::read_to_string(self.data.join("address")) else {
            return false;
        };
        let answer = reqwest::get(format!("{}/readyz", address.trim())).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.join("log")).unwrap_or_default()
    }

    fn place(&self) -> Place {
        Place::settle(
            &self.data.canonicalize().unwrap(),
            &Account::choose().unwrap(),
        )
        .unwrap()
    }

    fn postmaster(&self) -> i32 {
        let text = std::fs::read_to_string(self.place().cluster.join("postmaster.pid")).unwrap();
        text.lines().next().unwrap().trim().parse().unwrap()
    }

    async fn query(&self, statement: &'static str) -> Vec<i32> {
        let mut connection = PgConnection::connect(&self.place().url("vivarium"))
            .await
            .unwrap();
        sqlx::query_scalar(statement)
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    fn signal(&self, signal: Signal) {
        send(self.child.id() as i32, signal);
    }

    async fn ended(&mut self) -> std::process::ExitStatus {
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("does not end:\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let place = self.place();
        for pid in running_in(&place.cluster) {
            send(pid, Signal::KILL);
        }
        let _ = std::fs::remove_dir_all(&place.top);
        let _ = std::fs::remove_dir_all(&place.socket);
    }
}

fn send(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn running_in(folder: &Path) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder))
        .collect()
}

#[tokio::test]
async fn a_cluster_starts_and_ends_with_its_server_and_survives_kills_of_either() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut first = Process::start(&data).await;
    first.query("create table kept as select 7 as n").await;
    first.child.kill().unwrap();
    first.ended().await;
    let orphan = first.postmaster();
    assert!(
        !running_in(&first.place().cluster).is_empty(),
        "PostgreSQL outlives a killed server"
    );

    let second = Process::start(&data).await;
    assert_ne!(
        second.postmaster(),
        orphan,
        "the orphan was stopped, not left"
    );
    assert_eq!(second.query("select n from kept").await, [7]);

    send(second.postmaster(), Signal::KILL);
    let mut recovered = false;
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        recovered = second.ready().await;
        if recovered {
            break;
        }
    }
    assert!(
        recovered,
        "ready again after PostgreSQL was killed:\n{}",
        second.log()
    );
    assert_eq!(second.query("select n from kept").await, [7]);

    let mut second = second;
    second.signal(Signal::TERM);
    assert!(second.ended().await.success(), "{}", second.log());
    assert_eq!(running_in(&second.place().cluster), Vec::<i32>::new());
}

#[tokio::test]
async fn a_second_server_on_a_data_folder_is_refused_with_the_firsts_process_id() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Process::start(&data).await;
    let output = Command::new(env!("CARGO_BIN_EXE_vivarium"))
        .arg("serve")
        .current_dir(std::env::temp_dir())
        .env("VIVARIUM_SERVER__BIND", "127.0.0.1:0")
        .env("VIVARIUM_DATA__FOLDER", &data)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        text.contains(&format!("process {}", first.child.id())),
        "{text}"
    );
    assert!(text.contains("data.folder"), "{text}");
    assert!(first.ready().await, "the first is not disturbed");
}

#[tokio::test]
async fn a_closed_home_and_a_path_of_150_characters_are_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut data = home;
    while data.as_os_str().len() < 150 {
        data.push("a-folder-with-a-long-name");
    }
    let mut process = Process::start(&data).await;
    assert!(
        process
            .place()
            .socket
            .join(".s.PGSQL.5432")
            .as_os_str()
            .len()
            <= 100
    );
    process.signal(Signal::INT);
    assert!(process.ended().await.success(), "{}", process.log());
}
