//! What is to be drawn, as plain values: prompts, variants of the weights, rows. Knows no cache and no slot.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::evaluation::FinishReason;
use crate::engine::adapter::Adapter;
use crate::engine::keyed::Stream;
use crate::engine::sample::Sampling;

/// What is put on the shared weights for some rows.
#[derive(Clone, Copy)]
pub enum Variant<'a> {
    /// Nothing.
    Base,
    /// An adapter, so many times its trained change.
    Adapted(&'a Adapter, f64),
}

impl Variant<'_> {
    /// The rank that its pairs are padded to: the least of 8, 16, 32, … that holds them. A function of the adapter alone, so
    /// that no row's arithmetic depends on its neighbours' ranks.
    fn padded_rank(&self) -> Option<u32> {
        match self {
            Self::Base => None,
            Self::Adapted(adapter, _) => {
                let ranks = adapter.pairs.iter().map(|pair| pair.module.rank);
                Some(ranks.max().unwrap_or(1).next_power_of_two().max(8))
            }
        }
    }
}

/// One answer to draw.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Index into the plan's prompts.
    pub prompt: usize,
    /// Index into the plan's variants.
    pub variant: usize,
    /// Where its uniform numbers come from, by token index.
    pub draws: Stream,
}

/// Answers to draw from one set of weights with one way of sampling.
pub struct Plan<'a> {
    /// Token ids, at least one each.
    pub prompts: &'a [Vec<u32>],
    /// What is put on the weights.
    pub variants: &'a [Variant<'a>],
    /// In the order in which they should be started.
    pub rows: &'a [Row],
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Tokens at which an answer is cut.
    pub max_new_tokens: u32,
    /// Tokens that end an answer.
    pub ends: &'a BTreeSet<u32>,
}

/// A drawn answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// Index into the plan's rows.
    pub row: usize,
    /// What was drawn, the end token included.
    pub tokens: Vec<u32>,
    /// Natural logarithm of each token's probability before truncation.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish: FinishReason,
}

impl Drawn {
    /// The tokens that a reader sees: without the end token.
    pub fn visible(&self) -> &[u32] {
        match self.finish {
            FinishReason::Stop => &self.tokens[..self.tokens.len().saturating_sub(1)],
            FinishReason::Length => &self.tokens,
        }
    }

    /// Mean of the logarithms.
    pub fn mean_logprob(&self) -> f64 {
        let sum: f64 = self.logprobs.iter().map(|&chance| f64::from(chance)).sum();
        sum / self.logprobs.len().max(1) as f64
    }
}

impl Plan<'_> {
    /// Positions that the longest row needs, its whole prompt and the longest answer.
    pub fn positions(&self) -> i64 {
        let prompts = self.rows.iter().map(|row| self.prompts[row.prompt].len());
        prompts.max().unwrap_or(0) as i64 + i64::from(self.max_new_tokens)
    }

    /// Rows that may share a batch, with the rank that their pairs are padded to: base rows go wherever there is one.
    pub(super) fn classes(&self) -> Vec<(u32, Vec<usize>)> {
        let ranks: Vec<Option<u32>> = self.variants.iter().map(Variant::padded_rank).collect();
        let used = self.rows.iter().filter_map(|row| ranks[row.variant]);
        let any = used.min();
        let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, row) in self.rows.iter().enumerate() {
            let class = ranks[row.variant].or(any).unwrap_or(0);
            classes.entry(class).or_default().push(index);
        }
        classes.into_iter().collect()
    }
}
