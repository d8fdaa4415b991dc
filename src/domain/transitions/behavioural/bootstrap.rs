//! How the step moves when questions, and then the answers of each, are drawn again.
//!
//! A draw takes the same questions and the same answers' numbers at every step and scale, since answers with one number share random
//! streams. Where only counts are known, questions alone are drawn.

use super::fit::Fitted;
use super::path::Path;
use crate::domain::statistics::{Cluster, Interval, drawn, percentile};

/// Whether each answer does, by step, question and the answer's number; none where an answer has no score.
pub type Hits = Vec<Vec<Vec<Option<bool>>>>;

/// What is drawn again, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resampling {
    /// Key of the draws.
    pub seed: u64,
    /// Draws; with 0 there is no interval.
    pub resamples: u32,
}

/// The percentile interval of the step over resamples; none without resamples or with fewer than two questions.
pub(super) fn bootstrap(
    fitted: &Fitted,
    hits: Option<&Hits>,
    how: Resampling,
    level: f64,
) -> Option<Interval> {
    let width = fitted.path.counts().first().map_or(0, Vec::len);
    if how.resamples == 0 || width < 2 {
        return None;
    }
    let draw = |round: u32| {
        fitted
            .again(&resampled(&fitted.path, hits, how.seed, round.into()))
            .step
    };
    let mut steps: Vec<f64> = (0..how.resamples).map(draw).collect();
    steps.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Some([percentile(&steps, tail), percentile(&steps, 1.0 - tail)])
}

fn resampled(path: &Path, hits: Option<&Hits>, seed: u64, round: u64) -> Path {
    let width = path.counts()[0].len() as u64;
    let questions: Vec<usize> = (0..width)
        .map(|place| drawn(seed, round, place, width))
        .collect();
    let Some(hits) = hits else {
        return path.with_questions(&questions);
    };
    let rows = hits.iter().map(|row| {
        let again =
            |(place, question): (usize, &usize)| recounted(&row[*question], seed, round, place);
        questions.iter().enumerate().map(again).collect()
    });
    path.with_counts(rows.collect())
}

/// The counts of as many answers, drawn by number; the same numbers for every step of one place in the draw.
fn recounted(answers: &[Option<bool>], seed: u64, round: u64, place: usize) -> Cluster {
    let count = answers.len() as u64;
    // a stream of its own for each question drawn, apart from that of the questions
    let key = seed.wrapping_add(0x5851_f42d_4c95_7f2d_u64.wrapping_mul(place as u64 + 1));
    let picked = (0..count).filter_map(|at| answers[drawn(key, round, at, count)]);
    picked.fold(Cluster::default(), |sum, hit| Cluster {
        yes: sum.yes + u64::from(hit),
        of: sum.of + 1,
    })
}
