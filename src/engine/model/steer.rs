//! What is added to the residual stream behind a layer. Like the adapter of a projection it is an argument of the pass.
//!
//! The place is `resid_post`: behind the sum of the stream and what the MLP gives. In families without a norm behind the
//! MLP that is also the output of its down projection; where there is such a norm, the sum is behind it, so that the norm
//! does not take the length away.

use tch::{Kind, Tensor};

use crate::engine::Result;

/// What one layer's stream gets.
#[derive(Default)]
pub enum Steer {
    /// Nothing.
    #[default]
    None,
    /// One vector for all tokens of all sequences.
    Shared {
        /// `[D]`, float32.
        vector: Tensor,
        /// Factor on it.
        scaling: f64,
    },
    /// A vector for each run of equally many adjacent sequences, `[runs, D]` in float32 with the scaling in it; zeros for none.
    PerRow(Tensor),
}

impl Steer {
    /// The stream with this added.
    ///
    /// *Shapes* states `[B·T, D]` → the same. *Source* summed in float32 and rounded once to the stream's number type.
    pub fn add(&self, states: Tensor) -> Result<Tensor> {
        let kind = states.f_kind()?;
        let sum = match self {
            Self::None => return Ok(states),
            Self::Shared { vector, scaling } => {
                let added = vector.f_mul_scalar(*scaling)?;
                float(&states)?.f_add(&added)?
            }
            Self::PerRow(vectors) => {
                let (runs, width) = vectors.size2()?;
                let by_run = float(&states)?.f_view([runs, -1, width])?;
                let sum = by_run.f_add(&vectors.f_unsqueeze(1)?)?;
                sum.f_view(states.size().as_slice())?
            }
        };
        match kind {
            Kind::Float => Ok(sum),
            _ => Ok(sum.f_to_kind(kind)?),
        }
    }
}

fn float(states: &Tensor) -> Result<Tensor> {
    match states.f_kind()? {
        Kind::Float => Ok(states.shallow_clone()),
        _ => Ok(states.f_to_kind(Kind::Float)?),
    }
}
