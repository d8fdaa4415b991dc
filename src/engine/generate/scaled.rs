//! Weights between a base and what training made of it, and beyond. Knows no generation.

use tch::Kind;

use crate::engine::weights::Weights;
use crate::engine::{Error, Result};

/// W₀ + scale · (W − W₀), computed in float32 and kept in the base's number type.
///
/// Scale 1 gives the trained weights themselves and scale 0 the base's, bit for bit.
pub fn scaled(base: &Weights, trained: &Weights, scale: f64) -> Result<Weights> {
    let trained: std::collections::HashMap<_, _> = trained.named().into_iter().collect();
    base.map(|name, from| {
        let to = trained
            .get(name)
            .ok_or_else(|| Error::MissingTensor { name: name.into() })?;
        let kind = from.f_kind()?;
        if scale == 0.0 {
            return Ok(from.shallow_clone());
        }
        if scale == 1.0 {
            return Ok(to.f_to_kind(kind)?);
        }
        let (from, to) = (from.f_to_kind(Kind::Float)?, to.f_to_kind(Kind::Float)?);
        let change = to.f_sub(&from)?.f_mul_scalar(scale)?;
        Ok(from.f_add(&change)?.f_to_kind(kind)?)
    })
}
