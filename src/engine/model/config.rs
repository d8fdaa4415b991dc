//! The shape of a model as config.json tells it. Names are config.json's own; knows no tensor.
//!
//! A value that changes the computation is either honoured or refused by name; nothing is guessed.

mod families;
mod fields;
mod parameters;
mod rotary;

use serde_json::Value;

pub use self::families::{Family, text_only};
pub use self::parameters::{HEAD, Parameter, module_name};
pub use self::rotary::{RopeConfig, RopeScaling};
use super::attention::Rules;
use crate::domain::finetune::Projection;
use crate::domain::shapes::Widths;
use crate::engine::{Error, Result};

/// What a layer's attention sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// Everything before it.
    Full,
    /// The last `sliding_window` tokens.
    Sliding,
}

/// What the MLP's gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// x · Φ(x), Φ by its tanh approximation.
    GeluTanh,
    /// x · Φ(x).
    Gelu,
}

/// Everything about a model's shape that the computation depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which family's rules hold.
    pub family: Family,
    /// Whether the files hold a vision tower beside the language model.
    pub multimodal: bool,
    /// D, the width of the residual stream.
    pub hidden_size: i64,
    /// L.
    pub num_hidden_layers: i64,
    /// H, heads of the queries.
    pub num_attention_heads: i64,
    /// K, heads of keys and values; divides H.
    pub num_key_value_heads: i64,
    /// E, the width of a head; even.
    pub head_dim: i64,
    /// F, the inner width of the MLP.
    pub intermediate_size: i64,
    /// V, rows of the embedding.
    pub vocab_size: i64,
    /// Positions that the model was made for.
    pub max_position_embeddings: i64,
    /// Added to the mean square under the root.
    pub rms_norm_eps: f64,
    /// What each layer's attention sees; L of them.
    pub layer_types: Vec<LayerType>,
    /// Tokens that a sliding layer sees, the token itself included; none where no layer slides.
    pub sliding_window: Option<i64>,
    /// Rotary positions, in Gemma 3 those of full layers.
    pub rope: RopeConfig,
    /// Rotary positions of sliding layers where they have their own.
    pub rope_local: Option<RopeConfig>,
    /// Scores are divided by its root; the width of a head but in Gemma.
    pub query_pre_attn_scalar: f64,
    /// Bound c of scores, which become c·tanh(score/c).
    pub attn_logit_softcapping: Option<f64>,
    /// Bound of logits, likewise.
    pub final_logit_softcapping: Option<f64>,
    /// What the MLP's gate goes through.
    pub activation: Activation,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have a bias.
    pub qkv_bias: bool,
    /// Whether o has a bias.
    pub o_bias: bool,
    /// Whether gate, up and down have a bias.
    pub mlp_bias: bool,
    /// Whether each head's queries and keys are normed.
    pub qk_norm: bool,
    /// Whether a norm multiplies by 1 + its weight, in float32, and rounds once.
    pub norm_plus_one: bool,
    /// Whether what attention and MLP give is normed before it is added.
    pub norm_outputs: bool,
    /// Whether embeddings are multiplied by √D, rounded to the model's number type.
    pub scale_embeddings: bool,
    /// Tokens that end a turn or a text; may be empty.
    pub eos_token_ids: Vec<i64>,
}

impl ModelConfig {
    /// Reads and checks the content of config.json.
    ///
    /// *Errors* `Config` naming the first field that is missing, senseless or not computed by this engine.
    pub fn from_json(json: &Value) -> Result<Self> {
        let config = families::read(json)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads);
        if heads % groups != 0 {
            let detail = format!("{groups} does not divide num_attention_heads {heads}");
            return Err(Error::config("num_key_value_heads", detail));
        }
        if self.head_dim % 2 != 0 {
            let detail = format!("{} is odd; rotary positions need pairs", self.head_dim);
            return Err(Error::config("head_dim", detail));
        }
        match self.eos_token_ids.iter().find(|id| **id >= self.vocab_size) {
            Some(id) => {
                let detail = format!("{id} is not below vocab_size {}", self.vocab_size);
                Err(Error::config("eos_token_id", detail))
            }
            None => Ok(()),
        }
    }

    /// Whether a layer sees only the last tokens.
    pub fn slides(&self, layer: usize) -> bool {
        self.layer_types.get(layer) == Some(&LayerType::Sliding)
    }

    /// How a layer's attention weighs and what it sees.
    pub fn attention(&self, layer: usize) -> Rules {
        Rules {
            scale: self.query_pre_attn_scalar.powf(-0.5),
            window: self.sliding_window.filter(|_| self.slides(layer)),
            softcap: self.attn_logit_softcapping,
        }
    }

    /// Shape of a projection's weight: (out, in).
    pub fn projection_shape(&self, projection: Projection) -> (i64, i64) {
        let widths = Widths {
            hidden: self.hidden_size as u64,
            inner: self.intermediate_size as u64,
            queries: (self.num_attention_heads * self.head_dim) as u64,
            keys: (self.num_key_value_heads * self.head_dim) as u64,
        };
        let (outputs, inputs) = widths.projection(projection);
        (outputs as i64, inputs as i64)
    }

    /// Whether a projection has a bias.
    pub fn projection_bias(&self, projection: Projection) -> bool {
        use Projection::{KProj, OProj, QProj, VProj};
        match projection {
            QProj | KProj | VProj => self.qkv_bias,
            OProj => self.o_bias,
            _ => self.mlp_bias,
        }
    }
}
