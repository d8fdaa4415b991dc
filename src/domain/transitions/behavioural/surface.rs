//! How likely a step's counts are at each rate, as a table that is quick to read.
//!
//! Questions are beta-binomial: their own rates scatter about the step's rate with one correlation. With that correlation fixed a
//! step's log-likelihood is a function of one number, so a curve through all steps costs one look-up a step, however many
//! questions there are.

use super::path::Path;
use crate::domain::statistics::Cluster;

/// Rates closer to 0 or 1 are not told apart.
pub(super) const LEAST_RATE: f64 = 1e-4;

/// Nodes on the scale of logits, LEAST_RATE at one end and its complement at the other.
const NODES: usize = 93;

/// Log-likelihoods of every step over rates.
#[derive(Debug, Clone)]
pub(super) struct Surface {
    /// By step and node: value and slope by the logit.
    nodes: Vec<[[f64; 2]; NODES]>,
    /// By step: how many independent answers its answers are worth.
    worth: Vec<f64>,
}

fn bound() -> f64 {
    (1.0 / LEAST_RATE - 1.0).ln()
}

/// What a correlation inside questions makes of a beta distribution: the sum of its two parameters.
pub(super) fn concentration(correlation: f64) -> f64 {
    (1.0 - correlation) / correlation
}

impl Surface {
    /// The table for `path` at a correlation in (0, 1).
    pub(super) fn new(path: &Path, correlation: f64) -> Self {
        let most = path.counts().iter().flatten().map(|cluster| cluster.of);
        let most = most.max().unwrap_or(0) as usize;
        let mut nodes = vec![[[0.0; 2]; NODES]; path.counts().len()];
        for node in 0..NODES {
            let rate = rate_of(node);
            let ladder = Ladder::new(rate, correlation, most);
            let by_logit = rate * (1.0 - rate);
            for (row, nodes) in path.counts().iter().zip(&mut nodes) {
                nodes[node] = row.iter().fold([0.0; 2], |[value, slope], cluster| {
                    let (more, steeper) = ladder.of(*cluster);
                    [value + more, slope + steeper * by_logit]
                });
            }
        }
        let worth = |row: &Vec<Cluster>| {
            let one = |of: f64| of / (1.0 + (of - 1.0).max(0.0) * correlation);
            row.iter().map(|cluster| one(cluster.of as f64)).sum()
        };
        Self {
            nodes,
            worth: path.counts().iter().map(worth).collect(),
        }
    }

    /// Log-likelihood of the step at place `step` and its slope by the rate.
    pub(super) fn at(&self, step: usize, rate: f64) -> (f64, f64) {
        let rate = rate.clamp(LEAST_RATE, 1.0 - LEAST_RATE);
        let width = 2.0 * bound() / (NODES - 1) as f64;
        let place = ((rate / (1.0 - rate)).ln() + bound()) / width;
        let below = (place.max(0.0) as usize).min(NODES - 2);
        let [left, right] = [self.nodes[step][below], self.nodes[step][below + 1]];
        let (value, slope) = hermite(place - below as f64, left, right, width);
        (value, slope / (rate * (1.0 - rate)))
    }

    /// Fisher information on the rate of the step at place `step`, to the accuracy of its first two moments.
    pub(super) fn information(&self, step: usize, rate: f64) -> f64 {
        let rate = rate.clamp(LEAST_RATE, 1.0 - LEAST_RATE);
        self.worth[step] / (rate * (1.0 - rate))
    }
}

fn rate_of(node: usize) -> f64 {
    let logit = bound() * (2.0 * node as f64 / (NODES - 1) as f64 - 1.0);
    1.0 / (1.0 + (-logit).exp())
}

/// The cubic through two values with their slopes, and its slope; `x` in [0, 1] of an interval of `width`.
fn hermite(x: f64, left: [f64; 2], right: [f64; 2], width: f64) -> (f64, f64) {
    let (from, to) = (left[1] * width, right[1] * width);
    let rise = right[0] - left[0];
    let (square, cube) = (3.0 * rise - 2.0 * from - to, from + to - 2.0 * rise);
    let value = left[0] + x * (from + x * (square + x * cube));
    let slope = from + x * (2.0 * square + x * 3.0 * cube);
    (value, slope / width)
}

/// Sums that give the beta-binomial log-likelihood of any count at one rate, and its slope by the rate.
///
/// ln B(y + a, n − y + b) − ln B(a, b) = Σ ln(a + j) + Σ ln(b + j) − Σ ln(a + b + j), j below y, n − y and n.
pub(super) struct Ladder {
    concentration: f64,
    /// Sums up to each count: ln(a + j), 1/(a + j), ln(b + j), 1/(b + j), ln(a + b + j).
    sums: Vec<[f64; 5]>,
}

impl Ladder {
    pub(super) fn new(rate: f64, correlation: f64, most: usize) -> Self {
        let concentration = concentration(correlation);
        let (a, b) = (rate * concentration, (1.0 - rate) * concentration);
        let mut sum = [0.0; 5];
        let mut sums = vec![sum];
        for count in 0..most {
            let j = count as f64;
            sum[0] += (a + j).ln();
            sum[1] += 1.0 / (a + j);
            sum[2] += (b + j).ln();
            sum[3] += 1.0 / (b + j);
            sum[4] += (concentration + j).ln();
            sums.push(sum);
        }
        Self {
            concentration,
            sums,
        }
    }

    /// Log-likelihood, but for the binomial coefficient, and slope by the rate.
    pub(super) fn of(&self, cluster: Cluster) -> (f64, f64) {
        let (yes, no) = (cluster.yes as usize, (cluster.of - cluster.yes) as usize);
        let (yes, no, all) = (
            self.sums[yes],
            self.sums[no],
            self.sums[cluster.of as usize],
        );
        let slope = self.concentration * (yes[1] - no[3]);
        (yes[0] + no[2] - all[4], slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_as_the_beta_binomial_does() {
        let row = vec![Cluster { yes: 3, of: 50 }, Cluster { yes: 17, of: 49 }];
        let path = Path::new(&[1], vec![row]).unwrap();
        let surface = Surface::new(&path, 0.2);
        // Python's math.lgamma: the sum over both counts of ln B(y + a, n − y + b) − ln B(a, b)
        for (rate, expected) in TABLE {
            let (value, slope) = surface.at(0, rate);
            assert!((value - expected).abs() < 2e-4, "{rate}: {value}");
            let ends = [rate - 1e-5, rate + 1e-5].map(|rate| surface.at(0, rate).0);
            assert!((slope - (ends[1] - ends[0]) / 2e-5).abs() < 1e-3 * (1.0 + slope.abs()));
        }
    }

    const TABLE: [(f64, f64); 3] = [
        (0.05, -48.01345073420569),
        (0.2, -46.06714905806825),
        (0.61, -49.33501737554603),
    ];
}
