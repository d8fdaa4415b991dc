//! Small runs whose geometry is known by hand.

use super::*;
use crate::domain::analysis::MetricSeries;

fn path(steps: &[u64], rows: &[[f32; 2]]) -> Trajectory {
    let values = rows.iter().flatten().copied().collect();
    Trajectory::new(steps.to_vec(), 2, values).unwrap()
}

fn module(name: &str, b: Trajectory) -> ModuleRun {
    ModuleRun {
        module: MeasuredModule::whole(name.into(), Some(0), None),
        norms: NormSeries::default(),
        a: None,
        b: Some(b),
    }
}

fn run(seed: u64, modules: Vec<ModuleRun>) -> RunData {
    RunData {
        arm: "bad".into(),
        seed,
        modules,
        metrics: MetricSeries::default(),
        ..RunData::default()
    }
}

fn with_gaps(gaps: &[u64]) -> AnalysisSettings {
    AnalysisSettings {
        gaps: gaps.to_vec(),
        ..AnalysisSettings::default()
    }
}

#[test]
fn a_corner_is_seen_at_its_step_for_every_gap_and_a_still_end_is_a_masked_tail() {
    let steps: Vec<u64> = (0..=12).collect();
    let rows: Vec<[f32; 2]> = (0..=12u8)
        .map(|step| match step {
            0..=4 => [f32::from(step), 0.0],
            5..=8 => [4.0, f32::from(step) - 4.0],
            _ => [4.0, 4.0],
        })
        .collect();
    let run = run(0, vec![module("down", path(&steps, &rows))]);
    let series = geometry_series(&run, &with_gaps(&[1, 2]));
    let found = &series.modules[0].vectors[0];
    assert_eq!((found.vector, found.steps.len()), (VectorName::B, 13));
    for cosine in &found.local_cosine {
        let gap = cosine.gap as usize;
        assert!(cosine.values[4].unwrap().abs() < 1e-12, "gap {gap}");
        assert!((cosine.values[2].unwrap() + 1.0).abs() < 1e-12, "gap {gap}");
        assert!(cosine.values[..gap].iter().all(Option::is_none));
    }
    assert_eq!(found.local_cosine[0].masked_tail, Some([8, 11]));
    assert_eq!(found.local_cosine[0].masked, 4);
    assert_eq!(found.local_cosine[1].masked_tail, Some([8, 10]));
    assert_eq!(found.components.explained.len(), 2);
    assert!(series.comp.is_empty(), "one module is no stack");
}

#[test]
fn several_modules_have_comp_scores_over_the_steps_and_angles() {
    let steps = [0, 5, 10];
    let along = path(&steps, &[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]);
    let across = path(&steps, &[[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]);
    let one = run(
        0,
        vec![module("up", along.clone()), module("down", across.clone())],
    );
    let series = geometry_series(&one, &with_gaps(&[5]));
    assert_eq!(series.comp.len(), 6, "two readings, three ways of centring");
    let plain = series
        .comp
        .iter()
        .find(|comp| comp.centring == Centring::None && comp.reading == Reading::Literal)
        .unwrap();
    assert_eq!((plain.modules, plain.values[0]), (2, None));
    for value in &plain.values[1..] {
        assert!((value.unwrap() - 0.5f64.sqrt()).abs() < 1e-12);
    }
    assert_eq!(series.angles[0].of, ["up", "down"]);
    assert_eq!(series.angles[0].cosines[0][1], Some(0.0));
    let other = run(1, vec![module("up", across)]);
    let between = angles_between_runs(&[one, other]);
    assert_eq!(between.len(), 1, "only one module is in both");
    assert_eq!(between[0].of, ["bad/seed 0", "bad/seed 1"]);
    assert_eq!(between[0].cosines[0], [Some(1.0), Some(0.0)]);
}

#[test]
fn a_run_without_vectors_keeps_its_norms() {
    let mut bare = module("down", path(&[0], &[[1.0, 0.0]]));
    bare.b = None;
    bare.norms.steps = vec![0, 1];
    let series = geometry_series(&run(0, vec![bare]), &with_gaps(&[5]));
    assert_eq!(series.modules[0].norms.steps, [0, 1]);
    assert!(series.modules[0].vectors.is_empty() && series.angles.is_empty());
}
