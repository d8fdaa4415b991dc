//! The KL term: Σ_v p_ref · (log p_ref − log p) at the places that predict counted tokens, with its gradient.
//!
//! The reference computes first and keeps hidden states only. Logits exist for a few rows at a time: each chunk's backward
//! pass ends at the hidden states, whose gradients then go through the layers in one pass.

use tch::{Kind, Reduction, Tensor};

use super::batch::Pass;
use super::loss;
use crate::engine::Result;
use crate::engine::model::Model;
use crate::engine::model::projection::Deltas;

/// Bytes that one chunk's logits may take, about, in each of the copies that a chunk holds.
const CHUNK_BYTES: i64 = 32 << 20;

/// How a pass counts in its step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    /// What the sum over the step's counted tokens is divided by.
    pub(super) denominator: f64,
    /// Factor on the gradient; the term that is told has none.
    pub(super) weight: f64,
}

/// The trained model and the one that it is compared with.
pub(super) struct Compared<'a> {
    pub(super) model: &'a Model,
    pub(super) deltas: &'a Deltas,
    pub(super) reference: &'a Model,
    /// Rows whose logits exist at a time.
    pub(super) chunk: i64,
}

/// Rows whose logits are about [`CHUNK_BYTES`].
pub(super) fn chunk(model: &Model) -> i64 {
    (CHUNK_BYTES / (4 * model.config().vocab_size).max(1)).max(1)
}

impl Compared<'_> {
    /// A pass's share of the step's term; gradients are added where the leaves keep theirs.
    ///
    /// *Shapes* no axis, float64. *Units* nats; log-probabilities in float32 whatever the models compute in.
    pub(super) fn learn(&self, pass: &Pass, share: Share) -> Result<Tensor> {
        let expected = {
            let _guard = tch::no_grad_guard();
            loss::target_rows(self.reference, &Deltas::none(), pass)?
        };
        let rows = loss::target_rows(self.model, self.deltas, pass)?;
        let count = rows.size()[0];
        let mut sum = Tensor::f_zeros([] as [i64; 0], (Kind::Double, rows.device()))?;
        let mut gradients = Vec::new();
        for start in (0..count).step_by(self.chunk as usize) {
            let length = self.chunk.min(count - start);
            let expected = expected.f_narrow(0, start, length)?;
            let leaf = rows.f_narrow(0, start, length)?.f_detach()?;
            let leaf = leaf.f_set_requires_grad(true)?;
            let kl = self.divergence(&expected, &leaf)?;
            let kl = kl.f_mul_scalar(1.0 / share.denominator)?;
            kl.f_mul_scalar(share.weight)?.f_backward()?;
            let _ = sum.f_add_(&kl.f_detach()?)?;
            gradients.push(leaf.f_grad()?);
        }
        // the gradient of Σ rows · g is g
        let gradients = Tensor::f_cat(&gradients, 0)?;
        rows.f_mul(&gradients)?
            .f_sum(rows.f_kind()?)?
            .f_backward()?;
        Ok(sum)
    }

    /// Σ over rows and vocabulary of p_ref · (log p_ref − log p).
    ///
    /// *Shapes* hidden states `[n, D]` of both models → no axis
    fn divergence(&self, expected: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let expected = {
            let _guard = tch::no_grad_guard();
            log_softmax(&self.reference.logits(expected)?)?
        };
        let found = log_softmax(&self.model.logits(rows)?)?;
        Ok(found.f_kl_div(&expected, Reduction::Sum, true)?)
    }
}

fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.f_log_softmax(-1, Kind::Float)?)
}
