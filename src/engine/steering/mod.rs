//! Steering vectors: one direction of the residual stream, added behind one layer at every token.
//!
//! *Source* the published ones: a vector that begins at zero, added `alpha` times where the down projection of one layer's
//! MLP gives its output. The published code's hook writes to the first sequence of a batch only; here every sequence is
//! steered. Where families norm what the MLP gives, see [`super::model::steer`].

mod file;
mod rows;
#[cfg(test)]
mod tests;

use tch::{Kind, Tensor};

pub use self::file::{CONFIG, VECTOR};
pub use self::rows::Vectors;
use super::device::Device;
use super::model::config::ModelConfig;
use super::model::projection::Deltas;
use super::model::steer::Steer;
use super::{Error, Result};
use crate::domain::finetune::SteeringMethod;
use crate::domain::metric::NormModule;
use crate::domain::modules;

/// A steering vector with where it belongs.
pub struct Steering {
    /// Behind which layer, counted from 0.
    pub layer: u32,
    /// Factor on the vector.
    pub alpha: f64,
    /// `[D]`, float32.
    pub vector: Tensor,
}

impl Steering {
    /// The zero vector.
    ///
    /// *Errors* `Steering` for a layer that the model lacks.
    pub fn init(config: &ModelConfig, method: &SteeringMethod, device: Device) -> Result<Self> {
        check_layer(config, "layer", method.layer)?;
        let vector = Tensor::f_zeros([config.hidden_size], (Kind::Float, device.torch()))?;
        Ok(Self {
            layer: method.layer,
            alpha: method.alpha,
            vector,
        })
    }

    /// Another vector as the beginning of a method's.
    ///
    /// *Errors* `Steering` for another layer or alpha, in which the same numbers would mean something else.
    pub fn begin(method: &SteeringMethod, from: Self) -> Result<Self> {
        let (layer, alpha) = (from.layer, from.alpha);
        if layer != method.layer {
            let detail = format!("is of layer {layer}, the method of layer {}", method.layer);
            return Err(Error::steering("init_adapter", detail));
        }
        if alpha != method.alpha {
            let detail = format!("has alpha {alpha}, the method {}", method.alpha);
            return Err(Error::steering("init_adapter", detail));
        }
        Ok(from)
    }

    /// The same place with another vector.
    pub fn with(&self, vector: Tensor) -> Self {
        Self {
            layer: self.layer,
            alpha: self.alpha,
            vector,
        }
    }

    /// A vector that is not zero, for tests that may not make tensors.
    #[cfg(test)]
    pub fn wave(config: &ModelConfig, layer: u32, alpha: f64) -> Self {
        let ramp = Tensor::arange(config.hidden_size, (Kind::Float, tch::Device::Cpu));
        Self {
            layer,
            alpha,
            vector: (ramp * 0.37).sin(),
        }
    }

    /// As norms are listed: a module of rank 1 whose B is the vector and which has no A.
    pub fn module(&self) -> NormModule {
        modules::of_vector(self.layer, self.alpha)
    }

    /// What this adds, `scale` times, to every sequence of a pass; the tensor is shared, not copied.
    pub fn deltas(&self, scale: f64) -> Deltas {
        let steer = Steer::Shared {
            vector: self.vector.shallow_clone(),
            scaling: scale * self.alpha,
        };
        Deltas::none().steered(self.layer as usize, steer)
    }
}

fn check_layer(config: &ModelConfig, field: &str, layer: u32) -> Result<()> {
    let count = config.num_hidden_layers;
    if i64::from(layer) < count {
        return Ok(());
    }
    let last = count - 1;
    let detail = format!("is {layer}, but the model's {count} layers are 0 to {last}");
    Err(Error::steering(field, detail))
}
