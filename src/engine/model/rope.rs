//! Rotary positions: tables of cosines and sines, and turning queries and keys by them.

use tch::{Device, Kind, Tensor};

use super::config::ModelConfig;
use crate::engine::{Error, Result};

/// Cosines and sines of every position up to a bound.
///
/// *Shapes* both `[P, E]`; the first half of each row of sines is negated, so that turning needs no negation.
pub struct Rope {
    cos: Tensor,
    sin: Tensor,
}

/// The rows of the tables for the tokens of one pass.
///
/// *Shapes* both broadcast against `[B, T, heads, E]`
pub struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Tables for positions 0 .. `positions`.
    ///
    /// *Source* computed in float32 step by step as transformers does, for the rounding of large positions is seen in logits.
    pub fn new(config: &ModelConfig, positions: i64, kind: Kind, device: Device) -> Result<Self> {
        if !(1..=config.max_position_embeddings).contains(&positions) {
            let most = config.max_position_embeddings;
            let detail = format!("{most} is less than the {positions} positions asked for");
            return Err(Error::config("max_position_embeddings", detail));
        }
        let float = (Kind::Float, Device::Cpu);
        let width = config.head_dim;
        let exponents = Tensor::f_arange_start_step(0, width, 2, float)?;
        let exponents = exponents.f_div_scalar(width as f64)?;
        let rates = Tensor::f_pow_scalar(config.rope_theta, &exponents)?.f_reciprocal()?;
        let angles = Tensor::f_arange(positions, float)?.f_outer(&rates)?;
        let (cos, sin) = (angles.f_cos()?, angles.f_sin()?);
        let place = |halves: [Tensor; 2]| -> Result<Tensor> {
            Ok(Tensor::f_cat(&halves, -1)?.f_to_device_(device, kind, false, false)?)
        };
        Ok(Self {
            cos: place([cos.shallow_clone(), cos])?,
            sin: place([sin.f_neg()?, sin])?,
        })
    }

    /// How many positions there are.
    pub fn positions(&self) -> i64 {
        self.cos.size()[0]
    }

    /// The angles of `length` tokens from position `start` on, the same for every row.
    pub fn span(&self, start: i64, length: i64) -> Result<Angles> {
        let part = |table: &Tensor| -> Result<Tensor> {
            Ok(table.f_narrow(0, start, length)?.f_unsqueeze(1)?)
        };
        Ok(Angles {
            cos: part(&self.cos)?,
            sin: part(&self.sin)?,
        })
    }

    /// The angles of tokens at positions of their own.
    ///
    /// *Shapes* positions `[B, T]` int64
    pub fn at(&self, positions: &Tensor) -> Result<Angles> {
        let (batch, length) = positions.size2()?;
        let flat = positions.f_reshape([-1])?;
        let part = |table: &Tensor| -> Result<Tensor> {
            let rows = table.f_index_select(0, &flat)?;
            Ok(rows.f_view([batch, length, 1, table.size()[1]])?)
        };
        Ok(Angles {
            cos: part(&self.cos)?,
            sin: part(&self.sin)?,
        })
    }
}

impl Angles {
    /// Turns the heads of `x` by their positions: the pair (i, i + E/2) by the angle of frequency i.
    ///
    /// *Shapes* x `[B, T, heads, E]` → the same
    pub fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.size().last().copied().unwrap_or_default() / 2;
        let swapped = x.f_roll([half], [-1])?;
        Ok(x.f_mul(&self.cos)?.f_addcmul(&swapped, &self.sin)?)
    }
}
