//! Who may sit where: slots in blocks, each block with one variant at a time. Knows no tensor.
//!
//! Rows of a block share their adapter's matrices, which are then read once a block instead of once a row.

use super::row::{Variant, VariantKey};

/// Slots of a block; a batch is a multiple of it.
pub(super) const BLOCK: usize = 16;

/// The slots of a batch.
pub(super) struct Blocks {
    /// What each block holds, and held last when it is empty.
    variants: Vec<Option<Variant>>,
    taken: Vec<bool>,
    free: usize,
}

impl Blocks {
    /// So many free slots, a multiple of [`BLOCK`].
    pub(super) fn new(slots: usize) -> Self {
        Self {
            variants: vec![None; slots / BLOCK],
            taken: vec![false; slots],
            free: slots,
        }
    }

    /// Whether every slot is taken.
    pub(super) fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Whether no slot is taken.
    pub(super) fn is_idle(&self) -> bool {
        self.free == self.taken.len()
    }

    /// A free slot in a block that works for this variant.
    pub(super) fn beside(&self, variant: VariantKey) -> Option<usize> {
        let mut blocks = 0..self.variants.len();
        blocks.find_map(|block| {
            let fits = self.holds(block, variant) && !self.is_empty(block);
            self.slots(block).find(|slot| fits && !self.taken[*slot])
        })
    }

    /// The first slot of a block in which nobody sits, of one that held this variant last where there is such.
    pub(super) fn apart(&self, variant: VariantKey) -> Option<usize> {
        let blocks = 0..self.variants.len();
        let empty = |block: &usize| self.is_empty(*block);
        let known = |block: &usize| empty(block) && self.holds(*block, variant);
        let found = blocks
            .clone()
            .find(known)
            .or_else(|| blocks.clone().find(empty));
        found.map(|block| block * BLOCK)
    }

    /// Takes a slot.
    pub(super) fn take(&mut self, slot: usize) {
        self.free -= usize::from(!self.taken[slot]);
        self.taken[slot] = true;
    }

    /// Makes a slot free.
    pub(super) fn free(&mut self, slot: usize) {
        self.free += usize::from(self.taken[slot]);
        self.taken[slot] = false;
    }

    /// Whether a block holds, or held last, this variant.
    pub(super) fn holds(&self, block: usize, variant: VariantKey) -> bool {
        let own = self.variants[block].as_ref();
        own.is_some_and(|own| own.key() == variant)
    }

    /// Says what a block holds from now on.
    pub(super) fn hold(&mut self, block: usize, variant: Option<Variant>) {
        self.variants[block] = variant;
    }

    /// The blocks that somebody sits in, with what they hold.
    pub(super) fn occupied(&self) -> impl Iterator<Item = (usize, &Variant)> {
        let held = self.variants.iter().enumerate();
        held.filter(|(block, _)| !self.is_empty(*block))
            .filter_map(|(block, variant)| Some((block, variant.as_ref()?)))
    }

    /// Forgets what empty blocks held.
    pub(super) fn clear_empty(&mut self) {
        for block in 0..self.variants.len() {
            if self.is_empty(block) {
                self.variants[block] = None;
            }
        }
    }

    fn is_empty(&self, block: usize) -> bool {
        !self.slots(block).any(|slot| self.taken[slot])
    }

    fn slots(&self, block: usize) -> std::ops::Range<usize> {
        block * BLOCK..(block + 1) * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_variant_sit_together_and_others_in_an_empty_block() {
        let mut blocks = Blocks::new(2 * BLOCK);
        let base = Variant::Base.key();
        assert_eq!((blocks.beside(base), blocks.apart(base)), (None, Some(0)));
        blocks.hold(0, Some(Variant::Base));
        blocks.take(0);
        assert_eq!(blocks.beside(base), Some(1));
        let other = Some((1, 2));
        assert_eq!(
            (blocks.beside(other), blocks.apart(other)),
            (None, Some(BLOCK))
        );
        for slot in 1..BLOCK {
            blocks.take(slot);
        }
        assert_eq!(blocks.beside(base), None, "the block is full");
        blocks.free(3);
        assert_eq!(blocks.beside(base), Some(3));
        assert!(!blocks.is_full() && !blocks.is_idle());
    }

    #[test]
    fn an_empty_block_is_kept_for_what_it_held_while_there_is_another() {
        let mut blocks = Blocks::new(2 * BLOCK);
        blocks.hold(1, Some(Variant::Base));
        assert_eq!(blocks.apart(Variant::Base.key()), Some(BLOCK));
        blocks.clear_empty();
        assert_eq!(blocks.apart(Variant::Base.key()), Some(0));
    }
}
