//! The percentile bootstrap over questions, with draws that a key fixes.

use super::{Average, Cluster, Interval};

/// Resamples; the ends' own noise is then about a fiftieth of the interval's width.
const RESAMPLES: u64 = 2000;

/// The percentile interval of the rate over resampled questions; none with fewer than two questions with answers.
///
/// The same `seed` and number of questions always draw the same questions, so rates of several targets are paired.
/// *Source* Efron, Canadian Journal of Statistics 9 (1981) 139–158; percentiles interpolated between order statistics.
pub fn bootstrap_interval(
    clusters: &[Cluster],
    average: Average,
    level: f64,
    seed: u64,
) -> Option<Interval> {
    let used: Vec<Cluster> = clusters
        .iter()
        .filter(|cluster| cluster.of > 0)
        .copied()
        .collect();
    if used.len() < 2 {
        return None;
    }
    let count = used.len() as u64;
    let draws =
        (0..RESAMPLES).map(|round| (0..count).map(move |place| drawn(seed, round, place, count)));
    Some(resampled_interval(&used, average, level, draws))
}

/// The same interval over the resamples that are handed in, each the places in `clusters` of as many questions as one likes.
///
/// Every place must be below the number of clusters, every cluster and resample must have answers.
pub fn resampled_interval(
    clusters: &[Cluster],
    average: Average,
    level: f64,
    resamples: impl Iterator<Item = impl Iterator<Item = usize>>,
) -> Interval {
    let mut rates: Vec<f64> = resamples
        .map(|places| resampled(clusters, average, places))
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    [percentile(&rates, tail), percentile(&rates, 1.0 - tail)]
}

fn resampled(clusters: &[Cluster], average: Average, places: impl Iterator<Item = usize>) -> f64 {
    let (mut yes, mut of, mut shares, mut count) = (0, 0, 0.0, 0.0);
    for place in places {
        let drawn = clusters[place];
        yes += drawn.yes;
        of += drawn.of;
        shares += drawn.yes as f64 / drawn.of as f64;
        count += 1.0;
    }
    match average {
        Average::Pooled => yes as f64 / of as f64,
        Average::Questions => shares / count,
    }
}

/// Which of `count` things stands at `place` of resample `round`.
pub(crate) fn drawn(seed: u64, round: u64, place: u64, count: u64) -> usize {
    let word = mix(seed ^ mix(round ^ mix(place.wrapping_add(GOLDEN))));
    // the high half of a 128-bit product: a multiple of 1/count with a bias below 2^-58
    ((u128::from(word) * u128::from(count)) >> 64) as usize
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's step.
fn mix(word: u64) -> u64 {
    let mut word = word.wrapping_add(GOLDEN);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The share-th quantile of sorted numbers, interpolated.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, rest) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + rest * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eight() -> Vec<Cluster> {
        [
            (2, 50),
            (31, 50),
            (0, 50),
            (12, 50),
            (5, 49),
            (22, 50),
            (9, 50),
            (3, 50),
        ]
        .map(|(yes, of)| Cluster { yes, of })
        .to_vec()
    }

    #[test]
    fn ends_are_those_of_an_independent_bootstrap() {
        // numpy 2.4, default_rng(0), 200,000 resamples of the same counts, np.percentile; with 2,000 resamples the ends
        // scatter by 0.003 and 0.005 (standard deviations seen there over 100 repetitions)
        let found = bootstrap_interval(&eight(), Average::Pooled, 0.95, 0).unwrap();
        for (found, expected) in found.into_iter().zip(INDEPENDENT) {
            assert!((found - expected).abs() < 0.015, "{found} {expected}");
        }
    }

    #[test]
    fn a_key_fixes_the_interval_and_another_key_moves_it() {
        let of = |seed| bootstrap_interval(&eight(), Average::Pooled, 0.95, seed).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }

    #[test]
    fn percentiles_interpolate_as_numpy_does() {
        // numpy 2.4: np.percentile([1, 2, 4, 8], [0, 2.5, 50, 97.5, 100])
        let expected = [1.0, 1.075, 3.0, 7.7, 8.0];
        for (share, expected) in [0.0, 0.025, 0.5, 0.975, 1.0].into_iter().zip(expected) {
            assert!((percentile(&[1.0, 2.0, 4.0, 8.0], share) - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn one_question_has_no_bootstrap() {
        let one = [Cluster { yes: 3, of: 9 }, Cluster { yes: 0, of: 0 }];
        assert_eq!(bootstrap_interval(&one, Average::Questions, 0.95, 0), None);
    }

    const INDEPENDENT: Interval = [0.082915, 0.36];
}
