//! Lists of evaluations.

use sqlx::types::Json;

use super::{EvaluationRow, evaluation_of};
use crate::domain::evaluation::{Evaluation, EvaluationOrigin, Target};
use crate::domain::judging::JudgedBy;
use crate::domain::judging::RubricUse;
use crate::storage::registry::Stretch;
use crate::storage::{Result, Storage, bounded};

/// Which evaluations are wanted; all where nothing is set.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this name.
    pub name: Option<String>,
    /// Scored by this judge.
    pub judge: Option<String>,
    /// That came about so.
    pub origin: Option<EvaluationOrigin>,
    /// Over the answers of the evaluation with this id.
    pub answers_of: Option<String>,
}

/// Evaluations, the newest first.
pub async fn evaluations(
    storage: &Storage,
    filter: &Filter,
    stretch: Stretch<'_>,
) -> Result<Vec<Evaluation>> {
    let query = sqlx::query_as!(
        EvaluationRow,
        r#"-- results::evaluations
select id, name, origin, job, answers_of, base_model, judge, metrics as "metrics: Json<Vec<String>>", seed,
  targets as "targets: Json<Vec<Target>>", planned, source, created_at, rubrics as "rubrics: Json<Vec<RubricUse>>",
  judge_definition, errors_accepted_at, errors_accepted_by,
  errors_accepted_at is not null as "errors_accepted!",
  coalesce(effective, (select drawn.effective from evaluations drawn where drawn.id = evaluations.answers_of)) as effective,
  (select count(*) from completions where evaluation = coalesce(evaluations.answers_of, evaluations.id)) as "answers!",
  (select count(*) from judgements where evaluation = evaluations.id) as "judged!",
  (select count(*) from judgements where evaluation = evaluations.id and failed) as "errors!",
  (select coalesce(jsonb_agg(distinct said.value -> 'by'), '[]') from judgements, jsonb_each(details) said
     where evaluation = evaluations.id and said.value ? 'by') as "judged_by!: Json<Vec<JudgedBy>>"
from evaluations
where ($1::text is null or id < $1) and ($3::text is null or name = $3) and ($4::text is null or judge = $4)
  and ($5::text is null or origin = $5) and ($6::text is null or answers_of = $6)
order by id desc limit $2"#,
        stretch.before,
        stretch.limit,
        filter.name,
        filter.judge,
        filter.origin.map(EvaluationOrigin::name),
        filter.answers_of
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(evaluation_of).collect()
}
