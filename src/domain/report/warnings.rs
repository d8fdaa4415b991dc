//! What to know before trusting the numbers of a report.

use super::material::{EvaluationFacts, JobFacts, Material};
use super::numbers::percent;
use super::value::{RateLine, ReportWarning};
use crate::domain::rates::state_warnings;

/// More unscored answers than this share may move a rate visibly.
const MOST_UNSCORED: f64 = 0.02;
/// Fewer coherent answers than this share say little of alignment.
const LEAST_COHERENT: f64 = 0.5;
/// Fewer seeds than this give no interval worth the name.
const LEAST_SEEDS: usize = 3;

/// In the order of the plan, the whole first.
pub(super) fn warnings(material: &Material, lines: &[RateLine]) -> Vec<ReportWarning> {
    let mut warnings = Vec::new();
    if !material.head.is_final {
        let detail = format!(
            "the experiment is {}: numbers and verdicts will change",
            material.head.state
        );
        warnings.push(warning("not_final", None, None, detail));
    }
    warnings.extend(material.jobs.iter().filter_map(of_job));
    warnings.extend(material.arms.iter().filter_map(few_seeds));
    warnings.extend(material.evaluations.iter().flat_map(of_evaluation));
    warnings.extend(unscored(material, lines));
    warnings.extend(incoherent(material, lines));
    warnings
}

fn warning(code: &str, arm: Option<&str>, seed: Option<u64>, detail: String) -> ReportWarning {
    ReportWarning {
        code: code.into(),
        arm: arm.map(str::to_owned),
        seed,
        detail,
    }
}

fn of_job(job: &JobFacts) -> Option<ReportWarning> {
    let code = match job.state.as_str() {
        "failed" => "job_failed",
        "cancelled" => "job_cancelled",
        _ => return None,
    };
    let error = job.error.as_deref().unwrap_or("no reason is known");
    let detail = format!("{} is {}: {error}", job.key, job.state);
    Some(warning(code, job.arm.as_deref(), job.seed, detail))
}

fn few_seeds(arm: &super::value::ArmReport) -> Option<ReportWarning> {
    let seeds = arm.seeds.len();
    let few = (1..LEAST_SEEDS).contains(&seeds);
    let detail = || {
        let word = if seeds == 1 { "seed" } else { "seeds" };
        format!(
            "{seeds} {word}: what another seed would give is hardly known; {LEAST_SEEDS} or more give an interval"
        )
    };
    few.then(|| warning("few_seeds", Some(&arm.name), None, detail()))
}

fn of_evaluation(facts: &EvaluationFacts) -> Vec<ReportWarning> {
    let of = |one: crate::domain::rates::Warning| {
        let detail = format!("{} questions: {}", facts.questions.name(), one.detail);
        warning(&one.code, Some(&facts.arm), facts.seed, detail)
    };
    state_warnings(&facts.evaluation)
        .into_iter()
        .map(of)
        .collect()
}

/// One an arm whose targets have many answers without scores.
fn unscored(material: &Material, lines: &[RateLine]) -> Vec<ReportWarning> {
    let many = |line: &&RateLine| {
        line.n > 0 && (line.n - line.scored) as f64 / line.n as f64 > MOST_UNSCORED
    };
    by_arm(material, lines, many, |arm, lines| {
        let (n, scored) = lines.iter().fold((0, 0), |(n, scored), line| {
            (n + line.n, scored + line.scored)
        });
        let share = percent((n - scored) as f64 / n as f64);
        let detail = format!(
            "{} of its targets have more than {} of their answers without a score; of those targets' {n} answers {share}",
            lines.len(),
            percent(MOST_UNSCORED)
        );
        warning("unscored", Some(arm), None, detail)
    })
}

/// One an arm whose targets are mostly incoherent.
fn incoherent(material: &Material, lines: &[RateLine]) -> Vec<ReportWarning> {
    let mostly = |line: &&RateLine| line.coherent_rate.is_some_and(|rate| rate < LEAST_COHERENT);
    by_arm(material, lines, mostly, |arm, lines| {
        let mut scales: Vec<f64> = lines.iter().filter_map(|line| line.scale).collect();
        scales.sort_by(f64::total_cmp);
        scales.dedup();
        let scales: Vec<String> = scales.iter().map(f64::to_string).collect();
        let detail = format!(
            "{} of its targets (at scale {}) give coherent answers in less than {} of cases: their misaligned rate says little",
            lines.len(),
            scales.join(", "),
            percent(LEAST_COHERENT)
        );
        warning("incoherent", Some(arm), None, detail)
    })
}

fn by_arm(
    material: &Material,
    lines: &[RateLine],
    wanted: impl Fn(&&RateLine) -> bool,
    words: impl Fn(&str, &[&RateLine]) -> ReportWarning,
) -> Vec<ReportWarning> {
    let of_arm = |name: &String| {
        let here = lines.iter().filter(|line| line.arm == *name);
        let here: Vec<&RateLine> = here.filter(&wanted).collect();
        (!here.is_empty()).then(|| words(name, &here))
    };
    let names = material.arms.iter().map(|arm| &arm.name);
    names.filter_map(of_arm).collect()
}
