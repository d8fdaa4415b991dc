//! Which points of long series are shown so that no extreme is lost.

/// The places (indices into the series) that are kept, in order.
///
/// The first and the last place are always kept; what lies between is cut into ⌊(points − 2)/2⌋ stretches of equal length,
/// and of each stretch every series keeps its smallest and its largest value. So one series gives at most `points` places;
/// several series share their places and may give more.
///
/// *Shapes* every series has `length` values; NaN is never an extreme, and of equal values the first is kept.
pub fn thinned(length: usize, series: &[Vec<f64>], points: usize) -> Vec<usize> {
    if length <= points.max(2) {
        return (0..length).collect();
    }
    let stretches = points.saturating_sub(2) / 2;
    let inner = length - 2;
    let mut kept = vec![0, length - 1];
    for stretch in 0..stretches {
        let places = 1 + stretch * inner / stretches..1 + (stretch + 1) * inner / stretches;
        kept.extend(
            series
                .iter()
                .flat_map(|values| extremes(values, places.clone()))
                .flatten(),
        );
    }
    kept.sort_unstable();
    kept.dedup();
    kept
}

fn extremes(values: &[f64], places: std::ops::Range<usize>) -> [Option<usize>; 2] {
    let mut found: [Option<usize>; 2] = [None, None];
    for place in places.filter(|&place| !values[place].is_nan()) {
        if found[0].is_none_or(|smallest| values[place] < values[smallest]) {
            found[0] = Some(place);
        }
        if found[1].is_none_or(|largest| values[place] > values[largest]) {
            found[1] = Some(place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_kept_from_small_series_are_these() {
        let table: [(&[f64], usize, &[usize]); 6] = [
            (&[], 4, &[]),
            (&[5.0], 4, &[0]),
            (&[1.0, 2.0, 3.0, 4.0], 4, &[0, 1, 2, 3]),
            (&[0.0, 1.0, 9.0, -3.0, 2.0, 0.0], 4, &[0, 2, 3, 5]),
            (
                &[0.0, f64::NAN, f64::NAN, 4.0, f64::NAN, 0.0],
                4,
                &[0, 3, 5],
            ),
            (&[7.0; 9], 6, &[0, 1, 4, 8]),
        ];
        for (values, points, expected) in table {
            let found = thinned(values.len(), &[values.to_vec()], points);
            assert_eq!(found, expected, "{values:?}");
        }
    }

    #[test]
    fn extremes_of_every_series_survive_and_one_series_stays_within_its_points() {
        let wave = |shift: f64| -> Vec<f64> {
            (0..1000)
                .map(|t| (f64::from(t) * 0.37 + shift).sin() * f64::from(t % 97))
                .collect()
        };
        let all = [wave(0.0), wave(1.0), wave(2.0)];
        let least = |values: &[f64], places: &[usize]| {
            places
                .iter()
                .map(|&place| values[place])
                .fold(f64::INFINITY, f64::min)
        };
        let largest = |values: &[f64], places: &[usize]| {
            places
                .iter()
                .map(|&place| values[place])
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let every: Vec<usize> = (0..1000).collect();
        for points in [4, 5, 50, 333] {
            let kept = thinned(1000, &all, points);
            for values in &all {
                assert_eq!(least(values, &kept), least(values, &every));
                assert_eq!(largest(values, &kept), largest(values, &every));
                assert!(thinned(1000, std::slice::from_ref(values), points).len() <= points);
            }
        }
    }

    #[test]
    fn without_points_for_stretches_the_ends_remain() {
        assert_eq!(thinned(10, &[vec![0.0; 10]], 3), [0, 9]);
    }
}
