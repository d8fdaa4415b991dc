//! The body of an analysis.

use serde_json::{Map, Value};

use super::bounds::{Check, LARGEST_SEED};
use super::fields::{Fields, decode_object};
use crate::domain::analysis;
use crate::domain::analyze::{AnalyzeSpec, AnalyzedRun};
use crate::domain::invalid::{Checked, FieldError, Findings};

/// Most runs of an analysis.
pub const MOST_RUNS: usize = 500;
/// Longest name of an arm, in characters.
const LONGEST_ARM: usize = 200;
/// Most evaluations of one run.
const MOST_EVALUATIONS: usize = 50;
/// Longest name or id of an evaluation.
const LONGEST_REFERENCE: usize = 100;

/// The spec that `body` describes, without its kind and its envelope.
pub fn read(body: Map<String, Value>) -> Checked<AnalyzeSpec> {
    let mut fields = Fields::new("", body);
    let hint = "give [{\"arm\":\"bad\",\"seed\":0,\"job\":\"job_…\",\"evaluation\":\"ev_…\"}]";
    let runs = fields.list("runs", hint, decode_object::<AnalyzedRun>);
    let settings = fields.or("settings", Value::Null);
    let settings = settings.and_then(|value| fields.note(analysis::read("/settings", value)));
    let spec = (|| {
        Some(AnalyzeSpec {
            runs: runs?,
            settings: settings?,
        })
    })();
    let spec = fields.finish(spec)?;
    check(&spec)?;
    Ok(spec)
}

fn check(spec: &AnalyzeSpec) -> Checked<()> {
    let mut findings = Findings::default();
    let mut top = Check::below(&mut findings, "");
    top.length("runs", spec.runs.len(), 1..=MOST_RUNS);
    for (index, run) in spec.runs.iter().enumerate().take(MOST_RUNS) {
        check_run(&mut findings, &format!("/runs/{index}"), run);
        check_twins(&mut findings, spec, index);
    }
    findings.finish()
}

fn check_run(findings: &mut Findings, place: &str, run: &AnalyzedRun) {
    let mut check = Check::below(findings, place);
    let length = run.arm.chars().count();
    if !(1..=LONGEST_ARM).contains(&length) || run.arm.chars().any(char::is_control) {
        let wanted = format!("give 1 to {LONGEST_ARM} characters on one line");
        check.refuse("arm", "this name", &wanted);
    }
    check.whole("seed", run.seed, 0..=LARGEST_SEED);
    for (key, reference) in [
        ("evaluation", &run.evaluation),
        ("in_domain", &run.in_domain),
    ] {
        let fits = |text: &String| (1..=LONGEST_REFERENCE).contains(&text.len());
        check.length(key, reference.0.len(), 0..=MOST_EVALUATIONS);
        if !reference.0.iter().all(fits) {
            let wanted =
                "give the id or name of an evaluation, or the id of its job, or leave it out";
            check.refuse(key, "this text", wanted);
        }
    }
}

/// Refuses a second run of the same arm and seed, and the same job a second time: counted twice it would look sure of itself.
fn check_twins(findings: &mut Findings, spec: &AnalyzeSpec, index: usize) {
    let run = &spec.runs[index];
    let before = &spec.runs[..index];
    if before
        .iter()
        .any(|other| (&other.arm, other.seed) == (&run.arm, run.seed))
    {
        let detail = format!(
            "seed {} of arm \"{}\" is there already",
            run.seed,
            run.arm.escape_debug()
        );
        let error = FieldError::at(format!("/runs/{index}/seed"), detail);
        findings.push(error.hint("give every run of an arm a seed of its own"));
    }
    if let Some(first) = before.iter().position(|other| other.job == run.job) {
        let detail = format!("{} is run {first} already", run.job);
        let error = FieldError::at(format!("/runs/{index}/job"), detail);
        findings.push(error.hint("name every fine-tune once"));
    }
}
