//! Drawing answers: many rows at once over preallocated keys and values, a finished row's slot taken by the next.
//!
//! No answer depends on its neighbours, on the order of work or on which slot it sits: every step has the same number of
//! rows (empty slots hold a dummy), every prompt is read alone, every adapter acts by blocks of one fixed shape, and every
//! draw is keyed by the row. On CPU that makes log-probabilities bit-equal, given slots and threads; on CUDA draws are equal.

mod blocks;
mod cache;
mod plan;
mod scaled;

use std::collections::HashMap;

use tch::Tensor;

use self::blocks::{BLOCK, Blocks, Seating};
use self::cache::{Cache, Keeping, Prefix};
pub use self::plan::{Drawn, Plan, Row, Variant};
pub use self::scaled::scaled;
use super::adapter::Slots;
use super::device::Device;
use super::model::Model;
use super::model::projection::Deltas;
use super::sample;
use super::{Error, Result};
use crate::domain::evaluation::FinishReason;
use crate::domain::finetune::Projection;

/// Slots of a batch when `wanted` are configured: the next multiple of a block.
pub fn slots(wanted: u32) -> usize {
    (wanted as usize).div_ceil(BLOCK).max(1) * BLOCK
}

/// Draws every row of `plan`, in any order, and hands each over as soon as it ends.
///
/// `turn` is called before each decode step.
///
/// *Errors* prompts that with their answers pass the model's positions; whatever `turn` and `done` give.
pub fn generate<E: From<Error>>(
    model: &Model,
    plan: &Plan,
    slots: usize,
    turn: &mut dyn FnMut() -> std::result::Result<(), E>,
    done: &mut dyn FnMut(Drawn) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let _guard = tch::no_grad_guard();
    check(model, plan)?;
    for (rank, rows) in plan.classes() {
        let mut batch = Batch::new(model, plan, slots, rank, &rows)?;
        loop {
            batch.refill()?;
            if batch.is_idle() {
                break;
            }
            turn()?;
            for drawn in batch.step()? {
                done(drawn)?;
            }
        }
    }
    Ok(())
}

fn check(model: &Model, plan: &Plan) -> Result<()> {
    let (needed, most) = (plan.positions(), model.rope().positions());
    if needed > most {
        let detail = format!(
            "the longest prompt and max_new_tokens {} need {needed} positions, the model has {most}",
            plan.max_new_tokens
        );
        return Err(Error::config("max_position_embeddings", detail));
    }
    if plan
        .rows
        .iter()
        .any(|row| plan.prompts[row.prompt].is_empty())
    {
        return Err(Error::config(
            "prompt",
            "is empty; a model needs at least one token",
        ));
    }
    Ok(())
}

/// A row in work.
struct Seat {
    row: usize,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
}

/// The slots in work with everything that a step needs.
struct Batch<'a> {
    model: &'a Model,
    plan: &'a Plan<'a>,
    blocks: Blocks,
    seats: Vec<Option<Seat>>,
    /// The token that each slot reads next, and its place.
    tokens: Vec<i64>,
    places: Vec<i64>,
    cache: Cache,
    adapters: Option<Slots>,
    /// [B, V] bool, where a penalty asks for it.
    seen: Option<Tensor>,
    prefixes: HashMap<(usize, usize), (Prefix, usize)>,
    uses: HashMap<(usize, usize), usize>,
}

impl<'a> Batch<'a> {
    fn new(
        model: &'a Model,
        plan: &'a Plan<'a>,
        slots: usize,
        rank: u32,
        rows: &[usize],
    ) -> Result<Self> {
        let (device, kind) = (model.weights().device(), model.weights().kind()?);
        let waiting = rows.iter().map(|&row| (row, plan.rows[row].variant));
        let mut uses = HashMap::new();
        for &row in rows {
            *uses.entry(place_of(plan, row)).or_insert(0) += 1;
        }
        let rows = slots as i64;
        let vocabulary = model.config().vocab_size;
        let bools = (tch::Kind::Bool, device);
        let seen = plan
            .sampling
            .remembers()
            .then(|| Tensor::f_zeros([rows, vocabulary], bools));
        Ok(Self {
            blocks: Blocks::new(slots, waiting),
            seats: (0..slots).map(|_| None).collect(),
            tokens: vec![0; slots],
            places: vec![0; slots],
            cache: Cache::new(model.config(), rows, plan.positions(), kind, device)?,
            adapters: adapters(model, plan, slots, rank)?,
            seen: seen.transpose()?,
            prefixes: HashMap::new(),
            uses,
            model,
            plan,
        })
    }

    fn is_idle(&self) -> bool {
        self.seats.iter().all(Option::is_none)
    }

    /// Seats waiting rows on free slots with their prompts' keys and values.
    fn refill(&mut self) -> Result<()> {
        for seating in self.blocks.seat() {
            self.seat(seating)?;
        }
        Ok(())
    }

    fn seat(&mut self, seating: Seating) -> Result<()> {
        let Seating { slot, row, .. } = seating;
        if let (Some(variant), Some(adapters)) = (seating.new_variant, &mut self.adapters) {
            let adapter = match self.plan.variants[variant] {
                Variant::Base => None,
                Variant::Adapted(adapter, scale) => Some((adapter, scale)),
            };
            adapters.set((slot / BLOCK) as i64, adapter)?;
        }
        let prompt = &self.plan.prompts[self.plan.rows[row].prompt];
        self.place_prompt(slot, row)?;
        self.tokens[slot] = prompt.last().copied().map_or(0, i64::from);
        self.places[slot] = prompt.len() as i64 - 1;
        if let Some(seen) = &self.seen {
            remember(seen, slot, prompt, true)?;
        }
        self.seats[slot] = Some(Seat {
            row,
            tokens: Vec::new(),
            logprobs: Vec::new(),
        });
        Ok(())
    }

    /// Keys and values of all but the prompt's last token, which the row's first step reads; computed once for all rows
    /// that share them and dropped with the last of these.
    fn place_prompt(&mut self, slot: usize, row: usize) -> Result<()> {
        let place = place_of(self.plan, row);
        if self.plan.prompts[place.1].len() < 2 {
            return Ok(());
        }
        let uses = self.uses.get(&place).copied().unwrap_or(1);
        let (prefix, left) = match self.prefixes.remove(&place) {
            Some(known) => known,
            None => (self.read(place)?, uses),
        };
        self.cache.place(slot as i64, &prefix)?;
        if left > 1 {
            self.prefixes.insert(place, (prefix, left - 1));
        }
        Ok(())
    }

    fn read(&self, (variant, prompt): (usize, usize)) -> Result<Prefix> {
        let deltas = match self.plan.variants[variant] {
            Variant::Base => Deltas::none(),
            Variant::Adapted(adapter, scale) => adapter.deltas(scale),
        };
        let (_, head) = self.plan.prompts[prompt].split_last().unwrap_or((&0, &[]));
        let device = self.model.weights().device();
        let tokens = super::model::pad_right(&[head], device)?;
        let angles = self.model.rope().span(0, head.len() as i64)?;
        let mut keeping = Keeping::default();
        let _ = self.model.run(&tokens, &angles, &deltas, &mut keeping)?;
        keeping.prefix()
    }

    /// One token for every slot; gives the rows that ended.
    fn step(&mut self) -> Result<Vec<Drawn>> {
        let logits = self.logits()?;
        let drawn = sample::draw(
            &logits,
            self.seen.as_ref(),
            &self.uniforms(),
            &self.plan.sampling,
        )?;
        let mut ended = Vec::new();
        for slot in 0..self.seats.len() {
            if let Some(seat) = &mut self.seats[slot] {
                seat.tokens.push(drawn.tokens[slot] as u32);
                seat.logprobs.push(drawn.logprobs[slot]);
                self.tokens[slot] = drawn.tokens[slot];
                self.places[slot] += 1;
                ended.extend(self.ended(slot)?);
            }
        }
        Ok(ended)
    }

    fn logits(&self) -> Result<Tensor> {
        let device = self.model.weights().device();
        let column = |values: &[i64]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(values)?
                .f_to_device(device)?
                .f_unsqueeze(1)?)
        };
        let angles = self.model.rope().at(&column(&self.places)?)?;
        let deltas = match &self.adapters {
            Some(adapters) => adapters.deltas(0, adapters.len())?,
            None => Deltas::none(),
        };
        let mut attend = self.cache.step(&self.places)?;
        let states = self
            .model
            .run(&column(&self.tokens)?, &angles, &deltas, &mut attend)?;
        self.model.logits(&states)
    }

    fn uniforms(&self) -> Vec<f64> {
        let number = |seat: &Seat| {
            let draws = self.plan.rows[seat.row].draws;
            draws.uniform(seat.tokens.len() as u64)
        };
        self.seats
            .iter()
            .map(|seat| seat.as_ref().map_or(0.0, number))
            .collect()
    }

    /// Takes the row off its slot when its last token ended it.
    fn ended(&mut self, slot: usize) -> Result<Option<Drawn>> {
        let Some(seat) = &self.seats[slot] else {
            return Ok(None);
        };
        let last = seat.tokens.last().copied().unwrap_or_default();
        if let Some(seen) = &self.seen {
            remember(seen, slot, &[last], false)?;
        }
        let finish = if self.plan.ends.contains(&last) {
            FinishReason::Stop
        } else if seat.tokens.len() >= self.plan.max_new_tokens as usize {
            FinishReason::Length
        } else {
            return Ok(None);
        };
        self.blocks.free(slot);
        (self.tokens[slot], self.places[slot]) = (0, 0);
        Ok(self.seats[slot].take().map(|seat| Drawn {
            row: seat.row,
            tokens: seat.tokens,
            logprobs: seat.logprobs,
            finish,
        }))
    }
}

/// What a row's keys and values depend on: (variant, prompt).
fn place_of(plan: &Plan, row: usize) -> (usize, usize) {
    (plan.rows[row].variant, plan.rows[row].prompt)
}

/// Room for an adapter on every block; none where no row has one.
fn adapters(model: &Model, plan: &Plan, slots: usize, rank: u32) -> Result<Option<Slots>> {
    if rank == 0 {
        return Ok(None);
    }
    let mut modules: Vec<(u32, Projection)> = Vec::new();
    for variant in plan.variants {
        if let Variant::Adapted(adapter, _) = variant {
            modules.extend(
                adapter
                    .pairs
                    .iter()
                    .map(|p| (p.module.layer, p.module.projection)),
            );
        }
    }
    modules.sort_unstable();
    modules.dedup();
    let device = match model.weights().device() {
        tch::Device::Cuda(number) => Device::Cuda(number as u32),
        _ => Device::Cpu,
    };
    let blocks = (slots / BLOCK) as i64;
    Ok(Some(Slots::new(
        model.config(),
        modules,
        blocks,
        rank,
        device,
    )?))
}

/// Notes tokens of a slot for the penalty, `fresh` forgetting those of its row before.
fn remember(seen: &Tensor, slot: usize, tokens: &[u32], fresh: bool) -> Result<()> {
    let mut row = seen.f_select(0, slot as i64)?;
    if fresh {
        let _ = row.f_fill_(0)?;
    }
    let ids: Vec<i64> = tokens.iter().map(|&id| i64::from(id)).collect();
    let ids = Tensor::f_from_slice(&ids)?.f_to_device(seen.device())?;
    let _ = row.f_index_fill_(0, &ids, 1)?;
    Ok(())
}

#[cfg(test)]
mod tests;
