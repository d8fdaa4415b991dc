//! Norm and stable rank of products BA from the R × R matrices AAᵀ and BᵀB alone, for all pairs of one rank at once.
//!
//! The squared singular values of BA are the eigenvalues of M = BᵀB·AAᵀ. With sₚ = tr Mᵖ the largest, λ, lies between
//! (s₂ₚ/sₚ)^(1/p) and s₂ₚ^(1/2p), which differ by a factor of at most R^(1/2p); taken is their geometric mean at p = 1024, so the
//! stable rank s₁/λ is right within ln R / 4096 of itself (5e-4 at rank 8, 1.1e-3 at rank 64), beside the rounding of single
//! precision. Ten squarings give it, on any device and without a decomposition, whose drivers wait for the host.

use tch::{Kind, Tensor};

use crate::engine::Result;

/// Squarings between two rescalings: M has trace 1, so its largest eigenvalue is at least 1/R and its power far from zero.
const SQUARINGS: usize = 5;
/// The power that so many squarings make.
const POWER: f64 = 32.0;
/// Numbers of a pair: tr AAᵀ and tr BᵀB; above rank 1 four traces of powers behind them.
const OF_RANK_ONE: usize = 2;
const OF_HIGHER_RANK: usize = 6;

/// The transferred numbers of the pairs of one rank.
pub(super) struct Spectrum<'a> {
    count: usize,
    numbers: &'a [f64],
}

impl<'a> Spectrum<'a> {
    /// Traces on the device, as [`Spectrum::read`] takes them.
    ///
    /// *Shapes* both modules × R × R.
    pub(super) fn of(gram_a: &Tensor, gram_b: &Tensor) -> Result<Vec<Tensor>> {
        if gram_a.size()[2] == 1 {
            return Ok(vec![gram_a.f_reshape([-1])?, gram_b.f_reshape([-1])?]);
        }
        let (a, b) = (
            gram_a.f_to_kind(Kind::Double)?,
            gram_b.f_to_kind(Kind::Double)?,
        );
        let (first, once) = scaled(&b.f_bmm(&a)?)?;
        let (second, twice) = scaled(&powered(once)?)?;
        let last = powered(twice)?;
        let squared = last.f_mul(&last.f_transpose(1, 2)?)?;
        let squared = squared.f_sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Double)?;
        Ok(vec![
            trace(&a)?,
            trace(&b)?,
            first,
            second,
            trace(&last)?,
            squared,
        ])
    }

    /// The numbers of `count` pairs at the beginning of `numbers`, and the rest.
    pub(super) fn read(rank: i64, count: usize, numbers: &'a [f64]) -> (Self, &'a [f64]) {
        let each = match rank {
            1 => OF_RANK_ONE,
            _ => OF_HIGHER_RANK,
        };
        let (numbers, rest) = numbers.split_at(each * count);
        (Self { count, numbers }, rest)
    }

    fn traces(&self, place: usize) -> impl Iterator<Item = f64> {
        self.numbers.iter().skip(place).step_by(self.count).copied()
    }

    /// ‖A‖², ‖B‖² and ‖BA‖² of a pair.
    pub(super) fn squares(&self, place: usize) -> (f64, f64, f64) {
        let mut traces = self.traces(place);
        let mut next = || traces.next().unwrap_or(f64::NAN);
        let (a, b) = (next(), next());
        (a, b, traces.next().unwrap_or(a * b))
    }

    /// ‖BA‖² over the square of its largest singular value; NaN where BA is zero.
    pub(super) fn stable_rank(&self, place: usize) -> f64 {
        let (_, _, product) = self.squares(place);
        if product.is_nan() || product <= 0.0 {
            return f64::NAN;
        }
        let logs: Vec<f64> = self.traces(place).skip(3).map(f64::ln).collect();
        let [scale, power, square] = logs[..] else {
            return 1.0;
        };
        let p = POWER * POWER;
        let lower = (POWER * scale + square - power) / p;
        let upper = (2.0 * POWER * scale + square) / (2.0 * p);
        (-(lower + upper) / 2.0).exp().max(1.0)
    }
}

fn powered(mut matrix: Tensor) -> Result<Tensor> {
    for _ in 0..SQUARINGS {
        matrix = matrix.f_bmm(&matrix)?;
    }
    Ok(matrix)
}

/// The traces, and the matrices over them.
fn scaled(matrices: &Tensor) -> Result<(Tensor, Tensor)> {
    let traces = trace(matrices)?;
    let scaled = matrices.f_div(&traces.f_view([-1, 1, 1])?)?;
    Ok((traces, scaled))
}

fn trace(matrices: &Tensor) -> Result<Tensor> {
    let diagonals = matrices.f_diagonal(0, 1, 2)?;
    Ok(diagonals.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stable ranks of matrices with these squared singular values: A random and orthonormal, B what makes BA diagonal.
    fn found(squares: &[&[f64]]) -> Vec<f64> {
        let rank = squares[0].len() as i64;
        let grams: Vec<(Tensor, Tensor)> = squares
            .iter()
            .map(|squares| {
                tch::manual_seed(7);
                let mixing = Tensor::randn([rank, rank], (Kind::Double, tch::Device::Cpu));
                let (q, _) = Tensor::linalg_qr(&mixing, "reduced");
                let stretch = Tensor::from_slice(squares);
                let gram = q.matmul(&stretch.diag(0)).matmul(&q.transpose(0, 1));
                (Tensor::eye(rank, (Kind::Double, tch::Device::Cpu)), gram)
            })
            .collect();
        let a: Vec<Tensor> = grams.iter().map(|(a, _)| a.to_kind(Kind::Float)).collect();
        let b: Vec<Tensor> = grams.iter().map(|(_, b)| b.to_kind(Kind::Float)).collect();
        let blocks = Spectrum::of(&Tensor::stack(&a, 0), &Tensor::stack(&b, 0)).unwrap();
        let numbers = Vec::<f64>::try_from(Tensor::cat(&blocks, 0)).unwrap();
        let (spectrum, rest) = Spectrum::read(rank, squares.len(), &numbers);
        assert!(rest.is_empty());
        (0..squares.len())
            .map(|place| spectrum.stable_rank(place))
            .collect()
    }

    #[test]
    fn the_stable_rank_is_that_of_the_singular_values_within_its_bound() {
        let mut close = [0.999; 8];
        close[0] = 1.0;
        let table: [&[f64]; 5] = [
            &[1.0; 8],
            &[4.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
            &[1e-9, 1e-10, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            &[3e7, 2.9e7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
            &close,
        ];
        for (found, squares) in found(&table).into_iter().zip(table) {
            let largest = squares.iter().copied().fold(0.0, f64::max);
            let expected = squares.iter().sum::<f64>() / largest;
            // ln 8 / 4096, and some roundings of single precision in the Gram matrices
            let bound = 8.0_f64.ln() / 4096.0 + 1e-6;
            assert!(
                (found / expected - 1.0).abs() <= bound,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn a_product_that_is_zero_has_no_stable_rank() {
        assert!(found(&[&[0.0, 0.0]])[0].is_nan());
    }
}
