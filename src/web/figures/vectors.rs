//! How the vectors of rank-1 adapters turn, and their paths in the plane in which they move most.

use super::{MOST_PANELS, Shown, left_out, name_of, seed_name};
use crate::domain::report::{TurnFacts, VectorFacts};
use crate::plot::Figure;
use crate::plot::figures::{
    CosinePanel, GapSeries, LocalCosine, PathPoint, PcaPanel, PcaPath, local_cosine as draw_cosine,
    pca_path,
};

/// The vectors that write, of one arm.
fn writing<'a>(shown: &'a Shown<'_>, arm: &'a str) -> Vec<&'a VectorFacts> {
    let all = shown
        .material
        .analysis
        .iter()
        .flat_map(|analysis| &analysis.vectors);
    all.filter(|one| one.arm == arm && one.vector == "B")
        .collect()
}

fn panel_name(vector: &VectorFacts) -> String {
    format!("B of {}, {}", vector.module, seed_name(Some(vector.seed)))
}

/// One an arm, a panel for each run.
pub(super) fn local_cosine(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str| {
        let vectors = writing(shown, arm);
        let panel = |vector: &&VectorFacts| CosinePanel {
            name: panel_name(vector),
            gaps: vector.turns.iter().map(gap).collect(),
            marks: shown.marks(arm, Some(vector.seed), |row| row.marker == "local_cosine"),
        };
        let analysis = shown.material.analysis.as_ref();
        let figure = draw_cosine(&LocalCosine {
            of: arm.to_owned(),
            panels: vectors.iter().take(MOST_PANELS).map(panel).collect(),
            masked: analysis.map(|one| one.masked.clone()).unwrap_or_default(),
            notes: left_out(MOST_PANELS, vectors.len(), "vectors"),
        });
        figure.named(&name_of("local_cosine", arm))
    };
    shown.trained().map(|arm| one(&arm.name)).collect()
}

fn gap(turns: &TurnFacts) -> GapSeries {
    GapSeries {
        gap: turns.gap,
        steps: turns.steps.clone(),
        values: turns.values.clone(),
    }
}

/// One an arm, a panel for each run.
pub(super) fn paths(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str| {
        let vectors = writing(shown, arm);
        let figure = pca_path(&PcaPath {
            of: arm.to_owned(),
            panels: vectors
                .iter()
                .take(MOST_PANELS)
                .map(|one| path(shown, one))
                .collect(),
            notes: left_out(MOST_PANELS, vectors.len(), "vectors"),
        });
        figure.named(&name_of("pca_path", arm))
    };
    shown.trained().map(|arm| one(&arm.name)).collect()
}

fn path(shown: &Shown<'_>, vector: &VectorFacts) -> PcaPanel {
    let places = vector.path.steps.iter().zip(&vector.path.scores);
    let points = places.map(|(step, [x, y])| PathPoint {
        step: *step,
        x: *x,
        y: *y,
    });
    PcaPanel {
        name: panel_name(vector),
        points: points.collect(),
        explained: vector.path.explained,
        marks: shown.marks(&vector.arm, Some(vector.seed), |row| {
            row.marker == "local_cosine"
        }),
    }
}
