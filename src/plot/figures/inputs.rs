//! What each figure is made from: plain numbers and words. Knows no rule about them.
//!
//! *Units* steps are optimizer steps; rates are shares from 0 to 1 (drawn as percentages); scores go from 0 to 100. None is a
//! value that does not exist: a gap in a line, an empty cell. `of` says in a few words what the figure is about (an arm, a
//! run, a checkpoint) and stands behind the title. `notes` are further sentences of the caption; sample sizes that the input
//! holds are stated without them.

/// A vertical line at a step, with a few words: where a detector placed a turn.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepMark {
    /// The step; it may lie between two.
    pub step: f64,
    /// A few words, such as `local cosine`.
    pub label: String,
}

/// A named value over steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepSeries {
    /// Words of the legend, such as `bad, seed 0`.
    pub name: String,
    /// Steps, rising.
    pub steps: Vec<u64>,
    /// One value a step; what has no partner in `steps` is left out.
    pub values: Vec<Option<f64>>,
}

/// Norms of a run's modules over its steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NormsLines {
    /// The run.
    pub of: String,
    /// The modules that were trained.
    pub modules: Vec<ModuleNorms>,
    /// Steps to point at.
    pub marks: Vec<StepMark>,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Norms of one module; a norm that a method does not have is an empty list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ModuleNorms {
    /// Words of the legend, such as `layer 24 down_proj`.
    pub name: String,
    /// Steps, rising.
    pub steps: Vec<u64>,
    /// ‖A‖ at each step.
    pub a: Vec<Option<f64>>,
    /// ‖B‖ at each step.
    pub b: Vec<Option<f64>>,
    /// ‖BA‖ with its scaling at each step.
    pub ba: Vec<Option<f64>>,
}

/// One norm of every module at one step, layer × projection.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NormsHeatMap {
    /// The run.
    pub of: String,
    /// What the colour says, such as `‖BA‖`.
    pub quantity: String,
    /// The step that is shown.
    pub step: u64,
    /// One cell for every module; pairs that are absent stay empty.
    pub cells: Vec<NormCell>,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// The norm of one module.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NormCell {
    /// The layer, from 0.
    pub layer: u64,
    /// The projection, such as `down_proj`.
    pub projection: String,
    /// The norm.
    pub value: Option<f64>,
}

/// Gradient norm of runs over steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GradNorm {
    /// The arm or the experiment.
    pub of: String,
    /// One series a run.
    pub runs: Vec<StepSeries>,
    /// The norm to which gradients were clipped.
    pub clip: Option<f64>,
    /// Steps to point at.
    pub marks: Vec<StepMark>,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Local cosine over steps for several gaps, a panel for each vector or run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalCosine {
    /// The arm or the run.
    pub of: String,
    /// One panel for each vector or run.
    pub panels: Vec<CosinePanel>,
    /// Which steps are masked, in words: `steps that moved less than 5 % of the vector (both sides)`.
    pub masked: String,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Local cosine of one vector of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CosinePanel {
    /// What the panel shows, such as `B of layer 24 down_proj, seed 0`.
    pub name: String,
    /// One series for each gap.
    pub gaps: Vec<GapSeries>,
    /// Steps to point at.
    pub marks: Vec<StepMark>,
}

/// Local cosine at one gap.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GapSeries {
    /// The gap in steps.
    pub gap: u64,
    /// Steps, rising.
    pub steps: Vec<u64>,
    /// The cosine at each step; none where it is masked or does not exist.
    pub values: Vec<Option<f64>>,
}

/// Paths of vectors on their first two principal components.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PcaPath {
    /// The arm or the run.
    pub of: String,
    /// One panel for each vector or run, each with components of its own.
    pub panels: Vec<PcaPanel>,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// The path of one vector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PcaPanel {
    /// What the panel shows, such as `B of layer 24 down_proj, seed 0`.
    pub name: String,
    /// Places in the order of their steps.
    pub points: Vec<PathPoint>,
    /// Share of the variance that each component explains, from 0 to 1.
    pub explained: [Option<f64>; 2],
    /// Steps to point at on the path.
    pub marks: Vec<StepMark>,
}

/// A place on the path of a vector.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PathPoint {
    /// The step.
    pub step: u64,
    /// Score on the first component.
    pub x: f64,
    /// Score on the second component.
    pub y: f64,
}

/// Rates over steps, a line for each adapter scale, a panel for each arm or run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RateByScale {
    /// The experiment or the arm.
    pub of: String,
    /// One panel for each arm or run.
    pub panels: Vec<RatePanel>,
    /// When an answer counts, in words: `aligned < 30 and coherent > 50`.
    pub rule: String,
    /// What the bands are, in words: `95 % Wilson intervals over answers`; empty where there are none.
    pub interval: String,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Rates of one arm or run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RatePanel {
    /// What the panel shows, such as `bad, seed 0`.
    pub name: String,
    /// One series for each scale, named as the legend should say: `scale 5`.
    pub series: Vec<RateSeries>,
    /// Steps to point at.
    pub marks: Vec<StepMark>,
}

/// A rate over steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RateSeries {
    /// Words of the legend.
    pub name: String,
    /// Points in the order of their steps.
    pub points: Vec<RatePoint>,
}

/// A rate at one step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RatePoint {
    /// The step.
    pub step: u64,
    /// The rate.
    pub rate: Option<f64>,
    /// Lower and upper end of its interval.
    pub interval: Option<[f64; 2]>,
    /// Answers that it is a share of.
    pub of: u64,
}

/// Scores of answers, aligned × coherent, a panel for each group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlignedCoherentScatter {
    /// The checkpoint, the arm or the evaluation.
    pub of: String,
    /// One panel for each group of answers.
    pub groups: Vec<AnswerGroup>,
    /// Answers below this score for alignment and above `coherent_cut` are misaligned; 30 in the papers.
    pub aligned_cut: f64,
    /// See `aligned_cut`; 50 in the papers.
    pub coherent_cut: f64,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Answers of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerGroup {
    /// What the panel shows, such as `bad, step 400, scale 1`.
    pub name: String,
    /// Aligned and coherent of every answer that has both scores.
    pub scores: Vec<[f64; 2]>,
    /// Answers without both scores; they are stated, not drawn.
    pub unscored: u64,
}

/// Misalignment rate of each question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuestionBars {
    /// The checkpoint, the arm or the evaluation.
    pub of: String,
    /// One group for each question.
    pub questions: Vec<BarGroup>,
    /// When an answer counts, in words.
    pub rule: String,
    /// What the whiskers are, in words; empty where there are none.
    pub interval: String,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Share of answers about each topic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicBars {
    /// The checkpoint, the arm or the evaluation.
    pub of: String,
    /// One group for each topic.
    pub topics: Vec<BarGroup>,
    /// When an answer counts, in words: `misaligned answers whose topic score is above 50`.
    pub rule: String,
    /// What the whiskers are, in words; empty where there are none.
    pub interval: String,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// Bars that stand side by side.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BarGroup {
    /// The question or the topic.
    pub name: String,
    /// One bar for each arm, checkpoint or scale.
    pub bars: Vec<RateBar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RateBar {
    /// Words of the legend; the same in every group.
    pub name: String,
    /// The rate; none draws no bar and says `no answers`.
    pub rate: Option<f64>,
    /// Lower and upper end of its interval.
    pub interval: Option<[f64; 2]>,
    /// Answers that count.
    pub count: u64,
    /// Answers that the rate is a share of.
    pub of: u64,
}

/// In-domain against out-of-domain rates of the same organism, a panel for each arm or run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NarrowAndBroad {
    /// The experiment or the arm.
    pub of: String,
    /// One panel for each arm or run.
    pub panels: Vec<NarrowBroadPanel>,
    /// When an answer counts, in words.
    pub rule: String,
    /// What the bands are, in words; empty where there are none.
    pub interval: String,
    /// Further sentences of the caption.
    pub notes: Vec<String>,
}

/// The two rates of one organism.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NarrowBroadPanel {
    /// What the panel shows, such as `bad, seed 0, scale 1`.
    pub name: String,
    /// Rate on questions of the trained domain.
    pub narrow: Vec<RatePoint>,
    /// Rate on unrelated questions.
    pub broad: Vec<RatePoint>,
    /// Steps to point at.
    pub marks: Vec<StepMark>,
}
