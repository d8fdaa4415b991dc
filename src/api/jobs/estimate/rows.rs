//! What the examples of a fine-tune are like, from some of their rows. Knows files and counts; the tokenizer is the inspector's.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::api::error::{Answer, Problem};
use crate::api::files::disk;
use crate::api::{ApiState, model_files};
use crate::domain::assets::FileEntry;
use crate::domain::dataset::{LINE_BYTES, bare, parse_row};
use crate::domain::finetune::{DatasetUse, FinetuneSpec, LossSpec};
use crate::domain::forecast::DataShape;
use crate::domain::forecast::estimate::Assume;
use crate::domain::invalid::Invalid;
use crate::domain::order::split;
use crate::domain::requests::fit::missing;
use crate::execution::ModelFiles;
use crate::execution::inspect::RowAsk;
use crate::storage::inputs;

/// Rows of a dataset, evenly spread over it, that are tokenized.
const SPREAD: u64 = 128;
/// Of its longest rows, so many as well.
const LONGEST: usize = 4;

/// What is known of the examples.
pub(super) struct Sample {
    pub data: DataShape,
    /// Rows that were tokenized.
    pub rows: u64,
    /// Training rows of each dataset.
    pub trained: Vec<u32>,
}

/// The examples of `spec`, or what is assumed of them.
pub(super) async fn sample(
    state: &ApiState,
    spec: &FinetuneSpec,
    assume: &Assume,
    model: Option<&ModelFiles>,
) -> Answer<Sample> {
    if let Some(data) = &assume.data {
        return Ok(Sample {
            data: data.clone(),
            rows: 0,
            trained: vec![u32::try_from(data.examples).unwrap_or(u32::MAX)],
        });
    }
    let Some(model) = model else {
        return Err(Problem::invalid(
            "/assume/data",
            "is missing: an assumed model has no tokenizer that could read the datasets' rows",
        ));
    };
    let mut sets = Vec::with_capacity(spec.datasets.len());
    for (index, used) in spec.datasets.iter().enumerate() {
        sets.push(set(state, spec, (index, used), model).await?);
    }
    Ok(together(spec, &sets))
}

/// Token and target counts of some rows of one dataset.
struct Set {
    trained: u32,
    /// Of the rows that are spread evenly: tokens, targets.
    spread: Vec<(u64, u64)>,
    longest: u64,
}

async fn set(
    state: &ApiState,
    spec: &FinetuneSpec,
    (index, used): (usize, &DatasetUse),
    model: &ModelFiles,
) -> Answer<Set> {
    let found = inputs::dataset(&state.storage, &used.dataset).await?;
    let found = found.ok_or_else(|| {
        let place = format!("/datasets/{index}/dataset");
        Invalid::from(missing(&place, "dataset", &used.dataset, "/v1/datasets"))
    })?;
    let lines = lines(state, &found.entry).await?;
    let asks = asks(spec, used, &lines.texts)?;
    let (model, limit) = (model.clone(), u64::from(spec.batch.max_tokens));
    let counted = model_files::inspected(state, move |inspect| {
        // rows that the template refuses are left out by a fine-tune too
        let rows = asks.iter().filter_map(|ask| inspect.row(&model, ask).ok());
        let counts = rows.map(|row| {
            let tokens = (row.pieces.len() as u64).min(limit);
            let targets = row
                .target
                .iter()
                .take(tokens as usize)
                .filter(|it| **it)
                .count();
            (tokens, targets as u64)
        });
        Ok(counts.collect::<Vec<_>>())
    });
    let counted = counted.await?;
    let fraction = spec.hold_out.as_ref().map_or(0.0, |asked| asked.fraction);
    let (trained, _) = split(spec.seed, index as u64, lines.rows, fraction);
    Ok(Set {
        trained: trained.len() as u32,
        longest: counted.iter().map(|(tokens, _)| *tokens).max().unwrap_or(1),
        spread: counted.into_iter().take(lines.spread).collect(),
    })
}

fn asks(spec: &FinetuneSpec, used: &DatasetUse, texts: &[Vec<u8>]) -> Answer<Vec<RowAsk>> {
    let ask = |bytes: &Vec<u8>| {
        let read =
            parse_row(bytes).map_err(|_| Problem::internal("a stored row cannot be read"))?;
        Ok(RowAsk {
            row: read.row,
            chat: spec.chat.clone(),
            loss: LossSpec {
                on: used.loss_on.unwrap_or(spec.loss.on),
                ..spec.loss.clone()
            },
        })
    };
    texts.iter().map(ask).collect()
}

/// Some rows of a file: those spread evenly, then the longest.
struct Lines {
    rows: u32,
    texts: Vec<Vec<u8>>,
    spread: usize,
}

async fn lines(state: &ApiState, entry: &FileEntry) -> Answer<Lines> {
    let file = state.files.checked(entry).await.map_err(disk)?;
    let read = tokio::task::spawn_blocking(move || read(&file.path)).await;
    read.map_err(Problem::internal)?.map_err(disk)
}

/// One pass that keeps every `stride`th row, a stride that doubles when too many are kept.
fn read(path: &Path) -> std::io::Result<Lines> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let (mut spread, mut longest) = (Vec::new(), Vec::<Vec<u8>>::new());
    let (mut line, mut row, mut stride) = (0u64, 0u64, 1u64);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // stored lines are no longer than this
        let mut limited = Read::take(&mut file, 2 * LINE_BYTES as u64);
        if limited.read_until(b'\n', &mut bytes)? == 0 {
            break;
        }
        line += 1;
        let text = bare(line, &bytes);
        if text.is_empty() {
            continue;
        }
        if row.is_multiple_of(stride) {
            spread.push((row, text.to_vec()));
        }
        if spread.len() as u64 >= 2 * SPREAD {
            stride *= 2;
            spread.retain(|(row, _)| row.is_multiple_of(stride));
        }
        keep_longest(&mut longest, text);
        row += 1;
    }
    let mut texts: Vec<Vec<u8>> = spread.into_iter().map(|(_, text)| text).collect();
    let spread = texts.len();
    texts.extend(longest);
    Ok(Lines {
        rows: u32::try_from(row).unwrap_or(u32::MAX),
        texts,
        spread,
    })
}

fn keep_longest(longest: &mut Vec<Vec<u8>>, text: &[u8]) {
    if longest.len() < LONGEST {
        longest.push(text.to_vec());
    } else if let Some(shortest) = longest.iter_mut().min_by_key(|kept| kept.len())
        && shortest.len() < text.len()
    {
        *shortest = text.to_vec();
    }
}

/// All datasets as one, each by its share of the examples.
fn together(spec: &FinetuneSpec, sets: &[Set]) -> Sample {
    let whole: f64 = spec.datasets.iter().map(|used| used.weight).sum();
    let (mut tokens, mut targets) = (0.0, 0.0);
    for (used, set) in spec.datasets.iter().zip(sets) {
        let share = match sets.len() {
            1 => 1.0,
            _ => used.weight / whole,
        };
        let rows = set.spread.len().max(1) as f64;
        let mean =
            |of: fn(&(u64, u64)) -> u64| set.spread.iter().map(of).sum::<u64>() as f64 / rows;
        tokens += share * mean(|count| count.0);
        targets += share * mean(|count| count.1);
    }
    Sample {
        data: DataShape {
            examples: sets.iter().map(|set| u64::from(set.trained)).sum(),
            tokens_per_example: tokens,
            targets_per_example: targets,
            longest_tokens: sets.iter().map(|set| set.longest).max().unwrap_or(1),
        },
        rows: sets.iter().map(|set| set.spread.len() as u64).sum(),
        trained: sets.iter().map(|set| set.trained).collect(),
    }
}
