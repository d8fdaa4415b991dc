//! Norms of low-rank pairs at a step, for all modules of one shape at once and without a transfer of its own.
//!
//! The flat buffer holds the pairs group by group (see [`layout`]), so each group is one batch of matrices. The device gives
//! sums, in as few operations as there are; roots and quotients are taken on the host, from doubles.

mod stable;

use tch::Tensor;

use crate::domain::metric::NormPoint;
use crate::engine::Result;

use super::flat::copied;
use stable::Spectrum;

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
}

/// Where every pair lies in the buffer: all A, group by group, then all B in the same order.
#[derive(Debug)]
pub struct Layout {
    groups: Vec<Group>,
    scalings: Vec<f64>,
    b_start: i64,
    total: i64,
}

/// Where the vectors of a pair of rank 1 lie in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VectorPlace {
    /// Which module.
    pub module: usize,
    /// Numbers before A.
    pub a_offset: i64,
    /// Numbers of A.
    pub inputs: i64,
    /// Numbers before B.
    pub b_offset: i64,
    /// Numbers of B.
    pub outputs: i64,
}

/// Modules in the order in which the buffer must hold them: by shape, then by their own order.
pub fn layout(shapes: &[PairShape]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shapes.len()).collect();
    order.sort_by_key(|&module| (shapes[module], module));
    order
}

/// What the norms behind an update need from before it.
#[derive(Debug)]
pub struct Before {
    /// Group by group ‖∂A‖, ‖∂B‖ and ‖B‖.
    norms: Vec<Tensor>,
    /// A copy of every B.
    b: Tensor,
}

impl Layout {
    /// The layout of modules with these shapes and scalings.
    pub fn new(shapes: &[PairShape], scalings: &[f64]) -> Self {
        let order = layout(shapes);
        let mut groups: Vec<Group> = Vec::new();
        for chunk in order.chunk_by(|&left, &right| shapes[left] == shapes[right]) {
            groups.push(Group {
                shape: shapes[chunk[0]],
                modules: chunk.to_vec(),
                a_offset: 0,
                b_offset: 0,
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
        Self {
            groups,
            scalings: scalings.to_vec(),
            b_start,
            total: offset,
        }
    }

    /// Where the pairs of rank 1 lie, in the order of the modules.
    pub fn vectors(&self) -> Vec<VectorPlace> {
        let of_group = |group: &Group| {
            let PairShape {
                inputs, outputs, ..
            } = group.shape;
            let (a, b) = (group.a_offset, group.b_offset);
            let places = group.modules.iter().zip(0..);
            let place = move |(&module, index): (&usize, i64)| VectorPlace {
                module,
                a_offset: a + index * inputs,
                inputs,
                b_offset: b + index * outputs,
                outputs,
            };
            places.map(place).collect::<Vec<_>>()
        };
        let groups = self.groups.iter().filter(|group| group.shape.rank == 1);
        let mut places: Vec<VectorPlace> = groups.flat_map(of_group).collect();
        places.sort_unstable_by_key(|place| place.module);
        places
    }

    fn b_of(&self, weights: &Tensor) -> Result<Tensor> {
        Ok(weights.f_narrow(0, self.b_start, self.total - self.b_start)?)
    }

    /// To be taken before clipping and update.
    pub fn before(&self, weights: &Tensor, grad: &Tensor) -> Result<Before> {
        let mut norms = Vec::with_capacity(3 * self.groups.len());
        for group in &self.groups {
            norms.push(norm(&group.a_rows(grad)?)?);
            norms.push(norm(&group.b_rows(grad, 0)?)?);
            norms.push(norm(&group.b_rows(weights, 0)?)?);
        }
        let b = copied(&self.b_of(weights)?)?;
        Ok(Before { norms, b })
    }

    /// Sums and norms of every group, for [`Layout::point`]; `before` is there behind an update.
    pub fn measure(&self, weights: &Tensor, before: Option<Before>) -> Result<Vec<Tensor>> {
        let mut blocks = Vec::with_capacity(8 * self.groups.len());
        for same_rank in self.ranks() {
            let grams = same_rank.iter().map(|group| group.grams(weights));
            let grams = grams.collect::<Result<Vec<_>>>()?;
            let (a, b): (Vec<Tensor>, Vec<Tensor>) = grams.into_iter().unzip();
            blocks.extend(Spectrum::of(
                &Tensor::f_cat(&a, 0)?,
                &Tensor::f_cat(&b, 0)?,
            )?);
        }
        if let Some(Before { norms, b }) = before {
            blocks.extend(norms);
            let mut change = b;
            let _ = change.f_sub_(&self.b_of(weights)?)?;
            for group in &self.groups {
                blocks.push(norm(&group.b_rows(&change, self.b_start)?)?);
            }
        }
        Ok(blocks)
    }

    fn ranks(&self) -> impl Iterator<Item = &[Group]> {
        self.groups
            .chunk_by(|left, right| left.shape.rank == right.shape.rank)
    }

    /// Puts the transferred numbers of [`Layout::measure`] into the order of the modules.
    pub fn point(&self, step: u64, numbers: &[f64]) -> NormPoint {
        let nothing = || vec![f64::NAN; self.scalings.len()];
        let mut point = NormPoint {
            step,
            a_norm: nothing(),
            b_norm: nothing(),
            ba_norm: nothing(),
            a_grad_norm: nothing(),
            b_grad_norm: nothing(),
            b_cosine_previous: nothing(),
            stable_rank: nothing(),
        };
        let rest = self.sizes(&mut point, numbers);
        if !rest.is_empty() {
            self.behind_an_update(&mut point, rest);
        }
        point
    }

    /// Norms of what there is at every step; the numbers that are left.
    fn sizes<'a>(&self, point: &mut NormPoint, mut numbers: &'a [f64]) -> &'a [f64] {
        for same_rank in self.ranks() {
            let modules: Vec<usize> = modules(same_rank).collect();
            let (spectrum, rest) = Spectrum::read(same_rank[0].shape.rank, modules.len(), numbers);
            numbers = rest;
            for (place, module) in modules.into_iter().enumerate() {
                let (a, b, ba) = spectrum.squares(place);
                point.a_norm[module] = a.sqrt();
                point.b_norm[module] = b.sqrt();
                point.ba_norm[module] = self.scalings[module] * ba.max(0.0).sqrt();
                point.stable_rank[module] = spectrum.stable_rank(place);
            }
        }
        numbers
    }

    fn behind_an_update(&self, point: &mut NormPoint, numbers: &[f64]) {
        let (norms, changes) = numbers.split_at(3 * self.scalings.len());
        let (mut norms, mut changes) = (norms.iter(), changes.iter());
        for group in &self.groups {
            let mut next = |into: &mut [f64]| {
                for (&module, value) in group.modules.iter().zip(norms.by_ref()) {
                    into[module] = *value;
                }
            };
            next(&mut point.a_grad_norm);
            next(&mut point.b_grad_norm);
            next(&mut point.b_cosine_previous);
        }
        for (module, change) in modules(&self.groups).zip(changes.by_ref()) {
            let before = point.b_cosine_previous[module];
            point.b_cosine_previous[module] = cosine(point.b_norm[module], before, *change);
        }
    }
}

fn modules(groups: &[Group]) -> impl Iterator<Item = usize> {
    groups
        .iter()
        .flat_map(|group| group.modules.iter().copied())
}

/// Between two vectors of these lengths with this distance; NaN where either is zero.
///
/// The law of cosines in the form that keeps its digits where the vectors are nearly the same.
pub(super) fn cosine(now: f64, before: f64, distance: f64) -> f64 {
    if now == 0.0 || before == 0.0 {
        return f64::NAN;
    }
    let apart = distance.powi(2) - (now - before).powi(2);
    (1.0 - apart / (2.0 * now * before)).clamp(-1.0, 1.0)
}

impl Group {
    /// *Shapes* modules × R × inputs.
    fn a(&self, buffer: &Tensor) -> Result<Tensor> {
        let PairShape { rank, inputs, .. } = self.shape;
        block(buffer, self.a_offset, &[self.count(), rank, inputs])
    }

    /// *Shapes* modules × outputs × R.
    fn b(&self, buffer: &Tensor) -> Result<Tensor> {
        let PairShape { rank, outputs, .. } = self.shape;
        block(buffer, self.b_offset, &[self.count(), outputs, rank])
    }

    /// *Shapes* modules × numbers of an A.
    fn a_rows(&self, buffer: &Tensor) -> Result<Tensor> {
        let PairShape { rank, inputs, .. } = self.shape;
        block(buffer, self.a_offset, &[self.count(), rank * inputs])
    }

    /// *Shapes* modules × numbers of a B; `start` is the offset at which `buffer` begins.
    fn b_rows(&self, buffer: &Tensor, start: i64) -> Result<Tensor> {
        let PairShape { rank, outputs, .. } = self.shape;
        let shape = [self.count(), rank * outputs];
        block(buffer, self.b_offset - start, &shape)
    }

    fn count(&self) -> i64 {
        self.modules.len() as i64
    }

    /// AAᵀ and BᵀB, from which everything about A, B and BA follows without a matrix of outputs × inputs.
    ///
    /// *Shapes* modules × R × R each.
    fn grams(&self, weights: &Tensor) -> Result<(Tensor, Tensor)> {
        let (a, b) = (self.a(weights)?, self.b(weights)?);
        let of_a = a.f_bmm(&a.f_transpose(1, 2)?)?;
        Ok((of_a, b.f_transpose(1, 2)?.f_bmm(&b)?))
    }
}

fn block(buffer: &Tensor, offset: i64, shape: &[i64]) -> Result<Tensor> {
    let length = shape.iter().product();
    Ok(buffer.f_narrow(0, offset, length)?.f_view(shape)?)
}

/// Lengths of the rows, in single precision.
pub(super) fn norm(rows: &Tensor) -> Result<Tensor> {
    Ok(rows.f_norm_scalaropt_dim(2.0, 1, false)?)
}

#[cfg(test)]
mod tests {
    use tch::Kind;

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
        let layout = Layout::new(&SHAPES, &scalings);
        let before = layout.before(&buffer(-1.0).1, &(&weights * 2.0)).unwrap();
        let blocks = layout.measure(&weights, Some(before)).unwrap();
        let point = layout.point(7, &values(&blocks));
        assert_eq!(point.step, 7);
        for (module, (a, b)) in pairs.iter().enumerate() {
            let near = |found: f64, expected: f64| {
                // whole numbers below 2^24 are exact in single precision; only roots of it round
                assert!(
                    (found - expected).abs() <= 3e-7 * expected.abs(),
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
        let layout = Layout::new(&SHAPES, &[1.0; 3]);
        let point = layout.point(0, &values(&layout.measure(&weights, None).unwrap()));
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
        let layout = Layout::new(&SHAPES, &[1.0; 3]);
        let zero = weights.zeros_like();
        let point = |from: &Tensor, to: &Tensor| {
            let before = layout.before(from, &weights).unwrap();
            layout.point(1, &values(&layout.measure(to, Some(before)).unwrap()))
        };
        let cosines = [point(&zero, &weights), point(&weights, &zero)];
        let mut cosines = cosines.iter().flat_map(|point| &point.b_cosine_previous);
        assert!(cosines.all(|cosine| cosine.is_nan()));
    }

    #[test]
    fn a_cosine_keeps_its_digits_where_hardly_anything_changed() {
        let angle = 1e-5_f64;
        let distance = 2.0 * (angle / 2.0).sin();
        let found = 1.0 - cosine(1.0, 1.0, distance);
        assert!((found / (1.0 - angle.cos()) - 1.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn the_pairs_of_rank_one_lie_where_the_buffer_has_them() {
        let (pairs, weights) = buffer(1.0);
        let layout = Layout::new(&SHAPES, &[1.0; 3]);
        let places = layout.vectors();
        assert_eq!(places.len(), 1);
        let part = |offset, length| weights.narrow(0, offset, length);
        assert_eq!(places[0].module, 1);
        assert_eq!(
            part(places[0].a_offset, places[0].inputs),
            pairs[1].0.flatten(0, -1)
        );
        assert_eq!(
            part(places[0].b_offset, places[0].outputs),
            pairs[1].1.flatten(0, -1)
        );
    }
}
