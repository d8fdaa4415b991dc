//! Random paths and what is made of them, printed for numpy and scikit-learn to make the same: `make geometry`.

use serde_json::{Value, json};

use super::*;
use crate::domain::analysis::MetricSeries;
use crate::domain::geometry::{MovementRule, MovementThreshold};
use crate::domain::statistics::coverage::Draws;

const MODULES: u32 = 9;
const WIDTH: usize = 48;

/// Steps 1 to 10, then every fifth with holes, as published runs keep them.
fn steps() -> Vec<u64> {
    let spaced = (3..=60)
        .map(|place| 5 * place)
        .filter(|step| step % 85 != 0);
    (0..=10).chain(spaced).collect()
}

/// A path with a drift of its own whose steps shrink, from zero or from elsewhere.
fn path(draws: &mut Draws, from_zero: bool) -> Trajectory {
    let drift: Vec<f64> = (0..WIDTH).map(|_| 0.02 * draws.normal()).collect();
    let start = |draws: &mut Draws| if from_zero { 0.0 } else { 0.3 * draws.normal() };
    let mut here: Vec<f64> = (0..WIDTH).map(|_| start(draws)).collect();
    let (mut values, mut before) = (Vec::new(), 0);
    for step in steps() {
        let pace = (step - before) as f64 / (1.0 + step as f64 / 60.0);
        for (number, drift) in here.iter_mut().zip(&drift) {
            *number += pace * (drift + 0.02 * draws.normal());
        }
        values.extend(here.iter().map(|number| *number as f32));
        before = step;
    }
    Trajectory::new(steps(), WIDTH, values).unwrap()
}

fn run(seed: u64) -> RunData {
    let mut draws = Draws(seed);
    let module = |layer: u32| ModuleRun {
        module: MeasuredModule::whole(format!("layer {layer}"), Some(layer), None),
        norms: NormSeries::default(),
        a: Some(path(&mut draws, false)),
        b: Some(path(&mut draws, true)),
    };
    RunData {
        arm: "random".into(),
        seed,
        modules: (0..MODULES).map(module).collect(),
        metrics: MetricSeries::default(),
        ..RunData::default()
    }
}

fn settings(rule: MovementRule, threshold: MovementThreshold) -> AnalysisSettings {
    AnalysisSettings {
        gaps: vec![1, 5, 10, 15],
        movement_rule: rule,
        movement_threshold: threshold,
        ..AnalysisSettings::default()
    }
}

fn paths(run: &RunData) -> Value {
    let rows = |path: &Option<Trajectory>| -> Vec<Vec<f32>> {
        path.iter()
            .flat_map(|path| path.rows().map(<[f32]>::to_vec))
            .collect()
    };
    let module = |one: &ModuleRun| json!({"a": rows(&one.a), "b": rows(&one.b)});
    run.modules.iter().map(module).collect()
}

#[test]
#[ignore = "make geometry reads what it prints"]
fn printed_for_the_reference() {
    let runs = [run(11), run(12)];
    let ways = [
        (MovementRule::Min, MovementThreshold::Relative(0.05)),
        (MovementRule::Max, MovementThreshold::Relative(0.2)),
        (
            MovementRule::BothVectorsBelow,
            MovementThreshold::Absolute(0.9),
        ),
    ];
    for (rule, threshold) in ways {
        let settings = settings(rule, threshold);
        let series = |run| geometry_series(run, &settings);
        let line = json!({
            "steps": steps(),
            "settings": settings,
            "runs": runs.iter().map(paths).collect::<Vec<_>>(),
            "series": runs.iter().map(series).collect::<Vec<_>>(),
            "between": angles_between_runs(&runs),
        });
        println!("{line}");
    }
}
