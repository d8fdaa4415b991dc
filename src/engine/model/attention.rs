//! What attention is to the decoder block, and the one that whole sequences use. Knows no projection and no position.

use tch::Tensor;

use crate::engine::Result;

/// Attention over whatever keys and values it keeps: the block computes, this remembers.
pub trait Attend {
    /// The context of each query.
    ///
    /// Queries and keys are already turned by their positions. Called once a layer, in order.
    ///
    /// *Shapes* q `[B, T, H, E]`, k and v `[B, T, K, E]` → `[B, T, H, E]` or anything that can be viewed as `[B·T, H·E]`
    fn attend(&mut self, layer: usize, q: Tensor, k: Tensor, v: Tensor) -> Result<Tensor>;
}

/// Each token sees itself and everything before it in its row.
pub struct Causal;

impl Attend for Causal {
    fn attend(&mut self, _layer: usize, q: Tensor, k: Tensor, v: Tensor) -> Result<Tensor> {
        let heads_first = |x: Tensor| x.f_transpose(1, 2);
        let grouped = q.size()[2] != k.size()[2];
        let context = Tensor::f_scaled_dot_product_attention(
            &heads_first(q)?,
            &heads_first(k)?,
            &heads_first(v)?,
            None::<&Tensor>,
            0.0,
            true,
            None,
            grouped,
        )?;
        Ok(context.f_transpose(1, 2)?)
    }
}
