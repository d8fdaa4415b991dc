//! The geometry of a run over its steps, of every module, and the angles between the vectors of several runs.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::behaviour::{NarrowAndBroad, RateTurn};
use super::run::{ModuleRun, NormSeries, RunData};
use super::settings::AnalysisSettings;
use crate::domain::geometry::{
    Comp, Components, Reading, Trajectory, angles, comp, cosine_to_final, cosine_to_previous,
    has_neighbours, local_cosine, norms, principal_components,
};
use crate::domain::metric::MeasuredModule;
use crate::domain::series::Shown;

/// Components that are shown.
const COMPONENTS: usize = 2;
/// Most steps that a plane is laid through; more are thinned evenly, since the work grows with their square.
const MOST_PLANE_STEPS: usize = 600;

/// One run over its steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunSeries {
    /// The arm it belongs to.
    pub arm: String,
    /// Its training seed.
    pub seed: u64,
    /// A control in which nothing should turn.
    pub null: bool,
    /// Every trained module.
    pub modules: Vec<ModuleSeries>,
    /// How alike all modules' vectors are to those of the last step.
    pub comp: Vec<CompSeries>,
    /// Angles between the modules' last vectors.
    pub angles: Vec<AngleTable>,
    /// Rates by marker and scale.
    pub rates: Vec<RateSeries>,
    /// Answers to questions of the trained domain beside those to unrelated ones, for the scales that have both.
    #[serde(default)]
    pub narrow_and_broad: Vec<NarrowAndBroad>,
}

/// One module over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModuleSeries {
    /// Which.
    pub module: MeasuredModule,
    /// Its norms.
    pub norms: NormSeries,
    /// Its vectors' paths; empty where none were kept.
    pub vectors: Vec<VectorSeries>,
}

/// Which vector of a pair of rank 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VectorName {
    /// A, which reads.
    A,
    /// B, which writes.
    B,
}

impl VectorName {
    /// The letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// The path of one vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VectorSeries {
    /// A or B.
    pub vector: VectorName,
    /// Updates made, rising; every series without steps of its own is as long.
    pub steps: Vec<u64>,
    /// Euclidean norm.
    pub norm: Vec<f64>,
    /// cos(v_{t−k} − v_t, v_{t+k} − v_t) for every gap k.
    pub local_cosine: Vec<LocalCosineSeries>,
    /// The plane in which it moves most.
    pub components: ComponentSeries,
    /// Cosine to the last vector; null beside a zero one.
    #[schema(value_type = Vec<Option<f64>>)]
    pub cosine_to_final: Shown,
    /// Cosine to the vector of the step kept before.
    #[schema(value_type = Vec<Option<f64>>)]
    pub cosine_to_previous: Shown,
}

/// The local cosine of one gap: −1 straight, 0 a right angle, +1 a way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LocalCosineSeries {
    /// k, in training steps.
    pub gap: u64,
    /// At every step; null where t ± k was not kept or the movement is too short.
    #[schema(value_type = Vec<Option<f64>>)]
    pub values: Shown,
    /// Steps with both neighbours whose movement is too short.
    pub masked: u64,
    /// First and last step of the end of the run in which every such step is masked; null where the last one is not.
    pub masked_tail: Option<[u64; 2]>,
}

/// Principal components of a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentSeries {
    /// Steps that were looked at: all, or 600 spread evenly.
    pub steps: Vec<u64>,
    /// Of each component, the coordinate of every step; the largest loading is positive.
    pub scores: Vec<Vec<f64>>,
    /// Of each component, its share of the variance.
    pub explained: Vec<f64>,
}

/// What is taken off vectors before they are held against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Centring {
    /// Nothing.
    None,
    /// Of each module its mean over the steps, as the published code does.
    OverSteps,
    /// Of each step its mean over the modules.
    OverModules,
}

/// How alike the vectors of all modules are to those of the last step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CompSeries {
    /// A or B.
    pub vector: VectorName,
    /// Vectors in the stack: modules of the commonest width with vectors.
    pub modules: u64,
    /// What is multiplied with what.
    pub reading: Reading,
    /// What was taken off before.
    pub centring: Centring,
    /// Steps that all of them kept.
    pub steps: Vec<u64>,
    /// ‖·‖_F/(‖X‖_F ‖Y‖_F); null where a stack is zero.
    #[schema(value_type = Vec<Option<f64>>)]
    pub values: Shown,
}

/// Cosines between vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AngleTable {
    /// A or B.
    pub vector: VectorName,
    /// The module, where the vectors are those of several runs.
    pub module: Option<String>,
    /// Whose vectors: modules of one run, or runs as `arm/seed 0`.
    pub of: Vec<String>,
    /// Cosine of each with each; null beside a zero vector.
    pub cosines: Vec<Vec<Option<f64>>>,
}

/// Rates of one marker at one scale.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateSeries {
    /// `misaligned` or `in_domain`.
    pub marker: String,
    /// Factor on the adapter.
    pub scale: f64,
    /// Updates made, rising; every series is as long.
    pub steps: Vec<u64>,
    /// Answers that do.
    pub count: Vec<u64>,
    /// Answers that could.
    pub of: Vec<u64>,
    /// Share; null without answers.
    #[schema(value_type = Vec<Option<f64>>)]
    pub rate: Shown,
    /// Interval over other answers to these questions.
    pub answers: Vec<Option<[f64; 2]>>,
    /// Interval over other questions as well.
    pub questions: Vec<Option<[f64; 2]>>,
    /// What the rate does over the steps.
    #[serde(default)]
    pub turn: RateTurn,
}

/// The geometry of a run; its rates are left empty.
pub fn geometry_series(run: &RunData, settings: &AnalysisSettings) -> RunSeries {
    let module = |module: &ModuleRun| ModuleSeries {
        module: module.module.clone(),
        norms: module.norms.clone(),
        vectors: vectors_of(module, settings),
    };
    RunSeries {
        arm: run.arm.clone(),
        seed: run.seed,
        null: run.null,
        modules: run.modules.iter().map(module).collect(),
        comp: comp_series(run),
        angles: angles_inside(run),
        rates: Vec::new(),
        narrow_and_broad: Vec::new(),
    }
}

fn vectors_of(module: &ModuleRun, settings: &AnalysisSettings) -> Vec<VectorSeries> {
    let (a, b) = (module.a.as_ref(), module.b.as_ref());
    let named = [(VectorName::A, a, b), (VectorName::B, b, a)];
    named
        .into_iter()
        .filter_map(|(vector, path, other)| Some(vector_series(vector, path?, other, settings)))
        .collect()
}

fn vector_series(
    vector: VectorName,
    path: &Trajectory,
    other: Option<&Trajectory>,
    settings: &AnalysisSettings,
) -> VectorSeries {
    let cosine = |gap: &u64| {
        let values = local_cosine(path, other, *gap, settings.movement());
        local_cosine_series(path.steps(), *gap, values)
    };
    VectorSeries {
        vector,
        steps: path.steps().to_vec(),
        norm: norms(path),
        local_cosine: settings.gaps.iter().map(cosine).collect(),
        components: plane(path),
        cosine_to_final: cosine_to_final(path),
        cosine_to_previous: cosine_to_previous(path),
    }
}

fn local_cosine_series(steps: &[u64], gap: u64, values: Shown) -> LocalCosineSeries {
    let known = |step: &u64| has_neighbours(steps, *step, gap);
    let places: Vec<(u64, bool)> = steps
        .iter()
        .zip(&values)
        .filter(|(step, _)| known(step))
        .map(|(step, value)| (*step, value.is_none()))
        .collect();
    let shown = places.iter().rposition(|(_, masked)| !masked);
    let tail = &places[shown.map_or(0, |place| place + 1)..];
    LocalCosineSeries {
        gap,
        values,
        masked: places.iter().filter(|(_, masked)| *masked).count() as u64,
        masked_tail: tail
            .first()
            .zip(tail.last())
            .map(|(first, last)| [first.0, last.0]),
    }
}

fn plane(path: &Trajectory) -> ComponentSeries {
    let count = path.steps().len();
    let kept: Vec<usize> = match count > MOST_PLANE_STEPS {
        true => (0..MOST_PLANE_STEPS)
            .map(|place| place * (count - 1) / (MOST_PLANE_STEPS - 1))
            .collect(),
        false => (0..count).collect(),
    };
    let thin = path.only(&kept);
    let Components { scores, explained } = principal_components(&thin, COMPONENTS);
    ComponentSeries {
        steps: thin.steps().to_vec(),
        scores,
        explained,
    }
}

/// Paths of one vector that have the same width, with the names of their modules.
fn stack(run: &RunData, vector: VectorName) -> Vec<(&str, &Trajectory)> {
    let path = |module: &ModuleRun| match vector {
        VectorName::A => module.a.is_some(),
        VectorName::B => module.b.is_some(),
    };
    let all: Vec<(&str, &Trajectory)> = run
        .modules
        .iter()
        .filter(|module| path(module))
        .filter_map(|module| Some((module.module.name.as_str(), vector_of(module, vector)?)))
        .collect();
    let alike = |width: usize| all.iter().filter(|(_, path)| path.width() == width).count();
    let widest = all
        .iter()
        .map(|(_, path)| path.width())
        .max_by_key(|width| (alike(*width), *width));
    all.iter()
        .copied()
        .filter(|(_, path)| Some(path.width()) == widest)
        .collect()
}

fn vector_of(module: &ModuleRun, vector: VectorName) -> Option<&Trajectory> {
    match vector {
        VectorName::A => module.a.as_ref(),
        VectorName::B => module.b.as_ref(),
    }
}

fn comp_series(run: &RunData) -> Vec<CompSeries> {
    let mut found = Vec::new();
    for vector in [VectorName::A, VectorName::B] {
        let paths: Vec<&Trajectory> = stack(run, vector)
            .into_iter()
            .map(|(_, path)| path)
            .collect();
        for centring in [Centring::None, Centring::OverSteps, Centring::OverModules] {
            for reading in [Reading::Literal, Reading::Crossed] {
                found.extend(comp_over_steps(vector, &paths, reading, centring));
            }
        }
    }
    found
}

/// A stack of one vector says nothing as printed and its cosine otherwise, which is a series of its own.
fn comp_over_steps(
    vector: VectorName,
    paths: &[&Trajectory],
    reading: Reading,
    centring: Centring,
) -> Option<CompSeries> {
    let (first, others) = paths.split_first()?;
    let steps: Vec<u64> = first
        .steps()
        .iter()
        .copied()
        .filter(|step| others.iter().all(|path| path.at(*step).is_some()))
        .collect();
    if others.is_empty() || steps.is_empty() {
        return None;
    }
    let means: Vec<Vec<f64>> = match centring {
        Centring::OverSteps => paths.iter().map(|path| path.mean()).collect(),
        _ => Vec::new(),
    };
    let at = |step: u64| -> Vec<Vec<f64>> {
        paths
            .iter()
            .enumerate()
            .filter_map(|(place, path)| Some(off(path.at(step)?, means.get(place))))
            .collect()
    };
    let last = at(*steps.last()?);
    let centred = centring == Centring::OverModules;
    let value = |step: &u64| {
        let here = at(*step);
        let (x, y) = (rows(&here), rows(&last));
        comp(Comp { rows: &x }, Comp { rows: &y }, reading, centred)
    };
    Some(CompSeries {
        vector,
        modules: paths.len() as u64,
        reading,
        centring,
        values: steps.iter().map(value).collect(),
        steps,
    })
}

fn off(row: &[f32], mean: Option<&Vec<f64>>) -> Vec<f64> {
    let row = row.iter().map(|value| f64::from(*value));
    match mean {
        Some(mean) => row.zip(mean).map(|(value, mean)| value - mean).collect(),
        None => row.collect(),
    }
}

fn rows(stack: &[Vec<f64>]) -> Vec<&[f64]> {
    stack.iter().map(Vec::as_slice).collect()
}

fn angles_inside(run: &RunData) -> Vec<AngleTable> {
    let table = |vector| {
        let stack = stack(run, vector);
        let last = stack
            .iter()
            .filter_map(|(name, path)| Some(((*name).to_owned(), path.rows().next_back()?)));
        let (of, vectors): (Vec<String>, Vec<&[f32]>) = last.unzip();
        (of.len() > 1).then(|| AngleTable {
            vector,
            module: None,
            of,
            cosines: angles(&vectors),
        })
    };
    [VectorName::A, VectorName::B]
        .into_iter()
        .filter_map(table)
        .collect()
}

/// Angles between the last vectors of different runs, for every module and vector that several of them trained at one width.
pub fn angles_between_runs(runs: &[RunData]) -> Vec<AngleTable> {
    let mut names: Vec<&str> = Vec::new();
    for module in runs.iter().flat_map(|run| &run.modules) {
        if !names.contains(&module.module.name.as_str()) {
            names.push(&module.module.name);
        }
    }
    let table = |(name, vector): (&&str, VectorName)| {
        let of_run = |run: &'_ RunData| -> Option<usize> {
            run.modules
                .iter()
                .position(|module| module.module.name == **name)
        };
        let mut last: Vec<(String, &[f32])> = Vec::new();
        for run in runs {
            let module = of_run(run).and_then(|place| run.modules.get(place));
            let path = module.and_then(|module| vector_of(module, vector));
            if let Some(row) = path.and_then(|path| path.rows().next_back()) {
                last.push((format!("{}/seed {}", run.arm, run.seed), row));
            }
        }
        let width = last.first().map(|(_, row)| row.len());
        last.retain(|(_, row)| Some(row.len()) == width);
        let (of, vectors): (Vec<String>, Vec<&[f32]>) = last.into_iter().unzip();
        (of.len() > 1).then(|| AngleTable {
            vector,
            module: Some((*name).to_owned()),
            of,
            cosines: angles(&vectors),
        })
    };
    names
        .iter()
        .flat_map(|name| [(name, VectorName::A), (name, VectorName::B)])
        .filter_map(table)
        .collect()
}

#[cfg(test)]
mod printed;
#[cfg(test)]
mod tests;
