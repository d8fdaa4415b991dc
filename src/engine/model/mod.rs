//! The decoder-only transformer: tokens in, hidden states and logits out.
//!
//! Knows neither how training picks its rows nor how generation keeps keys and values: attention is an argument, and so
//! is the adapter.

pub mod attention;
pub mod block;
pub mod config;
pub mod packed;
pub mod projection;
pub mod rope;

use tch::Tensor;

use self::attention::{Attend, Causal};
use self::block::Pass;
use self::config::ModelConfig;
use self::packed::Packed;
use self::projection::Deltas;
use self::rope::{Angles, Rope};
use super::weights::Weights;
use super::{Error, Result};

/// Weights with the rotary tables that their computation needs.
pub struct Model {
    weights: Weights,
    rope: Rope,
}

impl Model {
    /// A model that can compute positions 0 .. `positions`.
    pub fn new(weights: Weights, positions: i64) -> Result<Self> {
        let rope = Rope::new(
            &weights.config,
            positions,
            weights.kind()?,
            weights.device(),
        )?;
        Ok(Self { weights, rope })
    }

    /// Its shape.
    pub fn config(&self) -> &ModelConfig {
        &self.weights.config
    }

    /// Its weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Its rotary tables.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The embeddings of tokens.
    ///
    /// *Shapes* tokens `[B, T]` int64 → `[B·T, D]`.
    pub fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        let flat = tokens.f_reshape([-1])?;
        let states = Tensor::f_embedding(&self.weights.embedding, &flat, -1, false, false)?;
        match self.config().scale_embeddings {
            true => Ok(states.f_mul_scalar(self.embedding_scale()?)?),
            false => Ok(states),
        }
    }

    /// √D as the model's number type has it.
    fn embedding_scale(&self) -> Result<f64> {
        let root = (self.config().hidden_size as f64).sqrt() as f32;
        let rounded = Tensor::f_from_slice(&[root])?.f_to_kind(self.weights.kind()?)?;
        Ok(rounded.f_double_value(&[0])?)
    }

    /// What the head reads, for whole sequences from position 0 on.
    ///
    /// Padding goes to the right: attention is causal, so no real token sees it, and what comes out at padded places
    /// means nothing.
    ///
    /// *Shapes* tokens `[B, T]` int64 → `[B, T, D]`
    pub fn hidden(&self, tokens: &Tensor, deltas: &Deltas) -> Result<Tensor> {
        let (batch, length) = tokens.size2()?;
        let angles = self.rope.span(0, length)?;
        let states = self.run(tokens, &angles, deltas, &mut Causal)?;
        Ok(states.f_view([batch, length, self.config().hidden_size])?)
    }

    /// The same for sequences that lie behind one another without padding.
    ///
    /// *Shapes* N token ids of sequences of these lengths → `[N, D]`
    pub fn packed(&self, tokens: &[i64], lengths: &[i64], deltas: &Deltas) -> Result<Tensor> {
        let device = self.weights.device();
        let row = |numbers: &[i64]| -> Result<Tensor> {
            let host = Tensor::f_from_slice(numbers)?.f_unsqueeze(0)?;
            Ok(host.f_to_device(device)?)
        };
        let positions: Vec<i64> = lengths.iter().flat_map(|&length| 0..length).collect();
        let angles = self.rope.at(&row(&positions)?)?;
        let mut attend = Packed::new(lengths, device)?;
        self.run(&row(tokens)?, &angles, deltas, &mut attend)
    }

    /// All layers and the last norm, with any positions and any attention.
    ///
    /// *Shapes* tokens `[B, T]` int64 → `[B·T, D]`
    pub fn run(
        &self,
        tokens: &Tensor,
        angles: &Angles,
        deltas: &Deltas,
        attend: &mut dyn Attend,
    ) -> Result<Tensor> {
        let (batch, length) = tokens.size2()?;
        let pass = Pass {
            config: self.config(),
            angles,
            deltas,
            batch,
            length,
        };
        let mut states = self.embed(tokens)?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            states = block::forward(&pass, index, layer, &states, attend)?;
        }
        block::norm(&states, &self.weights.norm, self.config())
    }

    /// Logits of chosen rows of what [`Model::hidden`] gives.
    ///
    /// *Shapes* rows `[N, D]` → `[N, V]`, in the weights' own number type
    pub fn logits(&self, rows: &Tensor) -> Result<Tensor> {
        let head = self
            .weights
            .head
            .as_ref()
            .unwrap_or(&self.weights.embedding);
        let logits = projection::linear(rows, head, None)?;
        match self.config().final_logit_softcapping {
            Some(bound) => attention::bounded(&logits, bound),
            None => Ok(logits),
        }
    }
}

/// Token ids as a batch, padded on the right with token 0.
///
/// *Shapes* → `[B, T]` int64 on `device`, T the longest row
pub fn pad_right(rows: &[&[u32]], device: tch::Device) -> Result<Tensor> {
    let length = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    if length == 0 {
        return Err(Error::Torch("a batch needs at least one token".into()));
    }
    let mut flat = vec![0i64; rows.len() * length];
    for (row, slots) in rows.iter().zip(flat.chunks_mut(length)) {
        for (token, slot) in row.iter().zip(slots) {
            *slot = i64::from(*token);
        }
    }
    let host = Tensor::f_from_slice(&flat)?;
    Ok(host
        .f_view([rows.len() as i64, length as i64])?
        .f_to_device(device)?)
}
