//! The loss of some examples: Σ weight · −log p over their target tokens, divided by what the whole step weighs.
//!
//! Only rows that predict a target meet the head. Dividing every pass by the step's own denominator makes accumulated
//! gradients those of one large batch.

use tch::{Device, Reduction, Tensor};

use crate::engine::Result;
use crate::engine::model::Model;
use crate::engine::model::projection::Deltas;

use super::batch::Pass;
use super::body::Body;
use super::head;

/// How a pass is learnt from; no number depends on it beyond rounding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Whether layers are computed a second time instead of keeping what they computed.
    pub(super) recompute: bool,
    /// Rows whose logits exist at once.
    pub(super) rows_at_once: i64,
}

/// The target tokens of a pass, on the device.
struct Targets {
    places: Places,
    answers: Tensor,
    /// Each target's share in the step's mean.
    shares: Tensor,
}

/// Where the targets of a pass are predicted; none where every token predicts one.
pub(super) struct Places(Option<Tensor>);

/// A pass's share of the step's loss; gradients are added where the leaves keep theirs.
///
/// *Shapes* no axis, float64. *Units* nats; log-probabilities in float32 whatever the model computes in.
pub(super) fn learn(
    model: &Model,
    deltas: &Deltas,
    pass: &Pass,
    denominator: f64,
    way: Way,
) -> Result<Tensor> {
    let targets = Targets::new(pass, denominator, model.weights().device())?;
    let mut body = Body::new(model, deltas, pass, way.recompute)?;
    let rows = targets.places.rows(body.forward()?)?;
    let mut loss = |logits: &Tensor, start| targets.loss(logits, start);
    let (sum, grad) = head::learn(model, &rows, way.rows_at_once, &mut loss)?;
    body.backward(&rows, &grad)?;
    Ok(sum)
}

/// The same without gradients.
pub(super) fn measure(
    model: &Model,
    deltas: &Deltas,
    pass: &Pass,
    denominator: f64,
    way: Way,
) -> Result<Tensor> {
    let _guard = tch::no_grad_guard();
    let targets = Targets::new(pass, denominator, model.weights().device())?;
    let rows = targets
        .places
        .rows(Body::new(model, deltas, pass, false)?.forward()?)?;
    let mut loss = |logits: &Tensor, start| targets.loss(logits, start);
    head::measure(model, &rows, way.rows_at_once, &mut loss)
}

impl Places {
    pub(super) fn new(pass: &Pass, device: Device) -> Result<Self> {
        let all = pass.places.len() == pass.tokens.len();
        let places = (!all).then(|| integers(&pass.places, device));
        Ok(Self(places.transpose()?))
    }

    /// The rows of hidden states that predict a target.
    pub(super) fn rows(&self, hidden: Tensor) -> Result<Tensor> {
        match &self.0 {
            Some(places) => Ok(hidden.f_index_select(0, places)?),
            None => Ok(hidden),
        }
    }
}

impl Targets {
    fn new(pass: &Pass, denominator: f64, device: Device) -> Result<Self> {
        let share = |&weight: &f32| (f64::from(weight) / denominator) as f32;
        let shares: Vec<f32> = pass.weights.iter().map(share).collect();
        Ok(Self {
            places: Places::new(pass, device)?,
            answers: integers(&pass.answers, device)?,
            shares: Tensor::f_from_slice(&shares)?.f_to_device(device)?,
        })
    }

    /// The share of the targets from `start` on, as many as there are logits.
    fn loss(&self, logits: &Tensor, start: i64) -> Result<Tensor> {
        let count = logits.size()[0];
        let answers = self.answers.f_narrow(0, start, count)?;
        let each = Reduction::None;
        let losses = logits.f_cross_entropy_loss(&answers, None::<&Tensor>, each, -100, 0.0)?;
        Ok(losses.f_dot(&self.shares.f_narrow(0, start, count)?)?)
    }
}

fn integers(values: &[i64], device: Device) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_device(device)?)
}
