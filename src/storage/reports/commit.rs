//! What an attempt must have recorded before it goes on. Checkpoints and answers are durable progress.

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use crate::domain::assets::{FileEntry, ModelFacts, WeightsKind};
use crate::domain::evaluation::{Completion, FinishReason};
use crate::domain::ids::CheckpointId;
use crate::storage::queue::{Lease, id_of};
use crate::storage::{Error, Result, Storage, bounded};

const CHECKPOINT: &str = "-- reports::checkpoint
with held as (
  update jobs set crashes_without_progress = 0, updated_at = queue_now()
  where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  returning id),
kept as (
  insert into checkpoints (id, job, step, kind, files) select $3, id, $4, $5, $6::jsonb from held
  where jsonb_array_length($6::jsonb) > 0
  on conflict (job, step) do update set kind = excluded.kind, files = excluded.files
  returning id, job),
resumable as (
  insert into resume_states (job, step, files) select id, $4, $7::jsonb from held
  where jsonb_array_length($7::jsonb) > 0
  on conflict (job, step) do update set files = excluded.files),
older as (
  delete from resume_states using held
  where resume_states.job = held.id and step <> $4 and jsonb_array_length($7::jsonb) > 0 and step < (
    select max(step) from resume_states newest where newest.job = $1 and newest.step <> $4)),
told as (
  insert into events (job, type, data, step)
  select job, 'checkpoint', jsonb_build_object('id', id, 'step', $4), $4 from kept)
select (select count(*) from held), (select id from kept)";

/// Files of a checkpoint, as they are handed in.
#[derive(Debug, Clone)]
pub struct NewCheckpoint<'a> {
    /// Its id, unless the step has one already.
    pub id: &'a CheckpointId,
    /// Updates made.
    pub step: u64,
    /// What `files` hold.
    pub kind: WeightsKind,
    /// What users download; empty for a state that is only there to resume from.
    pub files: &'a [FileEntry],
    /// What resuming needs; empty for none.
    pub state: &'a [FileEntry],
}

/// Records a checkpoint and keeps the newest two resumable states; the id under which users see it.
///
/// *Errors*: lease lost.
pub async fn checkpoint(
    storage: &Storage,
    lease: &Lease,
    new: &NewCheckpoint<'_>,
) -> Result<Option<CheckpointId>> {
    let kind = match new.kind {
        WeightsKind::Lora => "lora",
        WeightsKind::Full => "full",
    };
    let query = sqlx::query_as::<_, (i64, Option<String>)>(CHECKPOINT)
        .bind(lease.job.as_str())
        .bind(lease.number)
        .bind(new.id.as_str())
        .bind(new.step as i64)
        .bind(kind)
        .bind(Json(new.files))
        .bind(Json(new.state));
    match bounded(query.fetch_one(&storage.pool)).await? {
        (1, id) => id.map(id_of).transpose(),
        _ => Err(lease.lost()),
    }
}

const ANSWERS: &str = "-- reports::answers
with held as (
  update jobs set crashes_without_progress = 0, updated_at = queue_now()
  where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  returning id),
answer as (
  insert into completions (evaluation, address, question, paraphrase, sample, target, prompt, answer, finish_reason,
    tokens, mean_logprob, scores, unscored)
  select evaluations.id, given.* from held join evaluations on evaluations.job = held.id,
    unnest($3::text[], $4::text[], $5::int[], $6::int[], $7::jsonb[], $8::text[], $9::text[], $10::text[], $11::int[],
      $12::float8[], $13::jsonb[], $14::jsonb[]) as given
  on conflict do nothing)
select (select count(*) from held), (select count(*) from held join evaluations on evaluations.job = held.id)";

/// Records answers; those already there stay as they are.
///
/// *Errors*: lease lost.
pub async fn answers(storage: &Storage, lease: &Lease, answers: &[Completion]) -> Result<()> {
    let whole = |field: fn(&Completion) -> u32| -> Vec<i32> {
        let numbers = answers.iter().map(field);
        numbers
            .map(|n| i32::try_from(n).unwrap_or(i32::MAX))
            .collect()
    };
    let texts = |field: fn(&Completion) -> &str| -> Vec<String> {
        answers
            .iter()
            .map(|answer| storable(field(answer)))
            .collect()
    };
    let query = sqlx::query_as::<_, (i64, i64)>(ANSWERS)
        .bind(lease.job.as_str())
        .bind(lease.number)
        .bind(texts(|answer| &answer.target.address))
        .bind(texts(|answer| &answer.question))
        .bind(whole(|answer| answer.paraphrase))
        .bind(whole(|answer| answer.sample))
        .bind(json(answers.iter().map(|answer| &answer.target))?)
        .bind(texts(|answer| &answer.prompt))
        .bind(texts(|answer| &answer.answer))
        .bind(texts(|answer| finish_name(answer.finish_reason)))
        .bind(whole(|answer| answer.tokens))
        .bind(
            answers
                .iter()
                .map(|answer| answer.mean_logprob)
                .collect::<Vec<f64>>(),
        )
        .bind(json(answers.iter().map(|answer| &answer.scores))?)
        .bind(json(answers.iter().map(|answer| &answer.unscored))?);
    match bounded(query.fetch_one(&storage.pool)).await? {
        (1, 1) => Ok(()),
        (1, _) => Err(Error::invariant(format!("{} has no evaluation", lease.job))),
        _ => Err(lease.lost()),
    }
}

/// Postgres' text holds every character but the first, which a byte-level tokenizer may well draw.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
    }
}

fn json<T: Serialize>(values: impl Iterator<Item = T>) -> Result<Vec<Value>> {
    let values: serde_json::Result<Vec<Value>> = values.map(serde_json::to_value).collect();
    values.map_err(|error| Error::invariant(error.to_string()))
}

const MODEL: &str = "-- reports::model
with held as (
  select id from jobs where id = $1 and lease_number = $2 and state in ('running', 'pausing', 'cancelling')
  for no key update),
known as (
  update base_models set family = $3, parameters = $4, layers = $5, hidden_size = $6, vocab_size = $7, files = $8
  from held where base_models.job = held.id and base_models.state = 'registering'
  returning base_models.id)
select (select count(*) from held), (select count(*) from known)";

/// Records what a registration found; the model becomes ready when its job succeeds.
///
/// *Errors*: lease lost.
pub async fn model(storage: &Storage, lease: &Lease, facts: &ModelFacts) -> Result<()> {
    let query = sqlx::query_as::<_, (i64, i64)>(MODEL)
        .bind(lease.job.as_str())
        .bind(lease.number)
        .bind(&facts.family)
        .bind(facts.parameters as i64)
        .bind(facts.layers as i32)
        .bind(facts.hidden_size as i32)
        .bind(facts.vocab_size as i32)
        .bind(Json(&facts.files));
    match bounded(query.fetch_one(&storage.pool)).await? {
        (1, 1) => Ok(()),
        (1, _) => Err(Error::invariant(format!(
            "{} registers no model",
            lease.job
        ))),
        _ => Err(lease.lost()),
    }
}
