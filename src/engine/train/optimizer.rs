//! AdamW with decoupled decay over a flat buffer, and clipping by the norm of all gradients.

use tch::Tensor;

use crate::domain::finetune::{DecayOn, OptimizerSpec};
use crate::engine::Result;
use crate::engine::shim::{AdamW, adamw};

use super::flat::Flat;

/// The moments and the settings; the rate comes with every update.
#[derive(Debug)]
pub struct Optimizer {
    spec: OptimizerSpec,
    /// The first so many numbers decay.
    decayed: i64,
    /// First moments, one for each trained number.
    pub first: Tensor,
    /// Second moments.
    pub second: Tensor,
    /// Updates made.
    pub updates: u64,
}

impl Optimizer {
    /// A fresh state. With `weight_decay_on: matrices` the buffer must hold all its matrices before its vectors.
    pub fn new(spec: &OptimizerSpec, flat: &Flat) -> Result<Self> {
        Ok(Self {
            spec: spec.clone(),
            decayed: decayed(spec.weight_decay_on, flat),
            first: flat.zeros()?,
            second: flat.zeros()?,
            updates: 0,
        })
    }

    /// Scales `grad` down to the largest allowed norm, where there is one and `norm` exceeds it.
    ///
    /// *Source* the factor is `torch.nn.utils.clip_grad_norm_`'s, min(1, max / (norm + 1e-6)).
    pub fn clip(&self, grad: &Tensor, norm: &Tensor) -> Result<()> {
        let Some(max) = self.spec.max_grad_norm else {
            return Ok(());
        };
        let factor =
            (norm.f_add_scalar(1e-6)?.f_reciprocal()?.f_mul_scalar(max)?).f_clamp_max(1.0)?;
        let _ = grad.shallow_clone().f_mul_(&factor)?;
        Ok(())
    }

    /// One update in place.
    pub fn update(&mut self, weights: &Tensor, grad: &Tensor, rate: f64) -> Result<()> {
        self.updates += 1;
        let total = weights.size1()?;
        self.range(
            weights,
            grad,
            rate,
            (0, self.decayed),
            self.spec.weight_decay,
        )?;
        self.range(weights, grad, rate, (self.decayed, total), 0.0)
    }

    fn range(
        &self,
        weights: &Tensor,
        grad: &Tensor,
        rate: f64,
        (start, end): (i64, i64),
        decay: f64,
    ) -> Result<()> {
        if start == end {
            return Ok(());
        }
        let part = |tensor: &Tensor| tensor.f_narrow(0, start, end - start);
        let updates = Tensor::f_full(
            [] as [i64; 0],
            self.updates as f64,
            (tch::Kind::Float, weights.device()),
        )?;
        let settings = AdamW {
            rate,
            beta1: self.spec.beta1,
            beta2: self.spec.beta2,
            decay,
            epsilon: self.spec.epsilon,
        };
        let (first, second) = (part(&self.first)?, part(&self.second)?);
        adamw(
            &part(weights)?,
            &part(grad)?,
            (&first, &second),
            &updates,
            settings,
        )
    }
}

fn decayed(on: DecayOn, flat: &Flat) -> i64 {
    match on {
        DecayOn::All => flat.len(),
        DecayOn::Matrices => flat
            .parts
            .iter()
            .take_while(|part| part.shape.len() >= 2)
            .map(super::flat::Part::len)
            .sum(),
    }
}
