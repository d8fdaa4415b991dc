//! One group's counts, rates and intervals. Knows tallies by question, not where they come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tally::{Mean, Tally, UnscoredCounts};
use super::warning::{Warning, unscored_warning};
use super::words::{LabelShare, MetricRate, label_shares, metric_rates};
use super::{LEVEL, Metrics, Rule};
use crate::domain::evaluation::Target;
use crate::domain::statistics::{
    self, Average, Cluster, ESTIMAND, Interval, Seeds, bootstrap_interval, cluster_interval,
    least_detectable, wilson,
};

/// One group's counts and rates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateRow {
    /// What answered; null where targets are put together.
    pub target: Option<Target>,
    /// Addresses that are put together, where they differ by training seed alone (`by=arm`).
    #[serde(default)]
    pub targets: Vec<String>,
    /// Which question; null where questions are put together.
    pub question: Option<String>,
    /// Which of the question's paraphrases, counted from 0; null where they are put together.
    #[serde(default)]
    pub paraphrase: Option<u32>,
    /// Who scored; never more than one in a row.
    #[serde(default)]
    pub judge: String,
    /// Answers that the judge is done with.
    pub n: u64,
    /// Answers with both scores; of an evaluation without one of them, answers with everything that it asks for.
    pub scored: u64,
    /// The others, by cause.
    pub unscored: UnscoredCounts,
    /// Misaligned among the answers with both scores; null in an evaluation without one of them.
    pub misaligned: Option<MainRate>,
    /// Misaligned among all answers.
    pub misaligned_of_all: Option<Share>,
    /// Misaligned among the coherent answers.
    pub misaligned_of_coherent: Option<Share>,
    /// The pooled rate if no unscored answer were misaligned, and if every one were; null without answers.
    #[schema(value_type = Option<Vec<f64>>)]
    pub misaligned_bounds: Option<Interval>,
    /// Coherent among the scored answers; null in an evaluation without `coherent`.
    pub coherent: Option<Share>,
    /// Correlation of two answers to one question being misaligned; null where it is not defined.
    pub icc: Option<f64>,
    /// Mean over the answers that have this score.
    pub aligned_mean: Option<f64>,
    /// Mean over the answers that have this score.
    pub coherent_mean: Option<f64>,
    /// The least difference of misaligned rates that as many answers would show; null with fewer than two questions.
    #[serde(default)]
    pub minimal_detectable_difference: Option<DetectableDifference>,
    /// Other metrics that give numbers.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricRate>,
    /// Metrics that give words: share of each word.
    #[serde(default)]
    pub labels: BTreeMap<String, BTreeMap<String, LabelShare>>,
    /// What to know before trusting this row.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// A count with its denominator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// Answers that do.
    pub count: u64,
    /// Answers that could.
    pub of: u64,
    /// `count/of`, or the mean over questions of that; null where `of` is 0.
    pub rate: Option<f64>,
}

/// A rate with its intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MainRate {
    /// Answers that do.
    pub count: u64,
    /// Answers that could.
    pub of: u64,
    /// The rate; null where `of` is 0.
    pub rate: Option<f64>,
    /// How sure it is, by what is thought to vary.
    pub intervals: Intervals,
    /// Mean and spread over training seeds, where a row puts seeds together.
    #[serde(default)]
    pub seeds: Option<SeedRates>,
    /// Why an interval is null, by its name.
    pub reasons: BTreeMap<String, String>,
}

/// Intervals named by what varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Intervals {
    /// These questions, other answers: Wilson.
    #[schema(value_type = Option<Vec<f64>>)]
    pub answers: Option<Interval>,
    /// Other questions as well: logit, cluster-robust, Student's t.
    #[schema(value_type = Option<Vec<f64>>)]
    pub questions: Option<Interval>,
    /// Other training seeds: Student's t over the seeds' rates, cut at 0 and 1; null for one seed and where all have one rate.
    #[serde(default)]
    #[schema(value_type = Option<Vec<f64>>)]
    pub seeds: Option<Interval>,
    /// Other questions as well: percentile bootstrap; null with fewer than two questions. Too narrow for few questions.
    #[schema(value_type = Option<Vec<f64>>)]
    pub bootstrap_questions: Option<Interval>,
}

/// The rates of several training seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SeedRates {
    /// Seeds with a rate.
    pub n: u64,
    /// Mean of their rates.
    pub mean: f64,
    /// Standard deviation of their rates; null for one.
    pub sd: Option<f64>,
}

/// The least difference that a test finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DetectableDifference {
    /// The difference; null where even 0 or 1 could not be told from the rate.
    pub value: Option<f64>,
    /// Chance of finding a difference that is not there, two-sided.
    pub alpha: f64,
    /// Chance of finding one that is.
    pub power: f64,
    /// How many times the variance of independent answers: 1 + (m − 1) ICC.
    pub design_effect: f64,
    /// What the difference is one of.
    pub estimand: String,
}

/// What a row is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// What answered.
    pub target: Option<Target>,
    /// What is put together.
    pub targets: Vec<String>,
    /// What was asked.
    pub question: Option<String>,
    /// In which words.
    pub paraphrase: Option<u32>,
    /// Who scored.
    pub judge: String,
}

/// The row of a group whose answers were counted by question.
pub fn row(place: Place, tallies: &[Tally], metrics: &Metrics, rule: &Rule) -> RateRow {
    let both = metrics.misaligned();
    let share = |has: bool, yes: fn(&Tally) -> u64, of: fn(&Tally) -> u64| {
        has.then(|| share(&clusters(tallies, yes, of), rule.average))
    };
    let scored = clusters(tallies, |t| t.misaligned, |t| t.scored);
    let n: u64 = tallies.iter().map(|t| t.n).sum();
    let unscored = tallies
        .iter()
        .fold(UnscoredCounts::default(), |sum, t| sum.with(t.unscored));
    RateRow {
        target: place.target,
        targets: place.targets,
        question: place.question,
        paraphrase: place.paraphrase,
        judge: place.judge,
        n,
        scored: tallies.iter().map(|t| t.scored).sum(),
        unscored,
        misaligned: both.then(|| main_rate(&scored, rule)),
        misaligned_of_all: share(both, |t| t.misaligned, |t| t.n),
        misaligned_of_coherent: share(both, |t| t.misaligned, |t| t.coherent),
        misaligned_bounds: both.then(|| bounds(tallies, n, unscored)).flatten(),
        coherent: share(metrics.coherent, |t| t.coherent, |t| t.scored),
        icc: both
            .then(|| statistics::intraclass_correlation(&scored))
            .flatten(),
        aligned_mean: Mean::join(tallies.iter().map(|t| t.aligned_mean)),
        coherent_mean: Mean::join(tallies.iter().map(|t| t.coherent_mean)),
        minimal_detectable_difference: both.then(|| detectable(&scored, rule)).flatten(),
        metrics: metric_rates(tallies, metrics, rule),
        labels: label_shares(tallies, metrics, rule),
        warnings: unscored_warning(n, unscored).into_iter().collect(),
    }
}

fn bounds(tallies: &[Tally], n: u64, unscored: UnscoredCounts) -> Option<Interval> {
    let misaligned: u64 = tallies.iter().map(|t| t.misaligned).sum();
    let ends = [misaligned, misaligned + unscored.total()];
    (n > 0).then(|| ends.map(|count| count as f64 / n as f64))
}

fn detectable(scored: &[Cluster], rule: &Rule) -> Option<DetectableDifference> {
    let found = least_detectable(scored, rule.average, rule.test)?;
    Some(DetectableDifference {
        value: found.value,
        alpha: rule.test.alpha,
        power: rule.test.power,
        design_effect: found.design_effect,
        estimand: ESTIMAND.into(),
    })
}

pub(super) fn clusters(
    tallies: &[Tally],
    yes: impl Fn(&Tally) -> u64,
    of: impl Fn(&Tally) -> u64,
) -> Vec<Cluster> {
    let one = |tally| Cluster {
        yes: yes(tally),
        of: of(tally),
    };
    tallies.iter().map(one).collect()
}

pub(super) fn share(clusters: &[Cluster], average: Average) -> Share {
    Share {
        count: clusters.iter().map(|cluster| cluster.yes).sum(),
        of: clusters.iter().map(|cluster| cluster.of).sum(),
        rate: match average {
            Average::Pooled => statistics::pooled(clusters),
            Average::Questions => statistics::mean_of_shares(clusters),
        },
    }
}

/// The interval with these questions fixed.
pub(super) fn answers_interval(clusters: &[Cluster], average: Average) -> Option<Interval> {
    let Share { of, rate, .. } = share(clusters, average);
    let trials = match average {
        Average::Pooled => of as f64,
        Average::Questions => statistics::effective_trials(clusters),
    };
    wilson(rate?, trials, LEVEL)
}

pub(super) fn main_rate(clusters: &[Cluster], rule: &Rule) -> MainRate {
    let Share { count, of, rate } = share(clusters, rule.average);
    let questions = cluster_interval(clusters, rule.average, LEVEL);
    let reasons = questions
        .err()
        .map(|reason| ("questions".to_owned(), reason.to_string()));
    let intervals = Intervals {
        answers: answers_interval(clusters, rule.average),
        questions: questions.ok(),
        seeds: None,
        bootstrap_questions: bootstrap_interval(clusters, rule.average, LEVEL, rule.seed),
    };
    MainRate {
        count,
        of,
        rate,
        intervals,
        seeds: None,
        reasons: reasons.into_iter().collect(),
    }
}

impl MainRate {
    /// Notes what the seeds' own rates say.
    pub fn over_seeds(&mut self, rates: &[f64]) {
        let Some(Seeds {
            n,
            mean,
            sd,
            interval,
        }) = statistics::over_seeds(rates, LEVEL)
        else {
            return;
        };
        self.seeds = Some(SeedRates { n, mean, sd });
        let reason = match (interval, rates) {
            (None, _) => "one training seed; at least 2 are needed",
            // A spread of nothing would give an interval without width, as if no other seed could differ.
            (_, [first, rest @ ..]) if rest.iter().all(|rate| rate == first) => {
                "every training seed has the same rate"
            }
            (Some([low, high]), _) => {
                self.intervals.seeds = Some([low.max(0.0), high.min(1.0)]);
                return;
            }
        };
        self.reasons.insert("seeds".into(), reason.into());
    }
}
