//! What attention is to the decoder block, and the one that whole sequences use. Knows no projection and no position.

use tch::{Device, Kind, Tensor};

use crate::engine::Result;

/// How a layer's attention weighs and what it sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Factor on the products of queries and keys.
    pub scale: f64,
    /// Tokens that a token sees, itself included; none for all before it.
    pub window: Option<i64>,
    /// Scores s become c·tanh(s/c).
    pub softcap: Option<f64>,
}

/// Attention over whatever keys and values it keeps: the block computes, this remembers.
pub trait Attend {
    /// The context of each query.
    ///
    /// Queries and keys are already turned by their positions. Called once a layer, in order.
    ///
    /// *Shapes* q `[B, T, H, E]`, k and v `[B, T, K, E]` → `[B, T, H, E]` or anything that can be viewed as `[B·T, H·E]`
    fn attend(
        &mut self,
        layer: usize,
        rules: Rules,
        q: Tensor,
        k: Tensor,
        v: Tensor,
    ) -> Result<Tensor>;
}

/// Each token sees itself and what is before it in its row, as far as its layer's window reaches.
pub struct Causal;

impl Attend for Causal {
    fn attend(
        &mut self,
        _layer: usize,
        rules: Rules,
        q: Tensor,
        k: Tensor,
        v: Tensor,
    ) -> Result<Tensor> {
        let heads_first = |x: Tensor| x.f_transpose(1, 2);
        let (q, k, v) = (heads_first(q)?, heads_first(k)?, heads_first(v)?);
        let context = match rules.softcap {
            Some(bound) => capped(rules, bound, &q, &k, &v)?,
            None => fused(rules, &q, &k, &v)?,
        };
        Ok(context.f_transpose(1, 2)?)
    }
}

/// *Shapes* q `[B, H, T, E]`, k and v `[B, K, T, E]` → `[B, H, T, E]`
fn fused(rules: Rules, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let length = q.size()[2];
    let product = |k: &Tensor, v: &Tensor, mask: Option<&Tensor>, grouped| {
        let (causal, scale) = (mask.is_none(), Some(rules.scale));
        Tensor::f_scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scale, grouped)
    };
    match rules.window {
        Some(window) if window <= length => {
            let mask = visible(length, Some(window), q.device())?;
            Ok(product(&spread(k, q)?, &spread(v, q)?, Some(&mask), false)?)
        }
        _ => Ok(product(k, v, None, q.size()[1] != k.size()[1])?),
    }
}

/// The same step by step, with scores bounded before the softmax.
///
/// *Source* rounds where transformers' `eager_attention_forward` does.
fn capped(rules: Rules, bound: f64, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let keys = spread(k, q)?.f_transpose(2, 3)?;
    let scores = bounded(&q.f_matmul(&keys)?.f_mul_scalar(rules.scale)?, bound)?;
    let hidden = visible(q.size()[2], rules.window, q.device())?.f_logical_not()?;
    let scores = scores.f_masked_fill(&hidden, f64::NEG_INFINITY)?;
    let shares = scores.f_softmax(-1, Kind::Float)?.f_to_kind(q.f_kind()?)?;
    Ok(shares.f_matmul(&spread(v, q)?)?)
}

/// bound · tanh(x / bound), rounded after each.
pub fn bounded(x: &Tensor, bound: f64) -> Result<Tensor> {
    Ok(x.f_div_scalar(bound)?.f_tanh()?.f_mul_scalar(bound)?)
}

/// Keys or values `[B, K, T, E]` once for each head of the queries `[B, H, T, E]`.
fn spread(shared: &Tensor, q: &Tensor) -> Result<Tensor> {
    let (heads, size) = (q.size()[1], shared.size());
    if heads == size[1] {
        return Ok(shared.shallow_clone());
    }
    let times = [size[0], size[1], heads / size[1], size[2], size[3]];
    let spread = shared.f_unsqueeze(2)?.f_expand(times, false)?;
    Ok(spread.f_reshape([size[0], heads, size[2], size[3]])?)
}

/// Which keys each query sees: `[1, 1, T, T]`, bool.
fn visible(length: i64, window: Option<i64>, device: Device) -> Result<Tensor> {
    let all = Tensor::f_ones([1, 1, length, length], (Kind::Bool, device))?.f_tril(0)?;
    match window {
        Some(window) => Ok(all.f_triu(1 - window)?),
        None => Ok(all),
    }
}
