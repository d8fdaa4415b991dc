//! The layers in training: which keep a graph, which are computed a second time, and how gradients go back through them.
//!
//! What lies below the lowest trained tensor has no graph, so its activations are freed as it computes and its backward
//! pass does not happen. Knows neither head nor loss.

use tch::Tensor;

use crate::engine::Result;
use crate::engine::model::projection::Deltas;
use crate::engine::model::{Model, Sequences};
use crate::engine::shim::backward;

use super::batch::Pass;

/// A model with its adapter and some sequences.
pub(super) struct Body<'a> {
    model: &'a Model,
    deltas: &'a Deltas,
    pub(super) sequences: Sequences,
    /// What is computed a second time; none where the graph is kept.
    again: Option<Again>,
}

/// Where the graph is cut so that it can be made again piece by piece.
#[derive(Default)]
struct Again {
    /// The embeddings with their graph, where they are trained.
    embedded: Option<Tensor>,
    /// The lowest trained layer and the layers above it, each with what it read.
    layers: Vec<(usize, Tensor)>,
    /// What the last norm read, a leaf.
    top: Option<Tensor>,
}

impl<'a> Body<'a> {
    /// Some examples before their first layer.
    ///
    /// With `recompute` a layer keeps what it reads and nothing else, and computes once more on the way back: the same
    /// gradients in a third more time.
    pub(super) fn new(
        model: &'a Model,
        deltas: &'a Deltas,
        pass: &Pass,
        recompute: bool,
    ) -> Result<Self> {
        Ok(Self {
            model,
            deltas,
            sequences: model.sequences(&pass.tokens, &pass.lengths)?,
            again: recompute.then(Again::default),
        })
    }

    /// What the head reads.
    ///
    /// *Shapes* → `[N, D]`
    pub(super) fn forward(&mut self) -> Result<Tensor> {
        let mut states = self.model.embed(&self.sequences.tokens)?;
        let Some(mut again) = self.again.take() else {
            for index in self.layers() {
                states = self.layer(index, &states)?;
            }
            return self.model.last_norm(&states);
        };
        if states.requires_grad() {
            let below = states.f_detach()?;
            again.embedded = Some(std::mem::replace(&mut states, below));
        }
        for index in self.layers() {
            states = self.cut(index, states, &mut again)?;
        }
        if !again.is_empty() {
            states = states.f_set_requires_grad(true)?;
            again.top = Some(states.shallow_clone());
        }
        self.again = Some(again);
        self.model.last_norm(&states)
    }

    /// One layer whose graph is thrown away; remembers what it read where its gradient will be asked for.
    fn cut(&self, index: usize, states: Tensor, again: &mut Again) -> Result<Tensor> {
        if !again.is_empty() {
            let _guard = tch::no_grad_guard();
            let next = self.layer(index, &states)?;
            again.layers.push((index, states));
            return Ok(next);
        }
        let next = self.layer(index, &states)?;
        if next.requires_grad() {
            again.layers.push((index, states));
        }
        Ok(next.f_detach()?)
    }

    /// Goes back from `rows`, which were made of what [`Body::forward`] gave, with their gradient.
    pub(super) fn backward(self, rows: &Tensor, grad: &Tensor) -> Result<()> {
        if rows.requires_grad() {
            backward(rows, grad)?;
        }
        let Some(again) = &self.again else {
            return Ok(());
        };
        let Some(top) = &again.top else {
            return Ok(());
        };
        let mut grad = top.f_grad()?;
        for (place, (index, read)) in again.layers.iter().enumerate().rev() {
            let asked = place > 0 || again.embedded.is_some();
            let read = read.f_detach()?.f_set_requires_grad(asked)?;
            backward(&self.layer(*index, &read)?, &grad)?;
            if asked {
                grad = read.f_grad()?;
            }
        }
        match &again.embedded {
            Some(embedded) => backward(embedded, &grad),
            None => Ok(()),
        }
    }

    /// The layers that the way back computes once more.
    #[cfg(test)]
    pub(super) fn read_again(&self) -> Vec<usize> {
        let again = self.again.iter().flat_map(|again| &again.layers);
        again.map(|(index, _)| *index).collect()
    }

    pub(super) fn layers(&self) -> std::ops::Range<usize> {
        0..self.model.weights().layers.len()
    }

    pub(super) fn layer(&self, index: usize, states: &Tensor) -> Result<Tensor> {
        self.model
            .layer(index, &self.sequences, self.deltas, states)
    }
}

impl Again {
    fn is_empty(&self) -> bool {
        self.embedded.is_none() && self.layers.is_empty()
    }
}
