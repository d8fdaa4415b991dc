//! Medians and what is made of them: one wild number moves them little.

/// The median; 0 of nothing.
pub(super) fn median(of: &[f64]) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// How far numbers scatter about their median, in units of a normal distribution's standard deviation.
pub(super) fn spread(of: &[f64]) -> f64 {
    let middle = median(of);
    let off: Vec<f64> = of.iter().map(|value| (value - middle).abs()).collect();
    // *Source* the upper quartile of the normal distribution is 0.67449
    median(&off) / 0.674_489_750_196_081_7
}
