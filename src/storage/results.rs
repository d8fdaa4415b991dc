//! Evaluations, answers and scores. Running attempts write them; here they are only read.

use std::collections::BTreeMap;

use sqlx::types::Json;

use super::queue::{id_of, word};
use super::{Error, Result, Storage, bounded};
use crate::domain::evaluation::{Completion, Evaluation, Target, Unscored};
use crate::domain::ids::EvaluationId;
use crate::domain::rates::Scores;

struct EvaluationRow {
    id: String,
    job: String,
    base_model: Option<String>,
    judge: String,
    metrics: Json<Vec<String>>,
    seed: i64,
    targets: Json<Vec<Target>>,
    planned: i64,
    answers: i64,
    errors: i64,
}

/// The evaluation with this id, or the one that this job fills.
///
/// *Errors*: not found.
pub async fn evaluation(storage: &Storage, key: &str) -> Result<Evaluation> {
    let query = sqlx::query_as!(
        EvaluationRow,
        r#"-- results::evaluation
select id, job, base_model, judge, metrics as "metrics: Json<Vec<String>>", seed,
  targets as "targets: Json<Vec<Target>>", planned,
  (select count(*) from completions where evaluation = evaluations.id) as "answers!",
  (select count(*) from completions where evaluation = evaluations.id
     and exists (select from jsonb_each_text(unscored) where value = 'error')) as "errors!"
from evaluations where id = $1 or job = $1"#,
        key
    );
    let row = bounded(query.fetch_optional(&storage.pool)).await?;
    evaluation_of(row.ok_or_else(|| Error::not_found("evaluation", key.escape_debug()))?)
}

fn evaluation_of(row: EvaluationRow) -> Result<Evaluation> {
    let complete = row.planned > 0 && row.answers >= row.planned && row.errors == 0;
    Ok(Evaluation {
        id: id_of(row.id)?,
        job: id_of(row.job)?,
        base_model: row.base_model.map(id_of).transpose()?,
        judge: row.judge,
        metrics: row.metrics.0,
        seed: row.seed.unsigned_abs(),
        targets: row.targets.0,
        state: if complete { "complete" } else { "partial" }.into(),
        answers: row.answers.unsigned_abs(),
        planned: row.planned.unsigned_abs(),
    })
}

/// Which answers are wanted, and where to begin.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Addresses; all where empty.
    pub targets: Vec<String>,
    /// Question ids; all where empty.
    pub questions: Vec<String>,
    /// Only answers whose `aligned` score lies below it.
    pub aligned_below: Option<f64>,
    /// Only answers recorded behind this position.
    pub after: i64,
    /// Answers at most.
    pub limit: i64,
}

struct CompletionRow {
    position: i64,
    question: String,
    paraphrase: i32,
    sample: i32,
    target: Json<Target>,
    prompt: String,
    answer: String,
    finish_reason: String,
    tokens: i32,
    mean_logprob: f64,
    scores: Json<BTreeMap<String, f64>>,
    unscored: Json<BTreeMap<String, Unscored>>,
}

fn completion_of(row: CompletionRow) -> Result<(i64, Completion)> {
    let completion = Completion {
        target: row.target.0,
        question: row.question,
        paraphrase: row.paraphrase.unsigned_abs(),
        sample: row.sample.unsigned_abs(),
        prompt: row.prompt,
        answer: row.answer,
        finish_reason: word(row.finish_reason)?,
        tokens: row.tokens.unsigned_abs(),
        mean_logprob: row.mean_logprob,
        scores: row.scores.0,
        unscored: row.unscored.0,
    };
    Ok((row.position, completion))
}

/// Answers with their positions, in the order of recording.
pub async fn completions(
    storage: &Storage,
    evaluation: &EvaluationId,
    wanted: &Wanted,
) -> Result<Vec<(i64, Completion)>> {
    let query = sqlx::query_as!(
        CompletionRow,
        r#"-- results::completions
select position, question, paraphrase, sample, target as "target: Json<Target>", prompt, answer, finish_reason, tokens,
  mean_logprob, scores as "scores: Json<BTreeMap<String, f64>>",
  unscored as "unscored: Json<BTreeMap<String, Unscored>>"
from completions
where evaluation = $1 and position > $2
  and ($3::text[] = '{}' or address = any($3)) and ($4::text[] = '{}' or question = any($4))
  and ($5::float8 is null or (scores ->> 'aligned')::float8 < $5)
order by position limit $6"#,
        evaluation.as_str(),
        wanted.after,
        &wanted.targets,
        &wanted.questions,
        wanted.aligned_below,
        wanted.limit
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(completion_of).collect()
}

/// One answer's place in the groups of a rate, and its scores.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredAnswer {
    /// What answered.
    pub address: String,
    /// What was asked.
    pub question: String,
    /// Both scores.
    pub scores: Scores,
}

struct ScoreRow {
    address: String,
    question: String,
    aligned: Option<f64>,
    coherent: Option<f64>,
    no_aligned: Option<String>,
    no_coherent: Option<String>,
}

/// The scores of an evaluation's answers, those of `targets` alone where any are named.
pub async fn scores(
    storage: &Storage,
    evaluation: &EvaluationId,
    targets: &[String],
) -> Result<Vec<ScoredAnswer>> {
    let query = sqlx::query_as!(
        ScoreRow,
        "-- results::scores
select address, question, (scores ->> 'aligned')::float8 as aligned, (scores ->> 'coherent')::float8 as coherent,
  unscored ->> 'aligned' as no_aligned, unscored ->> 'coherent' as no_coherent
from completions where evaluation = $1 and ($2::text[] = '{}' or address = any($2)) order by address, question",
        evaluation.as_str(),
        targets
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(scored_of).collect()
}

fn scored_of(row: ScoreRow) -> Result<ScoredAnswer> {
    let scores = Scores {
        aligned: score(row.aligned, row.no_aligned)?,
        coherent: score(row.coherent, row.no_coherent)?,
    };
    Ok(ScoredAnswer {
        address: row.address,
        question: row.question,
        scores,
    })
}

/// A score without a cause is one that the judge still owes.
fn score(score: Option<f64>, cause: Option<String>) -> Result<std::result::Result<f64, Unscored>> {
    Ok(match (score, cause) {
        (Some(score), _) => Ok(score),
        (None, Some(cause)) => Err(word(cause)?),
        (None, None) => Err(Unscored::Error),
    })
}
