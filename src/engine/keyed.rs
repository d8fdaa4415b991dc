//! Random draws that are a pure function of a key and an index, with no state to advance or to save.
//!
//! The same on every device, at any thread count and in any order of asking. Knows nothing of what is drawn for.
//!
//! *Source* the counter-based generator Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as
//! 1, 2, 3; SC 2011).

mod on_device;

/// Factors of a round.
pub(super) const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What a round adds to the key.
pub(super) const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// Rounds of a block.
pub(super) const ROUNDS: usize = 10;
/// Blocks that are made side by side, in the lanes of wide registers.
const SIDE_BY_SIDE: usize = 8;

/// One block of the generator: 128 random bits for a 128-bit counter under a 64-bit key.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let left = u64::from(MULTIPLIERS[0]) * u64::from(counter[0]);
        let right = u64::from(MULTIPLIERS[1]) * u64::from(counter[2]);
        counter = [
            (right >> 32) as u32 ^ counter[1] ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ counter[3] ^ key[1],
            left as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// [`philox`] of counters that differ in their first word only, which begins at `first` and does not wrap.
///
/// *Shapes* word by word: entry `[w][i]` is word w of block i.
fn several(first: u32, rest: [u32; 3], mut key: [u32; 2]) -> [[u32; SIDE_BY_SIDE]; 4] {
    let [mut a, mut b, mut c, mut d] =
        [first, rest[0], rest[1], rest[2]].map(|word| [word; SIDE_BY_SIDE]);
    (0..).zip(&mut a).for_each(|(lane, word)| *word += lane);
    for _ in 0..ROUNDS {
        for lane in 0..SIDE_BY_SIDE {
            let left = u64::from(MULTIPLIERS[0]) * u64::from(a[lane]);
            let right = u64::from(MULTIPLIERS[1]) * u64::from(c[lane]);
            a[lane] = (right >> 32) as u32 ^ b[lane] ^ key[0];
            b[lane] = right as u32;
            c[lane] = (left >> 32) as u32 ^ d[lane] ^ key[1];
            d[lane] = left as u32;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    [a, b, c, d]
}

/// An endless table of draws under one key.
///
/// Ask one stream for one kind of draw only: `word(4·i ..)`, `integer(2·i ..)`, `uniform` and `normal` read the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    high: [u32; 2],
}

impl Stream {
    /// The stream of a seed and a purpose, such as `init` or `dropout`, so that two purposes never share draws.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let start = Self {
            key: split(seed),
            high: [0; 2],
        };
        start.text(purpose)
    }

    /// The stream of this key extended by a number.
    pub fn number(self, number: u64) -> Self {
        let [low, high] = split(number);
        let [a, b, c, d] = philox([low, high, self.high[0], self.high[1]], self.key);
        Self {
            key: [a, b],
            high: [c, d],
        }
    }

    /// The stream of this key extended by a text; its length is part of the key, so texts cannot run into each other.
    pub fn text(self, text: &str) -> Self {
        let start = self.number(text.len() as u64);
        text.as_bytes().chunks(8).fold(start, |stream, chunk| {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            stream.number(u64::from_le_bytes(bytes))
        })
    }

    fn block(&self, index: u64) -> [u32; 4] {
        let [low, high] = split(index);
        philox([low, high, self.high[0], self.high[1]], self.key)
    }

    /// 32 random bits; four consecutive indices share a block.
    pub fn word(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// 64 random bits; two consecutive indices share a block.
    pub fn integer(&self, index: u64) -> u64 {
        let block = self.block(index / 2);
        join(block, (index % 2) as usize)
    }

    /// A whole number below `bound`, which must not be 0; the bias is below bound · 2⁻⁶⁴.
    pub fn below(&self, index: u64, bound: u64) -> u64 {
        ((u128::from(self.integer(index)) * u128::from(bound)) >> 64) as u64
    }

    /// A double in [0, 1), on the grid of 2⁻⁵³.
    pub fn uniform(&self, index: u64) -> f64 {
        unit(self.integer(index))
    }

    /// A standard normal double, by Box and Muller; two consecutive indices share a block.
    pub fn normal(&self, index: u64) -> f64 {
        normals(self.block(index / 2))[(index % 2) as usize]
    }

    /// What it is made of: the key's two words and the counter's upper two.
    pub(super) fn words(&self) -> [u32; 4] {
        [self.key[0], self.key[1], self.high[0], self.high[1]]
    }

    /// `word(start)`, `word(start + 1)`, … for `start` divisible by 4, several blocks at a time.
    pub fn fill_words(&self, start: u64, out: &mut [u32]) {
        debug_assert_eq!(start % 4, 0);
        let mut index = start / 4;
        for chunk in out.chunks_mut(4 * SIDE_BY_SIDE) {
            let [low, high] = split(index);
            if low > u32::MAX - SIDE_BY_SIDE as u32 {
                self.fill_slowly(index, chunk);
            } else {
                let words = several(low, [high, self.high[0], self.high[1]], self.key);
                for (lane, block) in chunk.chunks_mut(4).enumerate() {
                    for (word, slot) in words.iter().zip(block) {
                        *slot = word[lane];
                    }
                }
            }
            index += SIDE_BY_SIDE as u64;
        }
    }

    fn fill_slowly(&self, index: u64, out: &mut [u32]) {
        for (place, chunk) in (index..).zip(out.chunks_mut(4)) {
            chunk.copy_from_slice(&self.block(place)[..chunk.len()]);
        }
    }

    /// `uniform(0)`, `uniform(1)`, … scaled to [low, high), rounded to single precision.
    pub fn fill_uniform(&self, low: f64, high: f64, out: &mut [f32]) {
        for (index, pair) in out.chunks_mut(2).enumerate() {
            let block = self.block(index as u64);
            for (lane, slot) in pair.iter_mut().enumerate() {
                *slot = (low + (high - low) * unit(join(block, lane))) as f32;
            }
        }
    }

    /// `normal(0)`, `normal(1)`, … times `std`, rounded to single precision.
    pub fn fill_normal(&self, std: f64, out: &mut [f32]) {
        for (index, pair) in out.chunks_mut(2).enumerate() {
            let draws = normals(self.block(index as u64));
            for (slot, draw) in pair.iter_mut().zip(draws) {
                *slot = (std * draw) as f32;
            }
        }
    }
}

fn split(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

fn join(block: [u32; 4], lane: usize) -> u64 {
    u64::from(block[2 * lane]) | u64::from(block[2 * lane + 1]) << 32
}

fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (-53f64).exp2()
}

/// Two independent standard normals; the radius takes 1 − u, which is never 0.
fn normals(block: [u32; 4]) -> [f64; 2] {
    let radius = (-2.0 * (1.0 - unit(join(block, 0))).ln()).sqrt();
    let angle = std::f64::consts::TAU * unit(join(block, 1));
    [radius * angle.cos(), radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_known_answers() {
        // Known-answer table published with the generator (Random123, `kat_vectors`, philox4x32 with 10 rounds).
        let pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
        for (counter, key, answer) in [
            (
                [0; 4],
                [0; 2],
                [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
            ),
            (
                pi,
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), answer);
        }
    }

    #[test]
    fn filling_gives_what_asking_one_by_one_gives() {
        let stream = Stream::new(3, "test");
        let (mut words, mut flat, mut bell) = ([0; 7], [0f32; 7], [0f32; 7]);
        stream.fill_words(8, &mut words);
        stream.fill_uniform(-2.0, 2.0, &mut flat);
        stream.fill_normal(0.5, &mut bell);
        for index in 0..7 {
            let at = index as u64;
            assert_eq!(words[index], stream.word(8 + at));
            assert_eq!(flat[index], (-2.0 + 4.0 * stream.uniform(at)) as f32);
            assert_eq!(bell[index], (0.5 * stream.normal(at)) as f32);
        }
    }

    #[test]
    fn words_are_filled_alike_from_any_place_and_to_any_length() {
        let stream = Stream::new(9, "test");
        let wrapping = (u64::from(u32::MAX) - 2) * 4;
        for (start, length) in [(0, 1), (4, 32), (8, 33), (3 << 34, 100), (wrapping, 70)] {
            let mut words = vec![0; length];
            stream.fill_words(start, &mut words);
            let single = (start..).take(length).map(|place| stream.word(place));
            assert!(single.eq(words), "{start} {length}");
        }
    }

    #[test]
    fn every_part_of_a_key_makes_another_stream() {
        let streams = [
            Stream::new(0, "a"),
            Stream::new(1, "a"),
            Stream::new(0, "b"),
            Stream::new(0, ""),
            Stream::new(0, "a").number(0),
            Stream::new(0, "a").number(1),
            Stream::new(0, "a").text("bc"),
            Stream::new(0, "ab").text("c"),
            Stream::new(0, "a").text("b").text("c"),
            Stream::new(0, "a\0"),
        ];
        let firsts: std::collections::HashSet<u64> =
            streams.iter().map(|stream| stream.integer(0)).collect();
        assert_eq!(firsts.len(), streams.len());
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let (normal, uniform) = (Stream::new(7, "normal"), Stream::new(7, "uniform"));
        let count = 40_000u64;
        let mean = |f: &dyn Fn(u64) -> f64| (0..count).map(f).sum::<f64>() / count as f64;
        // Five standard errors of each moment at 40,000 draws.
        assert!(mean(&|i| normal.normal(i)).abs() < 0.025);
        assert!((mean(&|i| normal.normal(i).powi(2)) - 1.0).abs() < 0.036);
        assert!((mean(&|i| normal.normal(i).powi(4)) - 3.0).abs() < 0.25);
        assert!((mean(&|i| uniform.uniform(i)) - 0.5).abs() < 0.0073);
        assert!(mean(&|i| normal.normal(i) * normal.normal(i + 1)).abs() < 0.025);
        assert!((0..count).all(|i| (0.0..1.0).contains(&uniform.uniform(i))));
        assert!((0..count).all(|i| uniform.below(i, 10) < 10));
    }
}
