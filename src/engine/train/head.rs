//! The head over chosen rows, some at a time, so that the logits of a pass are never all held. Knows no loss.

use tch::{Device, Kind, Tensor};

use crate::engine::Result;
use crate::engine::model::Model;

/// Logits that exist at once, on a CPU and on a GPU. A loss holds about four times as many numbers while it computes its
/// gradient: 256 MiB on a CPU, 1 GiB on a GPU, which needs more rows at once to be busy. With a vocabulary of 151,936
/// these are 110 and 441 rows.
const LOGITS: (i64, i64) = (1 << 24, 1 << 26);

/// Rows whose logits are about so many as may exist at once.
pub(super) fn rows_at_once(model: &Model) -> i64 {
    let logits = match model.weights().device() {
        Device::Cpu => LOGITS.0,
        _ => LOGITS.1,
    };
    (logits / model.config().vocab_size.max(1)).max(1)
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
