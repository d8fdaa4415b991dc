//! Series of a fine-tune over HTTP: thinned on reading, in four forms.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::columns::{Values, parquet};
use super::error::{Answer, Problem, ProblemBody};
use super::extract::{InPath, Query};
use super::table::{self, Format, tagged};
use crate::domain::finetune::Projection;
use crate::domain::ids::JobId;
use crate::domain::metric::MeasuredModule;
use crate::domain::series::{
    CHANGE_SERIES, Columns, HoldOut, KL_SERIES, LoraNorms, Metrics, STEP_SERIES, series_of, shown,
};
use crate::storage::metrics::{self, Steps};

/// Place of `peak_memory_bytes` among the series.
const MEMORY: usize = 5;
const FORMATS: [Format; 4] = [Format::Json, Format::Csv, Format::Ndjson, Format::Parquet];

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(steps))
        .routes(routes!(norms))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct StepsQuery {
    /// First step.
    from: Option<u64>,
    /// Last step.
    to: Option<u64>,
    /// Thin to about so many points, 4 or more; minima and maxima of every series stay.
    points: Option<u32>,
    /// `json`, `csv`, `ndjson` or `parquet`; else by `Accept`.
    format: Option<Format>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct NormsQuery {
    /// Exact names of modules, separated by commas; all where absent.
    modules: Option<String>,
    /// First step.
    from: Option<u64>,
    /// Last step.
    to: Option<u64>,
    /// Thin to about so many points, 4 or more; minima and maxima of every series stay.
    points: Option<u32>,
    /// `json`, `csv`, `ndjson` or `parquet`; else by `Accept`.
    format: Option<Format>,
}

pub(super) fn wanted(from: Option<u64>, to: Option<u64>) -> Answer<Steps> {
    let steps = from.unwrap_or(0)..=to.unwrap_or(u64::MAX);
    if steps.is_empty() {
        return Err(Problem::parameter(
            "to",
            format!("{} lies before from={}", steps.end(), steps.start()),
        ));
    }
    Ok(steps)
}

fn thin(columns: Columns, points: Option<u32>) -> Answer<Columns> {
    match points {
        None => Ok(columns),
        Some(points) if points >= 4 => Ok(columns.thin(points as usize)),
        Some(points) => Err(Problem::parameter(
            "points",
            format!("{points} is less than 4"),
        )),
    }
}

/// Loss, rate, gradient norm, tokens and timings by step
///
/// Row t belongs to update t, counted from 1: loss, gradients and the rate are those that made it.
#[utoipa::path(get, path = "/v1/jobs/{job}/metrics", tag = "results", params(("job" = String, Path), StepsQuery),
    responses(
        (status = 200, content((Metrics = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn steps(
    State(state): State<ApiState>,
    InPath(job): InPath<JobId>,
    Query(query): Query<StepsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let format = Format::choose(query.format, &headers, &FORMATS)?;
    let range = wanted(query.from, query.to)?;
    metrics::require_job(&state.storage, &job).await?;
    let columns = metrics::steps(&state.storage, &job, &range).await?;
    let columns = thin(columns, query.points)?;
    let bytes = match format {
        Format::Json => {
            let hold_out = metrics::hold_out(&state.storage, &job, &range).await?;
            table::json(&as_metrics(
                job.clone(),
                &columns,
                &thin(hold_out, query.points)?,
            ))?
        }
        Format::Csv => steps_csv(&columns)?,
        Format::Ndjson => {
            table::ndjson((0..columns.steps.len()).map(|row| step_object(&columns, row)))?
        }
        Format::Parquet => parquet(&step_columns(columns))?,
    };
    Ok(tagged(&headers, format, &format!("{job}-metrics"), bytes))
}

fn as_metrics(job: JobId, columns: &Columns, hold_out: &Columns) -> Metrics {
    let series = STEP_SERIES.iter().chain([&KL_SERIES]).zip(&columns.values);
    Metrics {
        job,
        steps: columns.steps.clone(),
        series: series
            .map(|(name, values)| ((*name).to_owned(), shown(values)))
            .collect(),
        hold_out: HoldOut {
            steps: hold_out.steps.clone(),
            loss: shown(&hold_out.values[0]),
        },
    }
}

/// The first five series, and the KL term where the run has one; memory has no place in this table.
fn steps_csv(columns: &Columns) -> Answer<Vec<u8>> {
    let series = STEP_SERIES.iter().chain([&KL_SERIES]).zip(&columns.values);
    let shown = |(place, _): &(usize, _)| *place != MEMORY;
    let series: Vec<_> = series
        .enumerate()
        .filter(shown)
        .map(|(_, one)| one)
        .collect();
    let names = series.iter().map(|(name, _)| (**name).to_owned());
    let head = std::iter::once("step".to_owned()).chain(names);
    let row = |place: usize| {
        let values = series.iter().map(|(_, column)| column[place].to_string());
        std::iter::once(columns.steps[place].to_string())
            .chain(values)
            .collect()
    };
    table::csv(&head.collect::<Vec<_>>(), (0..columns.steps.len()).map(row))
}

fn step_object(columns: &Columns, place: usize) -> Value {
    let values = STEP_SERIES.iter().chain([&KL_SERIES]).zip(&columns.values);
    let numbers = values.map(|(name, column)| ((*name).to_owned(), number(column[place])));
    let step = ("step".to_owned(), columns.steps[place].into());
    Value::Object(std::iter::once(step).chain(numbers).collect())
}

fn step_columns(columns: Columns) -> Vec<(String, Values)> {
    let steps = columns.steps.iter().map(|step| whole(*step)).collect();
    let series = STEP_SERIES.iter().chain([&KL_SERIES]).zip(columns.values);
    let series = series.map(|(name, values)| ((*name).to_owned(), Values::Float(values)));
    std::iter::once(("step".to_owned(), Values::Whole(steps)))
        .chain(series)
        .collect()
}

fn whole(number: impl TryInto<i64>) -> Option<i64> {
    number.try_into().ok()
}

/// Null for what is no number.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Norms of the trained modules by step, from step 0, the state before the first update
#[utoipa::path(get, path = "/v1/jobs/{job}/lora-norms", tag = "results", params(("job" = String, Path), NormsQuery),
    responses(
        (status = 200, content((LoraNorms = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "no such module"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")
    ))]
async fn norms(
    State(state): State<ApiState>,
    InPath(job): InPath<JobId>,
    Query(query): Query<NormsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let format = Format::choose(query.format, &headers, &FORMATS)?;
    let range = wanted(query.from, query.to)?;
    metrics::require_job(&state.storage, &job).await?;
    let all = metrics::norm_modules(&state.storage, &job).await?;
    let places = places(&all, query.modules.as_deref())?;
    let modules: Vec<MeasuredModule> = places.iter().map(|place| all[*place].clone()).collect();
    let columns = match series_of(&modules) == CHANGE_SERIES {
        true => metrics::changes(&state.storage, &job, &range, &places).await?,
        false => metrics::norms(&state.storage, &job, &range, &places).await?,
    };
    let columns = thin(columns, query.points)?;
    let name = format!("{job}-lora-norms");
    let bytes = match format {
        Format::Json => table::json(&LoraNorms::new(job, modules, columns))?,
        Format::Csv => norms_csv(&modules, &columns)?,
        Format::Ndjson => table::ndjson(norm_objects(&modules, &columns))?,
        Format::Parquet => parquet(&norm_columns(&modules, &columns))?,
    };
    Ok(tagged(&headers, format, &name, bytes))
}

/// Places of the named modules in the job's list, in the order of the names.
fn places(all: &[MeasuredModule], names: Option<&str>) -> Answer<Vec<usize>> {
    let Some(names) = names else {
        return Ok((0..all.len()).collect());
    };
    let place = |name: &str| {
        all.iter()
            .position(|module| module.name == name)
            .ok_or_else(|| unknown_module(name, all))
    };
    names.split(',').map(|name| place(name.trim())).collect()
}

fn unknown_module(name: &str, all: &[MeasuredModule]) -> Problem {
    let some: Vec<&str> = all
        .iter()
        .take(8)
        .map(|module| module.name.as_str())
        .collect();
    let list = match (some.is_empty(), all.len() - some.len()) {
        (true, _) => "the job has none yet".to_owned(),
        (false, 0) => format!("there are {}", some.join(", ")),
        (false, more) => format!("there are {} and {more} more", some.join(", ")),
    };
    Problem::parameter(
        "modules",
        format!("no module \"{}\"; {list}", name.escape_debug()),
    )
}

/// (row, module) in the order of the long table.
fn cells(modules: &[MeasuredModule], columns: &Columns) -> impl Iterator<Item = (usize, usize)> {
    let count = modules.len();
    (0..columns.steps.len()).flat_map(move |row| (0..count).map(move |module| (row, module)))
}

/// The numbers of a module at a row, series by series.
fn numbers(columns: &Columns, (row, module): (usize, usize), count: usize) -> Vec<f64> {
    let series = columns.values.iter().skip(module).step_by(count);
    series.map(|column| column[row]).collect()
}

fn norms_csv(modules: &[MeasuredModule], columns: &Columns) -> Answer<Vec<u8>> {
    let names = ["step", "module", "layer", "projection"]
        .into_iter()
        .chain(series_of(modules).iter().copied());
    let head: Vec<String> = names.map(str::to_owned).collect();
    let rows = cells(modules, columns).map(|(row, place)| {
        let module = &modules[place];
        let mut cells = vec![
            columns.steps[row].to_string(),
            module.name.clone(),
            table::cell(module.layer),
            table::cell(module.projection.map(Projection::name)),
        ];
        let numbers = numbers(columns, (row, place), modules.len());
        cells.extend(numbers.iter().map(f64::to_string));
        cells
    });
    table::csv(&head, rows)
}

/// The long table, column by column.
fn norm_columns(modules: &[MeasuredModule], columns: &Columns) -> Vec<(String, Values)> {
    let rows: Vec<(usize, usize)> = cells(modules, columns).collect();
    let step = |(row, _): &(usize, usize)| whole(columns.steps[*row]);
    let layer = |(_, place): &(usize, usize)| modules[*place].layer.and_then(whole);
    let name = |(_, place): &(usize, usize)| Some(modules[*place].name.clone());
    let projection = |(_, place): &(usize, usize)| {
        let projection = modules[*place].projection;
        projection.map(|projection| projection.name().to_owned())
    };
    let mut table = vec![
        (
            "step".into(),
            Values::Whole(rows.iter().map(step).collect()),
        ),
        (
            "module".into(),
            Values::Name(rows.iter().map(name).collect()),
        ),
        (
            "layer".into(),
            Values::Whole(rows.iter().map(layer).collect()),
        ),
        (
            "projection".into(),
            Values::Name(rows.iter().map(projection).collect()),
        ),
    ];
    let count = modules.len();
    for (series, name) in series_of(modules).iter().enumerate() {
        let value = |(row, place): &(usize, usize)| columns.values[series * count + place][*row];
        table.push((
            (*name).into(),
            Values::Float(rows.iter().map(value).collect()),
        ));
    }
    table
}

fn norm_objects(modules: &[MeasuredModule], columns: &Columns) -> impl Iterator<Item = Value> {
    cells(modules, columns).map(move |(row, place)| {
        let module = &modules[place];
        let mut object = Map::new();
        object.insert("step".into(), columns.steps[row].into());
        object.insert("module".into(), module.name.as_str().into());
        object.insert("layer".into(), module.layer.into());
        object.insert("projection".into(), json!(module.projection));
        let names = series_of(modules).iter().map(|name| (*name).to_owned());
        let values = numbers(columns, (row, place), modules.len());
        object.extend(names.zip(values.into_iter().map(number)));
        Value::Object(object)
    })
}
