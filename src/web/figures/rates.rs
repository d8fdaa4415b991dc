//! Misalignment rates over steps: by scale of the adapter, and in the data's own domain beside unrelated questions.

use std::collections::BTreeMap;

use super::{MOST_PANELS, Shown, left_out, name_of, seed_name};
use crate::domain::report::{NarrowBroadLine, Questions, RateLine, RateShort};
use crate::plot::Figure;
use crate::plot::figures::{
    NarrowAndBroad, NarrowBroadPanel, RateByScale, RatePanel, RatePoint, RateSeries,
    narrow_and_broad as draw_both, rate_by_scale,
};

/// What the bands are.
pub(super) const INTERVAL: &str = "95 % Wilson intervals over other answers to these questions";

/// One an arm, a panel for each seed, a line for each scale.
pub(super) fn by_scale(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str, seeds: &[u64]| {
        let panel = |seed: &u64| RatePanel {
            name: seed_name(Some(*seed)),
            series: scales(shown, arm, *seed),
            marks: shown.marks(arm, Some(*seed), |row| {
                row.marker == "misaligned" && near_one(row.scale)
            }),
        };
        let figure = rate_by_scale(&RateByScale {
            of: arm.to_owned(),
            panels: seeds.iter().take(MOST_PANELS).map(panel).collect(),
            rule: shown.rule(),
            interval: INTERVAL.into(),
            notes: left_out(MOST_PANELS, seeds.len(), "seeds"),
        });
        figure.named(&name_of("rate_by_scale", arm))
    };
    shown
        .trained()
        .map(|arm| one(&arm.name, &arm.seeds))
        .collect()
}

fn near_one(scale: Option<f64>) -> bool {
    scale.is_none_or(|scale| (scale - 1.0).abs() < 1e-9)
}

fn scales(shown: &Shown<'_>, arm: &str, seed: u64) -> Vec<RateSeries> {
    let here = |line: &&RateLine| {
        line.arm == arm && line.seed == Some(seed) && line.questions == Questions::Broad
    };
    let mut scales: Vec<(f64, Vec<RatePoint>)> = Vec::new();
    for line in shown.report.rates.iter().filter(here) {
        let (Some(scale), Some(step)) = (line.scale, line.step) else {
            continue;
        };
        let point = RatePoint {
            step,
            rate: line.rate,
            interval: line.answers,
            of: line.scored,
        };
        match scales.iter_mut().find(|(known, _)| *known == scale) {
            Some((_, points)) => points.push(point),
            None => scales.push((scale, vec![point])),
        }
    }
    scales.sort_by(|one, other| one.0.total_cmp(&other.0));
    let series = scales.into_iter().map(|(scale, points)| RateSeries {
        name: format!("scale {scale}"),
        points,
    });
    series.collect()
}

/// One an arm, a panel for each seed.
pub(super) fn narrow_and_broad(shown: &Shown<'_>) -> Vec<Figure> {
    let one = |arm: &str| {
        let mut seeds: BTreeMap<(Option<u64>, String), Vec<&NarrowBroadLine>> = BTreeMap::new();
        let here = shown.report.narrow_and_broad.iter();
        for line in here.filter(|line| line.arm == arm && line.step.is_some()) {
            let scale = line
                .scale
                .map(|scale| format!(", scale {scale}"))
                .unwrap_or_default();
            seeds.entry((line.seed, scale)).or_default().push(line);
        }
        let panel = |((seed, scale), lines): (&(Option<u64>, String), &Vec<&NarrowBroadLine>)| {
            NarrowBroadPanel {
                name: format!("{}{scale}", seed_name(*seed)),
                narrow: lines
                    .iter()
                    .filter_map(|line| point(line.step, &line.narrow))
                    .collect(),
                broad: lines
                    .iter()
                    .filter_map(|line| point(line.step, &line.broad))
                    .collect(),
                marks: Vec::new(),
            }
        };
        let figure = draw_both(&NarrowAndBroad {
            of: arm.to_owned(),
            panels: seeds.iter().take(MOST_PANELS).map(panel).collect(),
            rule: shown.rule(),
            interval: INTERVAL.into(),
            notes: left_out(MOST_PANELS, seeds.len(), "runs"),
        });
        figure.named(&name_of("narrow_and_broad", arm))
    };
    shown.trained().map(|arm| one(&arm.name)).collect()
}

fn point(step: Option<u64>, rate: &RateShort) -> Option<RatePoint> {
    Some(RatePoint {
        step: step?,
        rate: rate.rate,
        interval: rate.answers,
        of: rate.of,
    })
}
