//! Which weights an architecture has, under which names, in which order and shapes.

use super::ModelConfig;
use crate::domain::finetune::Projection;
use crate::domain::forecast::ModelShape;

/// Name of the output head where it is a tensor of its own.
pub const HEAD: &str = "lm_head.weight";

/// Such as `layers.21.mlp.down_proj`: the name of a projection in reports; checkpoints put `model.` before it.
pub fn module_name(layer: i64, projection: Projection) -> String {
    format!(
        "layers.{layer}.{}.{}",
        projection.parent(),
        projection.name()
    )
}

/// A weight of the architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in a checkpoint.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
}

impl Parameter {
    fn new(name: impl Into<String>, shape: Vec<i64>) -> Self {
        Self {
            name: name.into(),
            shape,
        }
    }
}

impl ModelConfig {
    /// Every weight of the architecture in the fixed order in which they are listed everywhere.
    pub fn parameters(&self) -> Vec<Parameter> {
        let hidden = self.hidden_size;
        let embedding = vec![self.vocab_size, hidden];
        let mut all = vec![Parameter::new(
            "model.embed_tokens.weight",
            embedding.clone(),
        )];
        for layer in 0..self.num_hidden_layers {
            self.layer_parameters(layer, &mut all);
        }
        all.push(Parameter::new("model.norm.weight", vec![hidden]));
        if !self.tie_word_embeddings {
            all.push(Parameter::new(HEAD, embedding));
        }
        all
    }

    /// In the order in which `block::Layer` lists its tensors.
    fn layer_parameters(&self, layer: i64, all: &mut Vec<Parameter>) {
        let norm = |name: &str, width: i64| {
            let name = format!("model.layers.{layer}.{name}.weight");
            Parameter::new(name, vec![width])
        };
        all.push(norm("input_layernorm", self.hidden_size));
        for projection in Projection::ALL {
            if projection == Projection::GateProj {
                let names = self.norms_between().iter();
                all.extend(names.map(|name| norm(name, self.hidden_size)));
            }
            if self.qk_norm && projection == Projection::OProj {
                all.push(norm("self_attn.q_norm", self.head_dim));
                all.push(norm("self_attn.k_norm", self.head_dim));
            }
            self.linear_parameters(layer, projection, all);
        }
        if self.norm_outputs {
            all.push(norm("post_feedforward_layernorm", self.hidden_size));
        }
    }

    /// The norms between attention and MLP.
    fn norms_between(&self) -> &'static [&'static str] {
        match self.norm_outputs {
            true => &["post_attention_layernorm", "pre_feedforward_layernorm"],
            false => &["post_attention_layernorm"],
        }
    }

    fn linear_parameters(&self, layer: i64, projection: Projection, all: &mut Vec<Parameter>) {
        let (out, inner) = self.projection_shape(projection);
        let module = format!("model.{}", module_name(layer, projection));
        all.push(Parameter::new(format!("{module}.weight"), vec![out, inner]));
        if self.projection_bias(projection) {
            all.push(Parameter::new(format!("{module}.bias"), vec![out]));
        }
    }

    /// Its dimensions as forecasts count with them.
    pub fn shape(&self) -> ModelShape {
        ModelShape {
            num_hidden_layers: self.num_hidden_layers as u64,
            hidden_size: self.hidden_size as u64,
            num_attention_heads: self.num_attention_heads as u64,
            num_key_value_heads: self.num_key_value_heads as u64,
            head_dim: self.head_dim as u64,
            intermediate_size: self.intermediate_size as u64,
            vocab_size: self.vocab_size as u64,
            tie_word_embeddings: self.tie_word_embeddings,
            parameters: self.parameter_count(),
        }
    }

    /// Number of weights.
    pub fn parameter_count(&self) -> u64 {
        let sizes = self.parameters();
        sizes
            .iter()
            .map(|p| p.shape.iter().product::<i64>() as u64)
            .sum()
    }
}
