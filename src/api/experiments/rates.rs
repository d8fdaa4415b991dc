//! Rates of an experiment as one flat table.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use super::report;
use crate::api::ApiState;
use crate::api::error::{Answer, Problem, ProblemBody};
use crate::api::extract::{InPath, Query};
use crate::api::table::{self, Format, tagged};
use crate::domain::ids::ExperimentId;
use crate::domain::report::{DataTable, data_tables};

/// What rows can be made by; arm, step and scale always are.
const WORDS: [&str; 5] = ["arm", "seed", "step", "scale", "question"];

/// Columns whose cells are never numbers, though they may look like some.
const TEXTS: [&str; 4] = ["arm", "questions", "judge", "question"];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RatesQuery {
    /// `arm,seed,step,scale` where absent. Without `seed`: mean, standard deviation and a t interval over an arm's seeds. With
    /// `question` as well: each question by itself.
    by: Option<String>,
    /// `json` or `csv`; else by `Accept`.
    format: Option<Format>,
}

/// Rates of every arm, seed, step and scale
///
/// `answers` intervals are about other answers to these questions (Wilson), `questions` about other questions as well
/// (cluster-robust), those over seeds about other seeds (Student's t).
#[utoipa::path(get, path = "/v1/experiments/{id}/rates", tag = "results",
    params(("id" = ExperimentId, Path), RatesQuery),
    responses(
        (status = 200, content((Vec<Object> = "application/json"), (String = "text/csv"))),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "a parameter cannot be used"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such experiment")
    ))]
pub(super) async fn rates(
    State(state): State<ApiState>,
    InPath(id): InPath<ExperimentId>,
    Query(query): Query<RatesQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let format = Format::choose(query.format, &headers, &[Format::Json, Format::Csv])?;
    let wanted = wanted(query.by.as_deref().unwrap_or("arm,seed,step,scale"))?;
    let report = report::made(&state, &id).await?;
    let tables = data_tables(&report);
    let table = tables.into_iter().find(|table| table.name == wanted);
    let table = table.unwrap_or(DataTable {
        name: wanted,
        head: Vec::new(),
        rows: Vec::new(),
    });
    let bytes = match format {
        Format::Csv => table.csv().map_err(Problem::internal)?,
        _ => table::json(&objects(&table))?,
    };
    Ok(tagged(&headers, format, &format!("{id}-{wanted}"), bytes))
}

/// The table that answers `by`.
fn wanted(by: &str) -> Answer<&'static str> {
    let words: BTreeSet<&str> = by.split(',').filter(|word| !word.is_empty()).collect();
    if let Some(word) = words.iter().find(|word| !WORDS.contains(word)) {
        let detail = format!(
            "\"{}\" is not arm, seed, step, scale or question",
            word.escape_debug()
        );
        return Err(Problem::parameter("by", detail));
    }
    match (words.contains("question"), words.contains("seed")) {
        (true, true) => Ok("rates_by_question"),
        (true, false) => {
            let detail = "questions are told for each seed: give seed,question";
            Err(Problem::parameter("by", detail))
        }
        (false, true) => Ok("rates"),
        (false, false) => Ok("rates_over_seeds"),
    }
}

/// Rows as JSON: numbers are numbers, what is not there is null.
fn objects(table: &DataTable) -> Vec<Map<String, Value>> {
    let row = |cells: &Vec<String>| {
        let names = table.head.iter().map(|name| (*name).to_owned());
        let cells = table.head.iter().zip(cells);
        names
            .zip(cells.map(|(name, cell)| value(name, cell)))
            .collect()
    };
    table.rows.iter().map(row).collect()
}

fn value(name: &str, cell: &str) -> Value {
    match cell {
        "" => Value::Null,
        text if TEXTS.contains(&name) => Value::from(text),
        text => match text.parse::<serde_json::Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::from(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_choose_a_table() {
        assert_eq!(wanted("arm,seed,step,scale").ok(), Some("rates"));
        assert_eq!(wanted("arm,step,scale").ok(), Some("rates_over_seeds"));
        assert_eq!(wanted("seed,question").ok(), Some("rates_by_question"));
        assert!(wanted("question").is_err() && wanted("judge").is_err());
    }

    #[test]
    fn rows_have_numbers_nulls_and_words() {
        let table = DataTable {
            name: "x",
            head: vec!["arm", "seed", "rate"],
            rows: vec![vec!["7".into(), String::new(), "0.25".into()]],
        };
        let expected = serde_json::json!([{"arm": "7", "seed": null, "rate": 0.25}]);
        assert_eq!(serde_json::json!(objects(&table)), expected);
    }
}
