//! Counts of one marker over the steps of one run. Knows neither which marker nor which run.

use crate::domain::statistics::Cluster;

/// Counts by step and question: the same questions, in the same order, at every step.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    steps: Vec<f64>,
    counts: Vec<Vec<Cluster>>,
}

/// Counts that are no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAPath {
    /// Not one row of counts a step.
    #[error("{rows} rows of counts for {steps} steps")]
    Rows {
        /// Rows given.
        rows: usize,
        /// Steps given.
        steps: usize,
    },
    /// A step does not come behind the one before it.
    #[error("step {0} does not come behind the step before it; give rising steps")]
    Order(u64),
    /// A step has other questions than the first.
    #[error("step {0} has another number of questions than the first step")]
    Questions(u64),
    /// More answers do than there are.
    #[error("step {0} has a question with more hits than answers")]
    Hits(u64),
}

impl Path {
    /// One row of counts a step, one count a question; a question without answers at a step has 0 of 0.
    ///
    /// *Errors* steps that do not rise, rows of different length, more hits than answers.
    pub fn new(steps: &[u64], counts: Vec<Vec<Cluster>>) -> Result<Self, NotAPath> {
        if steps.len() != counts.len() {
            let (rows, steps) = (counts.len(), steps.len());
            return Err(NotAPath::Rows { rows, steps });
        }
        if let Some(pair) = steps.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(NotAPath::Order(pair[1]));
        }
        for (step, row) in steps.iter().zip(&counts) {
            if row.len() != counts[0].len() {
                return Err(NotAPath::Questions(*step));
            }
            if row.iter().any(|cluster| cluster.yes > cluster.of) {
                return Err(NotAPath::Hits(*step));
            }
        }
        Ok(Self {
            steps: steps.iter().map(|step| *step as f64).collect(),
            counts,
        })
    }

    /// The steps.
    pub fn steps(&self) -> &[f64] {
        &self.steps
    }

    /// The counts of each step, by question.
    pub fn counts(&self) -> &[Vec<Cluster>] {
        &self.counts
    }

    /// How many questions have answers at all.
    pub fn questions(&self) -> usize {
        let width = self.counts.first().map_or(0, Vec::len);
        let asked = |question: &usize| self.counts.iter().any(|row| row[*question].of > 0);
        (0..width).filter(asked).count()
    }

    /// Answers of a checkpoint, on average.
    pub(super) fn answers(&self) -> f64 {
        let of: u64 = self.counts.iter().flatten().map(|cluster| cluster.of).sum();
        of as f64 / f64::max(self.counts.len() as f64, 1.0)
    }

    /// Last step minus first.
    pub fn span(&self) -> f64 {
        match (self.steps.first(), self.steps.last()) {
            (Some(first), Some(last)) => last - first,
            _ => 0.0,
        }
    }

    /// The median distance of neighbouring steps.
    pub fn gap(&self) -> f64 {
        let mut gaps: Vec<f64> = self
            .steps
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .collect();
        gaps.sort_unstable_by(f64::total_cmp);
        gaps.get(gaps.len() / 2).copied().unwrap_or(0.0)
    }

    /// The same path without steps that have no answers.
    pub(super) fn answered(&self) -> Self {
        let rows = self.steps.iter().zip(&self.counts);
        let (steps, counts) = rows
            .filter(|(_, row)| row.iter().any(|cluster| cluster.of > 0))
            .map(|(step, row)| (*step, row.clone()))
            .unzip();
        Self { steps, counts }
    }

    /// The same steps with the questions at `places`, which may repeat.
    pub(super) fn with_questions(&self, places: &[usize]) -> Self {
        let pick = |row: &Vec<Cluster>| places.iter().map(|place| row[*place]).collect();
        Self {
            steps: self.steps.clone(),
            counts: self.counts.iter().map(pick).collect(),
        }
    }

    /// The same steps with other counts.
    pub(super) fn with_counts(&self, counts: Vec<Vec<Cluster>>) -> Self {
        let steps = self.steps.clone();
        Self { steps, counts }
    }
}
