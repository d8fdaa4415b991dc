//! Norms of low-rank pairs at a step, for all modules of one shape at once and without a transfer of its own.
//!
//! The flat buffer holds the pairs group by group (see [`layout`]), so each group is one batch of matrices.

use tch::{Kind, Tensor};

use crate::domain::metric::NormPoint;
use crate::engine::Result;

use super::flat::copied;

/// Rank, inputs and outputs of a pair: A is rank × inputs, B is outputs × rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairShape {
    /// R.
    pub rank: i64,
    /// Columns of A.
    pub inputs: i64,
    /// Rows of B.
    pub outputs: i64,
}

/// Pairs of one shape.
#[derive(Debug)]
struct Group {
    shape: PairShape,
    /// Which modules, in the order of the buffer.
    modules: Vec<usize>,
    a_offset: i64,
    b_offset: i64,
    scaling: Tensor,
}

/// Where every pair lies in the buffer: all A, group by group, then all B in the same order.
#[derive(Debug)]
pub struct Layout {
    groups: Vec<Group>,
    modules: usize,
    b_start: i64,
    total: i64,
}

/// Modules in the order in which the buffer must hold them: by shape, then by their own order.
pub fn layout(shapes: &[PairShape]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shapes.len()).collect();
    order.sort_by_key(|&module| (shapes[module], module));
    order
}

/// Numbers that [`Layout::measure`] gives for each module.
const SERIES: usize = 6;

impl Layout {
    /// The layout of modules with these shapes and scalings; `like` gives the device.
    pub fn new(shapes: &[PairShape], scalings: &[f64], like: &Tensor) -> Result<Self> {
        let order = layout(shapes);
        let mut groups: Vec<Group> = Vec::new();
        for chunk in order.chunk_by(|&left, &right| shapes[left] == shapes[right]) {
            let scaling: Vec<f64> = chunk.iter().map(|&module| scalings[module]).collect();
            groups.push(Group {
                shape: shapes[chunk[0]],
                modules: chunk.to_vec(),
                a_offset: 0,
                b_offset: 0,
                scaling: Tensor::from_slice(&scaling).f_to_device(like.device())?,
            });
        }
        let mut offset = 0;
        for group in &mut groups {
            group.a_offset = offset;
            offset += group.modules.len() as i64 * group.shape.rank * group.shape.inputs;
        }
        let b_start = offset;
        for group in &mut groups {
            group.b_offset = offset;
            offset += group.modules.len() as i64 * group.shape.rank * group.shape.outputs;
        }
        Ok(Self {
            groups,
            modules: shapes.len(),
            b_start,
            total: offset,
        })
    }

    /// A copy of every B, to be compared with after the next update.
    pub fn keep_b(&self, weights: &Tensor) -> Result<Tensor> {
        copied(&weights.f_narrow(0, self.b_start, self.total - self.b_start)?)
    }

    /// Gradient norms of every module: ‖∂A‖, then ‖∂B‖; to be taken before clipping.
    pub fn measure_gradients(&self, grad: &Tensor) -> Result<Vec<Tensor>> {
        let one = |group: &Group| -> Result<Tensor> {
            let norms = [norm(&group.a(grad)?)?, norm(&group.b(grad, 0)?)?];
            Ok(Tensor::f_stack(&norms, 0)?)
        };
        self.groups.iter().map(one).collect()
    }

    /// All series of every group as one vector on the device; what is not there (step 0) is NaN.
    pub fn measure(
        &self,
        weights: &Tensor,
        gradients: Option<&[Tensor]>,
        previous: Option<&Tensor>,
    ) -> Result<Vec<Tensor>> {
        let mut blocks = Vec::with_capacity(self.groups.len());
        for (index, group) in self.groups.iter().enumerate() {
            let missing = group.scaling.f_full_like(f64::NAN)?;
            let gradients = match gradients {
                Some(gradients) => gradients[index].shallow_clone(),
                None => Tensor::f_stack(&[&missing, &missing], 0)?,
            };
            let sizes = group.sizes(weights)?;
            let cosine = match previous {
                Some(previous) => group.cosine(weights, &sizes[1], previous, self.b_start)?,
                None => missing,
            };
            let sizes = Tensor::f_stack(&sizes, 0)?;
            let block = Tensor::f_cat(&[sizes, gradients, cosine.f_unsqueeze(0)?], 0)?;
            blocks.push(block.f_reshape([-1])?);
        }
        Ok(blocks)
    }

    /// Puts the transferred numbers of [`Layout::measure`] into the order of the modules.
    pub fn point(&self, step: u64, numbers: &[f64]) -> NormPoint {
        let mut series = vec![vec![f64::NAN; self.modules]; SERIES];
        let mut start = 0;
        for group in &self.groups {
            let count = group.modules.len();
            for (kind, values) in numbers[start..start + SERIES * count]
                .chunks(count)
                .enumerate()
            {
                for (&module, &value) in group.modules.iter().zip(values) {
                    series[kind][module] = value;
                }
            }
            start += SERIES * count;
        }
        let mut series = series.into_iter();
        let mut next = || series.next().unwrap_or_default();
        NormPoint {
            step,
            a_norm: next(),
            b_norm: next(),
            ba_norm: next(),
            a_grad_norm: next(),
            b_grad_norm: next(),
            b_cosine_previous: next(),
            stable_rank: vec![f64::NAN; self.modules],
        }
    }
}

impl Group {
    /// *Shapes* modules × R × inputs.
    fn a(&self, buffer: &Tensor) -> Result<Tensor> {
        let shape = [
            self.modules.len() as i64,
            self.shape.rank,
            self.shape.inputs,
        ];
        block(buffer, self.a_offset, shape)
    }

    /// *Shapes* modules × outputs × R; `start` is the offset at which `buffer` begins.
    fn b(&self, buffer: &Tensor, start: i64) -> Result<Tensor> {
        let shape = [
            self.modules.len() as i64,
            self.shape.outputs,
            self.shape.rank,
        ];
        block(buffer, self.b_offset - start, shape)
    }

    /// ‖A‖, ‖B‖ and scaling · ‖BA‖, the last as √⟨BᵀB, AAᵀ⟩, which needs no matrix of outputs × inputs.
    fn sizes(&self, weights: &Tensor) -> Result<[Tensor; 3]> {
        let (a, b) = (self.a(weights)?, self.b(weights, 0)?);
        let gram_a = a.f_bmm(&a.f_transpose(1, 2)?)?;
        let gram_b = b.f_transpose(1, 2)?.f_bmm(&b)?;
        let inner = sum(&gram_a.f_mul(&gram_b)?)?.f_clamp_min(0.0)?.f_sqrt()?;
        Ok([norm(&a)?, norm(&b)?, inner.f_mul(&self.scaling)?])
    }

    /// Between B and what it was before; `b_norm` is B's own norm.
    fn cosine(
        &self,
        weights: &Tensor,
        b_norm: &Tensor,
        previous: &Tensor,
        b_start: i64,
    ) -> Result<Tensor> {
        let (now, before) = (self.b(weights, 0)?, self.b(previous, b_start)?);
        let dot = sum(&now.f_mul(&before)?)?;
        Ok(dot.f_div(&b_norm.f_mul(&norm(&before)?)?)?)
    }
}

fn block(buffer: &Tensor, offset: i64, shape: [i64; 3]) -> Result<Tensor> {
    let length = shape.iter().product();
    Ok(buffer.f_narrow(0, offset, length)?.f_view(shape)?)
}

/// Sums over all but the first axis, added up in doubles.
fn sum(batch: &Tensor) -> Result<Tensor> {
    Ok(batch.f_sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Double)?)
}

fn norm(batch: &Tensor) -> Result<Tensor> {
    Ok(sum(&batch.f_square()?)?.f_sqrt()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [PairShape; 3] = [
        PairShape {
            rank: 2,
            inputs: 3,
            outputs: 4,
        },
        PairShape {
            rank: 1,
            inputs: 3,
            outputs: 2,
        },
        PairShape {
            rank: 2,
            inputs: 3,
            outputs: 4,
        },
    ];

    /// Pairs of small whole numbers, and a buffer that holds them as `layout` says.
    fn buffer(sign: f64) -> (Vec<(Tensor, Tensor)>, Tensor) {
        let ramp = |rows: i64, columns: i64, start: i64| {
            (Tensor::arange_start(start, start + rows * columns, tch::kind::FLOAT_CPU) * sign)
                .view([rows, columns])
        };
        let pairs: Vec<(Tensor, Tensor)> = SHAPES
            .iter()
            .enumerate()
            .map(|(module, shape)| {
                let start = module as i64 - 4;
                (
                    ramp(shape.rank, shape.inputs, start),
                    ramp(shape.outputs, shape.rank, start + 1),
                )
            })
            .collect();
        let order = layout(&SHAPES);
        let a = order.iter().map(|&module| pairs[module].0.flatten(0, -1));
        let b = order.iter().map(|&module| pairs[module].1.flatten(0, -1));
        let all: Vec<Tensor> = a.chain(b).collect();
        (pairs, Tensor::cat(&all, 0))
    }

    fn frobenius(matrix: &Tensor) -> f64 {
        matrix
            .to_kind(Kind::Double)
            .square()
            .sum(Kind::Double)
            .double_value(&[])
            .sqrt()
    }

    fn values(blocks: &[Tensor]) -> Vec<f64> {
        Vec::<f64>::try_from(Tensor::cat(blocks, 0)).unwrap()
    }

    #[test]
    fn norms_are_those_of_the_multiplied_out_matrices() {
        let scalings = [0.5, 3.0, 2.0];
        let (pairs, weights) = buffer(1.0);
        let layout = Layout::new(&SHAPES, &scalings, &weights).unwrap();
        let gradients = layout.measure_gradients(&(&weights * 2.0)).unwrap();
        let before = layout.keep_b(&buffer(-1.0).1).unwrap();
        let blocks = layout
            .measure(&weights, Some(&gradients), Some(&before))
            .unwrap();
        let point = layout.point(7, &values(&blocks));
        assert_eq!(point.step, 7);
        for (module, (a, b)) in pairs.iter().enumerate() {
            let near = |found: f64, expected: f64| {
                // whole numbers below 2^24 are exact in single precision; only the root rounds
                assert!(
                    (found - expected).abs() <= 1e-12 * expected.abs(),
                    "{found} {expected}"
                );
            };
            near(point.a_norm[module], frobenius(a));
            near(point.b_norm[module], frobenius(b));
            near(
                point.ba_norm[module],
                scalings[module] * frobenius(&b.matmul(a)),
            );
            near(point.a_grad_norm[module], 2.0 * frobenius(a));
            near(point.b_grad_norm[module], 2.0 * frobenius(b));
            near(point.b_cosine_previous[module], -1.0);
        }
    }

    #[test]
    fn before_the_first_update_there_are_neither_gradients_nor_cosines() {
        let (_, weights) = buffer(1.0);
        let layout = Layout::new(&SHAPES, &[1.0; 3], &weights).unwrap();
        let point = layout.point(0, &values(&layout.measure(&weights, None, None).unwrap()));
        assert!(point.a_norm.iter().all(|norm| norm.is_finite()));
        let missing = [
            &point.a_grad_norm,
            &point.b_grad_norm,
            &point.b_cosine_previous,
        ];
        assert!(missing.into_iter().flatten().all(|value| value.is_nan()));
    }

    #[test]
    fn the_cosine_with_a_zero_vector_does_not_exist() {
        let (_, weights) = buffer(1.0);
        let layout = Layout::new(&SHAPES, &[1.0; 3], &weights).unwrap();
        let zero = layout.keep_b(&weights.zeros_like()).unwrap();
        let point = layout.point(
            1,
            &values(&layout.measure(&weights, None, Some(&zero)).unwrap()),
        );
        assert!(point.b_cosine_previous.iter().all(|cosine| cosine.is_nan()));
    }
}
