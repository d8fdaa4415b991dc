//! One decoder layer, shared by training, prefill and decoding. Knows neither caches nor where deltas come from.

use tch::Tensor;

use super::attention::Attend;
use super::config::ModelConfig;
use super::projection::{Deltas, Linear};
use super::rope::Angles;
use crate::domain::finetune::Projection;
use crate::engine::Result;

/// The weights of a decoder layer.
pub struct Layer {
    /// `[D]`, before attention.
    pub input_norm: Tensor,
    /// Queries, `[H·E, D]`.
    pub q: Linear,
    /// Keys, `[K·E, D]`.
    pub k: Linear,
    /// Values, `[K·E, D]`.
    pub v: Linear,
    /// Attention output, `[D, H·E]`.
    pub o: Linear,
    /// `[D]`, before the MLP.
    pub post_norm: Tensor,
    /// MLP gate, `[F, D]`.
    pub gate: Linear,
    /// MLP up, `[F, D]`.
    pub up: Linear,
    /// MLP down, `[D, F]`.
    pub down: Linear,
}

impl Layer {
    /// Its tensors in the order of `ModelConfig::parameters`.
    pub fn tensors<'a>(&'a self, out: &mut Vec<&'a Tensor>) {
        out.push(&self.input_norm);
        for linear in [&self.q, &self.k, &self.v, &self.o] {
            linear.tensors(out);
        }
        out.push(&self.post_norm);
        for linear in [&self.gate, &self.up, &self.down] {
            linear.tensors(out);
        }
    }

    /// One of its linear maps by name.
    pub fn linear(&self, projection: Projection) -> &Linear {
        match projection {
            Projection::QProj => &self.q,
            Projection::KProj => &self.k,
            Projection::VProj => &self.v,
            Projection::OProj => &self.o,
            Projection::GateProj => &self.gate,
            Projection::UpProj => &self.up,
            Projection::DownProj => &self.down,
        }
    }
}

/// What all layers of one pass share.
pub struct Pass<'a> {
    /// Shape of the model.
    pub config: &'a ModelConfig,
    /// Positions of the tokens.
    pub angles: &'a Angles,
    /// What is added to the projections.
    pub deltas: &'a Deltas,
    /// B.
    pub batch: i64,
    /// T.
    pub length: i64,
}

/// One layer: attention and MLP, each normed before and added to the residual stream.
///
/// *Shapes* x `[B·T, D]` → the same; rows of one sequence are adjacent
pub fn forward(
    pass: &Pass,
    index: usize,
    layer: &Layer,
    x: &Tensor,
    attend: &mut dyn Attend,
) -> Result<Tensor> {
    let eps = pass.config.rms_norm_eps;
    let normed = rms_norm(x, &layer.input_norm, eps)?;
    let context = attention(pass, index, layer, &normed, attend)?;
    let x = project_onto(pass, index, layer, Projection::OProj, x, &context)?;
    let normed = rms_norm(&x, &layer.post_norm, eps)?;
    let gate = project(pass, index, layer, Projection::GateProj, &normed)?;
    let up = project(pass, index, layer, Projection::UpProj, &normed)?;
    let inner = gate.f_silu()?.f_mul(&up)?;
    project_onto(pass, index, layer, Projection::DownProj, &x, &inner)
}

/// From normed states `[B·T, D]` to the heads' contexts `[B·T, H·E]`.
fn attention(
    pass: &Pass,
    index: usize,
    layer: &Layer,
    normed: &Tensor,
    attend: &mut dyn Attend,
) -> Result<Tensor> {
    let heads = |projection| -> Result<Tensor> {
        let flat = project(pass, index, layer, projection, normed)?;
        let shape = [pass.batch, pass.length, -1, pass.config.head_dim];
        Ok(flat.f_view(shape)?)
    };
    let q = pass.angles.turn(&heads(Projection::QProj)?)?;
    let k = pass.angles.turn(&heads(Projection::KProj)?)?;
    let v = heads(Projection::VProj)?;
    let context = attend.attend(index, q, k, v)?;
    Ok(context.f_reshape([pass.batch * pass.length, -1])?)
}

fn project(
    pass: &Pass,
    index: usize,
    layer: &Layer,
    projection: Projection,
    x: &Tensor,
) -> Result<Tensor> {
    let delta = pass.deltas.get(index, projection);
    layer.linear(projection).forward(x, delta)
}

fn project_onto(
    pass: &Pass,
    index: usize,
    layer: &Layer,
    projection: Projection,
    residual: &Tensor,
    x: &Tensor,
) -> Result<Tensor> {
    let delta = pass.deltas.get(index, projection);
    layer.linear(projection).forward_onto(residual, x, delta)
}

/// x / √(mean(x²) + eps) · weight, over the last axis.
///
/// The fused form, since the plain one is taken apart under autograd and takes twice the time.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (normed, _root) = x.f_internal_fused_rms_norm(weight.size(), Some(weight), eps)?;
    Ok(normed)
}
