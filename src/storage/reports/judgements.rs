//! What a judge said of recorded answers; durable progress like the answers themselves.

use serde::Serialize;
use serde_json::Value;

use crate::domain::evaluation::Completion;
use crate::domain::judging::{AnswerKey, Judgement};
use crate::storage::queue::Lease;
use crate::storage::results::{CompletionRow, completion_of};
use crate::storage::{Error, Result, Storage, bounded};

/// Records judgements; of an answer that has one already, what is said anew on its metrics stands in place of its failures.
///
/// *Errors*: lease lost; an answer that is not recorded.
pub async fn judgements(storage: &Storage, lease: &Lease, given: &[Judgement]) -> Result<()> {
    let failed: Vec<bool> = given.iter().map(Judgement::failed).collect();
    let query = sqlx::query!(
        r#"-- reports::judgements
with held as (
  update jobs set crashes_without_progress = 0, updated_at = queue_now()
  where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  returning id),
of as (select e.id, coalesce(e.answers_of, e.id) as answers from held join evaluations e on e.job = held.id),
given as (
  select * from unnest($3::text[], $4::text[], $5::int[], $6::int[], $7::jsonb[], $8::jsonb[], $9::jsonb[], $10::jsonb[],
    $11::bool[]) as given (address, question, paraphrase, sample, scores, unscored, labels, details, failed)),
put as (
  insert into judgements (evaluation, position, scores, unscored, labels, details, failed)
  select of.id, c.position, given.scores, given.unscored, given.labels, given.details, given.failed
  from of join completions c on c.evaluation = of.answers join given using (address, question, paraphrase, sample)
  on conflict (evaluation, position) do update set scores = judgements.scores || excluded.scores,
    unscored = excluded.unscored, labels = judgements.labels || excluded.labels,
    details = judgements.details || excluded.details, failed = excluded.failed
  returning 1)
select (select count(*) from held) as "held!", (select count(*) from put) as "put!""#,
        lease.job.as_str(),
        lease.number,
        &texts(given, |key| &key.address),
        &texts(given, |key| &key.question),
        &whole(given, |key| key.paraphrase),
        &whole(given, |key| key.sample),
        &json(given.iter().map(|one| &one.scores))?,
        &json(given.iter().map(|one| &one.unscored))?,
        &json(given.iter().map(|one| &one.labels))?,
        &json(given.iter().map(|one| &one.details))?,
        &failed,
    );
    let row = bounded(query.fetch_one(&storage.pool)).await?;
    match (row.held, row.put == given.len() as i64) {
        (1, true) => Ok(()),
        (1, false) => Err(Error::invariant(format!(
            "{} judged answers that are not recorded",
            lease.job
        ))),
        _ => Err(lease.lost()),
    }
}

fn texts(given: &[Judgement], field: fn(&AnswerKey) -> &str) -> Vec<String> {
    let texts = given.iter().map(|one| field(&one.key));
    texts.map(str::to_owned).collect()
}

fn whole(given: &[Judgement], field: fn(&AnswerKey) -> u32) -> Vec<i32> {
    let numbers = given.iter().map(|one| field(&one.key));
    numbers
        .map(|n| i32::try_from(n).unwrap_or(i32::MAX))
        .collect()
}

fn json<T: Serialize>(values: impl Iterator<Item = T>) -> Result<Vec<Value>> {
    let values: serde_json::Result<Vec<Value>> = values.map(serde_json::to_value).collect();
    values.map_err(|error| Error::invariant(error.to_string()))
}

/// Recorded answers of the leased job's evaluation that were not judged, or on which the judge failed, behind `after`, with what it
/// did say.
pub async fn unjudged(
    storage: &Storage,
    lease: &Lease,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, Completion)>> {
    let query = sqlx::query_as!(
        CompletionRow,
        r#"-- reports::unjudged
select c.position, question, paraphrase, sample, target as "target: _", prompt, answer, finish_reason, tokens,
  mean_logprob, coalesce(j.scores, '{}') as "scores!: _", coalesce(j.unscored, '{}') as "unscored!: _",
  coalesce(j.labels, '{}') as "labels!: _"
from completions c
left join judgements j on j.evaluation = (select id from evaluations where job = $1) and j.position = c.position
where c.evaluation = (select coalesce(answers_of, id) from evaluations where job = $1) and c.position > $2
  and coalesce(j.failed, true)
order by c.position limit $3"#,
        lease.job.as_str(),
        after,
        i64::from(limit),
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    rows.into_iter().map(completion_of).collect()
}
