//! The head over chosen rows, some at a time, so that the logits of a pass are never all held. Knows no loss.

use tch::{Device, Kind, Tensor};

use crate::domain::forecast::memory;
use crate::engine::Result;
use crate::engine::model::Model;

/// Rows whose logits are about so many as may exist at once.
pub(super) fn rows_at_once(model: &Model) -> i64 {
    let on_gpu = model.weights().device() != Device::Cpu;
    memory::rows_at_once(model.config().vocab_size as u64, on_gpu) as i64
}

/// A loss of some rows' logits: `(logits, start)` with the logits `[n, V]`, float32, of the rows from `start` on.
pub(super) type Loss<'a> = dyn FnMut(&Tensor, i64) -> Result<Tensor> + 'a;

/// The sum of a loss over chunks of rows, and the gradient of the rows. The head's own gradient, where it is trained, is
/// added where it is kept.
///
/// *Shapes* rows `[N, D]` → no axis, float64; `[N, D]`
pub(super) fn learn(
    model: &Model,
    rows: &Tensor,
    at_once: i64,
    loss: &mut Loss,
) -> Result<(Tensor, Tensor)> {
    let mut sum = zero(rows)?;
    let mut grads = Vec::new();
    for (start, chunk) in chunks(rows, at_once)? {
        let leaf = chunk.f_detach()?.f_set_requires_grad(true)?;
        let part = loss(&model.logits(&leaf)?.f_to_kind(Kind::Float)?, start)?;
        part.f_backward()?;
        let _ = sum.f_add_(&part.f_detach()?)?;
        grads.push(leaf.f_grad()?);
    }
    let grad = match grads.len() {
        1 => grads.remove(0),
        _ => Tensor::f_cat(&grads, 0)?,
    };
    Ok((sum, grad))
}

/// The sum alone.
pub(super) fn measure(
    model: &Model,
    rows: &Tensor,
    at_once: i64,
    loss: &mut Loss,
) -> Result<Tensor> {
    let mut sum = zero(rows)?;
    for (start, chunk) in chunks(rows, at_once)? {
        let part = loss(&model.logits(&chunk)?.f_to_kind(Kind::Float)?, start)?;
        let _ = sum.f_add_(&part)?;
    }
    Ok(sum)
}

/// Views of the rows, each with the index of its first one.
fn chunks(rows: &Tensor, at_once: i64) -> Result<Vec<(i64, Tensor)>> {
    let count = rows.size()[0];
    let chunk = |start: i64| Ok((start, rows.f_narrow(0, start, at_once.min(count - start))?));
    (0..count)
        .step_by(at_once.max(1) as usize)
        .map(chunk)
        .collect()
}

fn zero(rows: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_zeros(
        [] as [i64; 0],
        (Kind::Double, rows.device()),
    )?)
}
