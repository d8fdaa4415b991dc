//! Published numbers beside ours.

use super::material::{Expectation, Material, Measure};
use super::value::{ExpectedLine, OurNumber, PaperReport, Questions, SeedsLine, TransitionLine};
use crate::domain::rates::LEVEL;
use crate::domain::statistics::over_seeds;

const BEHAVIOURAL: [&str; 2] = ["misaligned", "in_domain"];

/// What the preset promises beside what came out; none without a preset.
pub(super) fn paper(material: &Material, rates: &[SeedsLine]) -> Option<PaperReport> {
    let preset = material.preset.as_ref()?;
    let line = |expected: &Expectation| ExpectedLine {
        what: expected.what.clone(),
        published: expected.value,
        unit: expected.unit.clone(),
        source: expected.source.clone(),
        ours: ours(expected, material, rates),
    };
    Some(PaperReport {
        preset: preset.name.clone(),
        expected: preset.expected.iter().map(line).collect(),
        printed: preset.printed.clone(),
        discrepancies: preset.discrepancies.clone(),
    })
}

fn ours(expected: &Expectation, material: &Material, rates: &[SeedsLine]) -> Vec<OurNumber> {
    let wanted = |name: &str, role: &str| match &expected.arm {
        Some(arm) => arm == name,
        None => role == "treatment",
    };
    let arms = material
        .arms
        .iter()
        .filter(|arm| wanted(&arm.name, &arm.role));
    let number = |name: &str| match expected.measure {
        Measure::Misaligned | Measure::Coherent => rate(expected, name, rates),
        Measure::Rotation | Measure::Behaviour => turn(expected, name, material),
        Measure::Other => None,
    };
    arms.filter_map(|arm| number(&arm.name)).collect()
}

/// The rate of the arm's last step at the expected scale.
fn rate(expected: &Expectation, arm: &str, rates: &[SeedsLine]) -> Option<OurNumber> {
    let here = |line: &&SeedsLine| {
        let scale = line.scale.unwrap_or(expected.scale);
        line.arm == arm && line.questions == Questions::Broad && scale == expected.scale
    };
    let line = rates.iter().filter(here).max_by_key(|line| line.step)?;
    let hundred = |[low, high]: [f64; 2]| [100.0 * low, 100.0 * high];
    let (value, interval) = match expected.measure {
        Measure::Coherent => (line.coherent_rate?, None),
        _ => (line.mean, line.seeds_interval),
    };
    Some(number(
        expected,
        arm,
        (100.0 * value, interval.map(hundred), line.seeds),
    ))
}

/// The mean of the steps that the arm's seeds turned at.
fn turn(expected: &Expectation, arm: &str, material: &Material) -> Option<OurNumber> {
    let behavioural = expected.measure == Measure::Behaviour;
    let here = |line: &&TransitionLine| {
        let marker = match behavioural {
            true => line.marker == "misaligned" && line.scale == Some(expected.scale),
            false => line.marker == "local_cosine",
        };
        line.arm == arm && line.seed.is_some() && marker && line.verdict == "transition"
    };
    let lines = material.analysis.as_ref()?.transitions.iter().filter(here);
    let steps: Vec<f64> = lines.filter_map(|line| line.step).collect();
    let seeds = over_seeds(&steps, LEVEL)?;
    Some(number(expected, arm, (seeds.mean, seeds.interval, seeds.n)))
}

fn number(
    expected: &Expectation,
    arm: &str,
    (value, interval, seeds): (f64, Option<[f64; 2]>, u64),
) -> OurNumber {
    let [from, to] = expected.value;
    OurNumber {
        arm: arm.to_owned(),
        value,
        interval,
        seeds,
        agrees: interval.map(|[low, high]| low <= to && from <= high),
    }
}

/// Whether a marker is read from answers.
pub(super) fn is_behavioural(marker: &str) -> bool {
    BEHAVIOURAL.contains(&marker)
}
