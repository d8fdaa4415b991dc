//! The datasets of a fine-tune as examples, in two parts: trained on and held out.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde_json::json;

use crate::domain::finetune::{DatasetUse, KlSpec, PreparedRows, RowsPurpose};
use crate::domain::forecast::DataShape;
use crate::domain::job::ErrorClass;
use crate::domain::order::{Draw, split};
use crate::engine::chat::{Chat, ChatError, Prepared, Rows, RowsAsked};
use crate::engine::train::batch::{Example, size_of};
use crate::execution::{Context, DatasetFile, Failure, FinetuneWork, Report, Stop};
use crate::recipes::{broken_file, failure, verified};

/// Lines that a report of left-out rows names at most.
const MOST_LINES: usize = 20;

/// One dataset.
struct Set {
    examples: Vec<Example>,
    trained: Vec<u32>,
    held: Vec<u32>,
}

/// All datasets, in the order of the spec.
pub(super) struct Data {
    sets: Vec<Set>,
    /// Rows of the KL term that have a token to count.
    kl: Vec<Example>,
}

impl Data {
    /// Reads and tokenizes every dataset; tells what became of the rows and what the first one looks like to the model.
    pub(super) fn read(work: &FinetuneWork, context: &dyn Context) -> Result<Self, Stop> {
        let chat = Chat::load(&verified(&work.base, context)?)?;
        let mut sets = Vec::with_capacity(work.datasets.len());
        for (index, (used, file)) in work.spec.datasets.iter().zip(&work.datasets).enumerate() {
            context.turn()?;
            let prepared = prepare(work, used, file, &chat, context)?;
            tell(used, RowsPurpose::Train, &prepared, context)?;
            learnable(used, &prepared, &chat)?;
            if index == 0 {
                tell_first(&prepared, &chat, context)?;
            }
            sets.push(Set::new(work, index as u64, prepared.examples));
        }
        let kl = compared(work, &chat, context)?;
        Ok(Self { sets, kl })
    }

    /// The rows of the KL term.
    pub(super) fn kl(&self) -> &[Example] {
        &self.kl
    }

    /// Training rows of each dataset.
    pub(super) fn sizes(&self) -> Vec<u32> {
        self.sets
            .iter()
            .map(|set| set.trained.len() as u32)
            .collect()
    }

    /// What the training rows are like, all datasets together.
    pub(super) fn shape(&self) -> DataShape {
        let of = |set: &'_ Set| {
            set.trained
                .iter()
                .map(|row| *row as usize)
                .collect::<Vec<_>>()
        };
        let examples: Vec<&Example> = self
            .sets
            .iter()
            .flat_map(|set| of(set).into_iter().map(|row| &set.examples[row]))
            .collect();
        let size = size_of(&examples);
        let count = examples.len().max(1) as f64;
        DataShape {
            examples: examples.len() as u64,
            tokens_per_example: size.tokens as f64 / count,
            targets_per_example: size.targets as f64 / count,
            longest_tokens: self.longest() as u64 + 1,
        }
    }

    /// The example of a draw.
    pub(super) fn example(&self, draw: Draw) -> &Example {
        let set = &self.sets[draw.dataset];
        &set.examples[set.trained[draw.row as usize] as usize]
    }

    /// Every example that is held out.
    pub(super) fn held(&self) -> Vec<&Example> {
        let of = |set: &'_ Set| set.held.iter().map(|row| *row as usize).collect::<Vec<_>>();
        let rows = self.sets.iter().map(|set| (set, of(set)));
        rows.flat_map(|(set, rows)| rows.into_iter().map(|row| &set.examples[row]))
            .collect()
    }

    /// Input tokens of the longest example.
    pub(super) fn longest(&self) -> usize {
        let examples = self.sets.iter().flat_map(|set| &set.examples);
        let examples = examples.chain(&self.kl);
        examples.map(Example::inputs).max().unwrap_or(1).max(1)
    }
}

impl Set {
    fn new(work: &FinetuneWork, index: u64, examples: Vec<Example>) -> Self {
        let fraction = work
            .spec
            .hold_out
            .as_ref()
            .map_or(0.0, |asked| asked.fraction);
        let (trained, held) = split(work.spec.seed, index, examples.len() as u32, fraction);
        Self {
            examples,
            trained,
            held,
        }
    }
}

/// The rows of the KL term, without those that count no token.
fn compared(work: &FinetuneWork, chat: &Chat, context: &dyn Context) -> Result<Vec<Example>, Stop> {
    let Some((kl, file)) = work.spec.loss.kl.as_ref().zip(work.kl.as_ref()) else {
        return Ok(Vec::new());
    };
    context.turn()?;
    let used = use_of(kl);
    let mut prepared = prepare(work, &used, file, chat, context)?;
    tell(&used, RowsPurpose::Kl, &prepared, context)?;
    learnable(&used, &prepared, chat)?;
    prepared.examples.retain(|example| example.targets() > 0);
    Ok(prepared.examples)
}

/// The KL term's dataset as one that is trained on: what is counted there is a target here.
fn use_of(kl: &KlSpec) -> DatasetUse {
    DatasetUse {
        dataset: kl.dataset.clone(),
        weight: 1.0,
        loss_on: Some(kl.tokens),
        loss_weight: 1.0,
    }
}

fn prepare(
    work: &FinetuneWork,
    used: &DatasetUse,
    dataset: &DatasetFile,
    chat: &Chat,
    context: &dyn Context,
) -> Result<Prepared, Stop> {
    let spec = &work.spec;
    let asked = RowsAsked {
        format: dataset.format,
        on: used.loss_on.unwrap_or(spec.loss.on),
        loss: spec.loss.clone(),
        weight: used.loss_weight,
        max_tokens: spec.batch.max_tokens,
        packing: spec.batch.packing,
        chat: spec.chat.clone(),
    };
    let entry = &dataset.file.entry;
    let broken = |error: std::io::Error| broken_file(&entry.name, &error);
    let file = context.blobs().verified(entry).map_err(broken)?;
    let lines = BufReader::new(File::open(&file.path).map_err(broken)?).lines();
    let mut rows = Rows::new(chat, asked);
    for line in lines {
        rows.line(&line.map_err(broken)?)
            .map_err(|error| of_dataset(used, error))?;
    }
    rows.finish().map_err(|error| of_dataset(used, error))
}

/// Refuses a dataset of which no row has a token to learn, or to compare.
fn learnable(used: &DatasetUse, prepared: &Prepared, chat: &Chat) -> Result<(), Stop> {
    let learns = |example: &Example| example.targets() > 0;
    if prepared.examples.iter().any(learns) {
        return Ok(());
    }
    let (rows, limit, longest) = (prepared.rows, prepared.limit, prepared.longest);
    let (code, what) = if rows > 0 && prepared.cut == rows {
        let most = chat.context_length().unwrap_or(u64::MAX);
        let remedy = match limit < longest.min(most) {
            true => "raise batch.max_tokens or shorten the rows",
            false => "shorten the rows, or take a base model with a longer context",
        };
        let what = format!(
            "every one of its {rows} rows is longer than {limit} tokens (the longest has {longest}) and has no token to \
             learn before that; {remedy}"
        );
        ("every_row_too_long", what)
    } else {
        let what = "no row has a token to learn; look at loss.on (loss.kl.tokens for the KL term) and at batch.max_tokens";
        ("no_targets", what.to_owned())
    };
    let message = format!("dataset {}: {what}", used.dataset);
    Err(failure(ErrorClass::Data, code, message).into())
}

/// The same error with the dataset's name before it.
fn of_dataset(used: &DatasetUse, error: ChatError) -> Stop {
    let mut failure = Failure::from(error);
    failure.message = format!("dataset {}: {}", used.dataset, failure.message);
    failure.into()
}

fn tell(
    used: &DatasetUse,
    purpose: RowsPurpose,
    prepared: &Prepared,
    context: &dyn Context,
) -> Result<(), Stop> {
    let lines = &prepared.template_prefix;
    let rows = PreparedRows {
        dataset: used.dataset.clone(),
        purpose,
        rows: prepared.rows,
        examples: prepared.examples.len() as u64,
        max_tokens: prepared.limit,
        longest: prepared.longest,
        cut: prepared.cut,
        cut_tokens: prepared.cut_tokens,
        cut_targets: prepared.cut_targets,
        without_target: prepared.without_target,
        template_prefix: lines.len() as u64,
    };
    let mut data = json!(rows);
    data["template_prefix_lines"] = json!(&lines[..lines.len().min(MOST_LINES)]);
    context.report(Report::Event {
        r#type: "dataset_prepared",
        data,
    })
}

/// What was in force: one row as text, as token ids and with its targets.
fn tell_first(prepared: &Prepared, chat: &Chat, context: &dyn Context) -> Result<(), Stop> {
    let Some(example) = prepared.examples.first() else {
        return Ok(());
    };
    let text = match &prepared.first {
        Some(first) => first.text.clone(),
        None => chat.tokenizer().spell(&example.tokens)?,
    };
    context.report(Report::Event {
        r#type: "rendered_first",
        data: json!({
            "text": text,
            "system": prepared.first.as_ref().and_then(|first| first.system.as_deref()),
            "token_ids": example.tokens,
            "target": example.target,
        }),
    })
}
