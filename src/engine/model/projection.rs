//! Linear maps and what adapters add to them: W·x + scaling · B·(A·x), never with B·A made.
//!
//! The adapter is an argument; the map does not know that it has one. Every shape here is of rows: `[N, in]` with
//! N = B·T and the rows of one sequence adjacent.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use super::steer::Steer;
use crate::domain::finetune::Projection;
use crate::engine::{Result, shim};

/// Which kernels multiply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kernels {
    /// libtorch's own, for which it is tested that no row depends on another: generation's.
    #[default]
    Own,
    /// Faster ones for float32 on a CPU, the same with a graph and without one.
    Training,
}

/// A linear map with frozen or trained weights.
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Tensor>,
}

/// A low-rank pair that all rows of a batch share.
pub struct Shared {
    /// `[R, in]`, float32.
    pub a: Tensor,
    /// `[out, R]`, float32.
    pub b: Tensor,
    /// Factor on B·A.
    pub scaling: f64,
    /// Applied to the input before A; training only.
    pub dropout: Option<Box<dyn Dropout>>,
}

/// Low-rank pairs of each sequence's own, padded with zeros to one rank; a sequence without an adapter has only zeros.
///
/// Runs of equally many adjacent sequences may share a pair: B is then the number of runs.
///
/// The layouts are the ones that batched products of a few rows read fastest.
pub struct PerRow {
    /// `[B, R, in]`, float32.
    pub a: Tensor,
    /// `[B, R, out]`, float32, with the scaling in it.
    pub b: Tensor,
}

/// What is added to a linear map.
#[derive(Default)]
pub enum Delta {
    /// Nothing.
    #[default]
    None,
    /// One pair for all sequences.
    Shared(Shared),
    /// A pair for each sequence.
    PerRow(PerRow),
}

/// Keyed dropout on the input of one module's A.
pub trait Dropout: Send {
    /// Zeroes some entries of `x` `[N, in]` and scales up the others.
    fn apply(&self, x: &Tensor) -> Result<Tensor>;
}

/// The deltas of a whole model.
pub struct Deltas {
    layers: Vec<[Delta; 7]>,
    /// By layer; what is not here is nothing.
    steers: BTreeMap<usize, Steer>,
}

impl Deltas {
    /// No adapter.
    pub fn none() -> Self {
        Self {
            layers: Vec::new(),
            steers: BTreeMap::new(),
        }
    }

    /// Deltas for some modules; a later one for the same module takes the earlier one's place.
    pub fn of(modules: impl IntoIterator<Item = (usize, Projection, Delta)>) -> Self {
        let mut deltas = Self::none();
        for (layer, projection, delta) in modules {
            if deltas.layers.len() <= layer {
                deltas.layers.resize_with(layer + 1, Default::default);
            }
            deltas.layers[layer][projection as usize] = delta;
        }
        deltas
    }

    /// The same with something added to a layer's residual stream, in place of what was there.
    pub fn steered(mut self, layer: usize, steer: Steer) -> Self {
        self.steers.insert(layer, steer);
        self
    }

    /// What is added to the residual stream behind a layer.
    pub fn steer(&self, layer: usize) -> &Steer {
        self.steers.get(&layer).unwrap_or(&Steer::None)
    }

    /// What is added to one module.
    pub fn get(&self, layer: usize, projection: Projection) -> &Delta {
        match self.layers.get(layer) {
            Some(layer) => &layer[projection as usize],
            None => &Delta::None,
        }
    }
}

impl Linear {
    /// W·x + bias + delta.
    ///
    /// *Shapes* x `[N, in]` → `[N, out]`
    pub fn forward(&self, kernels: Kernels, x: &Tensor, delta: &Delta) -> Result<Tensor> {
        let base = kernels.linear(x, &self.weight, self.bias.as_ref())?;
        delta.add(kernels, base, x)
    }

    /// residual + W·x + bias + delta, the sum made inside the matrix product where its kernel can.
    ///
    /// *Shapes* residual `[N, out]`, x `[N, in]` → `[N, out]`
    pub fn forward_onto(
        &self,
        kernels: Kernels,
        residual: &Tensor,
        x: &Tensor,
        delta: &Delta,
    ) -> Result<Tensor> {
        // narrow number types round the product before they round the sum, as transformers does
        if residual.f_kind()? != Kind::Float {
            return Ok(residual.f_add(&self.forward(kernels, x, delta)?)?);
        }
        if kernels.are_training(x, &self.weight)? {
            let product = kernels.linear(x, &self.weight, self.bias.as_ref())?;
            return delta.add(kernels, residual.f_add(&product)?, x);
        }
        let sum = residual.f_addmm(x, &self.weight.f_transpose(0, 1)?)?;
        let sum = match &self.bias {
            Some(bias) => sum.f_add(bias)?,
            None => sum,
        };
        delta.add(kernels, sum, x)
    }

    /// Its tensors, weight first.
    pub fn tensors<'a>(&'a self, out: &mut Vec<&'a Tensor>) {
        out.push(&self.weight);
        out.extend(&self.bias);
    }
}

impl Kernels {
    /// x · weightᵀ + bias.
    ///
    /// *Shapes* x [N, in], weight [out, in], bias `[out]` → [N, out]
    pub(super) fn linear(
        self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        if self.are_training(x, weight)? {
            return shim::linear(x, weight, bias);
        }
        Ok(x.f_linear(weight, bias)?)
    }

    /// Whether the faster ones do this product.
    fn are_training(self, x: &Tensor, weight: &Tensor) -> Result<bool> {
        Ok(self == Self::Training
            && x.device() == tch::Device::Cpu
            && x.f_kind()? == Kind::Float
            && weight.f_kind()? == Kind::Float)
    }
}

impl Delta {
    /// `base` plus what this delta makes of the input. `base` is consumed and may be written in place.
    fn add(&self, kernels: Kernels, base: Tensor, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(base),
            Self::Shared(pair) => pair.add(kernels, base, x),
            Self::PerRow(pairs) => pairs.add(base, x),
        }
    }
}

impl Shared {
    /// The scaling goes on the `[N, R]` middle, the narrowest place.
    fn add(&self, kernels: Kernels, mut base: Tensor, x: &Tensor) -> Result<Tensor> {
        let kind = base.f_kind()?;
        let input = float(x)?;
        let input = match &self.dropout {
            Some(dropout) => dropout.apply(&input)?,
            None => input,
        };
        let middle = kernels.linear(&input, &self.a, None)?;
        let middle = middle.f_mul_scalar(self.scaling)?;
        let up = self.b.f_transpose(0, 1)?;
        if kind == Kind::Float {
            return Ok(base.f_addmm_(&middle, &up)?);
        }
        let sum = float(&base)?.f_addmm(&middle, &up)?;
        Ok(sum.f_to_kind(kind)?)
    }
}

impl PerRow {
    fn add(&self, base: Tensor, x: &Tensor) -> Result<Tensor> {
        let kind = base.f_kind()?;
        let batch = self.a.size()[0];
        let by_row = |t: &Tensor| -> Result<Tensor> {
            let width = t.size()[1];
            Ok(float(t)?.f_view([batch, -1, width])?)
        };
        let middle = by_row(x)?.f_bmm(&self.a.f_transpose(1, 2)?)?;
        let sum = by_row(&base)?.f_baddbmm_(&middle, &self.b)?;
        if kind == Kind::Float {
            return Ok(base);
        }
        Ok(sum.f_view(base.size().as_slice())?.f_to_kind(kind)?)
    }
}

/// Adapters compute in float32 whatever the base's number type is.
fn float(x: &Tensor) -> Result<Tensor> {
    if x.f_kind()? == Kind::Float {
        return Ok(x.shallow_clone());
    }
    Ok(x.f_to_kind(Kind::Float)?)
}
