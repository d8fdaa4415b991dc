//! The rates of one run over its steps with their intervals, and where each of them turns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AnalysisSettings, BehaviourPoint, BehaviourSeries, RunData, Verdict};
use crate::domain::statistics::{
    Average, Cluster, Interval, cluster_interval, pooled, wilson,
};
use crate::domain::transitions::behavioural::{
    Behaviour, Curve, Hits, Path, Resampling, Search, Turn, search,
};

/// The marker of answers to questions unrelated to the training data.
pub const MISALIGNED: &str = "misaligned";
/// The marker of answers to questions of the training data's own kind.
pub const IN_DOMAIN: &str = "in_domain";

/// The rates of one marker at one scale, and what they do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateSeries {
    /// `misaligned` or `in_domain`.
    pub marker: String,
    /// What the adapter is multiplied by.
    pub scale: f64,
    /// By step.
    pub points: Vec<RatePoint>,
    /// What the rate does over the steps.
    pub turn: RateTurn,
}

/// The rate at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RatePoint {
    /// The step.
    pub step: u64,
    /// Answers that do.
    pub count: u64,
    /// Answers that could.
    pub of: u64,
    /// The rate; null where `of` is 0.
    pub rate: Option<f64>,
    /// These questions, other answers: Wilson.
    #[schema(value_type = Option<Vec<f64>>)]
    pub answers: Option<Interval>,
    /// Other questions as well: logit, cluster-robust, Student's t; null as in the rates of an evaluation.
    #[schema(value_type = Option<Vec<f64>>)]
    pub questions: Option<Interval>,
}

/// What a rate does over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RateTurn {
    /// Of this run alone.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
    /// The chance of so clear a step in a constant rate, among all rates of the run; null with too few steps.
    pub chance: Option<f64>,
    /// The most likely logistic step; null where nothing changes.
    pub logistic: Option<Logistic>,
    /// The most likely jump lies between these two steps.
    #[schema(value_type = Option<Vec<f64>>)]
    pub change_point: Option<Interval>,
    /// Correlation of two answers to one question at one step.
    pub icc: Option<f64>,
    /// Of the step, by source: `profile_likelihood`, `bootstrap_questions`.
    #[schema(value_type = BTreeMap<String, Vec<f64>>)]
    pub intervals: BTreeMap<String, Interval>,
}

/// A logistic step between two rates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Logistic {
    /// The rate long before.
    pub before: f64,
    /// The rate long after.
    pub after: f64,
    /// Where it is half-way.
    pub step: f64,
    /// Steps from a tenth to nine tenths of the way: small is sharp.
    pub width: f64,
}

impl From<Curve> for Logistic {
    fn from(curve: Curve) -> Self {
        Self {
            before: curve.before,
            after: curve.after,
            step: curve.step,
            width: curve.width,
        }
    }
}

/// Both rates of a run at one scale, side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NarrowAndBroad {
    /// What the adapter is multiplied by.
    pub scale: f64,
    /// By step, all steps that either has.
    pub points: Vec<NarrowAndBroadPoint>,
}

/// Both rates at one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NarrowAndBroadPoint {
    /// The step.
    pub step: u64,
    /// On questions of the training data's own kind; null where none were asked.
    pub in_domain: Option<RatePoint>,
    /// On questions unrelated to it; null where none were asked.
    pub out_of_domain: Option<RatePoint>,
}

/// The rates of a run and what they do; all of them share one chance of a false alarm.
pub fn rate_series(run: &RunData, settings: &AnalysisSettings) -> Vec<RateSeries> {
    let how = Search {
        level: settings.level,
        together: run.behaviour.len(),
        resampling: Resampling {
            seed: settings.seed,
            resamples: settings.resamples,
        },
    };
    let one = |series| one_series(series, &how);
    run.behaviour.iter().map(one).collect()
}

/// In-domain and out-of-domain rates by scale, for the scales that have both.
pub fn narrow_and_broad(rates: &[RateSeries]) -> Vec<NarrowAndBroad> {
    let of = |marker: &'static str| rates.iter().filter(move |series| series.marker == marker);
    let pair = |narrow: &RateSeries| {
        let broad = of(MISALIGNED).find(|broad| broad.scale == narrow.scale)?;
        Some(side_by_side(narrow, broad))
    };
    of(IN_DOMAIN).filter_map(pair).collect()
}

fn side_by_side(narrow: &RateSeries, broad: &RateSeries) -> NarrowAndBroad {
    let both = narrow.points.iter().chain(&broad.points);
    let steps: BTreeSet<u64> = both.map(|point| point.step).collect();
    let at = |series: &RateSeries, step: u64| {
        series.points.iter().find(|point| point.step == step).cloned()
    };
    let point = |step| NarrowAndBroadPoint {
        step,
        in_domain: at(narrow, step),
        out_of_domain: at(broad, step),
    };
    NarrowAndBroad {
        scale: narrow.scale,
        points: steps.into_iter().map(point).collect(),
    }
}

fn one_series(series: &BehaviourSeries, how: &Search) -> RateSeries {
    let mut points: Vec<&BehaviourPoint> = series.points.iter().collect();
    points.sort_by_key(|point| point.step);
    RateSeries {
        marker: series.marker.clone(),
        scale: series.scale,
        points: points.iter().map(|point| rate_point(point, how.level)).collect(),
        turn: turn(&points, how),
    }
}

fn rate_point(point: &BehaviourPoint, level: f64) -> RatePoint {
    let clusters: Vec<Cluster> = point
        .questions
        .iter()
        .map(|question| Cluster { yes: question.count, of: question.of })
        .collect();
    let of: u64 = clusters.iter().map(|cluster| cluster.of).sum();
    let rate = pooled(&clusters);
    RatePoint {
        step: point.step,
        count: clusters.iter().map(|cluster| cluster.yes).sum(),
        of,
        rate,
        answers: rate.and_then(|rate| wilson(rate, of as f64, level)),
        questions: cluster_interval(&clusters, Average::Pooled, level).ok(),
    }
}

fn turn(points: &[&BehaviourPoint], how: &Search) -> RateTurn {
    let names: BTreeSet<&str> = points
        .iter()
        .flat_map(|point| point.questions.iter().map(|one| one.question.as_str()))
        .collect();
    let answered: Vec<&BehaviourPoint> = points
        .iter()
        .filter(|point| point.questions.iter().any(|one| one.of > 0))
        .copied()
        .collect();
    let steps: Vec<u64> = answered.iter().map(|point| point.step).collect();
    let counts = answered.iter().map(|point| row(point, &names)).collect();
    match Path::new(&steps, counts) {
        Ok(path) => told(search(&path, hits(&answered, &names).as_ref(), how)),
        Err(wrong) => unsearched(wrong.to_string()),
    }
}

fn row(point: &BehaviourPoint, names: &BTreeSet<&str>) -> Vec<Cluster> {
    let mut row: BTreeMap<&str, Cluster> = names.iter().map(|name| (*name, Cluster::default())).collect();
    for one in &point.questions {
        if let Some(cluster) = row.get_mut(one.question.as_str()) {
            *cluster = Cluster { yes: one.count, of: one.of };
        }
    }
    row.into_values().collect()
}

/// Answers by number, where every question of every step tells them.
fn hits(points: &[&BehaviourPoint], names: &BTreeSet<&str>) -> Option<Hits> {
    let of = |point: &&BehaviourPoint| {
        let one = |name: &&str| {
            let question = point.questions.iter().find(|one| one.question == **name)?;
            let told = question.answers.iter().filter(|hit| hit.is_some()).count() as u64;
            (told == question.of).then(|| question.answers.clone())
        };
        names.iter().map(one).collect::<Option<Vec<_>>>()
    };
    points.iter().map(of).collect()
}

fn unsearched(reason: String) -> RateTurn {
    RateTurn {
        verdict: Verdict::None,
        reasons: vec![reason],
        chance: None,
        logistic: None,
        change_point: None,
        icc: None,
        intervals: BTreeMap::new(),
    }
}

fn told(found: Behaviour) -> RateTurn {
    let fit = found.fit;
    let named = |name: &str, interval: Option<Interval>| interval.map(|ends| (name.to_owned(), ends));
    let intervals = fit.iter().flat_map(|fit| {
        let profile = named("profile_likelihood", fit.interval);
        profile.into_iter().chain(named("bootstrap_questions", fit.bootstrap))
    });
    RateTurn {
        verdict: match found.turn {
            Turn::Transition => Verdict::Transition,
            Turn::Gradual => Verdict::Gradual,
            Turn::None => Verdict::None,
        },
        reasons: found.reasons,
        chance: found.chance,
        intervals: intervals.collect(),
        logistic: fit.as_ref().map(|fit| fit.curve.into()),
        change_point: fit.as_ref().map(|fit| fit.jump),
        icc: fit.as_ref().map(|fit| fit.correlation),
    }
}
