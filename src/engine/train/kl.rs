//! The KL term: Σ_v p_ref · (log p_ref − log p) at the places that predict counted tokens, with its gradient.
//!
//! The reference computes first and keeps hidden states only. Logits exist for a few rows at a time: each chunk's backward
//! pass ends at the hidden states, whose gradients then go through the layers in one pass.

use tch::{Kind, Reduction, Tensor};

use super::batch::Pass;
use super::body::Body;
use super::head;
use super::loss::{Places, Way};
use crate::engine::Result;
use crate::engine::model::Model;
use crate::engine::model::projection::Deltas;

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
    pub(super) way: Way,
}

impl Compared<'_> {
    /// A pass's share of the step's term; gradients are added where the leaves keep theirs.
    ///
    /// *Shapes* no axis, float64. *Units* nats; log-probabilities in float32 whatever the models compute in.
    pub(super) fn learn(&self, pass: &Pass, share: Share) -> Result<Tensor> {
        let device = self.model.weights().device();
        let places = Places::new(pass, device)?;
        let expected = {
            let _guard = tch::no_grad_guard();
            let none = Deltas::none();
            places.rows(Body::new(self.reference, &none, pass, false)?.forward()?)?
        };
        let mut body = Body::new(self.model, self.deltas, pass, self.way.recompute)?;
        let rows = places.rows(body.forward()?)?;
        let mut sum = Tensor::f_zeros([] as [i64; 0], (Kind::Double, device))?;
        let mut weighed = |logits: &Tensor, start| {
            let expected = expected.f_narrow(0, start, logits.size()[0])?;
            let kl = self.divergence(&expected, logits)?;
            let kl = kl.f_mul_scalar(1.0 / share.denominator)?;
            let _ = sum.f_add_(&kl.f_detach()?)?;
            Ok(kl.f_mul_scalar(share.weight)?)
        };
        // the logits of two models exist at once
        let at_once = (self.way.rows_at_once / 2).max(1);
        let (_, grad) = head::learn(self.model, &rows, at_once, &mut weighed)?;
        body.backward(&rows, &grad)?;
        Ok(sum)
    }

    /// Σ over rows and vocabulary of p_ref · (log p_ref − log p).
    ///
    /// *Shapes* hidden states `[n, D]` of the reference, logits `[n, V]` of the model → no axis
    fn divergence(&self, expected: &Tensor, logits: &Tensor) -> Result<Tensor> {
        let expected = {
            let _guard = tch::no_grad_guard();
            log_softmax(&self.reference.logits(expected)?)?
        };
        Ok(log_softmax(logits)?.f_kl_div(&expected, Reduction::Sum, true)?)
    }
}

fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    Ok(logits.f_log_softmax(-1, Kind::Float)?)
}
