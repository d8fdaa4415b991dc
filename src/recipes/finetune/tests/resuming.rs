//! Stops at every step, full disks, damaged states: what a run goes on from, and that it ends with the same bytes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::domain::assets::FileEntry;
use crate::domain::finetune::{Dtype, OptimizerName};
use crate::execution::{Hold, Room};

/// Three epochs of twenty steps.
const STEPS: u64 = 60;

fn three_epochs(world: &World, method: Value) -> FinetuneWork {
    let mut work = world.work(method, STEPS);
    work.spec.datasets = vec![used("chats", 1.0)];
    work.datasets = vec![world.chats(80)];
    work.spec.hold_out = None;
    work.spec.length = Length {
        epochs: Some(3),
        steps: None,
    };
    work.spec.checkpoints.at = vec![10];
    work
}

/// Stops behind every step, each time in another attempt.
fn stopped_everywhere(world: &World, work: &FinetuneWork) {
    let residents = Residents::default();
    let whole = Fake::new(world, None);
    run(work, &whole, &residents).unwrap();
    let mut files = BTreeMap::new();
    let mut attempt = Fake::new(world, None);
    for step in 1..STEPS as usize {
        let reason = [Interrupted::Paused, Interrupted::Draining][step % 2];
        attempt.stop_behind = Some((step, reason));
        let end = run(work, &attempt, &residents).unwrap_err();
        assert_eq!(end, Stop::Interrupted(reason));
        files.extend(attempt.files());
        attempt = Fake::behind(world, &attempt);
        let from = attempt.state.as_ref().map(|state| state.step);
        assert_eq!(
            from,
            Some(step as u64),
            "the state is that of the last whole step"
        );
    }
    run(work, &attempt, &residents).unwrap();
    files.extend(attempt.files());
    assert_eq!(attempt.numbers(), whole.numbers());
    assert_eq!(files, whole.files());
}

#[test]
fn a_run_that_stops_at_each_of_sixty_steps_goes_on_with_the_same_rows_numbers_and_bytes() {
    let world = World::new();
    let mut method = lora();
    method["dropout"] = json!(0.1);
    stopped_everywhere(&world, &three_epochs(&world, method));
}

#[test]
fn so_does_one_of_rank_1_with_a_term_that_holds_it_to_its_base() {
    let world = World::new();
    let method = json!({"rank": 1, "alpha": 8.0, "dropout": 0.1, "target_modules": ["down_proj"]});
    let mut work = three_epochs(&world, method);
    let kl = json!({"dataset": "held", "weight": 0.5, "batch": 2});
    work.spec.loss.kl = Some(serde_json::from_value(kl).unwrap());
    work.kl = Some(world.chats(7));
    stopped_everywhere(&world, &work);
}

#[test]
fn so_does_a_full_one_in_bfloat16_with_moments_of_8_bits() {
    let world = World::new();
    let mut work = three_epochs(&world, json!("full"));
    work.spec.dtype = Some(Dtype::Bfloat16);
    work.spec.optimizer.name = OptimizerName::Adamw8bit;
    stopped_everywhere(&world, &work);
}

#[test]
fn a_cancelled_run_keeps_nothing_more() {
    let world = World::new();
    for reason in [Interrupted::Cancelled, Interrupted::LeaseLost] {
        // two turns while datasets are read, one before step 1; the first checkpoint is due after step 2
        let context = Fake::new(&world, Some((3, reason)));
        let end = run(&world.work(lora(), 5), &context, &Residents::default()).unwrap_err();
        assert_eq!(end, Stop::Interrupted(reason));
        assert!(context.commits.borrow().is_empty());
    }
}

/// A store whose disk is full once so many files were kept, until a test makes room.
struct Cramped<'a> {
    store: &'a Store,
    left: AtomicUsize,
}

impl Blobs for Cramped<'_> {
    fn keep(&self, name: &str, path: &Path) -> io::Result<LocalFile> {
        let take = |left: usize| left.checked_sub(1);
        match self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        {
            Ok(_) => self.store.keep(name, path),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn verified(&self, entry: &FileEntry) -> io::Result<LocalFile> {
        self.store.verified(entry)
    }

    fn scratch(&self) -> io::Result<PathBuf> {
        self.store.scratch()
    }

    fn room(&self) -> Option<Room> {
        let free_bytes = match self.left.load(Ordering::SeqCst) {
            0 => 77,
            _ => 1 << 40,
        };
        let folder = "/data/blobs".into();
        Some(Room { folder, free_bytes })
    }
}

fn held(stop: Stop) -> Hold {
    match stop {
        Stop::Held(hold) => hold,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_that_fills_up_at_any_file_holds_the_run_and_it_ends_with_the_same_bytes() {
    let world = World::new();
    let mut work = world.work(lora(), 6);
    work.spec.checkpoints.every = Some(2);
    let residents = Residents::default();
    let whole = Fake::new(&world, None);
    run(&work, &whole, &residents).unwrap();
    // a checkpoint is five files: state, weights, config, card, manifest
    for files in 1..15 {
        let cramped = Cramped {
            store: &world.store,
            left: files.into(),
        };
        let stopped = Fake::on(&cramped, None);
        let hold = held(run(&work, &stopped, &residents).unwrap_err());
        assert_eq!(hold.reason, "disk_full");
        let step = 2 * (files as u64 / 5 + 1);
        for part in [
            format!("step {step} was not kept"),
            "77 are free".into(),
            "/data/blobs".into(),
            match step {
                2 => "nothing was kept before it".into(),
                _ => format!("the state of step {} stands", step - 2),
            },
        ] {
            assert!(hold.detail.contains(&part), "{part}: {}", hold.detail);
        }
        let recorded = stopped.files();
        assert_eq!(
            recorded.len(),
            files / 5,
            "nothing half-written is recorded"
        );
        let resumed = Fake::behind(&world, &stopped);
        run(&work, &resumed, &residents).unwrap();
        let mut found = recorded;
        found.extend(resumed.files());
        assert_eq!(found, whole.files(), "full after {files} files");
        assert_eq!(
            resumed.numbers(),
            whole.numbers(),
            "full after {files} files"
        );
    }
}

#[test]
fn a_run_that_the_disk_has_no_room_for_is_held_before_its_first_step() {
    let world = World::new();
    let cramped = Cramped {
        store: &world.store,
        left: 0.into(),
    };
    let context = Fake::on(&cramped, None);
    let hold = held(run(&world.work(lora(), 6), &context, &Residents::default()).unwrap_err());
    assert_eq!(hold.reason, "disk_full");
    assert!(hold.detail.contains("no step was made"), "{}", hold.detail);
    let forecast = &context.events("disk_forecast")[0]["forecast"];
    // steps 2 and 6; q_proj and down_proj of two layers in pairs of rank 2, moments twice that
    assert_eq!(
        (&forecast["checkpoints"], &forecast["states"]),
        (&json!(2), &json!(3))
    );
    let bytes = |key: &str| forecast[key].as_u64().unwrap();
    assert_eq!(bytes("state_bytes"), 3 * bytes("checkpoint_bytes"));
    assert!(context.numbers().is_empty());
}
