//! Evaluations, answers and scores. Running attempts write them; here they are only read.
//!
//! An evaluation's answers are its own or, where `answers_of` says so, another's; what its judge said is always its own.

mod answers;
mod import;
mod list;
mod summary;

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::queue::{id_of, word};
use super::{Error, Result, Storage, bounded};
use crate::domain::evaluation::{Completion, Evaluation, Target, Unscored};
use crate::domain::judging::{JudgedBy, Label, RubricUse};
pub use answers::{Order, Place, Wanted, answer_keys, completions, ordered};
pub use import::{NewEvaluation, import_answers, upload_scores};
pub use list::{Filter, evaluations};
pub use summary::{Background, background, labelled_metrics, metric_summaries, misaligned};

struct EvaluationRow {
    id: String,
    name: Option<String>,
    origin: String,
    job: Option<String>,
    answers_of: Option<String>,
    base_model: Option<String>,
    judge: String,
    metrics: Json<Vec<String>>,
    seed: i64,
    targets: Json<Vec<Target>>,
    planned: i64,
    answers: i64,
    judged: i64,
    errors: i64,
    errors_accepted: bool,
    judged_by: Json<Vec<JudgedBy>>,
    effective: Option<Value>,
    source: Option<Value>,
    created_at: OffsetDateTime,
    rubrics: Json<Vec<RubricUse>>,
    judge_definition: Option<Value>,
    errors_accepted_at: Option<OffsetDateTime>,
    errors_accepted_by: Option<String>,
}

/// The evaluation with this id or name, or the one that this job fills.
///
/// *Errors*: not found.
pub async fn evaluation(storage: &Storage, key: &str) -> Result<Evaluation> {
    let query = sqlx::query_as!(
        EvaluationRow,
        r#"-- results::evaluation
select id, name, origin, job, answers_of, base_model, judge, metrics as "metrics: Json<Vec<String>>", seed,
  targets as "targets: Json<Vec<Target>>", planned, source, created_at, rubrics as "rubrics: Json<Vec<RubricUse>>",
  judge_definition, errors_accepted_at, errors_accepted_by, errors_accepted_at is not null as "errors_accepted!",
  coalesce(effective, (select drawn.effective from evaluations drawn where drawn.id = evaluations.answers_of)) as effective,
  (select count(*) from completions where evaluation = coalesce(evaluations.answers_of, evaluations.id)) as "answers!",
  (select count(*) from judgements where evaluation = evaluations.id) as "judged!",
  (select count(*) from judgements where evaluation = evaluations.id and failed) as "errors!",
  (select coalesce(jsonb_agg(distinct said.value -> 'by'), '[]') from judgements, jsonb_each(details) said
     where evaluation = evaluations.id and said.value ? 'by') as "judged_by!: Json<Vec<JudgedBy>>"
from evaluations where id = $1 or job = $1 or name = $1"#,
        key
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    evaluation_of(row.ok_or_else(|| Error::not_found("evaluation", key.escape_debug()))?)
}

fn evaluation_of(row: EvaluationRow) -> Result<Evaluation> {
    let settled = row.errors == 0 || row.errors_accepted;
    let complete = row.planned > 0 && row.judged >= row.planned && settled;
    Ok(Evaluation {
        id: id_of(row.id)?,
        name: row.name,
        origin: word(row.origin)?,
        job: row.job.map(id_of).transpose()?,
        answers_of: row.answers_of.map(id_of).transpose()?,
        base_model: row.base_model.map(id_of).transpose()?,
        judge: row.judge,
        metrics: row.metrics.0,
        seed: row.seed.unsigned_abs(),
        targets: row.targets.0,
        state: if complete { "complete" } else { "partial" }.into(),
        answers: row.answers.unsigned_abs(),
        judged: row.judged.unsigned_abs(),
        errors: row.errors.unsigned_abs(),
        errors_accepted: row.errors_accepted,
        judged_by: row.judged_by.0,
        effective: row.effective,
        planned: row.planned.unsigned_abs(),
        source: row.source,
        created_at: row.created_at,
        rubrics: row.rubrics.0,
        judge_definition: row.judge_definition,
        errors_accepted_at: row.errors_accepted_at,
        errors_accepted_by: row.errors_accepted_by,
    })
}

pub(super) struct CompletionRow {
    pub(super) position: i64,
    pub(super) question: String,
    pub(super) paraphrase: i32,
    pub(super) sample: i32,
    pub(super) target: Json<Target>,
    pub(super) prompt: String,
    pub(super) answer: String,
    pub(super) finish_reason: Option<String>,
    pub(super) tokens: Option<i32>,
    pub(super) mean_logprob: Option<f64>,
    pub(super) scores: Json<BTreeMap<String, f64>>,
    pub(super) unscored: Json<BTreeMap<String, Unscored>>,
    pub(super) labels: Json<BTreeMap<String, Label>>,
}

pub(super) fn completion_of(row: CompletionRow) -> Result<(i64, Completion)> {
    let completion = Completion {
        target: row.target.0,
        question: row.question,
        paraphrase: row.paraphrase.unsigned_abs(),
        sample: row.sample.unsigned_abs(),
        prompt: row.prompt,
        answer: row.answer,
        finish_reason: row.finish_reason.map(word).transpose()?,
        tokens: row.tokens.map(i32::unsigned_abs),
        mean_logprob: row.mean_logprob,
        scores: row.scores.0,
        unscored: row.unscored.0,
        labels: row.labels.0,
    };
    Ok((row.position, completion))
}
