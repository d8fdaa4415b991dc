//! Answers with their scores: a page as JSON, all of them as a stream of lines.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::{Stream, stream};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{require_targets, target_cells, target_head};
use crate::api::ApiState;
use crate::api::error::{Answer, Problem, ProblemBody};
use crate::api::extract::{InPath, Query};
use crate::api::paging;
use crate::api::table::{self, Format, answer, cell, tagged};
use crate::domain::evaluation::{Completion, Evaluation};
use crate::domain::page::Page;
use crate::storage::results::{self, Wanted};

/// Answers that a stream reads at once.
const BATCH: i64 = 200;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CompletionsQuery {
    /// Address of a target; may be repeated.
    #[serde(default)]
    target: Vec<String>,
    /// Id of a question; may be repeated.
    #[serde(default)]
    question: Vec<String>,
    /// Only answers whose `aligned` score lies below it.
    aligned_below: Option<f64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items at most; 50 in JSON, all in CSV and NDJSON where absent.
    limit: Option<u32>,
    /// `json`, `csv` or `ndjson`; else by `Accept`.
    format: Option<Format>,
}

/// Answers in the order of recording
///
/// JSON comes in pages. CSV and NDJSON come as one stream of all answers, or of the first `limit`.
#[utoipa::path(get, path = "/v1/evaluations/{evaluation}/completions", tag = "results",
    params(("evaluation" = String, Path, description = "its id or its job's"), CompletionsQuery),
    responses(
        (status = 200, content((Page<Completion> = "application/json"), (String = "text/csv"), (String = "application/x-ndjson"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json")
    ))]
pub(super) async fn completions(
    State(state): State<ApiState>,
    InPath(key): InPath<String>,
    Query(query): Query<CompletionsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let format = Format::choose(
        query.format,
        &headers,
        &[Format::Json, Format::Csv, Format::Ndjson],
    )?;
    let evaluation = results::evaluation(&state.storage, &key).await?;
    let wanted = wanted(&query, &evaluation)?;
    if format == Format::Json {
        let page = page(
            &state,
            &evaluation,
            wanted,
            paging::limit(query.limit, &state)?,
        )
        .await?;
        return Ok(tagged(&headers, format, "completions", table::json(&page)?));
    }
    let name = format!("{}-completions", evaluation.id);
    let left = query.limit.map_or(i64::MAX, i64::from);
    Ok(answer(
        format,
        &name,
        Body::from_stream(lines(state, evaluation, wanted, format, left)),
    ))
}

fn wanted(query: &CompletionsQuery, evaluation: &Evaluation) -> Answer<Wanted> {
    require_targets(evaluation, &query.target)?;
    if query.aligned_below.is_some_and(|score| !score.is_finite()) {
        return Err(Problem::parameter(
            "aligned_below",
            "give a number from 0 to 100",
        ));
    }
    let malformed = || Problem::parameter("cursor", "not one that a page of this list gave");
    let after = match &query.cursor {
        Some(cursor) => cursor
            .parse()
            .ok()
            .filter(|place| *place >= 0)
            .ok_or_else(malformed)?,
        None => 0,
    };
    Ok(Wanted {
        targets: query.target.clone(),
        questions: query.question.clone(),
        aligned_below: query.aligned_below,
        after,
        limit: 0,
    })
}

async fn page(
    state: &ApiState,
    evaluation: &Evaluation,
    wanted: Wanted,
    limit: usize,
) -> Answer<Page<Completion>> {
    let wanted = Wanted {
        limit: limit as i64 + 1,
        ..wanted
    };
    let rows = results::completions(&state.storage, &evaluation.id, &wanted).await?;
    let page = Page::cut(rows, limit, |(position, _)| position.to_string());
    Ok(Page {
        data: page
            .data
            .into_iter()
            .map(|(_, completion)| completion)
            .collect(),
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    })
}

/// What is left of a stream.
struct Rest {
    state: ApiState,
    evaluation: Evaluation,
    wanted: Wanted,
    format: Format,
    left: i64,
    /// Whether the line of names is still to come.
    head: bool,
}

fn lines(
    state: ApiState,
    evaluation: Evaluation,
    wanted: Wanted,
    format: Format,
    left: i64,
) -> impl Stream<Item = Result<Vec<u8>, String>> {
    let head = format == Format::Csv;
    stream::try_unfold(
        Rest {
            state,
            evaluation,
            wanted,
            format,
            left,
            head,
        },
        batch,
    )
}

async fn batch(mut rest: Rest) -> Result<Option<(Vec<u8>, Rest)>, String> {
    let failed = |problem: Problem| format!("the stream ends early: {}", problem.code());
    rest.wanted.limit = BATCH.min(rest.left);
    let rows = match rest.left {
        0 => Vec::new(),
        _ => results::completions(&rest.state.storage, &rest.evaluation.id, &rest.wanted)
            .await
            .map_err(|error| failed(error.into()))?,
    };
    let Some((last, _)) = rows.last() else {
        let head = std::mem::take(&mut rest.head).then(|| csv(&rest.evaluation, true, &[]));
        return head
            .transpose()
            .map_err(failed)
            .map(|head| head.map(|bytes| (bytes, rest)));
    };
    rest.wanted.after = *last;
    rest.left -= rows.len() as i64;
    let rows: Vec<Completion> = rows.into_iter().map(|(_, completion)| completion).collect();
    let bytes = match rest.format {
        Format::Csv => csv(&rest.evaluation, std::mem::take(&mut rest.head), &rows),
        _ => table::ndjson(&rows),
    };
    Ok(Some((bytes.map_err(failed)?, rest)))
}

fn csv(evaluation: &Evaluation, with_head: bool, rows: &[Completion]) -> Answer<Vec<u8>> {
    let mut head = Vec::new();
    if with_head {
        head = target_head();
        head.extend(table::head(&[
            "question",
            "paraphrase",
            "sample",
            "prompt",
            "answer",
            "finish_reason",
            "tokens",
            "mean_logprob",
        ]));
        let metrics = evaluation.metrics.iter();
        head.extend(metrics.flat_map(|metric| [metric.clone(), format!("{metric}_unscored")]));
    }
    table::csv(&head, rows.iter().map(|row| cells(evaluation, row)))
}

fn cells(evaluation: &Evaluation, row: &Completion) -> Vec<String> {
    let mut cells = target_cells(Some(&row.target));
    cells.extend([
        row.question.clone(),
        row.paraphrase.to_string(),
        row.sample.to_string(),
        row.prompt.clone(),
        row.answer.clone(),
        word(&row.finish_reason),
        row.tokens.to_string(),
        row.mean_logprob.to_string(),
    ]);
    for metric in &evaluation.metrics {
        cells.push(cell(row.scores.get(metric)));
        cells.push(row.unscored.get(metric).map(word).unwrap_or_default());
    }
    cells
}

/// The name that a value without fields has in JSON.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
