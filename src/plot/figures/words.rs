//! What several figures say and convert alike.

use super::{StepMark, StepSeries};
use crate::plot::lines::Spot;
use crate::plot::marks::Mark;
use crate::plot::text::count;

/// Most panels of a figure.
pub(super) const PANELS: usize = 6;

/// Marks whose words begin with their step.
pub(super) fn marks(marks: &[StepMark]) -> Vec<Mark> {
    let finite = marks.iter().filter(|mark| mark.step.is_finite());
    let mark = |mark: &StepMark| Mark {
        at: mark.step,
        words: marked(mark),
    };
    finite.map(mark).collect()
}

/// A mark's step and its words; what is cut off where room is scarce is at their end.
pub(super) fn marked(mark: &StepMark) -> String {
    let step = if mark.step.fract() == 0.0 && mark.step >= 0.0 {
        count(mark.step as u64)
    } else {
        format!("{:.1}", mark.step)
    };
    match mark.label.trim() {
        "" => step,
        label => format!("{step}: {label}"),
    }
}

/// Points of values over steps; numbers that are not finite are gaps.
pub(super) fn over_steps(steps: &[u64], values: &[Option<f64>]) -> Vec<Spot> {
    let spot = |(step, value): (&u64, &Option<f64>)| Spot {
        x: *step as f64,
        y: value.filter(|value| value.is_finite()),
        ..Spot::default()
    };
    steps.iter().zip(values).map(spot).collect()
}

/// Points of a series.
pub(super) fn points(series: &StepSeries) -> Vec<Spot> {
    over_steps(&series.steps, &series.values)
}

/// A sentence where only some of many things are drawn.
pub(super) fn not_drawn(drawn: usize, all: usize, things: &str) -> String {
    if drawn >= all {
        return String::new();
    }
    format!(
        "Drawn are {} of {} {things}",
        count(drawn as u64),
        count(all as u64)
    )
}

/// A sentence with its first letter large.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.trim().chars();
    let first = characters.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect()
}

/// `1 step`, `10,000 steps`.
pub(super) fn things(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {thing}{end}", count(number))
}

/// `50 answers`, or `40 to 50 answers` where they differ.
pub(super) fn between(numbers: impl Iterator<Item = u64>, thing: &str) -> String {
    let ends = numbers.fold(None, |ends: Option<(u64, u64)>, number| {
        let (low, high) = ends.unwrap_or((number, number));
        Some((low.min(number), high.max(number)))
    });
    match ends {
        None => format!("no {thing}s"),
        Some((low, high)) if low == high => things(low, thing),
        Some((low, high)) => format!("{} to {}", count(low), things(high, thing)),
    }
}

/// A share as percentage.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{text} %")
}

/// A value that somebody set, as they would write it: 30, not 30.0.
pub(super) fn value(value: f64) -> String {
    value.to_string()
}
