//! The order of a dataset that goes beside the others with a batch of its own. Knows no text and no token.

use super::{key, sorted_by_key};

/// Rows of a dataset that goes beside the others with a batch of its own, epoch after epoch for as long as the run lasts.
///
/// A step's rows are a pure function of (seed, step); a step may hold the end of one epoch and the beginning of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Key of every permutation; which purpose it serves is part of the key.
    pub seed: u64,
    /// Rows of the dataset, at least one.
    pub size: u32,
    /// Rows of a step.
    pub per_step: u32,
    /// Whether an epoch's rows are permuted.
    pub shuffle: bool,
}

impl Beside {
    /// The rows of step `step`, counted from 0.
    pub fn step(&self, step: u64) -> Vec<u32> {
        let (size, per_step) = (u64::from(self.size), u64::from(self.per_step));
        let mut rows = Vec::with_capacity(self.per_step as usize);
        let mut draw = step * per_step;
        let end = draw + per_step;
        while draw < end && size > 0 {
            let (epoch, place) = (draw / size, draw % size);
            let taken = (size - place).min(end - draw);
            let order = self.epoch(epoch);
            rows.extend_from_slice(&order[place as usize..(place + taken) as usize]);
            draw += taken;
        }
        rows
    }

    fn epoch(&self, epoch: u64) -> Vec<u32> {
        match self.shuffle {
            true => sorted_by_key(key(&[self.seed, 3, epoch]), self.size),
            false => (0..self.size).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::permutation;
    use super::*;

    #[test]
    fn rows_beside_the_others_come_in_epochs_of_an_order_of_their_own() {
        let beside = Beside {
            seed: 7,
            size: 5,
            per_step: 3,
            shuffle: true,
        };
        let drawn: Vec<u32> = (0..5).flat_map(|step| beside.step(step)).collect();
        for epoch in drawn.chunks(5) {
            assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 5);
        }
        assert_ne!(drawn[..5], drawn[5..10]);
        assert_ne!(drawn[..5], permutation(7, 0, 0, 5));
        assert_eq!(beside.step(3), drawn[9..12], "any step may be asked for");
        let plain = Beside {
            shuffle: false,
            ..beside
        };
        assert_eq!(plain.step(1), [3, 4, 0]);
        let small = Beside { size: 2, ..plain };
        assert_eq!(small.step(1), [1, 0, 1]);
    }
}
