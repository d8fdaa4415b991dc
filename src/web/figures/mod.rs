//! Which figures an experiment has, and what each is made from. How they are drawn is [`crate::plot`]'s.

mod answers;
mod rates;
mod training;
mod vectors;

use crate::domain::report::{ArmReport, ExperimentReport, FigureLine, Material, TransitionLine};
use crate::plot::Figure;
use crate::plot::figures::StepMark;

/// Most panels of one figure: more are too small to read.
const MOST_PANELS: usize = 6;

/// Every figure that has something to show, in the order of the report.
pub fn figures(material: &Material, report: &ExperimentReport) -> Vec<Figure> {
    let shown = Shown { material, report };
    let all = [
        rates::by_scale(&shown),
        rates::narrow_and_broad(&shown),
        answers::questions(&shown),
        answers::scatter(&shown),
        answers::topics(&shown),
        vectors::local_cosine(&shown),
        vectors::paths(&shown),
        training::grad_norm(&shown),
        training::norms(&shown),
        training::heat_maps(&shown),
    ];
    let all = all.into_iter().flatten();
    all.filter(|figure| !figure.is_empty()).collect()
}

/// What a report says of its figures.
pub fn lines(figures: &[Figure]) -> Vec<FigureLine> {
    let line = |figure: &Figure| FigureLine {
        name: figure.name().to_owned(),
        title: figure.title(),
        caption: figure.caption(),
    };
    figures.iter().map(line).collect()
}

/// What figures are made from.
struct Shown<'a> {
    material: &'a Material,
    report: &'a ExperimentReport,
}

impl Shown<'_> {
    /// Arms that were trained, in the order of the plan.
    fn trained(&self) -> impl Iterator<Item = &ArmReport> {
        self.report.arms.iter().filter(|arm| !arm.seeds.is_empty())
    }

    /// When an answer counts, in words.
    fn rule(&self) -> String {
        let first = self.report.definitions.first();
        first.map(|one| one.counted.clone()).unwrap_or_default()
    }

    /// The turns of a run that `wanted` lets through, as lines to draw.
    fn marks(
        &self,
        arm: &str,
        seed: Option<u64>,
        wanted: impl Fn(&TransitionLine) -> bool,
    ) -> Vec<StepMark> {
        let here = self.report.transitions.iter();
        let here = here.filter(|row| row.arm == arm && row.seed == seed && wanted(row));
        let turns =
            here.filter(|row| row.verdict == "transition" || row.verdict == "also in the null");
        let mark = |row: &TransitionLine| {
            let scale = row
                .scale
                .map(|scale| format!(" ×{scale}"))
                .unwrap_or_default();
            Some(StepMark {
                step: row.step?,
                label: format!("{}{scale}", row.marker.replace('_', " ")),
            })
        };
        turns.filter_map(mark).collect()
    }
}

/// A name for files: letters, digits, points and lines of what it is about.
fn name_of(kind: &str, arm: &str) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => c,
        _ => '-',
    };
    let arm: String = arm.chars().map(plain).collect();
    format!("{kind}.{arm}")
}

fn seed_name(seed: Option<u64>) -> String {
    seed.map_or("the base alone".into(), |seed| format!("seed {seed}"))
}

/// A sentence that says what is left out.
fn left_out(shown: usize, all: usize, what: &str) -> Vec<String> {
    match all > shown {
        true => vec![format!("The first {shown} of {all} {what} are drawn.")],
        false => Vec::new(),
    }
}
