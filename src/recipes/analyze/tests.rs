//! Vectors from both places where they lie, without a server.

use serde_json::json;

use super::*;
use crate::domain::analysis::{ModuleRun, NormSeries};
use crate::domain::finetune::LoraMethod;
use crate::domain::geometry::Trajectory;
use crate::domain::ids::{AnalysisId, JobId};
use crate::domain::metric::MeasuredModule;
use crate::domain::vectors::{Contents, file};
use crate::engine::adapter::{Adapter, Pair};
use crate::engine::device::Device;
use crate::engine::model::config::ModelConfig;
use crate::execution::{Blobs, Interrupted, LocalFile, ModelFiles, RunInputs, RunVectors};
use crate::recipes::testing::{Stage, base};
use crate::recipes::verified;
use uuid::Uuid;

/// Pairs of rank 1 on both layers, B of the state after `step` updates telling it.
fn adapter(stage: &Stage, step: u64) -> Adapter {
    let files = verified(&base(stage), stage).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    let method = json!({"rank": 1, "alpha": 4.0, "target_modules": ["down_proj"]});
    let method: LoraMethod = serde_json::from_value(method).unwrap();
    let fresh = Adapter::init(&config, &method, 1, Device::Cpu).unwrap();
    let moved = |pair: &Pair| Ok((pair.a.shallow_clone(), &pair.b + step as f64));
    fresh.map(moved).unwrap()
}

fn checkpoint(stage: &Stage, adapter: &Adapter) -> ModelFiles {
    let folder = tempfile::tempdir_in(stage.folder.0.path()).unwrap();
    adapter.save(folder.path(), None).unwrap();
    let names = ["adapter_config.json", "adapter_model.safetensors"];
    let entries = names.map(|name| {
        let kept = stage.folder.keep(name, &folder.path().join(name));
        kept.unwrap().entry
    });
    stage.files(&entries)
}

fn vectors(stage: &Stage, steps: &[u64]) -> LocalFile {
    let rows: Vec<f32> = steps
        .iter()
        .flat_map(|step| adapter(stage, *step).vectors().unwrap())
        .collect();
    let contents = Contents {
        modules: adapter(stage, 0).vector_modules(),
        steps: steps.to_vec(),
    };
    let path = stage.folder.scratch().unwrap().join("vectors");
    std::fs::write(&path, file(&contents, &rows)).unwrap();
    stage.folder.keep("vectors.safetensors", &path).unwrap()
}

fn inputs(stage: &Stage, vectors: RunVectors) -> RunInputs {
    let modules = adapter(stage, 0).vector_modules().into_iter();
    let module = |name: String| ModuleRun {
        module: MeasuredModule {
            rank: Some(1),
            scaling: Some(4.0),
            ..MeasuredModule::whole(name, None, None)
        },
        norms: NormSeries::default(),
        a: None,
        b: None,
    };
    let wide = MeasuredModule {
        rank: Some(8),
        ..MeasuredModule::whole("wide".into(), None, None)
    };
    let wide = ModuleRun {
        module: wide,
        ..module("wide".into())
    };
    RunInputs {
        job: JobId::from_uuid(Uuid::from_u128(7)),
        data: RunData {
            modules: modules.map(|one| module(one.name)).chain([wide]).collect(),
            ..RunData::default()
        },
        vectors,
        only: None,
    }
}

fn paths(run: &RunData) -> Vec<[Option<Trajectory>; 2]> {
    let both = |module: &ModuleRun| [module.a.clone(), module.b.clone()];
    run.modules.iter().map(both).collect()
}

#[test]
fn files_of_vectors_and_the_checkpoints_they_were_taken_from_give_the_same_paths() {
    let stage = Stage::new();
    let files = [vectors(&stage, &[0, 1, 2]), vectors(&stage, &[5])];
    let of_files = inputs(&stage, RunVectors::Files(files.to_vec()));
    let of_files = super::vectors::filled(&of_files, &stage).unwrap();
    let kept = [0, 1, 2, 5].map(|step| (step, checkpoint(&stage, &adapter(&stage, step))));
    let of_checkpoints = inputs(&stage, RunVectors::Checkpoints(kept.to_vec()));
    let of_checkpoints = super::vectors::filled(&of_checkpoints, &stage).unwrap();
    assert_eq!(paths(&of_files), paths(&of_checkpoints));
    let [first, second, wide] = paths(&of_files).try_into().unwrap();
    let b = first[1].as_ref().unwrap();
    assert_eq!(b.steps(), [0, 1, 2, 5]);
    assert!(b.row(3).iter().all(|number| *number == 5.0));
    assert!(second[0].is_some());
    assert_eq!(wide, [None, None], "a pair of rank 8 has norms alone");
}

#[test]
fn only_the_wanted_steps_are_looked_at() {
    let stage = Stage::new();
    let mut run = inputs(
        &stage,
        RunVectors::Files(vec![vectors(&stage, &[0, 1, 2, 3])]),
    );
    run.only = Some(vec![1, 3, 9]);
    let run = super::vectors::filled(&run, &stage).unwrap();
    assert_eq!(run.modules[0].b.as_ref().unwrap().steps(), [1, 3]);
}

#[test]
fn a_damaged_file_of_vectors_ends_the_job_in_words() {
    let stage = Stage::new();
    let whole = vectors(&stage, &[0, 1]);
    let bytes = std::fs::read(&whole.path).unwrap();
    for length in [0, 7, 40, bytes.len() - 4] {
        std::fs::write(&whole.path, &bytes[..length]).unwrap();
        let run = inputs(&stage, RunVectors::Files(vec![whole.clone()]));
        let message = super::vectors::filled(&run, &stage)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("the vectors of job_"),
            "{length}: {message}"
        );
    }
}

#[test]
fn what_was_computed_is_committed_once_and_a_stop_leaves_nothing() {
    let stage = Stage::new();
    let work = AnalyzeWork {
        analysis: AnalysisId::from_uuid(Uuid::from_u128(9)),
        settings: AnalysisSettings::default(),
        runs: vec![inputs(
            &stage,
            RunVectors::Files(vec![vectors(&stage, &[0, 1])]),
        )],
    };
    let result = run(&work, &stage).unwrap();
    assert_eq!(result.analysis, Some(work.analysis.clone()));
    let commits = stage.commits.take();
    let [Commit::Analysis(computed)] = commits.as_slice() else {
        panic!("{} commits", commits.len());
    };
    assert_eq!(computed.series.len(), 1);
    stage.turns.set(Some((0, Interrupted::Cancelled)));
    assert_eq!(run(&work, &stage), Err(Interrupted::Cancelled.into()));
    assert!(stage.commits.borrow().is_empty());
}
