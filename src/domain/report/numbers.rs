//! Numbers as words: percentages, steps, intervals, names of cells. The one place that rounds.

use crate::domain::statistics::Interval;

/// What stands where there is no number.
pub(super) const NOTHING: &str = "–";

/// A share as a percentage with one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

pub(super) fn percent_or_none(share: Option<f64>) -> String {
    share.map_or_else(|| NOTHING.into(), percent)
}

/// Both ends of a share's interval as percentages.
pub(super) fn percents(interval: Option<Interval>) -> String {
    let words = |[low, high]: Interval| format!("{:.1}–{:.1} %", 100.0 * low, 100.0 * high);
    interval.map_or_else(|| NOTHING.into(), words)
}

/// A number with at most four significant digits, as plain as it can be.
pub(super) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.2e}").replace('-', "−");
    }
    let decimals = match size {
        0.0 => 0,
        size if size >= 1000.0 => 0,
        size => (3 - size.log10().floor() as i32).clamp(0, 6) as usize,
    };
    let text = format!("{value:.decimals$}").replace('-', "−");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

pub(super) fn plain_or_none(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), plain)
}

/// A step that may lie between two.
pub(super) fn step(value: f64) -> String {
    let text = format!("{value:.1}").replace('-', "−");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

pub(super) fn step_or_none(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.into(), step)
}

/// Both ends of a step's interval.
pub(super) fn steps(interval: Option<Interval>) -> String {
    let words = |[low, high]: Interval| format!("{} to {}", step(low), step(high));
    interval.map_or_else(|| NOTHING.into(), words)
}

/// A whole number, or nothing.
pub(super) fn whole(value: Option<u64>) -> String {
    value.map_or_else(|| NOTHING.into(), |value| value.to_string())
}

/// `bad, seed 0`.
pub(super) fn cell_name(arm: &str, seed: Option<u64>) -> String {
    match seed {
        Some(seed) => format!("{arm}, seed {seed}"),
        None => arm.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_plain_as_they_can_be() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.5, "−0.5"),
            (0.575_2, "0.5752"),
            (0.004_13, "0.00413"),
            (63.999_99, "64"),
            (123_456.7, "123457"),
            (1e-5, "1.00e−5"),
            (f64::NAN, NOTHING),
        ] {
            assert_eq!(plain(value), expected);
        }
        assert_eq!(percent(0.2105), "21.1 %");
        assert_eq!(percents(Some([0.0, 0.4437])), "0.0–44.4 %");
        assert_eq!((step(180.0), step(182.25)), ("180".into(), "182.2".into()));
    }
}
