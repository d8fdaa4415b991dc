//! A running batch that rows join and leave: whoever holds it submits, and asks for one piece of work at a time.
//!
//! Knows no thread and no queue of requests. A piece of work is the reading of one prompt or one decode step.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::batch::{Batch, not_finite};
use super::cache::{Keeping, Prefix};
use super::row::{Row, Spoken, Variant};
use super::waiting::{Place, Waiting, place_of};
use crate::engine::model::{Model, pad_right};
use crate::engine::sample::{self, Chance};
use crate::engine::weights::Weights;
use crate::engine::{Error, Result};

/// Batches at once: one for each padded rank in use, and one more whenever somebody waits and all slots are taken.
const MOST_BATCHES: usize = 4;
/// Logits that are held at once while a prompt's own probabilities are computed.
const MOST_LOGITS: i64 = 1 << 24;
/// Positions of the first rotary tables; they grow with the rows.
const FIRST_POSITIONS: i64 = 512;

/// Rows in work and rows that wait, on one set of weights.
pub struct Live {
    model: Model,
    slots: usize,
    waiting: Waiting,
    readings: VecDeque<Reading>,
    batches: Vec<Batch>,
    prefixes: HashMap<Place, Prefix>,
    next: usize,
}

/// A prompt whose own probabilities are wanted.
struct Reading {
    id: u64,
    prompt: Arc<[u32]>,
    variant: Variant,
    alternatives: u32,
}

/// What a piece of work gave.
#[derive(Debug)]
pub enum Told {
    /// A token of a row.
    Said(Spoken),
    /// A prompt's own probabilities, from its second token on.
    Read(u64, Vec<Chance>),
    /// These rows or readings failed and are gone.
    Lost(Vec<u64>, Error),
}

/// For whom the next piece of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Somebody waits for an answer.
    pub urgent: bool,
    /// Somebody waits for the first token of an answer.
    pub first: bool,
}

impl Live {
    /// Nothing in work yet; `slots` as [`super::slots`] gives them.
    pub fn new(weights: Weights, slots: usize) -> Result<Self> {
        let positions = FIRST_POSITIONS.min(weights.config.max_position_embeddings);
        Ok(Self {
            model: Model::new(weights, positions)?,
            slots,
            waiting: Waiting::default(),
            readings: VecDeque::new(),
            batches: Vec::new(),
            prefixes: HashMap::new(),
            next: 0,
        })
    }

    /// The shape of the model.
    pub fn config(&self) -> &crate::engine::model::config::ModelConfig {
        self.model.config()
    }

    /// Lets a row wait for a slot; what is told of it names `id`.
    ///
    /// *Errors* `Config` for a prompt that is empty, has ids beyond the vocabulary or passes, with the longest answer, the
    /// model's positions.
    pub fn submit(&mut self, id: u64, row: Row) -> Result<()> {
        self.admit(&row.prompt, i64::from(row.max_new_tokens))?;
        if row.max_new_tokens == 0 {
            return Err(Error::config(
                "max_new_tokens",
                "0 draws nothing; use 1 or more",
            ));
        }
        self.waiting.push(id, row);
        Ok(())
    }

    /// Asks for the probabilities of a prompt's own tokens, with so many alternatives; told before any row's token.
    ///
    /// *Errors* as for [`Live::submit`].
    pub fn read(
        &mut self,
        id: u64,
        prompt: Arc<[u32]>,
        variant: Variant,
        alternatives: u32,
    ) -> Result<()> {
        self.admit(&prompt, 0)?;
        self.readings.push_back(Reading {
            id,
            prompt,
            variant,
            alternatives,
        });
        Ok(())
    }

    fn admit(&mut self, prompt: &[u32], answer: i64) -> Result<()> {
        let config = self.model.config();
        if prompt.is_empty() {
            let detail = "is empty; a model needs at least one token";
            return Err(Error::config("prompt", detail));
        }
        let vocabulary = config.vocab_size;
        if let Some(id) = prompt.iter().find(|id| i64::from(**id) >= vocabulary) {
            let detail = format!("{vocabulary} is not above the prompt's token {id}");
            return Err(Error::config("vocab_size", detail));
        }
        let (length, most) = (prompt.len() as i64, config.max_position_embeddings);
        let needed = length + answer;
        if needed > most {
            let detail = format!(
                "{most} is less than the {needed} positions of a prompt of {length} tokens with max_new_tokens {answer}"
            );
            return Err(Error::config("max_position_embeddings", detail));
        }
        self.reach(needed)
    }

    /// Rotary tables for so many positions; no row's numbers depend on how long they are.
    fn reach(&mut self, positions: i64) -> Result<()> {
        if positions <= self.model.rope().positions() {
            return Ok(());
        }
        let wanted = (positions as u64).next_power_of_two() as i64;
        let most = self.model.config().max_position_embeddings;
        self.model = Model::new(self.model.weights().shallow_clone()?, wanted.min(most))?;
        Ok(())
    }

    /// Takes a row or a reading out; nothing more is told of it.
    pub fn withdraw(&mut self, id: u64) {
        self.readings.retain(|reading| reading.id != id);
        if let Some(row) = self.waiting.withdraw(id) {
            self.forget(&place_of(&row));
        } else {
            let mut batches = self.batches.iter_mut();
            batches.any(|batch| batch.withdraw(id));
        }
    }

    /// For whom the next piece of work is; none when there is none to do.
    pub fn need(&self) -> Option<Need> {
        let asked = self.waiting.is_urgent() || !self.readings.is_empty();
        let mut need = Need {
            urgent: asked,
            first: asked,
        };
        let mut any = asked || !self.waiting.is_empty();
        for batch in &self.batches {
            let (urgent, first) = batch.urgency();
            need.urgent |= urgent;
            need.first |= first;
            any |= !batch.is_idle();
        }
        any.then_some(need)
    }

    /// Does one piece of work and says what came of it.
    pub fn advance(&mut self) -> Vec<Told> {
        let _guard = tch::no_grad_guard();
        if let Some(reading) = self.readings.pop_front() {
            return vec![self.answer(reading)];
        }
        while let Some((group, seating)) = self.seatable() {
            let Some((id, row)) = self.waiting.pop(group) else {
                break;
            };
            match self.seat(seating, id, row) {
                Ok(false) => {}
                Ok(true) => return Vec::new(),
                Err(error) => return vec![Told::Lost(vec![id], error)],
            }
        }
        self.step()
    }

    fn answer(&mut self, reading: Reading) -> Told {
        let id = reading.id;
        match self.read_with_chances(reading) {
            Ok(chances) => Told::Read(id, chances),
            Err(error) => Told::Lost(vec![id], error),
        }
    }

    fn read_with_chances(&mut self, reading: Reading) -> Result<Vec<Chance>> {
        let wanted = Some(reading.alternatives);
        let (prefix, chances) = self.pass(&reading.prompt, &reading.variant, wanted)?;
        let place = (reading.variant.key(), reading.prompt);
        if let (Some(prefix), true) = (prefix, self.waiting.uses(&place) > 0) {
            self.prefixes.insert(place, prefix);
        }
        let finite = chances.iter().all(|chance| chance.logprob.is_finite());
        match finite {
            true => Ok(chances),
            false => Err(not_finite()),
        }
    }

    /// The first waiting row that has a place to go.
    fn seatable(&self) -> Option<(usize, Seating)> {
        let found = self.waiting.heads().find_map(|(group, row)| {
            let by = |apart: bool| {
                let mut batches = self.batches.iter().enumerate();
                batches.find_map(|(batch, it)| Some(Seating::At(batch, it.room(row, apart)?)))
            };
            Some((group, by(false).or_else(|| by(true))?))
        });
        let opening = || self.waiting.heads().find(|(_, row)| self.opens(row));
        found.or_else(|| opening().map(|(group, _)| (group, Seating::Opened)))
    }

    /// Whether a batch may be opened for a row that found no slot.
    fn opens(&self, row: &Row) -> bool {
        self.batches.len() < MOST_BATCHES && (row.urgent || !self.has_common(row))
    }

    /// Whether there is a batch for all kinds of rows that this one may join, though not now.
    fn has_common(&self, row: &Row) -> bool {
        let mut common = self.batches.iter().filter(|batch| !batch.extra);
        common.any(|batch| batch.suits(&row.variant))
    }

    /// Seats a row; says whether its prompt had to be read.
    fn seat(&mut self, seating: Seating, id: u64, row: Row) -> Result<bool> {
        let (batch, slot) = match seating {
            Seating::At(batch, slot) => (batch, slot),
            Seating::Opened => {
                let extra = self.has_common(&row);
                let batch = Batch::new(&self.model, self.slots, &row, extra)?;
                self.batches.push(batch);
                (self.batches.len() - 1, 0)
            }
        };
        let place = place_of(&row);
        let known = self.prefixes.contains_key(&place) || row.prompt.len() < 2;
        if !known {
            let (prefix, _) = self.pass(&row.prompt, &row.variant, None)?;
            self.prefixes
                .extend(prefix.map(|prefix| (place.clone(), prefix)));
        }
        let prefix = self.prefixes.get(&place);
        let sat = self.batches[batch].sit(&self.model, slot, (id, row), prefix);
        self.forget(&place);
        sat.map(|()| !known)
    }

    /// Drops what was computed for a prompt when no further row waits for it.
    fn forget(&mut self, place: &Place) {
        if self.waiting.uses(place) == 0 {
            self.prefixes.remove(place);
        }
    }

    /// Keys and values of all but a prompt's last token, which a row's first step reads, and on request the probabilities
    /// of all but the first. Every prompt is read alone, so that its numbers depend on nothing else.
    fn pass(
        &self,
        prompt: &[u32],
        variant: &Variant,
        alternatives: Option<u32>,
    ) -> Result<(Option<Prefix>, Vec<Chance>)> {
        let (_, head) = prompt.split_last().unwrap_or((&0, &[]));
        if head.is_empty() {
            return Ok((None, Vec::new()));
        }
        let deltas = variant.deltas();
        let tokens = pad_right(&[head], self.model.weights().device())?;
        let angles = self.model.rope().span(0, head.len() as i64)?;
        let mut keeping = Keeping::default();
        let states = self.model.run(&tokens, &angles, &deltas, &mut keeping)?;
        let chances = match alternatives {
            Some(most) => self.chances(&states, &prompt[1..], most)?,
            None => Vec::new(),
        };
        Ok((Some(keeping.prefix()?), chances))
    }

    /// A few rows of logits at a time, for a long vocabulary's would not fit beside the weights.
    fn chances(
        &self,
        states: &tch::Tensor,
        tokens: &[u32],
        alternatives: u32,
    ) -> Result<Vec<Chance>> {
        let rows = (MOST_LOGITS / self.model.config().vocab_size.max(1)).max(1);
        let mut found = Vec::with_capacity(tokens.len());
        for (part, tokens) in (0..).zip(tokens.chunks(rows as usize)) {
            let states = states.f_narrow(0, part * rows, tokens.len() as i64)?;
            let tokens: Vec<i64> = tokens.iter().map(|&id| i64::from(id)).collect();
            let logits = self.model.logits(&states)?;
            found.extend(sample::chances(&logits, &tokens, alternatives)?);
        }
        Ok(found)
    }

    /// One decode step of the batch in which somebody waits for a first token, else of the next in turn.
    fn step(&mut self) -> Vec<Told> {
        self.batches.retain(|batch| !batch.is_idle());
        if self.batches.is_empty() {
            return Vec::new();
        }
        let first = self.batches.iter().position(|batch| batch.urgency().1);
        self.next = first.unwrap_or((self.next + 1) % self.batches.len());
        match self.batches[self.next].step(&self.model) {
            Ok(stepped) => {
                let mut told: Vec<Told> = stepped.said.into_iter().map(Told::Said).collect();
                if !stepped.lost.is_empty() {
                    told.push(Told::Lost(stepped.lost, not_finite()));
                }
                told
            }
            // What the batch holds may be half written.
            Err(error) => vec![Told::Lost(self.batches.remove(self.next).ids(), error)],
        }
    }
}

/// Where a row is to sit.
enum Seating {
    /// (batch, slot).
    At(usize, usize),
    /// In a batch of its own making.
    Opened,
}
