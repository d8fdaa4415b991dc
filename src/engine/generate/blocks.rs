//! Who sits where: rows in slots, slots in blocks, each block with one variant at a time. Knows no tensor.
//!
//! Rows of a block share their adapter's matrices, which are then read once a block instead of once a row.

use std::collections::VecDeque;

/// Slots of a block; a batch is a multiple of it.
pub(super) const BLOCK: usize = 16;

/// A row that takes a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seating {
    /// Which slot.
    pub(super) slot: usize,
    /// Index into the plan's rows.
    pub(super) row: usize,
    /// Its variant, when its block had another one before.
    pub(super) new_variant: Option<usize>,
}

/// The slots of a batch with the rows that still wait.
pub(super) struct Blocks {
    variants: Vec<Option<usize>>,
    taken: Vec<bool>,
    waiting: Vec<(usize, VecDeque<usize>)>,
}

impl Blocks {
    /// `slots` free slots, a multiple of [`BLOCK`], and waiting rows as (row, variant) in their order.
    pub(super) fn new(slots: usize, rows: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut waiting: Vec<(usize, VecDeque<usize>)> = Vec::new();
        for (row, variant) in rows {
            match waiting.iter_mut().find(|(other, _)| *other == variant) {
                Some((_, rows)) => rows.push_back(row),
                None => waiting.push((variant, VecDeque::from([row]))),
            }
        }
        Self {
            variants: vec![None; slots / BLOCK],
            taken: vec![false; slots],
            waiting,
        }
    }

    /// Makes a slot free.
    pub(super) fn free(&mut self, slot: usize) {
        self.taken[slot] = false;
    }

    /// Gives free slots to waiting rows; a block changes its variant only when all of its rows are done.
    pub(super) fn seat(&mut self) -> Vec<Seating> {
        let mut seated = Vec::new();
        for block in 0..self.variants.len() {
            self.seat_block(block, &mut seated);
        }
        seated
    }

    fn seat_block(&mut self, block: usize, seated: &mut Vec<Seating>) {
        let slots = block * BLOCK..(block + 1) * BLOCK;
        let empty = !self.taken[slots.clone()].contains(&true);
        let kept = self.variants[block].filter(|variant| self.waits(*variant) || !empty);
        let Some(variant) = kept.or_else(|| self.waiting.first().map(|(variant, _)| *variant))
        else {
            return;
        };
        let mut new_variant = (self.variants[block] != Some(variant)).then_some(variant);
        for slot in slots.filter(|slot| !self.taken[*slot]).collect::<Vec<_>>() {
            let Some(row) = self.next(variant) else {
                break;
            };
            self.taken[slot] = true;
            self.variants[block] = Some(variant);
            seated.push(Seating {
                slot,
                row,
                new_variant: new_variant.take(),
            });
        }
    }

    fn waits(&self, variant: usize) -> bool {
        self.waiting.iter().any(|(other, _)| *other == variant)
    }

    fn next(&mut self, variant: usize) -> Option<usize> {
        let place = self
            .waiting
            .iter()
            .position(|(other, _)| *other == variant)?;
        let row = self.waiting[place].1.pop_front();
        if self.waiting[place].1.is_empty() {
            self.waiting.remove(place);
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_serves_one_variant_until_all_its_rows_are_done() {
        let rows = (0..20).map(|row| (row, usize::from(row >= 18)));
        let mut blocks = Blocks::new(2 * BLOCK, rows);
        let first = blocks.seat();
        assert_eq!(
            first.len(),
            18,
            "the second block holds two rows of variant 0, so variant 1 waits"
        );
        assert_eq!(first[0].new_variant, Some(0));
        assert_eq!(first[16].new_variant, Some(0));
        blocks.free(0);
        assert!(
            blocks.seat().is_empty(),
            "block 0 still works for variant 0"
        );
        blocks.free(16);
        blocks.free(17);
        let second = blocks.seat();
        let expected = |slot, row, new_variant| Seating {
            slot,
            row,
            new_variant,
        };
        assert_eq!(second, [expected(16, 18, Some(1)), expected(17, 19, None)]);
        assert!(blocks.seat().is_empty());
    }

    #[test]
    fn a_free_slot_takes_the_next_row_of_its_blocks_variant() {
        let mut blocks = Blocks::new(BLOCK, (0..17).map(|row| (row, 5)));
        assert_eq!(blocks.seat().len(), 16);
        blocks.free(3);
        let next = blocks.seat();
        assert_eq!(
            (next[0].slot, next[0].row, next[0].new_variant),
            (3, 16, None)
        );
    }
}
