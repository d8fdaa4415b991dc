//! One decoder layer, shared by training, prefill and decoding. Knows neither caches nor where deltas come from.

use tch::{Kind, Tensor};

use super::attention::Attend;
use super::config::{Activation, ModelConfig};
use super::projection::{Deltas, Kernels, Linear};
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
    /// `[E]`, of each head's queries.
    pub q_norm: Option<Tensor>,
    /// `[E]`, of each head's keys.
    pub k_norm: Option<Tensor>,
    /// Attention output, `[D, H·E]`.
    pub o: Linear,
    /// `[D]`, of what attention gives.
    pub attention_norm: Option<Tensor>,
    /// `[D]`, before the MLP.
    pub mlp_norm: Tensor,
    /// MLP gate, `[F, D]`.
    pub gate: Linear,
    /// MLP up, `[F, D]`.
    pub up: Linear,
    /// MLP down, `[D, F]`.
    pub down: Linear,
    /// `[D]`, of what the MLP gives.
    pub output_norm: Option<Tensor>,
}

impl Layer {
    /// Its tensors in the order of `ModelConfig::parameters`.
    pub fn tensors<'a>(&'a self, out: &mut Vec<&'a Tensor>) {
        out.push(&self.input_norm);
        for linear in [&self.q, &self.k, &self.v] {
            linear.tensors(out);
        }
        out.extend(&self.q_norm);
        out.extend(&self.k_norm);
        self.o.tensors(out);
        out.extend(&self.attention_norm);
        out.push(&self.mlp_norm);
        for linear in [&self.gate, &self.up, &self.down] {
            linear.tensors(out);
        }
        out.extend(&self.output_norm);
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
    /// What multiplies.
    pub kernels: Kernels,
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
    let normed = norm(x, &layer.input_norm, pass.config)?;
    let context = attention(pass, index, layer, &normed, attend)?;
    let given = (Projection::OProj, layer.attention_norm.as_ref());
    let x = join(pass, index, layer, given, x, &context)?;
    let normed = norm(&x, &layer.mlp_norm, pass.config)?;
    let gate = project(pass, index, layer, Projection::GateProj, &normed)?;
    let up = project(pass, index, layer, Projection::UpProj, &normed)?;
    let inner = activate(pass.config.activation, &gate)?.f_mul(&up)?;
    let given = (Projection::DownProj, layer.output_norm.as_ref());
    let x = join(pass, index, layer, given, &x, &inner)?;
    pass.deltas.steer(index).add(x)
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
    let placed = |x: Tensor, weight: &Option<Tensor>| {
        let slides = pass.config.slides(index);
        match weight {
            Some(weight) => pass.angles.turn(&norm(&x, weight, pass.config)?, slides),
            None => pass.angles.turn(&x, slides),
        }
    };
    let q = placed(heads(Projection::QProj)?, &layer.q_norm)?;
    let k = placed(heads(Projection::KProj)?, &layer.k_norm)?;
    let v = heads(Projection::VProj)?;
    let context = attend.attend(index, pass.config.attention(index), q, k, v)?;
    Ok(context.f_reshape([pass.batch * pass.length, -1])?)
}

fn activate(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => Ok(x.f_silu()?),
        Activation::GeluTanh => Ok(x.f_gelu("tanh")?),
        Activation::Gelu => Ok(x.f_gelu("none")?),
    }
}

fn project(
    pass: &Pass,
    index: usize,
    layer: &Layer,
    projection: Projection,
    x: &Tensor,
) -> Result<Tensor> {
    let delta = pass.deltas.get(index, projection);
    layer.linear(projection).forward(pass.kernels, x, delta)
}

/// The residual stream with what a projection gives added, after a norm of its own where there is one.
fn join(
    pass: &Pass,
    index: usize,
    layer: &Layer,
    (projection, weight): (Projection, Option<&Tensor>),
    residual: &Tensor,
    x: &Tensor,
) -> Result<Tensor> {
    let Some(weight) = weight else {
        let delta = pass.deltas.get(index, projection);
        let linear = layer.linear(projection);
        return linear.forward_onto(pass.kernels, residual, x, delta);
    };
    let given = project(pass, index, layer, projection, x)?;
    Ok(residual.f_add(&norm(&given, weight, pass.config)?)?)
}

/// x / √(mean(x²) + eps), over the last axis, times the weight or, in some families, 1 + the weight.
///
/// float32 takes the fused form, since the plain one is taken apart under autograd and takes twice the time.
pub fn norm(x: &Tensor, weight: &Tensor, config: &ModelConfig) -> Result<Tensor> {
    if x.f_kind()? != Kind::Float {
        return rounded_norm(x, weight, config);
    }
    let shifted = match config.norm_plus_one {
        true => &weight.f_to_kind(Kind::Float)?.f_add_scalar(1.0)?,
        false => weight,
    };
    let eps = config.rms_norm_eps;
    let (normed, _root) = x.f_internal_fused_rms_norm(weight.size(), Some(shifted), eps)?;
    Ok(normed)
}

/// The same for narrow number types.
///
/// *Source* computes in float32 and rounds where transformers does: before a plain weight, after one plus a weight.
fn rounded_norm(x: &Tensor, weight: &Tensor, config: &ModelConfig) -> Result<Tensor> {
    let kind = x.f_kind()?;
    let wide = x.f_to_kind(Kind::Float)?;
    let mean = wide.f_pow_tensor_scalar(2.0)?.f_mean_dim(-1, true, None)?;
    let normed = wide.f_mul(&mean.f_add_scalar(config.rms_norm_eps)?.f_rsqrt()?)?;
    if config.norm_plus_one {
        let shifted = weight.f_to_kind(Kind::Float)?.f_add_scalar(1.0)?;
        return Ok(normed.f_mul(&shifted)?.f_to_kind(kind)?);
    }
    Ok(normed.f_to_kind(kind)?.f_mul(weight)?)
}
