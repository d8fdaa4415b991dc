//! The rates of one run over its steps with their intervals, and where each of them turns.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    AnalysisSettings, BehaviourPoint, BehaviourSeries, QuestionCount, RateSeries, RunData,
};
use crate::domain::statistics::{Average, Cluster, Interval, cluster_interval, pooled, wilson};
use crate::domain::transitions::behavioural::{
    Behaviour, Curve, Hits, Path, Resampling, Search, Turn, search,
};
use crate::domain::transitions::{IN_DOMAIN, MISALIGNED, Verdict};

/// What a rate does over the steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
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

/// Both rates of a run at one scale.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NarrowAndBroad {
    /// Factor on the adapter.
    pub scale: f64,
    /// By step, all steps that either has.
    pub points: Vec<SideBySide>,
}

/// Both rates at one step; null where none were asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SideBySide {
    /// Updates made.
    pub step: u64,
    /// Share of misaligned answers to questions of the trained domain.
    pub in_domain: Option<f64>,
    /// Its interval over other answers to these questions.
    #[schema(value_type = Option<Vec<f64>>)]
    pub in_domain_answers: Option<Interval>,
    /// Share of misaligned answers to unrelated questions.
    pub out_of_domain: Option<f64>,
    /// Its interval over other answers to these questions.
    #[schema(value_type = Option<Vec<f64>>)]
    pub out_of_domain_answers: Option<Interval>,
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
    let steps: BTreeSet<u64> = narrow.steps.iter().chain(&broad.steps).copied().collect();
    let at = |series: &RateSeries, step: u64| match series.steps.binary_search(&step) {
        Ok(place) => (series.rate[place], series.answers[place]),
        Err(_) => (None, None),
    };
    let point = |step| {
        let ((in_domain, in_domain_answers), (out_of_domain, out_of_domain_answers)) =
            (at(narrow, step), at(broad, step));
        SideBySide {
            step,
            in_domain,
            in_domain_answers,
            out_of_domain,
            out_of_domain_answers,
        }
    };
    NarrowAndBroad {
        scale: narrow.scale,
        points: steps.into_iter().map(point).collect(),
    }
}

fn one_series(series: &BehaviourSeries, how: &Search) -> RateSeries {
    let mut points: Vec<&BehaviourPoint> = series.points.iter().collect();
    points.sort_by_key(|point| point.step);
    let mut rates = RateSeries {
        marker: series.marker.clone(),
        scale: series.scale,
        turn: turn(&points, how),
        ..RateSeries::default()
    };
    for point in points {
        add(&mut rates, point, how.level);
    }
    rates
}

fn add(rates: &mut RateSeries, point: &BehaviourPoint, level: f64) {
    let cluster = |one: &QuestionCount| Cluster {
        yes: one.count,
        of: one.of,
    };
    let clusters: Vec<Cluster> = point.questions.iter().map(cluster).collect();
    let of: u64 = clusters.iter().map(|cluster| cluster.of).sum();
    let rate = pooled(&clusters);
    let questions = cluster_interval(&clusters, Average::Pooled, level);
    rates.steps.push(point.step);
    rates
        .count
        .push(clusters.iter().map(|cluster| cluster.yes).sum());
    rates.of.push(of);
    rates.rate.push(rate);
    rates
        .answers
        .push(rate.and_then(|rate| wilson(rate, of as f64, level)));
    rates.questions.push(questions.ok());
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
    let mut row: BTreeMap<&str, Cluster> = names
        .iter()
        .map(|name| (*name, Cluster::default()))
        .collect();
    for one in &point.questions {
        if let Some(cluster) = row.get_mut(one.question.as_str()) {
            *cluster = Cluster {
                yes: one.count,
                of: one.of,
            };
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
        reasons: vec![reason],
        ..RateTurn::default()
    }
}

fn told(found: Behaviour) -> RateTurn {
    let fit = found.fit;
    let named =
        |name: &str, interval: Option<Interval>| interval.map(|ends| (name.to_owned(), ends));
    let intervals = fit.iter().flat_map(|fit| {
        let profile = named("profile_likelihood", fit.interval);
        profile
            .into_iter()
            .chain(named("bootstrap_questions", fit.bootstrap))
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
