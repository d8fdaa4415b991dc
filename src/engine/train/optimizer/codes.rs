//! Numbers in 8 bits: blocks of 256 that share a float32 scale, each number a code into a fixed map of 256 values.
//!
//! The maps are dynamic: seven decades, each a tenth of the one above, with half as many values in each decade as in the
//! one above. So a block whose largest number is 1 keeps small numbers to about the relative precision of large ones.
//!
//! *Source* Dettmers, Lewis, Shleifer, Zettlemoyer: 8-bit optimizers via block-wise quantization (2022), as bitsandbytes
//! 0.50 computes it (`create_dynamic_map`, `kOptimizerStatic8bit2StateBlockwise`): the scale is the block's largest
//! magnitude, a number is divided by it and takes the nearest value, and a first moment below 0 never becomes 0.

use tch::{Device, Kind, Tensor};

use crate::engine::Result;

/// Decades of a map.
const DECADES: i32 = 7;
/// Divisors below this are taken for it, so that a block of zeros stays one.
const LEAST: f64 = f32::MIN_POSITIVE as f64;

/// The 256 values that codes stand for, in rising order.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// The value of each code.
    pub values: [f32; 256],
    /// The last number, upwards, that takes each code; behind the last code there is no bound.
    pub bounds: [f32; 255],
}

impl Map {
    /// Values from −1 to 1, for first moments: 127 on either side, 0 and 1.
    pub fn signed() -> Self {
        let above = decades(|decade| 1 << decade);
        let below: Vec<f64> = above.iter().map(|value| -value).collect();
        let mut map = Self::of([above, below].concat());
        // the midpoint below 0 gives way to 0 itself: what is below 0 keeps its sign
        map.bounds[126] = -f32::MIN_POSITIVE;
        map
    }

    /// Values from 0 to 1, for second moments: 254, 0 and 1.
    pub fn unsigned() -> Self {
        Self::of(decades(|decade| 2 << decade))
    }

    fn of(mut inner: Vec<f64>) -> Self {
        inner.extend([0.0, 1.0]);
        inner.sort_by(f64::total_cmp);
        let mut values = [0f32; 256];
        for (slot, value) in values.iter_mut().zip(inner) {
            *slot = value as f32;
        }
        let mut bounds = [0f32; 255];
        for (slot, pair) in bounds.iter_mut().zip(values.windows(2)) {
            *slot = (pair[0] + pair[1]) * 0.5;
        }
        Self { values, bounds }
    }
}

/// In each decade (0.1, 1] · 10^(decade − 6) as many evenly spaced values as `count` says, at the middles of their steps.
fn decades(count: impl Fn(i32) -> i32) -> Vec<f64> {
    let of = |decade: i32| {
        let count = count(decade);
        let scale = 10f64.powi(decade + 1 - DECADES);
        let value = move |step: i32| {
            let middle = f64::from(2 * step + 1) / f64::from(2 * count);
            scale * (0.1 + 0.9 * middle)
        };
        (0..count).map(value)
    };
    (0..DECADES).flat_map(of).collect()
}

/// Blocks of coded numbers.
#[derive(Debug)]
pub struct Blocks {
    /// *Shapes* `[blocks, 256]`, one byte each.
    pub codes: Tensor,
    /// *Shapes* `[blocks]`, float32.
    pub scales: Tensor,
    values: Tensor,
    bounds: Tensor,
}

impl Blocks {
    /// So many blocks of zeros.
    pub fn zeros(blocks: i64, map: &Map, device: Device) -> Result<Self> {
        Ok(Self {
            codes: Tensor::f_zeros([blocks, 256], (Kind::Uint8, device))?,
            scales: Tensor::f_zeros([blocks], (Kind::Float, device))?,
            values: Tensor::f_from_slice(&map.values)?.f_to_device(device)?,
            bounds: Tensor::f_from_slice(&map.bounds)?.f_to_device(device)?,
        })
    }

    /// The numbers of `count` blocks from `block` on.
    ///
    /// *Shapes* `[count, 256]`, float32.
    pub fn read(&self, block: i64, count: i64) -> Result<Tensor> {
        let codes = self.codes.f_narrow(0, block, count)?;
        let codes = codes.f_reshape([-1])?.f_to_kind(Kind::Int)?;
        let values = self
            .values
            .f_index_select(0, &codes)?
            .f_view([count, 256])?;
        let scales = self.scales.f_narrow(0, block, count)?;
        Ok(values.f_mul(&scales.f_unsqueeze(1)?)?)
    }

    /// Codes numbers into the blocks from `block` on.
    ///
    /// *Shapes* `numbers` is `[count, 256]`, float32.
    pub fn write(&self, block: i64, numbers: &Tensor) -> Result<()> {
        let count = numbers.size()[0];
        let scales = numbers.f_abs()?.f_amax(1, true)?;
        let shares = numbers.f_div(&scales.f_clamp_min(LEAST)?)?;
        let codes = shares.f_bucketize(&self.bounds, true, false)?;
        self.codes.f_narrow(0, block, count)?.f_copy_(&codes)?;
        let scales = scales.f_squeeze_dim(1)?;
        self.scales.f_narrow(0, block, count)?.f_copy_(&scales)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by `create_dynamic_map` of bitsandbytes 0.50.2; its float32 arithmetic is off by up to 2 units of the last
    /// place, which is 2.4e-7 of a value.
    #[test]
    fn the_maps_are_those_of_bitsandbytes() {
        let (signed, unsigned) = (Map::signed(), Map::unsigned());
        for (map, code, expected) in [
            (&signed, 0, -0.992_968_738_079_071),
            (&signed, 1, -0.978_906_273_841_857_9),
            (&signed, 126, -5.500_000_384_017_767e-7),
            (&signed, 127, 0.0),
            (&signed, 128, 5.500_000_384_017_767e-7),
            (&signed, 129, 3.250_000_190_746_505e-6),
            (&signed, 200, 0.233_593_747_019_767_76),
            (&signed, 254, 0.992_968_738_079_071),
            (&signed, 255, 1.0),
            (&unsigned, 0, 0.0),
            (&unsigned, 1, 3.250_000_304_433_342_5e-7),
            (&unsigned, 126, 0.099_296_875_298_023_22),
            (&unsigned, 127, 0.103_515_625),
            (&unsigned, 128, 0.110_546_872_019_767_76),
            (&unsigned, 200, 0.616_796_851_158_142_1),
            (&unsigned, 254, 0.996_484_398_841_857_9),
            (&unsigned, 255, 1.0),
        ] {
            let found = f64::from(map.values[code]);
            let near = (found - expected).abs() <= 2.4e-7 * f64::abs(expected);
            assert!(near, "code {code}: {found}, expected {expected}");
        }
    }

    #[test]
    fn values_rise_the_signed_ones_mirror_each_other_and_bounds_lie_between() {
        for map in [Map::signed(), Map::unsigned()] {
            assert!(map.values.windows(2).all(|pair| pair[0] < pair[1]));
            for (code, bound) in map.bounds.iter().enumerate() {
                assert!(map.values[code] < *bound && *bound < map.values[code + 1]);
            }
        }
        let signed = Map::signed();
        for step in 0..127 {
            assert_eq!(signed.values[126 - step], -signed.values[128 + step]);
        }
    }

    fn coded(map: &Map, numbers: &[f32]) -> Vec<f32> {
        let blocks = Blocks::zeros(numbers.len() as i64 / 256, map, Device::Cpu).unwrap();
        let tensor = Tensor::from_slice(numbers).view([-1, 256]);
        blocks.write(0, &tensor).unwrap();
        let count = tensor.size()[0];
        Vec::<f32>::try_from(blocks.read(0, count).unwrap().view([-1])).unwrap()
    }

    /// 256 numbers over eight decades.
    fn spread() -> Vec<f32> {
        let number = |step: i32| 10f32.powf(-8.0 * step as f32 / 255.0);
        (0..256).map(number).collect()
    }

    /// A decade of n values has steps of 0.9 / n of it, so a number of it is off by at most 0.45 / n decades, and by ten
    /// times that relative to itself where it is near its lower end.
    #[test]
    fn a_number_comes_back_to_within_half_a_step_of_its_decade() {
        for (map, first) in [(Map::signed(), 1), (Map::unsigned(), 2)] {
            for scale in [1.0, 3e-9, 7e4] {
                let numbers: Vec<f32> = spread().iter().map(|x| x * scale).collect();
                for (found, number) in coded(&map, &numbers).iter().zip(&numbers) {
                    let share = number / scale;
                    let decade = (share.log10().floor() + 7.0).clamp(0.0, 6.0) as i32;
                    let top = 10f32.powi(decade - 6);
                    let step = 0.45 * top / (first << decade) as f32;
                    // the topmost gap, up to 1, and those between decades are wider by half a step of a neighbour
                    let bound = if decade == 0 { 0.55 * top } else { 1.51 * step };
                    let off = (found - number).abs() / scale;
                    assert!(off <= bound, "{number} of {scale}: {found}");
                }
            }
        }
    }

    #[test]
    fn the_largest_number_of_a_block_zeros_and_the_sign_of_first_moments_are_kept() {
        let mut numbers = vec![0f32; 512];
        numbers[3] = -1e-9;
        numbers[4] = 1e-9;
        numbers[5] = 0.37;
        let found = coded(&Map::signed(), &numbers);
        assert_eq!(found[5], 0.37);
        assert!(found[3] < 0.0, "{}", found[3]);
        assert_eq!(found[4], 0.0);
        assert!(found[256..].iter().all(|number| *number == 0.0));
        assert_eq!(coded(&Map::unsigned(), &vec![0.25; 256]), vec![0.25; 256]);
    }

    #[test]
    fn coding_what_was_coded_changes_nothing() {
        let mut numbers = spread();
        numbers[0] = 1.0;
        for map in [Map::signed(), Map::unsigned()] {
            let once = coded(&map, &numbers);
            assert_eq!(coded(&map, &once), once);
        }
    }
}
