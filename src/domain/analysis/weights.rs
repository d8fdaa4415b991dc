//! What the markers of the weights do in one run: its series handed to the rules that look for turns.

use super::{ModuleRun, ModuleSeries, RunData, RunSeries, VectorName, VectorSeries};
use crate::domain::transitions::mechanistic::{
    Cosines, Found, Norms, VectorPath, grad_norm, local_cosine, norm_growth,
};
use crate::domain::transitions::{GRAD_NORM, LOCAL_COSINE, NORM_GROWTH, TransitionRow};

/// One row for each marker whose numbers were kept.
pub(super) fn mechanistic_rows(run: &RunData, series: &RunSeries) -> Vec<TransitionRow> {
    let found = [
        (LOCAL_COSINE, of_paths(run, series)),
        (GRAD_NORM, of_gradient(run)),
        (NORM_GROWTH, of_norms(run)),
    ];
    let rows = found
        .into_iter()
        .filter_map(|(marker, found)| Some(row(run, marker, found?)));
    rows.collect()
}

fn row(run: &RunData, marker: &str, found: Found) -> TransitionRow {
    TransitionRow {
        arm: run.arm.clone(),
        seed: Some(run.seed),
        marker: marker.into(),
        verdict: found.verdict,
        step: found.step,
        resolution: found.resolution,
        reasons: found.reasons,
        ..TransitionRow::default()
    }
}

fn of_paths(run: &RunData, series: &RunSeries) -> Option<Found> {
    let modules = run.modules.iter().zip(&series.modules);
    let paths: Vec<VectorPath> = modules
        .flat_map(|(module, series)| {
            let own = series.vectors.iter();
            own.filter_map(move |vector| path(module, series, vector, run.warmup_steps))
        })
        .collect();
    let looked_at = paths.iter().any(|path| !path.gaps.is_empty());
    looked_at.then(|| local_cosine(&paths))
}

fn path<'a>(
    module: &'a ModuleRun,
    series: &ModuleSeries,
    vector: &VectorSeries,
    warmup: u64,
) -> Option<VectorPath<'a>> {
    let path = match vector.vector {
        VectorName::A => module.a.as_ref(),
        VectorName::B => module.b.as_ref(),
    }?;
    let name = format!("{} of {}", vector.vector.letter(), series.module.name);
    let cosines: Vec<Cosines> = vector
        .local_cosine
        .iter()
        .map(|one| Cosines {
            gap: one.gap,
            values: &one.values,
        })
        .collect();
    Some(VectorPath::new(name, path, &cosines, warmup))
}

fn of_gradient(run: &RunData) -> Option<Found> {
    let metrics = &run.metrics;
    let known = metrics.grad_norm.iter().any(Option::is_some);
    known.then(|| grad_norm(&metrics.steps, &metrics.grad_norm, run.warmup_steps))
}

fn of_norms(run: &RunData) -> Option<Found> {
    let norms: Vec<Norms> = run.modules.iter().filter_map(norms).collect();
    (!norms.is_empty()).then(|| norm_growth(&norms, run.warmup_steps))
}

/// ‖B‖, or the norm of the change where a tensor is trained whole.
fn norms(module: &ModuleRun) -> Option<Norms<'_>> {
    let of = &module.norms;
    let named = [("‖B‖", &of.b_norm), ("‖BA‖", &of.ba_norm)];
    let (letter, norms) = named
        .into_iter()
        .find(|(_, norms)| norms.iter().any(Option::is_some))?;
    Some(Norms {
        name: format!("{letter} of {}", module.module.name),
        steps: &of.steps,
        norms,
    })
}
