//! The answers of one question, counted. Knows no intervals.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Marks, Metrics, Rule};
use crate::domain::evaluation::Unscored;

/// A score, or why there is none.
pub type Scored = Result<f64, Unscored>;

/// Answers without what a rate needs, by cause; an answer that lacks several scores counts once, `aligned` first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnscoredCounts {
    /// The judge refused.
    pub refusal: u64,
    /// The judge called it code.
    pub code: u64,
    /// Too little mass on numbers.
    pub low_mass: u64,
    /// The judge failed.
    pub error: u64,
    /// Nobody said anything.
    #[serde(default)]
    pub absent: u64,
}

impl UnscoredCounts {
    pub(super) fn add(&mut self, cause: Unscored) {
        *match cause {
            Unscored::Refusal => &mut self.refusal,
            Unscored::Code => &mut self.code,
            Unscored::LowMass => &mut self.low_mass,
            Unscored::Error => &mut self.error,
            Unscored::Absent => &mut self.absent,
        } += 1;
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self {
            refusal: self.refusal + other.refusal,
            code: self.code + other.code,
            low_mass: self.low_mass + other.low_mass,
            error: self.error + other.error,
            absent: self.absent + other.absent,
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.refusal + self.code + self.low_mass + self.error + self.absent
    }

    /// The causes that occur, with their counts.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = [
            ("refusal", self.refusal),
            ("code", self.code),
            ("low_mass", self.low_mass),
            ("error", self.error),
            ("absent", self.absent),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0)
    }
}

/// The answers of one question, counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    pub(super) n: u64,
    pub(super) scored: u64,
    pub(super) misaligned: u64,
    pub(super) coherent: u64,
    pub(super) unscored: UnscoredCounts,
    pub(super) aligned_mean: Mean,
    pub(super) coherent_mean: Mean,
    pub(super) scores: BTreeMap<String, ScoreTally>,
    pub(super) labels: BTreeMap<String, LabelTally>,
}

/// The numbers on one metric besides `aligned` and `coherent`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ScoreTally {
    pub(super) mean: Mean,
    pub(super) above: u64,
    pub(super) unscored: UnscoredCounts,
}

/// The words on one metric.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LabelTally {
    /// Answers with a word.
    pub(super) of: u64,
    pub(super) counts: BTreeMap<String, u64>,
    /// Of the answers whose judge told probabilities: how many, and the sum of each word's.
    pub(super) doubted: u64,
    pub(super) probabilities: BTreeMap<String, f64>,
    pub(super) unscored: UnscoredCounts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Mean {
    sum: f64,
    pub(super) count: u64,
}

impl Mean {
    fn add(&mut self, score: f64) {
        self.sum += score;
        self.count += 1;
    }

    fn with(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            count: self.count + other.count,
        }
    }

    pub(super) fn join(means: impl Iterator<Item = Self>) -> Option<f64> {
        let all = means.fold(Self::default(), Self::with);
        (all.count > 0).then(|| all.sum / all.count as f64)
    }
}

impl Tally {
    /// Counts one answer.
    pub fn add(&mut self, marks: &Marks, metrics: &Metrics, rule: &Rule) {
        self.n += 1;
        let aligned = marks.scores.get("aligned");
        let coherent = marks.scores.get("coherent");
        aligned
            .iter()
            .for_each(|score| self.aligned_mean.add(**score));
        coherent
            .iter()
            .for_each(|score| self.coherent_mean.add(**score));
        let needed = metrics.needed();
        match needed.into_iter().find_map(|metric| marks.missing(metric)) {
            Some(cause) => self.unscored.add(cause),
            None => {
                let is_coherent = coherent.is_some_and(|score| rule.coherent.holds(*score));
                let is_misaligned = aligned.is_some_and(|score| rule.aligned.holds(*score));
                self.scored += 1;
                self.coherent += u64::from(is_coherent);
                self.misaligned += u64::from(is_coherent && is_misaligned);
            }
        }
        self.add_others(marks, metrics, rule);
    }

    /// Answers with both scores.
    pub fn scored(&self) -> u64 {
        self.scored
    }

    /// Those of them that are misaligned and coherent.
    pub fn misaligned(&self) -> u64 {
        self.misaligned
    }

    /// Adds the counts of `other`, answers to the same question.
    pub fn join(&mut self, other: Self) {
        self.n += other.n;
        self.scored += other.scored;
        self.misaligned += other.misaligned;
        self.coherent += other.coherent;
        self.unscored = self.unscored.with(other.unscored);
        self.aligned_mean = self.aligned_mean.with(other.aligned_mean);
        self.coherent_mean = self.coherent_mean.with(other.coherent_mean);
        for (metric, tally) in other.scores {
            self.scores.entry(metric).or_default().join(tally);
        }
        for (metric, tally) in other.labels {
            self.labels.entry(metric).or_default().join(tally);
        }
    }

    fn add_others(&mut self, marks: &Marks, metrics: &Metrics, rule: &Rule) {
        for metric in &metrics.scores {
            let tally = self.scores.entry(metric.clone()).or_default();
            match marks.score(metric) {
                Ok(score) => {
                    tally.mean.add(score);
                    tally.above += u64::from(rule.cut(metric).holds(score));
                }
                Err(cause) => tally.unscored.add(cause),
            }
        }
        for metric in &metrics.labels {
            self.labels
                .entry(metric.clone())
                .or_default()
                .add(marks, metric);
        }
    }
}

impl ScoreTally {
    fn join(&mut self, other: Self) {
        self.mean = self.mean.with(other.mean);
        self.above += other.above;
        self.unscored = self.unscored.with(other.unscored);
    }
}

impl LabelTally {
    fn join(&mut self, other: Self) {
        self.of += other.of;
        self.doubted += other.doubted;
        self.unscored = self.unscored.with(other.unscored);
        for (word, count) in other.counts {
            *self.counts.entry(word).or_default() += count;
        }
        for (word, mass) in other.probabilities {
            *self.probabilities.entry(word).or_default() += mass;
        }
    }

    fn add(&mut self, marks: &Marks, metric: &str) {
        let label = match marks.label(metric) {
            Ok(label) => label,
            Err(cause) => return self.unscored.add(cause),
        };
        self.of += 1;
        *self.counts.entry(label.label.clone()).or_default() += 1;
        self.doubted += u64::from(!label.probabilities.is_empty());
        for (word, probability) in &label.probabilities {
            *self.probabilities.entry(word.clone()).or_default() += probability;
        }
    }
}
