//! All trained tensors behind one another in one buffer, so that norms, clipping and the update are a few operations.
//!
//! The tensors of the model are detached views of it: leaves of the graph whose gradients are views of a flat gradient.
//! Nothing is ever sliced inside the graph, where each slice's backward would allocate a gradient of the whole buffer.

use tch::{Device, Kind, Tensor};

use crate::engine::Result;
use crate::engine::shim::set_grad;

/// One tensor's place in the buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Numbers before it.
    pub offset: i64,
}

impl Part {
    /// How many numbers it has.
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The trained numbers, all of one type.
#[derive(Debug)]
pub struct Flat {
    /// The tensors in the order of the buffer.
    pub parts: Vec<Part>,
    /// *Shapes* one axis.
    pub weights: Tensor,
}

impl Flat {
    /// A float32 copy of `tensors` in their order.
    pub fn gather(tensors: &[(String, Tensor)], device: Device) -> Result<Self> {
        Self::gather_as(tensors, Kind::Float, device)
    }

    /// A copy of `tensors` in their order, as `kind`.
    pub fn gather_as(tensors: &[(String, Tensor)], kind: Kind, device: Device) -> Result<Self> {
        let mut parts = Vec::with_capacity(tensors.len());
        let mut offset = 0;
        for (name, tensor) in tensors {
            let part = Part {
                name: name.clone(),
                shape: tensor.size(),
                offset,
            };
            offset += part.len();
            parts.push(part);
        }
        let weights = Tensor::f_zeros([offset], (kind, device))?;
        let flat = Self { parts, weights };
        for (part, (_, tensor)) in flat.parts.iter().zip(tensors) {
            flat.view(&flat.weights, part)?
                .f_copy_(&tensor.f_detach()?)?;
        }
        Ok(flat)
    }

    /// How many numbers are trained.
    pub fn len(&self) -> i64 {
        self.parts.last().map_or(0, |part| part.offset + part.len())
    }

    /// Whether nothing is trained.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A zero of type `kind` for every trained number; gradients need not have the type of the weights.
    pub fn zeros(&self, kind: Kind) -> Result<Tensor> {
        Ok(Tensor::f_zeros(
            [self.len()],
            (kind, self.weights.device()),
        )?)
    }

    /// The part of a buffer of this layout, in its own shape and sharing its storage.
    pub fn view(&self, buffer: &Tensor, part: &Part) -> Result<Tensor> {
        Ok(buffer
            .f_narrow(0, part.offset, part.len())?
            .f_view(&part.shape[..])?)
    }

    /// A leaf for every part; backward passes add into `grad`.
    pub fn leaves(&self, grad: &Tensor) -> Result<Vec<Tensor>> {
        let leaf = |part: &Part| -> Result<Tensor> {
            let leaf = self
                .view(&self.weights, part)?
                .f_detach()?
                .f_set_requires_grad(true)?;
            set_grad(&leaf, &self.view(grad, part)?)?;
            Ok(leaf)
        };
        self.parts.iter().map(leaf).collect()
    }

    /// Every part by name, detached, sharing the buffer's storage.
    pub fn named(&self) -> Result<Vec<(String, Tensor)>> {
        let named = |part: &Part| {
            Ok((
                part.name.clone(),
                self.view(&self.weights, part)?.f_detach()?,
            ))
        };
        self.parts.iter().map(named).collect()
    }
}

/// The same numbers on storage of their own.
pub(super) fn copied(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_to_device_(tensor.device(), tensor.f_kind()?, false, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Flat {
        let a = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]);
        let b = Tensor::from_slice(&[5f32, 6.0]);
        Flat::gather(&[("a".into(), a), ("b".into(), b)], Device::Cpu).unwrap()
    }

    #[test]
    fn gradients_of_several_backward_passes_add_up_in_the_flat_buffer() {
        let flat = two();
        let grad = flat.zeros(Kind::Float).unwrap();
        let leaves = flat.leaves(&grad).unwrap();
        for _ in 0..2 {
            let loss = (leaves[0].square().sum(Kind::Float)) + (&leaves[1] * 3.0).sum(Kind::Float);
            loss.backward();
        }
        let found = Vec::<f32>::try_from(&grad).unwrap();
        assert_eq!(found, [4.0, 8.0, 12.0, 16.0, 6.0, 6.0]);
    }

    /// In bfloat16 the sum of 1 and 2⁻¹⁰ would be 1.
    #[test]
    fn gradients_of_bfloat16_leaves_add_up_in_float32() {
        let ones = [(
            "a".to_string(),
            Tensor::ones([4], (Kind::Float, Device::Cpu)),
        )];
        let flat = Flat::gather_as(&ones, Kind::BFloat16, Device::Cpu).unwrap();
        let grad = flat.zeros(Kind::Float).unwrap();
        let leaves = flat.leaves(&grad).unwrap();
        for factor in [1.0, 2f64.powi(-10)] {
            (&leaves[0] * factor).sum(Kind::Float).backward();
        }
        assert_eq!(grad.kind(), Kind::Float);
        let sum = 1.0 + 2f32.powi(-10);
        assert_eq!(Vec::<f32>::try_from(&grad).unwrap(), [sum; 4]);
    }

    #[test]
    fn a_change_of_the_buffer_is_a_change_of_every_leaf() {
        let flat = two();
        let leaves = flat.leaves(&flat.zeros(Kind::Float).unwrap()).unwrap();
        {
            let _guard = tch::no_grad_guard();
            let _ = flat.weights.shallow_clone().f_mul_scalar_(10.0).unwrap();
        }
        assert_eq!(Vec::<f32>::try_from(&leaves[1]).unwrap(), [50.0, 60.0]);
    }
}
