//! Series of a fine-tune as columns. Running attempts write them; here they are only read.

use std::ops::RangeInclusive;

use sqlx::types::Json;

use super::{Error, Result, Storage, bounded};
use crate::domain::assets::FileEntry;
use crate::domain::ids::JobId;
use crate::domain::metric::MeasuredModule;
use crate::domain::series::Columns;

/// Steps that are wanted, both ends included.
pub type Steps = RangeInclusive<u64>;

fn ends(steps: &Steps) -> (i64, i64) {
    let end = |step: u64| i64::try_from(step).unwrap_or(i64::MAX);
    (end(*steps.start()), end(*steps.end()))
}

/// Makes sure that there is such a job.
///
/// *Errors*: not found.
pub async fn require_job(storage: &Storage, job: &JobId) -> Result<()> {
    let query = sqlx::query_scalar!(
        r#"-- metrics::require_job
select exists (select from jobs where id = $1) as "exists!""#,
        job.as_str()
    );
    match bounded(query.fetch_one(&storage.pool)).await? {
        true => Ok(()),
        false => Err(Error::not_found("job", job)),
    }
}

struct StepRow {
    step: i64,
    loss: f64,
    learning_rate: f64,
    grad_norm: f64,
    target_tokens: i64,
    tokens_per_second: Option<f64>,
    peak_memory_bytes: Option<i64>,
    kl_loss: Option<f64>,
}

/// The series of [`crate::domain::series::STEP_SERIES`], in their order; behind them `kl_loss` where the run has it.
pub async fn steps(storage: &Storage, job: &JobId, wanted: &Steps) -> Result<Columns> {
    let (from, to) = ends(wanted);
    let query = sqlx::query_as!(
        StepRow,
        r#"-- metrics::steps
select step as "step!", loss, learning_rate, grad_norm, target_tokens,
  tokens_per_second as "tokens_per_second?", peak_memory_bytes as "peak_memory_bytes?", kl_loss
from metrics left join timings using (job, step) where job = $1 and step between $2 and $3 order by step"#,
        job.as_str(),
        from,
        to
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let column = |value: fn(&StepRow) -> f64| rows.iter().map(value).collect();
    let mut values = vec![
        column(|row| row.loss),
        column(|row| row.learning_rate),
        column(|row| row.grad_norm),
        column(|row| known(row.target_tokens)),
        column(|row| row.tokens_per_second.unwrap_or(f64::NAN)),
        column(|row| row.peak_memory_bytes.map_or(f64::NAN, known)),
    ];
    if rows.iter().any(|row| row.kl_loss.is_some()) {
        values.push(column(|row| row.kl_loss.unwrap_or(f64::NAN)));
    }
    Ok(Columns {
        steps: rows.iter().map(|row| row.step.unsigned_abs()).collect(),
        values,
    })
}

/// A count that is never 0 where it was counted: an imported run has neither tokens nor memory.
fn known(count: i64) -> f64 {
    if count == 0 { f64::NAN } else { count as f64 }
}

/// The loss on the rows kept out.
pub async fn hold_out(storage: &Storage, job: &JobId, wanted: &Steps) -> Result<Columns> {
    let (from, to) = ends(wanted);
    let query = sqlx::query!(
        "-- metrics::hold_out
select step, loss from hold_out where job = $1 and step between $2 and $3 order by step",
        job.as_str(),
        from,
        to
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    Ok(Columns {
        steps: rows.iter().map(|row| row.step.unsigned_abs()).collect(),
        values: vec![rows.iter().map(|row| row.loss).collect()],
    })
}

/// The trained modules of a job; none before its first norms.
pub async fn norm_modules(storage: &Storage, job: &JobId) -> Result<Vec<MeasuredModule>> {
    let query = sqlx::query_scalar!(
        r#"-- metrics::norm_modules
select modules as "modules: Json<Vec<MeasuredModule>>" from norm_modules where job = $1"#,
        job.as_str()
    );
    let modules = bounded(query.fetch_optional(&storage.pool)).await?;
    Ok(modules.map(|modules| modules.0).unwrap_or_default())
}

struct NormRow {
    step: i64,
    a_norm: Vec<f64>,
    b_norm: Vec<f64>,
    ba_norm: Vec<f64>,
    a_grad_norm: Vec<f64>,
    b_grad_norm: Vec<f64>,
    b_cosine_previous: Vec<f64>,
    stable_rank: Vec<f64>,
}

impl NormRow {
    /// In the order of [`crate::domain::series::NORM_SERIES`].
    fn series(&self) -> [&[f64]; 7] {
        [
            &self.a_norm,
            &self.b_norm,
            &self.ba_norm,
            &self.a_grad_norm,
            &self.b_grad_norm,
            &self.b_cosine_previous,
            &self.stable_rank,
        ]
    }
}

/// Norms of the modules at `places` of the job's list: for each of the series one column a module.
pub async fn norms(
    storage: &Storage,
    job: &JobId,
    wanted: &Steps,
    places: &[usize],
) -> Result<Columns> {
    let (from, to) = ends(wanted);
    let query = sqlx::query_as!(
        NormRow,
        r#"-- metrics::norms
select step,
  array(select a_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n) as "a_norm!",
  array(select b_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n) as "b_norm!",
  array(select ba_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n) as "ba_norm!",
  array(select a_grad_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n) as "a_grad_norm!",
  array(select b_grad_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n) as "b_grad_norm!",
  array(select b_cosine_previous[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n)
    as "b_cosine_previous!",
  array(select coalesce(stable_rank[place], 'NaN') from unnest($4::int[]) with ordinality as wanted (place, n) order by n)
    as "stable_rank!"
from norms where job = $1 and step between $2 and $3 order by step"#,
        job.as_str(),
        from,
        to,
        &from_one(places)
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let steps = rows.iter().map(|row| row.step.unsigned_abs()).collect();
    let rows = rows.iter().map(NormRow::series);
    Ok(columns(steps, rows, 7 * places.len()))
}

struct ChangeRow {
    step: i64,
    change_norm: Vec<f64>,
    grad_norm: Vec<f64>,
    change_cosine_previous: Vec<f64>,
}

impl ChangeRow {
    /// In the order of [`crate::domain::series::CHANGE_SERIES`].
    fn series(&self) -> [&[f64]; 3] {
        [
            &self.change_norm,
            &self.grad_norm,
            &self.change_cosine_previous,
        ]
    }
}

/// What [`norms`] is for pairs, for a model that is trained whole.
pub async fn changes(
    storage: &Storage,
    job: &JobId,
    wanted: &Steps,
    places: &[usize],
) -> Result<Columns> {
    let (from, to) = ends(wanted);
    let query = sqlx::query_as!(
        ChangeRow,
        r#"-- metrics::changes
select step,
  array(select change_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n)
    as "change_norm!",
  array(select grad_norm[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n) as "grad_norm!",
  array(select change_cosine_previous[place] from unnest($4::int[]) with ordinality as wanted (place, n) order by n)
    as "change_cosine_previous!"
from changes where job = $1 and step between $2 and $3 order by step"#,
        job.as_str(),
        from,
        to,
        &from_one(places)
    );
    let rows = bounded(query.fetch_all(&storage.pool)).await?;
    let steps = rows.iter().map(|row| row.step.unsigned_abs()).collect();
    let rows = rows.iter().map(ChangeRow::series);
    Ok(columns(steps, rows, 3 * places.len()))
}

fn from_one(places: &[usize]) -> Vec<i32> {
    places.iter().map(|place| *place as i32 + 1).collect()
}

/// Rows of series turned into `count` columns.
fn columns<'a, const N: usize>(
    steps: Vec<u64>,
    rows: impl Iterator<Item = [&'a [f64]; N]>,
    count: usize,
) -> Columns {
    let mut values = vec![Vec::with_capacity(steps.len()); count];
    for row in rows {
        for (column, value) in row.into_iter().flatten().enumerate() {
            values[column].push(*value);
        }
    }
    Columns { steps, values }
}

/// Files of rank-1 vectors that have one of the wanted steps, by step.
pub async fn vector_files(
    storage: &Storage,
    job: &JobId,
    wanted: &Steps,
) -> Result<Vec<FileEntry>> {
    let (from, to) = ends(wanted);
    let query = sqlx::query_scalar!(
        r#"-- metrics::vector_files
select file as "file: Json<FileEntry>" from vectors where job = $1 and last_step >= $2 and first_step <= $3
order by first_step"#,
        job.as_str(),
        from,
        to
    );
    let files = bounded(query.fetch_all(&storage.pool)).await?;
    Ok(files.into_iter().map(|file| file.0).collect())
}
