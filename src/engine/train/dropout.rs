//! Keyed dropout on the inputs of A: whether a number is dropped is a function of (seed, module, step, example of the step,
//! token, channel), so that neither passes nor lanes nor what else is adapted matter, and a mask can be made again.
//!
//! The drawn bits are those of [`Stream`], on every device. A mask costs some three nanoseconds a number on a CPU core; on a
//! GPU it is some hundred small operations a module.

use std::sync::{Arc, Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use super::batch::Pass;
use crate::domain::metric::NormModule;
use crate::engine::keyed::Stream;
use crate::engine::model::projection::Dropout;
use crate::engine::{Error, Result};

/// What an example is read for; examples of different purposes have numbers of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is learnt from.
    Learn = 0,
    /// It is compared with the base.
    Compare = 1,
}

/// The rows that pass through the modules of a lane now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rows {
    step: u64,
    purpose: Purpose,
    examples: Vec<u32>,
    lengths: Vec<i64>,
}

/// Where a lane says what it computes; all its modules read it. Nothing is dropped while nothing is said.
#[derive(Debug, Clone, Default)]
pub(super) struct Now(Arc<Mutex<Option<Rows>>>);

impl Now {
    /// The tokens of `pass` follow, in their order.
    pub(super) fn say(&self, step: u64, purpose: Purpose, pass: &Pass) {
        self.put(Some(Rows {
            step,
            purpose,
            examples: pass.examples.clone(),
            lengths: pass.lengths.clone(),
        }));
    }

    /// What follows is not trained on.
    pub(super) fn silent(&self) {
        self.put(None);
    }

    fn put(&self, rows: Option<Rows>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }
}

/// The dropout of one module.
struct Keyed {
    stream: Stream,
    share: f64,
    now: Now,
}

/// Dropout of `share` of the inputs of `module`; none where nothing is dropped.
pub(super) fn of_module(
    seed: u64,
    share: f64,
    module: &NormModule,
    now: &Now,
) -> Option<Box<dyn Dropout>> {
    if share <= 0.0 {
        return None;
    }
    Some(Box::new(Keyed {
        stream: Stream::new(seed, "dropout").text(&module.name),
        share,
        now: now.clone(),
    }))
}

impl Dropout for Keyed {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let rows = self.now.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rows) = rows.as_ref() else {
            return Ok(x.shallow_clone());
        };
        let (count, width) = x.size2()?;
        let known: i64 = rows.lengths.iter().sum();
        if count != known {
            let detail = format!("dropout got {count} rows where the pass has {known}");
            return Err(Error::Torch(detail));
        }
        let kept = match x.device() {
            Device::Cpu => self.on_host(rows, width)?,
            device => self.on_device(rows, width, device)?,
        };
        // the mask is kept for the backward pass: one byte a number
        Ok(x.f_mul(&kept)?.f_mul_scalar(1.0 / (1.0 - self.share))?)
    }
}

impl Keyed {
    /// Words below this are dropped.
    fn limit(&self) -> u32 {
        (self.share * 32f64.exp2()) as u32
    }

    /// The draws of one example: word `channel` of the block row `token`.
    fn of_example(&self, rows: &Rows, example: u32) -> Stream {
        let step = self.stream.number(rows.step).number(rows.purpose as u64);
        step.number(u64::from(example))
    }

    /// *Shapes* → `[N, width]` bool, true where a number is kept
    fn on_host(&self, rows: &Rows, width: i64) -> Result<Tensor> {
        let (limit, width) = (self.limit(), width as usize);
        let tokens: i64 = rows.lengths.iter().sum();
        let mut kept = vec![false; tokens as usize * width];
        let mut words = vec![0; width];
        let mut lines = kept.chunks_exact_mut(width);
        for (&example, &length) in rows.examples.iter().zip(&rows.lengths) {
            let stream = self.of_example(rows, example);
            for (token, line) in (0..length as u64).zip(&mut lines) {
                stream.fill_words(token << 34, &mut words);
                line.iter_mut()
                    .zip(&words)
                    .for_each(|(kept, &word)| *kept = word >= limit);
            }
        }
        Ok(Tensor::f_from_slice(&kept)?.f_view([tokens, width as i64])?)
    }

    /// The same by operations of the device.
    fn on_device(&self, rows: &Rows, width: i64, device: Device) -> Result<Tensor> {
        let mut keys = [const { Vec::new() }; 5];
        for (&example, &length) in rows.examples.iter().zip(&rows.lengths) {
            let key = self.of_example(rows, example).words();
            for token in 0..length {
                for (column, word) in keys.iter_mut().zip(key) {
                    column.push(i64::from(word));
                }
                keys[4].push(token);
            }
        }
        let columns = keys.map(|column| column_of(&column, device));
        let [key0, key1, high0, high1, token] = columns;
        let blocks = Tensor::f_arange((width + 3) / 4, (Kind::Int64, device))?.f_unsqueeze(0)?;
        let counter = [blocks, token?, high0?, high1?];
        let words = philox::rounds(counter, [key0?, key1?])?;
        Ok(words.f_narrow(1, 0, width)?.f_ge(i64::from(self.limit()))?)
    }
}

/// *Shapes* → `[N, 1]` int64
fn column_of(numbers: &[i64], device: Device) -> Result<Tensor> {
    let host = Tensor::f_from_slice(numbers)?.f_unsqueeze(1)?;
    Ok(host.f_to_device(device)?)
}

mod philox;

#[cfg(test)]
mod tests;
