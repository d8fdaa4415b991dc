//! Behaviour: rates over steps, scores of answers, bars by question and topic.

use super::{AlignedCoherentScatter, NarrowAndBroad, QuestionBars, RateByScale, TopicBars};
use crate::plot::Figure;

/// Misalignment rate over steps, a line with its band for each adapter scale.
pub fn rate_by_scale(input: &RateByScale) -> Figure {
    Figure::new("rate_by_scale", input.of.clone())
}

/// Scores of answers with the cut lines.
pub fn aligned_coherent_scatter(input: &AlignedCoherentScatter) -> Figure {
    Figure::new("aligned_coherent_scatter", input.of.clone())
}

/// Misalignment rate of each question.
pub fn question_bars(input: &QuestionBars) -> Figure {
    Figure::new("question_bars", input.of.clone())
}

/// Share of answers about each topic.
pub fn topic_bars(input: &TopicBars) -> Figure {
    Figure::new("topic_bars", input.of.clone())
}

/// In-domain against out-of-domain rates over steps.
pub fn narrow_and_broad(input: &NarrowAndBroad) -> Figure {
    Figure::new("narrow_and_broad", input.of.clone())
}
