//! Whole runs, made up, and what is said of them together.

use super::super::{
    BehaviourPoint, BehaviourSeries, MetricSeries, ModuleRun, NormSeries, QuestionCount,
};
use super::*;
use crate::domain::geometry::{Trajectory, norms};
use crate::domain::metric::MeasuredModule;
use crate::domain::statistics::coverage::Draws;
use crate::domain::transitions::Lag;
use crate::domain::transitions::{GRAD_NORM, IN_DOMAIN, LOCAL_COSINE, MISALIGNED, NORM_GROWTH};

/// Eight questions with 50 answers each; a rate that jumps at `turn`, and never where that is 0.
fn behaviour(marker: &str, scale: f64, turn: u64) -> BehaviourSeries {
    let question = |step: u64, question: u64| {
        let level = if turn > 0 && step >= turn {
            10 + question
        } else {
            0
        };
        let count = level + (step / 10 * 7 + question * 3) % 3;
        QuestionCount {
            question: format!("q{question}"),
            count,
            of: 50,
            answers: (0..50).map(|answer| Some(answer < count)).collect(),
        }
    };
    let point = |step| BehaviourPoint {
        step,
        questions: (0..8).map(|place| question(step, place)).collect(),
    };
    BehaviourSeries {
        marker: marker.into(),
        scale,
        points: (1..=40).map(|place| point(10 * place)).collect(),
    }
}

fn run(arm: &str, seed: u64, turns: [u64; 2]) -> RunData {
    RunData {
        arm: arm.into(),
        seed,
        null: arm == "null",
        behaviour: vec![
            behaviour(MISALIGNED, 1.0, turns[0]),
            behaviour(IN_DOMAIN, 1.0, turns[1]),
        ],
        ..RunData::default()
    }
}

/// A run whose B turns by a right angle at `turn`, where its gradient peaks; what it says turns 60 steps later.
fn turning(seed: u64, turn: u64) -> RunData {
    let mut draws = Draws(seed);
    let (mut here, mut values) = ([0.0f64; 8], Vec::new());
    let steps: Vec<u64> = (1..=240).collect();
    let kept: Vec<u64> = (0..=240).step_by(2).collect();
    for step in &(0..=240).collect::<Vec<u64>>() {
        if step % 2 == 0 {
            values.extend(here.map(|number| number as f32));
        }
        here[usize::from(*step >= turn)] += 1.0 - *step as f64 / 500.0;
        here.iter_mut()
            .for_each(|number| *number += 0.1 * draws.normal());
    }
    let b = Trajectory::new(kept.clone(), 8, values).unwrap();
    let bump = |step: &u64| (-((*step as f64 - turn as f64) / 15.0).powi(2)).exp();
    let mut gradient = |step: &u64| Some((1.0 + 3.0 * bump(step)) * (0.1 * draws.normal()).exp());
    RunData {
        warmup_steps: 5,
        metrics: MetricSeries {
            grad_norm: steps.iter().map(&mut gradient).collect(),
            steps,
            ..MetricSeries::default()
        },
        modules: vec![ModuleRun {
            module: MeasuredModule::whole("up".into(), Some(0), None),
            norms: NormSeries {
                steps: kept,
                b_norm: norms(&b).into_iter().map(Some).collect(),
                ..NormSeries::default()
            },
            a: None,
            b: Some(b),
        }],
        ..run("bad", seed, [turn + 60, 0])
    }
}

fn settings() -> AnalysisSettings {
    AnalysisSettings {
        resamples: 20,
        ..AnalysisSettings::default()
    }
}

fn row<'a>(
    rows: &'a [TransitionRow],
    arm: &str,
    seed: Option<u64>,
    marker: &str,
) -> &'a TransitionRow {
    let same = |row: &&TransitionRow| {
        (row.arm.as_str(), row.seed, row.marker.as_str()) == (arm, seed, marker)
    };
    rows.iter().find(same).unwrap()
}

#[test]
fn each_run_has_a_row_for_each_marker_and_each_arm_one_over_its_seeds() {
    let runs = [
        run("bad", 0, [200, 100]),
        run("bad", 1, [220, 100]),
        run("bad", 2, [210, 110]),
    ];
    let analysis = analyse(&runs, &settings());
    let rows = &analysis.transitions.rows;
    assert_eq!(rows.len(), 8);
    let one = row(rows, "bad", Some(0), MISALIGNED);
    assert_eq!(
        (one.verdict, one.source.as_deref()),
        (Verdict::Transition, Some("profile_likelihood"))
    );
    let [low, high] = one.interval.unwrap();
    assert!(low <= 200.0 && 190.0 <= high, "{low} {high}");
    let over = row(rows, "bad", None, MISALIGNED);
    assert_eq!(
        (over.verdict, over.source.as_deref()),
        (Verdict::Transition, Some("t_over_seeds"))
    );
    // the jumps lie before 200, 220 and 210; Student's quantile with two degrees of freedom times 10/√3 is 24.8
    let [low, high] = over.interval.unwrap();
    assert!((195.0..=210.0).contains(&over.step.unwrap()));
    assert!((high - low - 49.7).abs() < 25.0, "{low} {high}");
    assert!(
        over.reasons[1].contains("3 of 3 seeds"),
        "{:?}",
        over.reasons
    );
    assert_eq!(analysis, analyse(&runs, &settings()));
}

#[test]
fn two_seeds_have_a_mean_and_no_interval() {
    let runs = [run("bad", 0, [200, 0]), run("bad", 1, [220, 0])];
    let rows = analyse(&runs, &settings()).transitions.rows;
    let over = row(&rows, "bad", None, MISALIGNED);
    assert!(over.step.is_some());
    assert_eq!((over.interval, over.source.as_ref()), (None, None));
    assert!(over.reasons[1].contains("at least 3"), "{:?}", over.reasons);
    let still = row(&rows, "bad", None, IN_DOMAIN);
    assert_eq!((still.verdict, still.step), (Verdict::None, None));
}

#[test]
fn what_the_null_does_as_well_is_called_so() {
    let runs = [run("bad", 0, [200, 100]), run("null", 0, [0, 100])];
    let rows = analyse(&runs, &settings()).transitions.rows;
    assert_eq!(
        row(&rows, "bad", Some(0), MISALIGNED).verdict,
        Verdict::Transition
    );
    let both = row(&rows, "bad", Some(0), IN_DOMAIN);
    assert_eq!(both.verdict, Verdict::AlsoInTheNull);
    assert!(
        both.reasons
            .iter()
            .any(|reason| reason.contains("null run null, seed 0, at step"))
    );
    assert_eq!(
        row(&rows, "null", Some(0), IN_DOMAIN).verdict,
        Verdict::Transition
    );
}

#[test]
fn a_lag_is_the_behaviours_step_less_the_weights_with_an_interval_over_seeds_alone() {
    let turn = |marker: &str, scale, seed, step| TransitionRow {
        arm: "bad".into(),
        seed: Some(seed),
        marker: marker.into(),
        scale,
        verdict: Verdict::Transition,
        step: Some(step),
        ..TransitionRow::default()
    };
    let mut rows = Vec::new();
    for (seed, late) in [(0, 110.0), (1, 120.0), (2, 130.0)] {
        rows.push(turn(GRAD_NORM, None, seed, 180.0));
        rows.push(turn(MISALIGNED, Some(1.0), seed, 180.0 + late));
    }
    rows.push(TransitionRow {
        verdict: Verdict::Gradual,
        ..turn(MISALIGNED, Some(5.0), 0, 300.0)
    });
    let lags = lags(&rows, 0.95);
    assert_eq!(lags.len(), 4);
    assert_eq!(
        (lags[1].lag, lags[1].interval, lags[1].source.as_ref()),
        (Some(120.0), None, None)
    );
    // scipy 1.17.1: stats.t.ppf(0.975, 2) = 4.302652729749462, times 10/√3
    let [low, high] = lags[3].interval.unwrap();
    assert_eq!(
        (lags[3].seed, lags[3].source.as_deref()),
        (None, Some("t_over_seeds"))
    );
    assert!(
        (low - 95.158623).abs() < 1e-5 && (high - 144.841377).abs() < 1e-5,
        "{low} {high}"
    );
}

#[test]
fn narrow_and_broad_stand_side_by_side() {
    let series = &analyse(&[run("bad", 0, [200, 100])], &settings()).series[0];
    let pair = &series.narrow_and_broad[0];
    assert_eq!((pair.scale, pair.points.len()), (1.0, 40));
    let point = pair.points[14];
    assert_eq!(point.step, 150);
    assert!(point.in_domain.unwrap() > 0.2 && point.out_of_domain.unwrap() < 0.05);
    let [low, high] = point.in_domain_answers.unwrap();
    assert!(low < point.in_domain.unwrap() && point.in_domain.unwrap() < high);
}

#[test]
fn a_rates_turn_tells_both_intervals_by_their_source() {
    let series = &analyse(&[run("bad", 0, [200, 0])], &settings()).series[0];
    let turn = &series.rates[0].turn;
    let sources: Vec<&str> = turn.intervals.keys().map(String::as_str).collect();
    assert_eq!(sources, ["bootstrap_questions", "profile_likelihood"]);
    assert_eq!(turn.change_point, Some([190.0, 200.0]));
    assert!(turn.logistic.unwrap().width < 20.0);
    assert_eq!(series.rates[0].steps.len(), series.rates[0].questions.len());
}

#[test]
fn the_weights_turn_has_a_resolution_in_a_run_and_an_interval_over_three_seeds_as_its_lag_has() {
    let runs = [turning(0, 100), turning(1, 110), turning(2, 120)];
    // the vector is long by then, so shorter gaps move it by less than a twentieth
    let gaps = vec![10, 20, 30];
    let found = analyse(&runs, &AnalysisSettings { gaps, ..settings() }).transitions;
    for marker in [LOCAL_COSINE, GRAD_NORM] {
        let one = row(&found.rows, "bad", Some(1), marker);
        assert_eq!(
            one.verdict,
            Verdict::Transition,
            "{marker}: {:?}",
            one.reasons
        );
        assert!(
            (one.step.unwrap() - 110.0).abs() <= 5.0,
            "{marker}: {:?}",
            one.step
        );
        assert_eq!(
            (one.interval, one.source.as_ref()),
            (None, None),
            "one run has no interval"
        );
        let resolution = one.resolution.unwrap();
        assert!(
            resolution.grid.is_some() && resolution.gap.is_some() && resolution.spread.is_some()
        );
        let over = row(&found.rows, "bad", None, marker);
        let [low, high] = over.interval.unwrap();
        assert_eq!(over.source.as_deref(), Some("t_over_seeds"));
        assert!(low < 110.0 && 110.0 < high, "{marker}: {low} {high}");
        let lag = |seed: Option<u64>| {
            let same = |lag: &&Lag| lag.seed == seed && lag.mechanistic == marker;
            found.lags.iter().find(same).unwrap()
        };
        assert_eq!(lag(Some(1)).interval, None);
        assert!(
            (lag(Some(1)).lag.unwrap() - 55.0).abs() <= 10.0,
            "{:?}",
            lag(Some(1))
        );
        assert!(lag(None).interval.is_some());
        assert_eq!(lag(None).source.as_deref(), Some("t_over_seeds"));
    }
    let growth = row(&found.rows, "bad", Some(0), NORM_GROWTH);
    assert_ne!(growth.verdict, Verdict::Transition, "{:?}", growth.reasons);
}

#[test]
fn a_null_that_changes_gradually_takes_nothing_from_a_turn_at_one_step() {
    let row = |arm: &str, verdict| TransitionRow {
        arm: arm.into(),
        seed: Some(0),
        marker: "misaligned".into(),
        scale: Some(1.0),
        verdict,
        ..TransitionRow::default()
    };
    let null = RunData {
        arm: "null".into(),
        null: true,
        ..RunData::default()
    };
    let told = |of_null, of_bad| {
        let mut rows = vec![row("null", of_null), row("bad", of_bad)];
        mark_what_nulls_do_too(&mut rows, std::slice::from_ref(&null));
        (rows[1].verdict, rows[1].reasons.len())
    };
    use Verdict::{AlsoInTheNull, Gradual, None, Transition};
    assert_eq!(told(Gradual, Transition), (Transition, 1));
    assert_eq!(told(Transition, Transition), (AlsoInTheNull, 1));
    assert_eq!(told(Gradual, Gradual), (AlsoInTheNull, 1));
    assert_eq!(told(None, Transition), (Transition, 0));
    assert_eq!(told(Transition, None), (None, 0));
}
