//! What goes when something newer is there, and when its bytes go.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vivarium::app::Collector;
use vivarium::artifacts::Store;
use vivarium::domain::assets::{FileEntry, WeightsKind};
use vivarium::domain::ids::JobId;
use vivarium::domain::time::SystemClock;
use vivarium::execution::Blobs;
use vivarium::storage::queue::Lease;
use vivarium::storage::registry;
use vivarium::storage::reports::{self, NewCheckpoint};

use super::records::file;
use super::{Bench, NewJob, bench, checkpoint_id};

impl Bench {
    /// A fine-tune that runs, with these rules.
    async fn keeping(&mut self, checkpoints: Value) -> Lease {
        let mut spec = self.finetune_spec().await;
        spec["checkpoints"] = checkpoints;
        let kind = "finetune";
        self.insert(NewJob {
            kind,
            spec,
            ..NewJob::default()
        })
        .await;
        self.claim().await.lease
    }

    async fn commits(&self, lease: &Lease, step: u64, files: &[FileEntry], state: &[FileEntry]) {
        let new = NewCheckpoint {
            id: &checkpoint_id(),
            step,
            kind: WeightsKind::Lora,
            files,
            state,
        };
        reports::checkpoint(&self.storage, lease, &new)
            .await
            .unwrap();
    }

    /// Steps of a job's checkpoints that are there, and of those that are retired.
    async fn kept(&self, job: &JobId) -> (Vec<u64>, Vec<u64>) {
        let all = registry::checkpoints(&self.storage, job).await.unwrap();
        let (retired, there): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.retired);
        assert!(retired.iter().all(|one| one.files.is_empty()));
        assert!(there.iter().all(|one| !one.files.is_empty()));
        let steps = |ones: Vec<vivarium::domain::assets::Checkpoint>| {
            ones.iter().map(|one| one.step).collect()
        };
        (steps(there), steps(retired))
    }
}

#[tokio::test]
async fn a_newer_checkpoint_retires_those_that_no_rule_keeps_and_states_beyond_their_number_go() {
    let mut bench = bench().await;
    let rules = json!({"every": 5, "at": [5], "keep": {"last": 2, "every": 20}, "states": 3});
    let lease = bench.keeping(rules).await;
    for step in [5, 10, 15, 20, 25, 30, 35] {
        let (name, state) = (format!("w{step}"), format!("s{step}"));
        bench
            .commits(&lease, step, &[file(&name)], &[file(&state)])
            .await;
    }
    let (there, retired) = bench.kept(&lease.job).await;
    assert_eq!((there, retired), (vec![5, 20, 30, 35], vec![10, 15, 25]));
    let states = "select array_agg(step order by step) from resume_states where job = $1";
    assert_eq!(
        bench.one::<Vec<i64>>(states, &lease.job).await,
        [25, 30, 35]
    );
    let told = "select array_agg((data -> 'steps' ->> 0)::int order by id) from events where job = $1 and type = 'retired'";
    assert_eq!(bench.one::<Vec<i32>>(told, &lease.job).await, [10, 15, 25]);

    // the run is killed and makes steps 20 and on again behind the state of step 15
    reports::begin_resume(&bench.storage, &lease, Some(15))
        .await
        .unwrap();
    for step in [20, 25, 30, 35] {
        let name = format!("w{step}");
        bench.commits(&lease, step, &[file(&name)], &[]).await;
    }
    let (there, retired) = bench.kept(&lease.job).await;
    assert_eq!((there, retired), (vec![5, 20, 30, 35], vec![10, 15, 25]));
    vivarium::storage::queue::finish_succeeded(&bench.storage, &lease)
        .await
        .unwrap();
    let result =
        "select jsonb_path_query_array(result, '$.checkpoints[*].step') from jobs where id = $1";
    assert_eq!(
        bench.one::<Value>(result, &lease.job).await,
        json!([5, 20, 30, 35])
    );
}

fn keep(store: &Store, text: &str) -> (FileEntry, std::path::PathBuf) {
    let path = store.scratch().unwrap().join("half");
    std::fs::write(&path, text).unwrap();
    let kept = store.keep("weights", &path).unwrap();
    (kept.entry, kept.path)
}

fn collector(bench: &Bench, store: &Arc<Store>, seconds: u64) -> Collector {
    Collector {
        storage: bench.storage.clone(),
        store: store.clone(),
        clock: Arc::new(SystemClock::start()),
        age: Duration::from_secs(seconds),
    }
}

fn there(paths: &[&Path]) -> Vec<bool> {
    paths.iter().map(|path| path.exists()).collect()
}

#[tokio::test]
async fn files_that_no_row_names_any_more_are_removed_once_they_are_old_and_shared_ones_stay() {
    let mut bench = bench().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(folder.path()).unwrap());
    let lease = bench
        .keeping(json!({"every": 1, "keep": {"last": 1}}))
        .await;
    let [(shared, a), (old, b), (new, c), (_, d)] =
        ["shared", "old", "new", "never named"].map(|text| keep(&store, text));
    bench.commits(&lease, 1, &[shared.clone(), old], &[]).await;
    bench.commits(&lease, 2, &[shared, new], &[]).await;
    let paths: [&Path; 4] = [&a, &b, &c, &d];
    collector(&bench, &store, 3600).look(true).await;
    assert_eq!(there(&paths), [true; 4], "nothing is old enough");
    // ages are whole seconds
    tokio::time::sleep(Duration::from_millis(2100)).await;
    collector(&bench, &store, 1).look(false).await;
    assert_eq!(there(&paths), [true, false, true, true]);
    let left = "select count(*) from dropped_files where $1 <> ''";
    assert_eq!(bench.one::<i64>(left, &lease.job).await, 0);
    collector(&bench, &store, 1).look(true).await;
    assert_eq!(there(&paths), [true, false, true, false]);
}

/// Whatever keeps files must be part of the view, or its bytes would be removed as garbage.
#[tokio::test]
async fn every_column_that_names_files_is_among_the_referenced() {
    let mut bench = bench().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text from information_schema.columns
         where table_schema = 'public' and column_name in ('files', 'sha256', 'file', 'blob', 'blobs', 'vectors')
           and table_name not in ('referenced_files', 'dropped_files')",
    )
    .fetch_all(&mut bench.sql)
    .await
    .unwrap();
    let view: String = sqlx::query_scalar("select pg_get_viewdef('referenced_files'::regclass)")
        .fetch_one(&mut bench.sql)
        .await
        .unwrap();
    for (table, column) in columns {
        let named = view
            .split("UNION")
            .any(|part| part.contains(&table) && part.contains(&column));
        assert!(
            named,
            "{table}.{column} is not in referenced_files: add it there"
        );
    }
}
