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
pub mod steer;

use tch::Tensor;

use self::attention::{Attend, Causal};
use self::block::Pass;
use self::config::ModelConfig;
use self::packed::Packed;
use self::projection::{Deltas, Kernels};
use self::rope::{Angles, Rope};
use super::weights::Weights;
use super::{Error, Result};

/// Sequences that lie behind one another without padding.
pub struct Sequences {
    /// `[1, N]`, int64.
    pub tokens: Tensor,
    angles: Angles,
    attend: Packed,
}

/// Weights with the rotary tables that their computation needs.
pub struct Model {
    weights: Weights,
    rope: Rope,
    kernels: Kernels,
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
        Ok(Self {
            weights,
            rope,
            kernels: Kernels::Own,
        })
    }

    /// The same with the kernels of training, under which what a row gives may depend on its neighbours by rounding.
    pub fn for_training(weights: Weights, positions: i64) -> Result<Self> {
        Ok(Self {
            kernels: Kernels::Training,
            ..Self::new(weights, positions)?
        })
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

    /// Sequences behind one another without padding, as [`Model::layer`] reads them.
    pub fn sequences(&self, tokens: &[i64], lengths: &[i64]) -> Result<Sequences> {
        let device = self.weights.device();
        let row = |numbers: &[i64]| -> Result<Tensor> {
            let host = Tensor::f_from_slice(numbers)?.f_unsqueeze(0)?;
            Ok(host.f_to_device(device)?)
        };
        let positions: Vec<i64> = lengths.iter().flat_map(|&length| 0..length).collect();
        Ok(Sequences {
            tokens: row(tokens)?,
            angles: self.rope.at(&row(&positions)?)?,
            attend: Packed::new(lengths, device)?,
        })
    }

    /// One layer over sequences without padding.
    ///
    /// *Shapes* states `[N, D]` → the same
    pub fn layer(
        &self,
        index: usize,
        sequences: &Sequences,
        deltas: &Deltas,
        states: &Tensor,
    ) -> Result<Tensor> {
        let pass = Pass {
            config: self.config(),
            angles: &sequences.angles,
            deltas,
            kernels: self.kernels,
            batch: 1,
            length: sequences.tokens.size()[1],
        };
        let layer = &self.weights.layers[index];
        block::forward(&pass, index, layer, states, &mut &sequences.attend)
    }

    /// The last norm.
    ///
    /// *Shapes* states `[N, D]` → the same
    pub fn last_norm(&self, states: &Tensor) -> Result<Tensor> {
        block::norm(states, &self.weights.norm, self.config())
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
            kernels: self.kernels,
            batch,
            length,
        };
        let mut states = self.embed(tokens)?;
        for (index, layer) in self.weights.layers.iter().enumerate() {
            states = block::forward(&pass, index, layer, &states, attend)?;
        }
        self.last_norm(&states)
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
        let logits = self.kernels.linear(rows, head, None)?;
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
