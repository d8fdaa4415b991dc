//! One row of a dataset over HTTP: as it was uploaded, and as a model would read and learn it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{entry, intake};
use crate::api::ApiState;
use crate::api::error::{Answer, Problem, ProblemBody};
use crate::api::extract::{InPath, Query};
use crate::api::files::disk;
use crate::api::model_files;
use crate::domain::assets::{Dataset, DatasetFormat};
use crate::domain::dataset::{Row, parse_row};
use crate::domain::finetune::{ChatSpec, LossOn, LossSpec};
use crate::execution::inspect::{Piece, RowAsk, RowTokens};
use crate::storage::registry;

/// Tokens of a row that are shown; the others are counted.
const SHOWN_TOKENS: usize = 1 << 15;

/// How a row is to be read; every field but the first needs the first.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RowQuery {
    /// Id or name of a ready base model, whose tokenizer and chat template are used; without it the row is shown as uploaded.
    base_model: Option<String>,
    /// As a fine-tune's `chat.system`: `template_default`, `none` or `text:…`.
    system: Option<String>,
    /// As `chat.date`: the date that the template may print, `YYYY-MM-DD`.
    date: Option<String>,
    /// As `chat.enable_thinking`.
    enable_thinking: Option<bool>,
    /// As `loss.on`: `assistant` or `all`.
    #[param(value_type = Option<String>)]
    loss_on: Option<LossOn>,
    /// As `loss.end_of_turn`, true where absent.
    end_of_turn: Option<bool>,
    /// As `loss.after_end_of_turn`, false where absent.
    after_end_of_turn: Option<bool>,
    /// As `loss.reference_tail`, false where absent.
    reference_tail: Option<bool>,
}

impl RowQuery {
    fn check(&self) -> Answer<()> {
        let given = [
            ("system", self.system.is_some()),
            ("date", self.date.is_some()),
            ("enable_thinking", self.enable_thinking.is_some()),
            ("loss_on", self.loss_on.is_some()),
            ("end_of_turn", self.end_of_turn.is_some()),
            ("after_end_of_turn", self.after_end_of_turn.is_some()),
            ("reference_tail", self.reference_tail.is_some()),
        ];
        let alone = given.iter().find(|(_, given)| *given);
        match (&self.base_model, alone) {
            (None, Some((name, _))) => Err(Problem::parameter(
                name,
                "says how a model reads the row; name the model with base_model",
            )),
            _ => Ok(()),
        }
    }

    fn ask(&self, row: Row) -> RowAsk {
        let (chat, loss) = (ChatSpec::default(), LossSpec::default());
        RowAsk {
            row,
            chat: ChatSpec {
                system: self.system.clone().unwrap_or(chat.system),
                date: self.date.clone(),
                enable_thinking: self.enable_thinking,
            },
            loss: LossSpec {
                on: self.loss_on.unwrap_or(loss.on),
                end_of_turn: self.end_of_turn.unwrap_or(loss.end_of_turn),
                after_end_of_turn: self.after_end_of_turn.unwrap_or(loss.after_end_of_turn),
                reference_tail: self.reference_tail.unwrap_or(loss.reference_tail),
                ..loss
            },
        }
    }
}

/// One row of a dataset.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DatasetRow {
    /// Its number, from 0.
    row: u64,
    /// Line in the file, from 1.
    line: u64,
    /// Form of the row.
    format: DatasetFormat,
    /// As uploaded.
    #[schema(value_type = Object)]
    value: Value,
    /// As a model reads it; only where a base model is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    rendered: Option<Rendered>,
}

/// A row as a model reads it.
#[derive(Debug, Serialize, ToSchema)]
struct Rendered {
    /// The model.
    base_model: String,
    /// The system text in force, the template's own included; null where there is none.
    system: Option<String>,
    /// The text that the chat template prints.
    text: String,
    /// Its tokens, the first 32768 of them.
    tokens: Vec<Token>,
    /// Tokens in all.
    token_count: u64,
    /// Those that carry loss.
    target_count: u64,
}

/// A token of a row.
#[derive(Debug, Serialize, ToSchema)]
struct Token {
    /// Its number in the vocabulary.
    id: u32,
    /// The characters that it covers; tokens that share a character each show it whole.
    text: String,
    /// The first of them, counted in code points of the rendered text from 0.
    start: u64,
    /// Behind the last of them.
    end: u64,
    /// Whether it carries loss.
    target: bool,
}

impl Rendered {
    fn of(base_model: String, row: RowTokens) -> Self {
        let token = |(piece, target): (Piece, &bool)| Token {
            id: piece.id,
            text: piece.text,
            start: piece.start,
            end: piece.end,
            target: *target,
        };
        Self {
            base_model,
            system: row.system,
            text: row.text,
            token_count: row.pieces.len() as u64,
            target_count: row.target.iter().filter(|target| **target).count() as u64,
            tokens: row
                .pieces
                .into_iter()
                .zip(&row.target)
                .take(SHOWN_TOKENS)
                .map(token)
                .collect(),
        }
    }
}

/// Show one row of a dataset, counted from 0
///
/// With `base_model` also the text that the model's chat template makes of it, its tokens, and which of them a fine-tune with the
/// same `chat` and `loss` would learn.
#[utoipa::path(get, path = "/v1/datasets/{dataset}/rows/{row}", tag = "assets",
    params(("dataset" = String, Path, description = "id or name"), ("row" = u64, Path, description = "from 0"), RowQuery),
    responses(
        (status = 200, body = DatasetRow),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such dataset, row or base model"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json", description = "the base model is not ready"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json", description = "the template refuses the row")
    ))]
pub(super) async fn row(
    State(state): State<ApiState>,
    InPath((key, number)): InPath<(String, u64)>,
    Query(query): Query<RowQuery>,
) -> Answer<Json<DatasetRow>> {
    query.check()?;
    let dataset = registry::dataset(&state.storage, &key).await?;
    let (line, bytes) = bytes(&state, &dataset, number).await?;
    let value = serde_json::from_slice(&bytes).map_err(Problem::internal)?;
    Ok(Json(DatasetRow {
        row: number,
        line,
        format: dataset.format,
        value,
        rendered: rendered(&state, &query, &bytes).await?,
    }))
}

async fn bytes(state: &ApiState, dataset: &Dataset, number: u64) -> Answer<(u64, Vec<u8>)> {
    if number >= dataset.examples {
        let detail = format!(
            "{number} of {} with {} rows, counted from 0,",
            dataset.name, dataset.examples
        );
        return Err(Problem::not_found("row", detail));
    }
    let file = state.files.checked(&entry(dataset)).await.map_err(disk)?;
    let found = tokio::task::spawn_blocking(move || intake::row_of(&file.path, number)).await;
    found.map_err(Problem::internal)?.map_err(disk)
}

async fn rendered(state: &ApiState, query: &RowQuery, bytes: &[u8]) -> Answer<Option<Rendered>> {
    let Some(reference) = &query.base_model else {
        return Ok(None);
    };
    let model = model_files::of_base_without_weights(state, reference).await?;
    let read = parse_row(bytes).map_err(|errors| {
        let told = errors.first().map(|error| error.detail.clone());
        Problem::internal(told.unwrap_or_default())
    })?;
    let (ask, name) = (query.ask(read.row), model.name.clone());
    let tokens = model_files::inspected(state, move |inspect| inspect.row(&model, &ask)).await?;
    Ok(Some(Rendered::of(name, tokens)))
}
