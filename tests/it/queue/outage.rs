//! A database that goes away while an attempt runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use vivarium::domain::time::SystemClock;
use vivarium::execution::Report;
use vivarium::storage::{Limits, Storage};
use vivarium::worker::WorkerConfig;

use super::bench;
use super::fakes::{config, start_with};
use super::records::step_point;

const LONG: Duration = Duration::from_secs(20);

/// What stands between the worker and the database; while it is cut every connection breaks at once.
struct Wire {
    port: u16,
    cut: watch::Sender<bool>,
}

impl Wire {
    /// A wire to the socket of the tests' cluster.
    async fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = watch::Sender::new(false);
        let seen = cut.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), seen.clone()));
            }
        });
        Self { port, cut }
    }
}

async fn carry(mut client: TcpStream, socket: PathBuf, mut cut: watch::Receiver<bool>) {
    if *cut.borrow() {
        return;
    }
    let mut server = UnixStream::connect(socket).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.wait_for(|cut| *cut) => {}
    }
}

/// Where the cluster listens: the folder is in its address.
fn socket(url: &reqwest::Url) -> PathBuf {
    let folder = url.query_pairs().find(|(key, _)| key == "host").unwrap().1;
    let entries = std::fs::read_dir(&*folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_socket = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(".s.PGSQL.") && !name.ends_with(".lock")
    };
    paths.find(is_socket).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_waits_out_a_database_that_is_gone_for_longer_than_its_lease_and_goes_on() {
    const STEPS: u64 = 40;
    let mut bench = bench().await;
    let url = reqwest::Url::parse(&bench.database.url()).unwrap();
    let wire = Wire::to(socket(&url)).await;
    let (user, name) = (url.username(), url.path());
    let through = format!(
        "postgres://{user}@127.0.0.1:{}{name}?sslmode=disable",
        wire.port
    );
    let storage = Storage::connect(&through, &Limits::default())
        .await
        .unwrap();
    let job = bench.queued().await;
    let half = Arc::new(AtomicBool::new(false));
    let (reached, patient) = (
        half.clone(),
        WorkerConfig {
            lease: Duration::from_secs(1),
            ..config()
        },
    );
    let clock = Arc::new(SystemClock::start());
    let worker = start_with(patient, &storage, clock, move |_, context| {
        for step in 1..=STEPS {
            context.turn()?;
            context.report(Report::Step(step_point(step)))?;
            reached.store(step > STEPS / 2, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    while !half.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    wire.cut.send_replace(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bench.state(&job).await, "running");
    wire.cut.send_replace(false);
    bench.reaches(&job, "succeeded").await;
    let steps = "select count(*) from metrics where job = $1";
    assert_eq!(bench.one::<i64>(steps, &job).await, STEPS as i64);
    let attempts = "select attempt from jobs where id = $1";
    assert_eq!(bench.one::<i32>(attempts, &job).await, 1);
    assert!(worker.drain(LONG).await);
}
