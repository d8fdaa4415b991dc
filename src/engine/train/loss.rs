//! The loss of some examples: Σ weight · −log p over their target tokens, divided by what the whole step weighs.
//!
//! Only rows that predict a target meet the head. Dividing every pass by the step's own denominator makes accumulated
//! gradients those of one large batch.

use tch::{Device, Kind, Reduction, Tensor};

use crate::engine::Result;
use crate::engine::model::Model;
use crate::engine::model::projection::Deltas;

use super::batch::Pass;

/// What the head reads at the places that predict a target, with its graph.
///
/// *Shapes* `[N, D]`, N the targets of the pass
pub fn target_rows(model: &Model, deltas: &Deltas, pass: &Pass) -> Result<Tensor> {
    let device = model.weights().device();
    let hidden = model.packed(&pass.tokens, &pass.lengths, deltas)?;
    if pass.places.len() == pass.tokens.len() {
        return Ok(hidden);
    }
    Ok(hidden.f_index_select(0, &integers(&pass.places, device)?)?)
}

/// A pass's share of the step's loss, with its graph.
///
/// *Shapes* no axis. *Units* nats, float32 whatever the model computes in.
pub fn of_pass(model: &Model, deltas: &Deltas, pass: &Pass, denominator: f64) -> Result<Tensor> {
    let device = model.weights().device();
    let rows = target_rows(model, deltas, pass)?;
    let logits = model.logits(&rows)?.f_to_kind(Kind::Float)?;
    let answers = integers(&pass.answers, device)?;
    let losses =
        logits.f_cross_entropy_loss(&answers, None::<&Tensor>, Reduction::None, -100, 0.0)?;
    let shares: Vec<f32> = pass
        .weights
        .iter()
        .map(|&weight| (f64::from(weight) / denominator) as f32)
        .collect();
    Ok(losses.f_dot(&Tensor::f_from_slice(&shares)?.f_to_device(device)?)?)
}

fn integers(values: &[i64], device: Device) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(values)?.f_to_device(device)?)
}
