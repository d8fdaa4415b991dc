//! Keyed random draws: what is drawn follows from (seed, stream, row) alone. Knows nothing of what is drawn.

/// The draws of one row of one stream.
#[derive(Debug, Clone)]
pub(super) struct Draw {
    state: u64,
}

/// One step of Steele, Lea and Flood's SplitMix64, as a mixing function.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draw {
    /// The draws that belong to row `row` of `stream` under `seed`.
    pub(super) fn keyed(seed: u64, stream: &str, row: u64) -> Self {
        let key = stream
            .bytes()
            .fold(mix(seed.wrapping_add(STEP)), |key, byte| {
                mix(key.wrapping_add(STEP) ^ u64::from(byte))
            });
        let state = mix(key.wrapping_add(mix(row.wrapping_add(STEP))));
        Self { state }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A whole number below `bound`, which is at least 1; the bias of under bound/2⁶⁴ is left in.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// One entry of a list that is not empty.
    pub(super) fn one<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Two different entries, in the order drawn, of a list of at least two.
    pub(super) fn two<'a, T>(&mut self, list: &'a [T]) -> (&'a T, &'a T) {
        let first = self.below(list.len());
        let skip = self.below(list.len() - 1);
        let second = if skip < first { skip } else { skip + 1 };
        (&list[first], &list[second])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_every_part_of_the_key() {
        let first = |seed, stream, row| Draw::keyed(seed, stream, row).next();
        let base = first(0, "a", 0);
        assert_eq!(base, first(0, "a", 0));
        for other in [first(1, "a", 0), first(0, "b", 0), first(0, "a", 1)] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn each_number_and_each_ordered_pair_is_as_likely_as_the_others() {
        let list = [0_usize, 1, 2];
        let mut singles = [0_u32; 3];
        let mut pairs = std::collections::BTreeMap::new();
        for row in 0..6000 {
            let mut draw = Draw::keyed(7, "even", row);
            singles[*draw.one(&list)] += 1;
            *pairs.entry(draw.two(&list)).or_insert(0_u32) += 1;
        }
        // Expected 2000 and 1000; five standard deviations are 183 and 145.
        assert!(
            singles.iter().all(|count| count.abs_diff(2000) < 183),
            "{singles:?}"
        );
        assert_eq!(pairs.len(), 6);
        assert!(
            pairs.values().all(|count| count.abs_diff(1000) < 145),
            "{pairs:?}"
        );
    }
}
