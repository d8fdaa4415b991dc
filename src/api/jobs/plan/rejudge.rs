//! Answers that are there under another judge: whose they are, what they wait for, what makes the work the same as other work.

use uuid::Uuid;

use super::{Judging, Plan, judging};
use crate::api::ApiState;
use crate::api::error::{Answer, Problem};
use crate::domain::evaluation::RejudgeSpec;
use crate::domain::ids::{EvaluationId, JobId};
use crate::domain::invalid::Invalid;
use crate::domain::requests::fit::missing;
use crate::domain::requests::identity;
use crate::domain::requests::prompts::Prompted;
use crate::storage::jobs::{self, AnswerFacts, NewEvaluation};

/// Puts the evaluation that has the answers in place of whatever the spec calls it.
///
/// *Errors*: 422 where there is none.
pub async fn settle(state: &ApiState, spec: &mut RejudgeSpec) -> Answer<()> {
    let found = found(state, spec).await?;
    spec.answers.evaluation = found.evaluation.to_string();
    Ok(())
}

async fn found(state: &ApiState, spec: &RejudgeSpec) -> Answer<AnswerFacts> {
    let key = &spec.answers.evaluation;
    let found = jobs::answers(&state.storage, key).await?;
    let place = "/answers/evaluation";
    let none = || missing(place, "evaluation", key, "/v1/evaluations");
    Ok(found.ok_or_else(|| Invalid::from(none()))?)
}

/// What a job over these answers needs and is.
///
/// *Errors*: 409 where the job that drew them ended before all were there; 422 where a metric has no prompt.
pub(super) async fn plan(state: &ApiState, spec: &RejudgeSpec) -> Answer<Plan> {
    let facts = found(state, spec).await?;
    let parents = parents(&facts)?;
    let (asked, set) = jobs::asked(&state.storage, &facts).await?;
    let prompted = Prompted {
        judge: &spec.judge,
        metrics: &spec.metrics,
        given: &spec.rubrics,
    };
    let judging = judging(state, prompted, &asked, &set).await?;
    let hashes = identity::of_rejudge(spec, &facts.identity, judging.identity());
    let Judging {
        rubrics,
        definition,
    } = judging;
    Ok(Plan {
        hashes,
        parents,
        evaluation: Some(NewEvaluation {
            id: EvaluationId::from_uuid(Uuid::now_v7()),
            judge: spec.judge.clone(),
            metrics: spec.metrics.clone(),
            seed: facts.seed,
            answers_of: Some(facts.evaluation),
            rubrics,
            judge_definition: definition,
        }),
        analysis: None,
    })
}

/// The job that still draws the answers. One that ended is none: answers whose judge failed are what another judge is for.
fn parents(facts: &AnswerFacts) -> Answer<Vec<JobId>> {
    match &facts.job {
        Some((job, state)) if !state.is_final() => Ok(vec![job.clone()]),
        Some((job, _)) if facts.planned == 0 || facts.answers < facts.planned => {
            let (answers, planned) = (facts.answers, facts.planned);
            Err(Problem::conflict(format!(
                "{job} ended with {answers} of {planned} answers; POST /v1/jobs/{job}/retry lets it draw the rest"
            )))
        }
        _ => Ok(Vec::new()),
    }
}
