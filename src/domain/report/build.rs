//! The report of plain facts.

use super::material::Material;
use super::value::{AnalysisReport, ExperimentReport, FigureLine, HeadReport};
use super::{cells, findings, geometry, paper, rates, warnings};

/// What the experiment says; `figures` are those that can be drawn of it.
pub fn build(material: &Material, figures: Vec<FigureLine>) -> ExperimentReport {
    let lines = rates::lines(material);
    let over_seeds = rates::over_all_seeds(&lines);
    let analysis = material.analysis.as_ref();
    ExperimentReport {
        experiment: head(material),
        findings: findings::findings(material, &over_seeds),
        warnings: warnings::warnings(material, &lines),
        arms: material.arms.clone(),
        cells: cells::cells(material),
        definitions: rates::definitions(material),
        narrow_and_broad: rates::narrow_and_broad(&lines),
        geometry: geometry::lines(material),
        transitions: analysis.map_or_else(Vec::new, |a| a.transitions.clone()),
        lags: analysis.map_or_else(Vec::new, |a| a.lags.clone()),
        paper: paper::paper(material, &over_seeds),
        rates: lines,
        rates_over_seeds: over_seeds,
        sources: material.sources.clone(),
        spec: material.spec.clone(),
        analysis: analysis.map(|analysis| AnalysisReport {
            id: analysis.id.clone(),
            settings: analysis.settings.clone(),
        }),
        figures,
    }
}

fn head(material: &Material) -> HeadReport {
    let head = &material.head;
    HeadReport {
        id: head.id.clone(),
        name: head.name.clone(),
        description: head.description.clone(),
        owner: head.owner.clone(),
        state: head.state.clone(),
        is_final: head.is_final,
        created_at: head.created_at,
        finished_at: head.finished_at,
    }
}
