//! The generator of [`crate::engine::keyed`] as tensor operations, for masks on a device. Words are 32 bits in int64.

use tch::Tensor;

use crate::engine::Result;
use crate::engine::keyed::{MULTIPLIERS, ROUNDS, WEYL};

const WORD: i64 = 0xffff_ffff;

/// The words of all blocks of a table, row by row.
///
/// *Shapes* the first counter word `[1, M]`, the others and the keys `[N, 1]` → `[N, 4·M]`
pub(super) fn rounds(counter: [Tensor; 4], key: [Tensor; 2]) -> Result<Tensor> {
    let [mut a, mut b, mut c, mut d] = counter;
    let [mut k, mut l] = key;
    for _ in 0..ROUNDS {
        let (high, low) = product(&a, MULTIPLIERS[0])?;
        let (other_high, other_low) = product(&c, MULTIPLIERS[1])?;
        a = other_high
            .f_bitwise_xor_tensor(&b)?
            .f_bitwise_xor_tensor(&k)?;
        b = other_low;
        c = high.f_bitwise_xor_tensor(&d)?.f_bitwise_xor_tensor(&l)?;
        d = low;
        k = stepped(&k, WEYL[0])?;
        l = stepped(&l, WEYL[1])?;
    }
    let rows = k.size()[0];
    let shape = [rows, a.size()[1].max(c.size()[1])];
    let words = [&a, &b, &c, &d].map(|word| word.f_expand(shape, false));
    let words: Vec<Tensor> = words.into_iter().collect::<std::result::Result<_, _>>()?;
    Ok(Tensor::f_stack(&words, -1)?.f_reshape([rows, -1])?)
}

/// Upper and lower word of a product; the 64-bit product wraps, its bits are right all the same.
fn product(word: &Tensor, factor: u32) -> Result<(Tensor, Tensor)> {
    let whole = word.f_mul_scalar(i64::from(factor))?;
    let high = whole.f_bitwise_right_shift_tensor_scalar(32)?;
    Ok((high.f_bitwise_and(WORD)?, whole.f_bitwise_and(WORD)?))
}

fn stepped(key: &Tensor, by: u32) -> Result<Tensor> {
    Ok(key.f_add_scalar(i64::from(by))?.f_bitwise_and(WORD)?)
}
