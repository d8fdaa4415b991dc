//! The words of a stream as a tensor: filled on a CPU, computed where they are wanted on any other device.

use tch::{Device, Kind, Tensor};

use super::{MULTIPLIERS, Stream, WEYL};
use crate::engine::Result;

const WORD: i64 = 0xffff_ffff;

impl Stream {
    /// `word(start)`, `word(start + 1)`, … as a tensor.
    ///
    /// *Shapes* `[count]`, int64 in 0..2³².
    pub fn words_on(&self, start: u64, count: i64, device: Device) -> Result<Tensor> {
        let skipped = start % 4;
        let from = start - skipped;
        let length = count + skipped as i64;
        let words = match device {
            Device::Cpu => self.filled(from, length as usize)?,
            _ => self.computed(from, length, device)?,
        };
        Ok(words.f_narrow(0, skipped as i64, count)?)
    }

    fn filled(&self, start: u64, count: usize) -> Result<Tensor> {
        let mut words = vec![0; count];
        self.fill_words(start, &mut words);
        let wide: Vec<i64> = words.into_iter().map(i64::from).collect();
        Ok(Tensor::f_from_slice(&wide)?)
    }

    /// The generator's rounds over a tensor of counters; 64-bit products wrap as unsigned ones do.
    fn computed(&self, start: u64, count: i64, device: Device) -> Result<Tensor> {
        let (first, blocks) = ((start / 4) as i64, (count + 3) / 4);
        let counters = Tensor::f_arange_start(first, first + blocks, (Kind::Int64, device))?;
        let constant = |word: u32| counters.f_full_like(i64::from(word));
        let mut counter = [
            counters.f_bitwise_and(WORD)?,
            high(&counters)?,
            constant(self.high[0])?,
            constant(self.high[1])?,
        ];
        let mut key = self.key;
        for _ in 0..10 {
            counter = round(&counter, key)?;
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        let words = Tensor::f_stack(&counter, 1)?.f_reshape([-1])?;
        Ok(words.f_narrow(0, 0, count)?)
    }
}

fn round(counter: &[Tensor; 4], key: [u32; 2]) -> Result<[Tensor; 4]> {
    let left = counter[0].f_mul_scalar(i64::from(MULTIPLIERS[0]))?;
    let right = counter[2].f_mul_scalar(i64::from(MULTIPLIERS[1]))?;
    let mixed = |product: &Tensor, other: &Tensor, key: u32| -> Result<Tensor> {
        let mixed = high(product)?.f_bitwise_xor_tensor(other)?;
        Ok(mixed.f_bitwise_xor(i64::from(key))?)
    };
    Ok([
        mixed(&right, &counter[1], key[0])?,
        right.f_bitwise_and(WORD)?,
        mixed(&left, &counter[3], key[1])?,
        left.f_bitwise_and(WORD)?,
    ])
}

/// The upper 32 of 64 bits; the shift brings copies of the sign in, which are cut off.
fn high(product: &Tensor) -> Result<Tensor> {
    let shifted = product.f_bitwise_right_shift_tensor_scalar(32)?;
    Ok(shifted.f_bitwise_and(WORD)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computed_words_are_the_ones_that_are_filled_in() {
        let stream = Stream::new(3, "test").number(9);
        for (start, count) in [(0, 64), (4, 1), (1 << 34, 9), (400, 1000)] {
            let filled = stream.filled(start, count as usize).unwrap();
            let computed = stream.computed(start, count, Device::Cpu).unwrap();
            assert!(filled.equal(&computed), "{start}, {count}");
        }
    }

    #[test]
    fn a_tensor_of_words_may_begin_anywhere() {
        let stream = Stream::new(3, "test");
        for start in 0..9 {
            let words = stream.words_on(start, 7, Device::Cpu).unwrap();
            for (index, word) in Vec::<i64>::try_from(words).unwrap().iter().enumerate() {
                assert_eq!(*word, i64::from(stream.word(start + index as u64)));
            }
        }
    }
}
