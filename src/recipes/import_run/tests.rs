//! Runs in the published layout, written by the tests themselves, read without a server.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::domain::finetune::LoraMethod;
use crate::domain::metric::NormPoint;
use crate::domain::vectors::Contents;
use crate::engine::adapter::Pair;
use crate::execution::fetch::NoHub;
use crate::execution::folder;
use crate::recipes::testing::Stage;
use crate::toyworld::vocabulary;

fn config() -> ModelConfig {
    let mut config = vocabulary::config_json();
    config["hidden_size"] = 32.into();
    config["intermediate_size"] = 48.into();
    config["num_hidden_layers"] = 12.into();
    ModelConfig::from_json(&config).unwrap()
}

/// An adapter whose B is `step` in its first number and 1 in the others.
fn adapter(method: &Value, step: u64) -> Adapter {
    let method: LoraMethod = serde_json::from_value(method.clone()).unwrap();
    let fresh = Adapter::init(&config(), &method, 1, Device::Cpu).unwrap();
    let moved = |pair: &Pair| {
        let b = &pair.b * 0.0 + 1.0;
        let _ = b.get(0).get(0).fill_(step as f64);
        Ok((pair.a.shallow_clone(), b))
    };
    fresh.map(moved).unwrap()
}

fn write(folder: &Path, adapter: &Adapter, state: Option<Value>) {
    std::fs::create_dir_all(folder).unwrap();
    adapter.save(folder, Some("published/base")).unwrap();
    if let Some(state) = state {
        std::fs::write(folder.join(STATE), state.to_string()).unwrap();
    }
}

/// The log of a trainer that logs every step.
fn log(step: u64) -> Value {
    let entry = |step: u64| json!({"step": step, "loss": 3.0 / step as f64, "grad_norm": 1.5, "learning_rate": 1e-5, "epoch": 0.1});
    json!({"global_step": step, "log_history": (1..=step).map(entry).collect::<Vec<_>>()})
}

/// A run with checkpoints at `steps`.
fn published(method: &Value, steps: &[u64]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for step in steps {
        let place = folder.path().join(format!("checkpoints/checkpoint-{step}"));
        write(&place, &adapter(method, *step), Some(log(*step)));
    }
    folder
}

fn import(folder: &Path, on_broken: OnBroken, stage: &Stage) -> Result<JobResult, Stop> {
    let files = folder::run_files(folder, &[folder.into()]).unwrap();
    let work = ImportWork {
        on_broken,
        source: RunSource::Folder(files),
        base: None,
    };
    run(&work, stage, &NoHub)
}

fn imported(folder: &Path) -> Stage {
    let stage = Stage::new();
    import(folder, OnBroken::Fail, &stage).unwrap();
    stage
}

fn failure_of(folder: &Path) -> String {
    import(folder, OnBroken::Fail, &Stage::new())
        .unwrap_err()
        .to_string()
}

fn norms(stage: &Stage) -> Vec<NormPoint> {
    let reports = stage.reports.borrow();
    let points = reports.iter().filter_map(|report| match report {
        Report::Norms(point) => Some(point.clone()),
        _ => None,
    });
    points.collect()
}

fn event(stage: &Stage, wanted: &str) -> Option<Value> {
    let reports = stage.reports.borrow();
    reports.iter().find_map(|report| match report {
        Report::Event { r#type, data } if *r#type == wanted => Some(data.clone()),
        _ => None,
    })
}

fn kept(stage: &Stage) -> Vec<u64> {
    let commits = stage.commits.borrow();
    let steps = commits.iter().filter_map(|commit| match commit {
        Commit::Checkpoint { step, files, .. } => {
            assert_eq!(files.len(), 2);
            Some(*step)
        }
        _ => None,
    });
    steps.collect()
}

fn near(found: f64, expected: f64) {
    // numbers of float32 whose norms are taken in doubles
    assert!(
        (found - expected).abs() <= 1e-6 * expected.abs(),
        "{found} {expected}"
    );
}

const EARLY_AND_SPACED: [u64; 13] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 396];

#[test]
fn a_rank_one_run_has_norms_vectors_and_logs_on_the_steps_that_it_has() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    let stage = imported(published(&method, &EARLY_AND_SPACED).path());
    assert_eq!(kept(&stage), EARLY_AND_SPACED);
    let points = norms(&stage);
    assert_eq!(
        points.iter().map(|point| point.step).collect::<Vec<_>>(),
        EARLY_AND_SPACED
    );
    let mut previous: Option<u64> = None;
    for point in &points {
        let step = point.step as f64;
        // B is (step, 1, …, 1) of 32 numbers; BA of rank 1 has the product of the norms
        let b = (step * step + 31.0).sqrt();
        near(point.b_norm[0], b);
        near(point.ba_norm[0], 64.0 * b * point.a_norm[0]);
        near(point.stable_rank[0], 1.0);
        assert!(point.a_grad_norm[0].is_nan() && point.b_grad_norm[0].is_nan());
        match previous.filter(|before| before + 1 == point.step) {
            Some(before) => {
                let was = before as f64;
                near(
                    point.b_cosine_previous[0],
                    (step * was + 31.0) / (b * (was * was + 31.0).sqrt()),
                );
            }
            None => assert!(point.b_cosine_previous[0].is_nan(), "{}", point.step),
        }
        previous = Some(point.step);
    }
    let reports = stage.reports.borrow();
    let rows: Vec<&StepPoint> = reports
        .iter()
        .filter_map(|report| match report {
            Report::Step(point) => Some(point),
            _ => None,
        })
        .collect();
    // the last log has every step, whatever was kept
    assert_eq!(rows.len(), 396);
    assert_eq!(
        (
            rows[1].step,
            rows[1].loss,
            rows[1].grad_norm,
            rows[1].learning_rate
        ),
        (2, 1.5, 1.5, 1e-5)
    );
    assert_eq!(event(&stage, "imported").unwrap()["checkpoints"], 13);
    assert_eq!(event(&stage, "log_conflicts"), None);
}

#[test]
fn the_vectors_are_in_one_file_with_the_steps_that_there_are() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [1, 2, 3, 5, 6, 7, 9, 10, 11]});
    let stage = imported(published(&method, &[1, 2, 5]).path());
    let commits = stage.commits.borrow();
    let file = commits.iter().find_map(|commit| match commit {
        Commit::Vectors {
            first: 1,
            last: 5,
            file,
        } => Some(file.clone()),
        _ => None,
    });
    let bytes = std::fs::read(file.unwrap().path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let contents =
        Contents::read(&bytes[8..8 + header], &bytes[8 + header..8 + header + 24]).unwrap();
    assert_eq!(contents.steps, [1, 2, 5]);
    assert_eq!(contents.modules.len(), 9);
    assert_eq!(
        (contents.modules[0].inputs, contents.modules[0].outputs),
        (48, 32)
    );
    assert_eq!(norms(&stage)[0].b_norm.len(), 9);
}

#[test]
fn a_run_of_higher_rank_has_norms_and_stable_ranks_but_no_vectors() {
    let method =
        json!({"rank": 8, "alpha": 64, "target_modules": ["down_proj", "q_proj"], "layers": [4]});
    let stage = imported(published(&method, &[5, 10]).path());
    let commits = stage.commits.borrow();
    assert!(
        !commits
            .iter()
            .any(|commit| matches!(commit, Commit::Vectors { .. }))
    );
    let point = &norms(&stage)[0];
    assert_eq!(point.b_norm.len(), 2);
    // every row of B is the same but for its first number, so that BA is near to rank 1
    assert!(
        point
            .stable_rank
            .iter()
            .all(|rank| (1.0..2.0).contains(rank)),
        "{point:?}"
    );
    assert!(point.ba_norm.iter().all(|norm| *norm > 0.0));
}

#[test]
fn an_adapter_at_the_top_that_is_not_the_last_checkpoint_is_told_and_not_kept() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    let folder = published(&method, &[5, 10]);
    write(folder.path(), &adapter(&method, 10), None);
    let stage = imported(folder.path());
    assert_eq!(event(&stage, "top_adapter_equal").unwrap()["last"], 10);
    write(folder.path(), &adapter(&method, 3), None);
    let stage = imported(folder.path());
    let told = event(&stage, "top_adapter_differs").unwrap();
    near(told["b_norm_top"][0].as_f64().unwrap(), 40f64.sqrt());
    assert_eq!(kept(&stage), [5, 10]);
}

#[test]
fn contradicting_logs_are_told_and_the_later_one_counts() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    let folder = published(&method, &[5, 10]);
    let mut other = log(10);
    other["log_history"][2]["loss"] = json!(9.0);
    let place = folder.path().join("checkpoints/checkpoint-10");
    std::fs::write(place.join(STATE), other.to_string()).unwrap();
    let stage = imported(folder.path());
    let told = event(&stage, "log_conflicts").unwrap();
    assert_eq!(
        (
            &told["count"],
            &told["shown"][0]["step"],
            &told["shown"][0]["after"]
        ),
        (&json!(1), &json!(3), &json!(9.0))
    );
}

#[test]
fn a_broken_checkpoint_fails_the_import_by_step_and_file_or_is_left_out_and_told() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    type Break = fn(&Path);
    let cases: [(Break, &str); 6] = [
        (
            |at| std::fs::write(at.join(MODEL), "short").unwrap(),
            "adapter_model.safetensors",
        ),
        (
            |at| std::fs::remove_file(at.join(MODEL)).unwrap(),
            "adapter_model.safetensors: is missing",
        ),
        (
            |at| std::fs::write(at.join(CONFIG), "{}").unwrap(),
            "peft_type",
        ),
        (
            |at| std::fs::write(at.join(STATE), "{").unwrap(),
            "trainer_state.json: is not JSON",
        ),
        (
            |at| std::fs::rename(at.join(MODEL), at.join("adapter_model.bin")).unwrap(),
            "adapter_model.bin: pickled",
        ),
        (
            |at| {
                std::fs::remove_file(at.join(MODEL)).unwrap();
                std::fs::rename(at.join(CONFIG), at.join("steering_vector.pt")).unwrap();
            },
            "steering_vector.pt: a steering vector in a pickle",
        ),
    ];
    for (broken, word) in cases {
        let folder = published(&method, &[5, 10, 15]);
        broken(&folder.path().join("checkpoints/checkpoint-10"));
        let message = failure_of(folder.path());
        assert!(
            message.contains("checkpoint-10") && message.contains(word),
            "{message}"
        );
        let stage = Stage::new();
        import(folder.path(), OnBroken::Skip, &stage).unwrap();
        assert_eq!(kept(&stage), [5, 15]);
        let told = event(&stage, "checkpoint_skipped").unwrap();
        assert_eq!(told["step"], 10);
        assert!(told["detail"].as_str().unwrap().contains(word), "{told}");
        assert_eq!(norms(&stage).len(), 2);
    }
}

#[test]
fn checkpoints_of_one_run_adapt_the_same_modules() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    let folder = published(&method, &[5]);
    let other = json!({"rank": 2, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    write(
        &folder.path().join("checkpoints/checkpoint-10"),
        &adapter(&other, 10),
        None,
    );
    let message = failure_of(folder.path());
    assert!(
        message.contains("checkpoint-10") && message.contains("rank 2"),
        "{message}"
    );
}

#[test]
fn where_the_base_is_ready_its_shapes_are_held_against_every_adapter() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    let folder = published(&method, &[5]);
    let stage = Stage::new();
    // two layers of other widths
    let base = crate::recipes::testing::base(&stage);
    let files = folder::run_files(folder.path(), &[folder.path().into()]).unwrap();
    let work = ImportWork {
        on_broken: OnBroken::Fail,
        source: RunSource::Folder(files),
        base: Some(base),
    };
    let message = run(&work, &stage, &NoHub).unwrap_err().to_string();
    assert!(
        message.contains("checkpoint-5") && message.contains("layers"),
        "{message}"
    );
}

#[test]
fn a_stop_ends_the_import_between_two_checkpoints() {
    let method = json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [7]});
    let folder = published(&method, &[5, 10]);
    let stage = Stage::new();
    stage
        .turns
        .set(Some((1, crate::execution::Interrupted::Cancelled)));
    let stopped = import(folder.path(), OnBroken::Skip, &stage).unwrap_err();
    assert!(matches!(stopped, Stop::Interrupted(_)));
    assert_eq!(kept(&stage), [5]);
}
