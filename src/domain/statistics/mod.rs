//! Intervals for shares of answers: plain numbers in, plain numbers out.
//!
//! Knows counts by cluster (a question's answers) and nothing of judges, jobs or storage. Formulas are named where they
//! stand; randomness is a key that is handed in.

mod agreement;
mod bootstrap;
mod cluster;
#[cfg(test)]
pub(crate) mod coverage;
mod detectable;
mod paired;
mod quantile;
mod seeds;

pub use agreement::{Table, kappa, observed_agreement, pearson, spearman};
pub use bootstrap::{bootstrap_interval, resampled_interval};
pub(crate) use bootstrap::{drawn, percentile};
pub use cluster::{
    NoInterval, cluster_interval, degrees_of_freedom, intraclass_correlation, mean_of_shares,
    pooled,
};
pub use detectable::{
    Detectable, ESTIMAND, Test, design_effect, detectable_change, least_detectable,
};
pub use paired::{Certainty, Paired, holm, paired, paired_within};
pub use quantile::{normal_quantile, t_beyond, t_quantile};
pub use seeds::{Seeds, over_seeds};

use cluster::LEAST_CLUSTERS;

/// A lower and an upper end.
pub type Interval = [f64; 2];

/// Answers of one question: how many say yes, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Answers that do.
    pub yes: u64,
    /// Answers that could.
    pub of: u64,
}

/// How the answers of several questions become one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// Every answer counts alike.
    Pooled,
    /// Every question counts alike.
    Questions,
}

/// Wilson's score interval for a share `rate` seen in `trials` independent trials.
///
/// *Errors* none without trials. `trials` may be an effective number, hence no integer.
/// *Source* E. B. Wilson, JASA 22 (1927) 209–212.
pub fn wilson(rate: f64, trials: f64, level: f64) -> Option<Interval> {
    if trials <= 0.0 {
        return None;
    }
    let z = normal_quantile(0.5 + level / 2.0);
    let z2 = z * z / trials;
    let middle = rate + z2 / 2.0;
    let half = z * (rate * (1.0 - rate) / trials + z2 / (4.0 * trials)).sqrt();
    let ends = [(middle - half) / (1.0 + z2), (middle + half) / (1.0 + z2)];
    Some([ends[0].max(0.0), ends[1].min(1.0)])
}

/// The number of independent trials whose share varies as the mean of the clusters' shares does, were all shares equal.
///
/// It is the number of answers where every question has equally many.
pub fn effective_trials(clusters: &[Cluster]) -> f64 {
    let used = clusters.iter().filter(|cluster| cluster.of > 0);
    let (count, inverse) = used.fold((0.0, 0.0), |(count, sum), cluster| {
        (count + 1.0, sum + 1.0 / cluster.of as f64)
    });
    if count == 0.0 {
        0.0
    } else {
        count * count / inverse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals_are_the_published_ones() {
        // Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3: 81/263, 15/148, 0/20, 1/29
        let table = [
            (81.0, 263.0, [0.2553, 0.3662]),
            (15.0, 148.0, [0.0624, 0.1605]),
            (0.0, 20.0, [0.0, 0.1611]),
            (1.0, 29.0, [0.0061, 0.1718]),
        ];
        for (count, trials, expected) in table {
            let found = wilson(count / trials, trials, 0.95).unwrap();
            for (found, expected) in found.into_iter().zip(expected) {
                // the table has four decimals
                assert!(
                    (found - expected).abs() < 5.1e-5,
                    "{count}/{trials}: {found}"
                );
            }
        }
        assert_eq!(wilson(f64::NAN, 0.0, 0.95), None);
    }

    #[test]
    fn wilson_ends_stay_in_the_unit_interval() {
        for count in 0..=7 {
            let [low, high] = wilson(f64::from(count) / 7.0, 7.0, 0.95).unwrap();
            assert!(0.0 <= low && low <= f64::from(count) / 7.0 + 1e-15);
            assert!(f64::from(count) / 7.0 - 1e-15 <= high && high <= 1.0);
        }
    }

    #[test]
    fn effective_trials_are_the_answers_where_questions_have_equally_many() {
        let even = [Cluster { yes: 1, of: 5 }, Cluster { yes: 0, of: 5 }];
        assert!((effective_trials(&even) - 10.0).abs() < 1e-12);
        let uneven = [Cluster { yes: 1, of: 2 }, Cluster { yes: 0, of: 8 }];
        assert!((effective_trials(&uneven) - 6.4).abs() < 1e-12);
        assert_eq!(effective_trials(&[]), 0.0);
    }
}
