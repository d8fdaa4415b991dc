//! What the analysis of an experiment is asked, from the jobs that are there to be read.

use serde_json::{Map, Value, json};

use super::{ExperimentArm, JobRole, Role};

/// A job that can be read: one that succeeded, or one that is only planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<'a> {
    /// What it does.
    pub role: JobRole,
    /// Its arm.
    pub arm: Option<&'a str>,
    /// Its training seed.
    pub seed: Option<u64>,
    /// Its id, or what stands for it.
    pub job: Value,
}

/// The body of an `analyze` job over the runs among `members`; none where there is no run.
///
/// A run whose questions were not answered is read without them. Several evaluations of one run, its checkpoints having been added
/// to, are a list. Arms on good data and on a base without the trait are nulls: nothing should turn there.
pub fn analysis_body(
    arms: &[ExperimentArm],
    members: &[Member<'_>],
    settings: &Map<String, Value>,
) -> Option<Value> {
    let runs = members
        .iter()
        .filter(|member| member.role == JobRole::Train);
    let runs: Vec<Value> = runs
        .filter_map(|run| {
            let arm = arms.iter().find(|arm| Some(arm.name.as_str()) == run.arm)?;
            let answers = |role| {
                let same = |other: &&Member<'_>| {
                    other.role == role && other.arm == run.arm && other.seed == run.seed
                };
                let found: Vec<Value> =
                    members.iter().filter(same).map(|m| m.job.clone()).collect();
                match found.as_slice() {
                    [] => Value::Null,
                    [one] => one.clone(),
                    several => json!(several),
                }
            };
            Some(json!({
                "arm": arm.name,
                "seed": run.seed,
                "job": run.job,
                "evaluation": answers(JobRole::Evaluate),
                "in_domain": answers(JobRole::EvaluateInDomain),
                "null": matches!(arm.role, Role::GoodTwin | Role::Null),
            }))
        })
        .collect();
    (!runs.is_empty()).then(|| json!({"kind": "analyze", "runs": runs, "settings": settings}))
}
