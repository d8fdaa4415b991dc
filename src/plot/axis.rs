//! One axis: its range, its ticks and how they are written. Knows numbers and words, no places in a drawing.

/// A scale from its lower to its upper end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    /// What it measures, with the unit.
    pub label: String,
    /// Ticks in rising order, all within the range.
    pub ticks: Vec<Tick>,
    low: f64,
    high: f64,
    logarithmic: bool,
}

/// A value that is named on its axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub value: f64,
    pub text: String,
}

impl Axis {
    /// From `low` to `high` with about `count` ticks; ends that are equal or the wrong way round are moved apart.
    pub fn linear(label: &str, low: f64, high: f64, count: usize) -> Self {
        let (low, high) = apart(low, high);
        let step = nice((high - low) / count.max(1) as f64);
        Self {
            label: label.to_owned(),
            ticks: multiples(low, high, step),
            low,
            high,
            logarithmic: false,
        }
    }

    /// Around values, its ends moved out to round numbers; from 0 where the values are not far from it.
    pub fn around(label: &str, values: impl Iterator<Item = f64>, count: usize) -> Self {
        let Some((mut low, mut high)) = ends(values) else {
            return Self::bare(label);
        };
        if low > 0.0 && low < high * 0.6 {
            low = 0.0;
        }
        (low, high) = apart(low, high);
        let step = nice((high - low) / count.max(1) as f64);
        let down = (low / step + 1e-9).floor() * step;
        let up = (high / step - 1e-9).ceil() * step;
        Self::linear(label, down, up, count)
    }

    /// Over steps: exactly from the first to the last, whole numbers as ticks.
    pub fn steps(label: &str, values: impl Iterator<Item = f64>, count: usize) -> Self {
        let Some((low, high)) = ends(values) else {
            return Self::bare(label);
        };
        let (low, high) = if low < high {
            (low, high)
        } else {
            (low - 1.0, high + 1.0)
        };
        let step = nice((high - low) / count.max(1) as f64).max(1.0);
        let mut axis = Self::linear(label, low, high, count);
        axis.ticks = multiples(low, high, step);
        axis
    }

    /// Over powers of ten around values, all of which are above 0.
    pub fn logarithmic(label: &str, values: impl Iterator<Item = f64>) -> Self {
        let Some((low, high)) = ends(values.filter(|value| *value > 0.0)) else {
            return Self::bare(label);
        };
        let down = low.log10().floor() as i32;
        let up = (high.log10().ceil() as i32).max(down + 1);
        Self {
            label: label.to_owned(),
            ticks: powers(down, up),
            low: 10f64.powi(down),
            high: 10f64.powi(up),
            logarithmic: true,
        }
    }

    /// An axis of nothing.
    pub fn bare(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            ticks: Vec::new(),
            low: 0.0,
            high: 1.0,
            logarithmic: false,
        }
    }

    /// Where a value lies, from 0 at the lower to 1 at the upper end; what lies beyond is at the end.
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            let value = value.max(self.low).log10();
            (value - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// Lower and upper end.
    pub fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }
}

/// Smallest and largest of the finite values.
pub(super) fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|value| value.is_finite())
        .fold(None, |ends, value| {
            let (low, high): (f64, f64) = ends.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })
}

fn apart(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    if high - low > size * 1e-9 && high > low {
        return (low, high);
    }
    let room = if size > 0.0 { size * 0.1 } else { 1.0 };
    (low - room, low + room)
}

/// The next of 1, 2, 5 times a power of ten that is not smaller.
fn nice(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let found = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|digit| digit * power >= least * (1.0 - 1e-9));
    found.unwrap_or(10.0) * power
}

fn multiples(low: f64, high: f64, step: f64) -> Vec<Tick> {
    let first = (low / step - 1e-6).ceil() as i64;
    let last = (high / step + 1e-6).floor() as i64;
    let tick = |place: i64| {
        let value = place as f64 * step;
        let text = written(value, step);
        Tick { value, text }
    };
    (first..=last).take(200).map(tick).collect()
}

fn powers(down: i32, up: i32) -> Vec<Tick> {
    let every = ((up - down) / 8 + 1).max(1);
    let between: &[f64] = if up - down <= 2 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let mut ticks = Vec::new();
    for power in (down..=up).filter(|power| (power - down) % every == 0) {
        for digit in between.iter().filter(|digit| power < up || **digit < 1.5) {
            let value = digit * 10f64.powi(power);
            let text = written(value, 10f64.powi(power));
            ticks.push(Tick { value, text });
        }
    }
    ticks
}

/// A multiple of `step` with as many places as the step has; very large and very small ones as 2e-6.
pub(super) fn written(value: f64, step: f64) -> String {
    let power = step.abs().log10().floor() as i32;
    if value.abs() < step.abs() * 1e-6 {
        return "0".into();
    }
    let plain = if value.abs() >= 1e7 || power < -5 {
        scientific(value)
    } else if power < 0 {
        format!("{value:.*}", power.unsigned_abs() as usize)
    } else {
        let whole = super::text::count(value.abs().round() as u64);
        if value < 0.0 {
            format!("-{whole}")
        } else {
            whole
        }
    };
    plain.replacen('-', "−", usize::from(value < 0.0))
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.2e}");
    let Some((digits, power)) = text.split_once('e') else {
        return text;
    };
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{power}")
}

/// A value for a hint or a cell: three figures that count.
pub(super) fn brief(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let power = value.abs().log10().floor();
    written(value, 10f64.powf((power - 2.0).clamp(-300.0, 0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.text.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_written_with_the_places_they_need() {
        let axis = Axis::around("", [0.0, 0.137].into_iter(), 5);
        assert_eq!(texts(&axis), ["0", "0.05", "0.10", "0.15"]);
        let axis = Axis::around("", [-0.93, -0.4].into_iter(), 5);
        assert_eq!(texts(&axis), ["−1.0", "−0.8", "−0.6", "−0.4"]);
        let axis = Axis::steps("", [1.0, 397.0].into_iter(), 8);
        assert_eq!(
            texts(&axis),
            ["50", "100", "150", "200", "250", "300", "350"]
        );
        let axis = Axis::steps("", [0.0, 100_000.0].into_iter(), 5);
        assert_eq!(texts(&axis)[1], "20,000");
        let axis = Axis::around("", [0.0, 3.2e-7].into_iter(), 4);
        assert_eq!(texts(&axis), ["0", "1e-7", "2e-7", "3e-7", "4e-7"]);
        let axis = Axis::logarithmic("", [0.4, 90.0].into_iter());
        assert_eq!(texts(&axis), ["0.1", "1", "10", "100"]);
    }

    #[test]
    fn equal_and_absent_values_still_give_a_range() {
        for values in [
            vec![],
            vec![3.0],
            vec![0.0, 0.0],
            vec![f64::NAN, 1e-300],
            vec![1e300, -1e300],
        ] {
            let axes = [
                Axis::around("", values.iter().copied(), 5),
                Axis::steps("", values.iter().copied(), 5),
                Axis::logarithmic("", values.iter().copied()),
            ];
            for axis in axes {
                let (low, high) = axis.range();
                assert!(
                    low < high && low.is_finite() && high.is_finite(),
                    "{axis:?}"
                );
                for value in values.iter().filter(|value| value.is_finite()) {
                    assert!((0.0..=1.0).contains(&axis.share(*value)), "{axis:?}");
                }
            }
        }
    }

    #[test]
    fn every_tick_lies_within_its_axis() {
        for power in -9..9 {
            let scale = 10f64.powi(power);
            for (low, high) in [(0.0, 7.3), (-2.2, 3.1), (4.01, 4.09), (-9.9, -1.0)] {
                let axis = Axis::around("", [low * scale, high * scale].into_iter(), 5);
                assert!((2..=8).contains(&axis.ticks.len()), "{axis:?}");
                let (down, up) = axis.range();
                let room = (up - down) * 1e-6;
                assert!(
                    axis.ticks
                        .iter()
                        .all(|t| t.value >= down - room && t.value <= up + room)
                );
                assert!(
                    down <= low * scale + room && up >= high * scale - room,
                    "{axis:?}"
                );
            }
        }
    }

    #[test]
    fn brief_values_keep_three_figures() {
        let texts = [0.0, 0.12345, 12.3456, 4321.0, -0.00123, 1.2e-9].map(brief);
        assert_eq!(texts, ["0", "0.123", "12.3", "4,321", "−0.00123", "1.2e-9"]);
    }
}
