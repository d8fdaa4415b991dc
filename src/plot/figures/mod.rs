//! The figures of a report, each from plain values declared here.
//!
//! Knows which axes, panels, colours and words a figure has. Where its numbers come from, and how a rate or an interval is
//! made, it does not know: whoever asks for a figure hands over what is drawn.

mod inputs;
mod norms;
mod rates;
mod runs;
mod words;

pub use inputs::{
    AlignedCoherentScatter, AnswerGroup, BarGroup, CosinePanel, GapSeries, GradNorm, LocalCosine,
    ModuleNorms, NarrowAndBroad, NarrowBroadPanel, NormCell, NormsHeatMap, NormsLines, PathPoint,
    PcaPanel, PcaPath, QuestionBars, RateBar, RateByScale, RatePanel, RatePoint, RateSeries,
    StepMark, StepSeries, TopicBars,
};
pub use norms::{norms_heat_map, norms_lines};
pub use rates::{
    aligned_coherent_scatter, narrow_and_broad, question_bars, rate_by_scale, topic_bars,
};
pub use runs::{grad_norm, local_cosine, pca_path};
