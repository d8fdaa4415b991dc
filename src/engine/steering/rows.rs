//! Steering vectors of single runs of sequences, such as the blocks of a running batch: each has its own or none.
//!
//! A layer that anybody steers adds zeros to everybody else, which changes no bit; so no run depends on its neighbours.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::Steering;
use crate::engine::Result;
use crate::engine::model::projection::Deltas;
use crate::engine::model::steer::Steer;

/// The vectors of a batch.
pub struct Vectors {
    /// `[runs, D]` with scale and alpha in it, by layer.
    layers: BTreeMap<u32, Tensor>,
    /// The layer that each run steers.
    held: Vec<Option<u32>>,
}

impl Vectors {
    /// No vector on any of so many runs.
    pub fn new(runs: usize) -> Self {
        Self {
            layers: BTreeMap::new(),
            held: vec![None; runs],
        }
    }

    /// Puts a vector, `scale` times, or none on a run.
    pub fn set(&mut self, run: usize, steering: Option<(&Steering, f64)>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        if let Some(old) = self.held[run].take().and_then(|it| self.layers.get(&it)) {
            let _ = row(old, run)?.f_zero_()?;
        }
        self.layers
            .retain(|layer, _| self.held.contains(&Some(*layer)));
        let Some((steering, scale)) = steering else {
            return Ok(());
        };
        let scaled = steering.vector.f_mul_scalar(scale * steering.alpha)?;
        let room = match self.layers.remove(&steering.layer) {
            Some(room) => room,
            None => self.room(scaled.size1()?, scaled.device())?,
        };
        row(&room, run)?.f_copy_(&scaled)?;
        self.layers.insert(steering.layer, room);
        self.held[run] = Some(steering.layer);
        Ok(())
    }

    fn room(&self, width: i64, device: Device) -> Result<Tensor> {
        let shape = [self.held.len() as i64, width];
        Ok(Tensor::f_zeros(shape, (Kind::Float, device))?)
    }

    /// `deltas` and what these vectors add, for a pass whose sequences are these runs in order.
    pub fn beside(&self, deltas: Deltas) -> Deltas {
        let layers = self.layers.iter();
        layers.fold(deltas, |deltas, (layer, vectors)| {
            deltas.steered(*layer as usize, Steer::PerRow(vectors.shallow_clone()))
        })
    }
}

fn row(vectors: &Tensor, run: usize) -> Result<Tensor> {
    Ok(vectors.f_select(0, run as i64)?)
}
