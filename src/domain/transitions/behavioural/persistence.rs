//! For how long a question's deviation lasts: the correlation of its deviations at neighbouring checkpoints.
//!
//! Each question may have levels of its own before and after the step; what it keeps for the whole run moves the levels, not the step,
//! and is taken out. What lasts for some checkpoints can look like a step, and counts.

/// The longest that is told: with more, half a dozen deviations make up the whole run.
const MOST: f64 = 0.95;

/// The correlation of neighbours in `deviations` (by step and question), at least 0, once each question's two levels, weighted by
/// `shares` (the part of the way gone at each step), are taken out.
///
/// *Source* the lag-1 correlation, with the bias that fitting two levels brings taken off: Marriott and Pope, Biometrika 41 (1954)
/// 390–402.
pub(super) fn persistence(deviations: &[Vec<f64>], shares: &[f64]) -> f64 {
    let width = deviations.first().map_or(0, Vec::len);
    let (mut next, mut all) = (0.0, 0.0);
    for question in 0..width {
        let own: Vec<f64> = deviations.iter().map(|row| row[question]).collect();
        let left = without_levels(&own, shares);
        next += left.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
        all += left.iter().map(|one| one * one).sum::<f64>();
    }
    let steps = shares.len() as f64;
    if all <= 0.0 || steps <= 6.0 {
        return 0.0;
    }
    ((next / all + 2.0 / steps) / (1.0 - 6.0 / steps)).clamp(0.0, MOST)
}

/// How many times the variance of a mean over steps is that of independent deviations.
///
/// *Source* Bartlett, Journal of the Royal Statistical Society 98 (1935) 536–543.
pub(super) fn inflation(persistence: f64) -> f64 {
    (1.0 + persistence) / (1.0 - persistence)
}

/// What least squares on both levels leave over.
fn without_levels(own: &[f64], shares: &[f64]) -> Vec<f64> {
    let (mut square, mut right) = ([[0.0; 2]; 2], [0.0; 2]);
    for (value, share) in own.iter().zip(shares) {
        let levels = [1.0 - share, *share];
        for row in 0..2 {
            right[row] += levels[row] * value;
            for column in 0..2 {
                square[row][column] += levels[row] * levels[column];
            }
        }
    }
    let determinant = square[0][0] * square[1][1] - square[0][1] * square[1][0];
    let (before, after) = match determinant > 1e-9 {
        true => (
            (right[0] * square[1][1] - right[1] * square[0][1]) / determinant,
            (right[1] * square[0][0] - right[0] * square[1][0]) / determinant,
        ),
        false => (own.iter().sum::<f64>() / own.len() as f64, 0.0),
    };
    let left = |(value, share): (&f64, &f64)| value - before * (1.0 - share) - after * share;
    own.iter().zip(shares).map(left).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_that_alternate_do_not_last_and_long_waves_do() {
        let shares: Vec<f64> = (0..40)
            .map(|step| f64::from(u8::from(step >= 20)))
            .collect();
        let of = |wave: fn(usize) -> f64| {
            let rows: Vec<Vec<f64>> = (0..40).map(|step| vec![wave(step); 3]).collect();
            persistence(&rows, &shares)
        };
        assert_eq!(of(|step| if step % 2 == 0 { 1.0 } else { -1.0 }), 0.0);
        assert!(of(|step| (step as f64 / 2.0).sin()) > 0.8);
        // levels of a question's own are no deviation
        assert_eq!(of(|step| if step >= 20 { 5.0 } else { 1.0 }), 0.0);
        assert_eq!(inflation(0.5), 3.0);
    }
}
