//! Norms of gradients and adapters over the steps of training.

use super::{MOST_PANELS, Shown, name_of, seed_name};
use crate::domain::report::{ModuleFacts, RunFacts};
use crate::plot::Figure;
use crate::plot::figures::{
    GradNorm, ModuleNorms, NormCell, NormsHeatMap, NormsLines, StepSeries,
    grad_norm as draw_grad_norm, norms_heat_map, norms_lines,
};

fn runs<'a>(shown: &'a Shown<'_>, arm: &'a str) -> impl Iterator<Item = &'a RunFacts> + 'a {
    shown.material.runs.iter().filter(move |run| run.arm == arm)
}

/// One an arm, a line for each seed.
pub(super) fn grad_norm(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str| {
        let series = runs(shown, arm).map(|run| StepSeries {
            name: seed_name(Some(run.seed)),
            steps: run.steps.clone(),
            values: run.grad_norm.clone(),
        });
        let first = runs(shown, arm).next();
        let marks =
            first.map(|run| shown.marks(arm, Some(run.seed), |row| row.marker == "grad_norm"));
        let figure = draw_grad_norm(&GradNorm {
            of: arm.to_owned(),
            runs: series.take(MOST_PANELS).collect(),
            clip: first.and_then(|run| run.clip),
            marks: marks.unwrap_or_default(),
            notes: Vec::new(),
        });
        figure.named(&name_of("grad_norm", arm))
    };
    shown.trained().map(|arm| one(&arm.name)).collect()
}

/// One an arm, of its first run.
pub(super) fn norms(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str| {
        let run = runs(shown, arm).next()?;
        let modules = run.modules.iter().take(2 * MOST_PANELS).map(module);
        let figure = norms_lines(&NormsLines {
            of: format!("{arm}, {}", seed_name(Some(run.seed))),
            modules: modules.collect(),
            marks: shown.marks(arm, Some(run.seed), |row| row.marker == "norm_growth"),
            notes: super::left_out(2 * MOST_PANELS, run.modules.len(), "modules"),
        });
        Some(figure.named(&name_of("norms_lines", arm)))
    };
    shown.trained().filter_map(|arm| one(&arm.name)).collect()
}

fn module(facts: &ModuleFacts) -> ModuleNorms {
    // a norm that does not exist at any step is none
    let known = |values: &[Option<f64>]| match values.iter().any(Option::is_some) {
        true => values.to_vec(),
        false => Vec::new(),
    };
    ModuleNorms {
        name: match facts.layer {
            Some(layer) => format!("layer {layer} {}", facts.projection),
            None => facts.name.clone(),
        },
        steps: facts.steps.clone(),
        a: known(&facts.a),
        b: known(&facts.b),
        ba: known(&facts.ba),
    }
}

/// One an arm with several modules, of its first run.
pub(super) fn heat_maps(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str| {
        let run = runs(shown, arm)
            .next()
            .filter(|run| run.modules.len() > 1)?;
        let cell = |facts: &ModuleFacts| {
            Some(NormCell {
                layer: facts.layer?,
                projection: facts.projection.clone(),
                value: facts.ba.last().copied().flatten(),
            })
        };
        let step = run.modules.first()?.steps.last().copied()?;
        let figure = norms_heat_map(&NormsHeatMap {
            of: format!("{arm}, {}", seed_name(Some(run.seed))),
            quantity: "‖BA‖".into(),
            step,
            cells: run.modules.iter().filter_map(cell).collect(),
            notes: Vec::new(),
        });
        Some(figure.named(&name_of("norms_heat_map", arm)))
    };
    shown.trained().filter_map(|arm| one(&arm.name)).collect()
}
