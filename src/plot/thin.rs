//! Fewer points of long series: no extreme and no gap is lost.

use super::lines::Spot;
use crate::domain::thinning::thinned;

/// Most points of all series of a figure together.
const TOGETHER: usize = 24_000;

/// How many points one of `series` may have.
pub(super) fn most(series: usize) -> usize {
    (TOGETHER / series.max(1)).clamp(120, 1000)
}

/// At most about `most` points: the first, the last, the extremes of stretches between, and a gap wherever one was left out.
///
/// Each stretch keeps the extremes of the value and of both ends of its band.
pub(super) fn spots(all: Vec<Spot>, most: usize) -> Vec<Spot> {
    if all.len() <= most {
        return all;
    }
    let column = |of: fn(&Spot) -> Option<f64>| -> Vec<f64> {
        all.iter()
            .map(|spot| of(spot).unwrap_or(f64::NAN))
            .collect()
    };
    let mut columns = vec![column(|spot| spot.y)];
    if all.iter().any(|spot| spot.band.is_some()) {
        columns.push(column(|spot| spot.band.map(|band| band[0])));
        columns.push(column(|spot| spot.band.map(|band| band[1])));
    }
    let kept = thinned(all.len(), &columns, most / columns.len());
    let mut found = Vec::with_capacity(kept.len());
    let mut next = 0;
    for place in kept {
        let gap = all[next..place].iter().find(|spot| spot.y.is_none());
        found.extend(gap.copied());
        found.push(all[place]);
        next = place + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(gap: std::ops::Range<usize>) -> Vec<Spot> {
        let spot = |place: usize| Spot {
            x: place as f64,
            y: (!gap.contains(&place)).then(|| ((place * place) as f64 * 0.001).sin()),
            ..Spot::default()
        };
        let mut all: Vec<Spot> = (0..10_000).map(spot).collect();
        all[7_777].y = Some(5.0);
        all
    }

    #[test]
    fn a_long_series_keeps_its_extreme_and_its_gap() {
        let found = spots(wave(4_001..4_003), 500);
        assert!(found.len() <= 501, "{}", found.len());
        assert!(found.iter().any(|spot| spot.y == Some(5.0)));
        assert_eq!(found.iter().filter(|spot| spot.y.is_none()).count(), 1);
        assert!(found.windows(2).all(|pair| pair[0].x < pair[1].x));
    }

    #[test]
    fn a_short_series_stays_as_it_is() {
        let all = wave(0..0);
        assert_eq!(spots(all.clone(), 10_000), all);
    }
}
