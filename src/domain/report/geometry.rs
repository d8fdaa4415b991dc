//! What became of each trained module: its norms at the end, and where its vector turned most.

use super::material::{Material, ModuleFacts, RunFacts, TurnFacts, VectorFacts};
use super::value::{GeometryLine, TurnLine};

/// One of every module of every run.
pub(super) fn lines(material: &Material) -> Vec<GeometryLine> {
    let vectors = material.analysis.iter().flat_map(|a| &a.vectors);
    let b: Vec<&VectorFacts> = vectors.filter(|v| v.vector == "B").collect();
    let of_run = |run: &RunFacts| -> Vec<GeometryLine> {
        let of = |module: &ModuleFacts| {
            let here = |vector: &&&VectorFacts| {
                vector.arm == run.arm && vector.seed == run.seed && vector.module == module.name
            };
            line(run, module, b.iter().find(here).copied())
        };
        run.modules.iter().map(of).collect()
    };
    material.runs.iter().flat_map(of_run).collect()
}

fn line(run: &RunFacts, module: &ModuleFacts, vector: Option<&VectorFacts>) -> GeometryLine {
    let last = |values: &[Option<f64>]| values.last().copied().flatten();
    let explained = vector.and_then(|vector| {
        let [first, second] = vector.path.explained;
        Some([first?, second?])
    });
    GeometryLine {
        arm: run.arm.clone(),
        seed: run.seed,
        module: module.name.clone(),
        rank: module.rank,
        step: module.steps.last().copied().unwrap_or(0),
        a_norm: last(&module.a),
        b_norm: last(&module.b),
        ba_norm: last(&module.ba),
        turns: vector
            .map(|vector| vector.turns.iter().filter_map(turn).collect())
            .unwrap_or_default(),
        explained,
    }
}

/// The largest cosine; the first of equals.
fn turn(facts: &TurnFacts) -> Option<TurnLine> {
    let known = facts.steps.iter().zip(&facts.values);
    let known: Vec<(u64, f64)> = known
        .filter_map(|(step, value)| Some((*step, (*value)?)))
        .collect();
    let mut sorted: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
    sorted.sort_by(f64::total_cmp);
    let first = *known.first()?;
    let largest = |best: (u64, f64), next: &(u64, f64)| if next.1 > best.1 { *next } else { best };
    let (step, cosine) = known.iter().fold(first, largest);
    let middle = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
    Some(TurnLine {
        gap: facts.gap,
        step,
        cosine,
        median: middle,
    })
}
