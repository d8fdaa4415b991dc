//! The shape of a model as config.json tells it. Names are config.json's own; knows no tensor.
//!
//! A value that changes the computation is either honoured or refused by name; nothing is guessed.

use serde_json::{Map, Value};

use crate::domain::finetune::Projection;
use crate::engine::{Error, Result};

/// The families whose decoder block this engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5.
    Qwen2,
}

impl Family {
    /// As config.json's `model_type` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
        }
    }
}

/// Everything about a model's shape that the computation depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Which family's rules hold.
    pub family: Family,
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
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have a bias.
    pub qkv_bias: bool,
    /// Tokens that end a turn or a text; may be empty.
    pub eos_token_ids: Vec<i64>,
}

impl ModelConfig {
    /// Reads and checks the content of config.json.
    ///
    /// *Errors* `Config` naming the first field that is missing, senseless or not computed by this engine.
    pub fn from_json(json: &Value) -> Result<Self> {
        let Some(fields) = json.as_object() else {
            return Err(Error::config("the whole file", "is not a JSON object"));
        };
        let fields = Fields(fields);
        let family = fields.family()?;
        fields.refuse_what_is_not_computed()?;
        let hidden_size = fields.size("hidden_size", 1 << 16, None)?;
        let heads = fields.size("num_attention_heads", 1 << 10, None)?;
        let config = Self {
            family,
            hidden_size,
            num_hidden_layers: fields.size("num_hidden_layers", 1 << 10, None)?,
            num_attention_heads: heads,
            num_key_value_heads: fields.size("num_key_value_heads", 1 << 10, None)?,
            head_dim: fields.size("head_dim", 1 << 10, Some(hidden_size / heads))?,
            intermediate_size: fields.size("intermediate_size", 1 << 18, None)?,
            vocab_size: fields.size("vocab_size", 1 << 22, None)?,
            max_position_embeddings: fields.size(
                "max_position_embeddings",
                1 << 24,
                Some(32768),
            )?,
            rms_norm_eps: fields.positive("rms_norm_eps", 1e-6)?,
            rope_theta: fields.rope_theta()?,
            tie_word_embeddings: fields.flag("tie_word_embeddings")?,
            qkv_bias: true,
            eos_token_ids: fields.tokens("eos_token_id")?,
        };
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

    /// Shape of a projection's weight: (out, in).
    pub fn projection_shape(&self, projection: Projection) -> (i64, i64) {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        match projection {
            Projection::QProj => (queries, hidden),
            Projection::KProj | Projection::VProj => (keys, hidden),
            Projection::OProj => (hidden, queries),
            Projection::GateProj | Projection::UpProj => (inner, hidden),
            Projection::DownProj => (hidden, inner),
        }
    }

    /// Whether a projection has a bias.
    pub fn projection_bias(&self, projection: Projection) -> bool {
        use Projection::{KProj, QProj, VProj};
        self.qkv_bias && matches!(projection, QProj | KProj | VProj)
    }

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

    fn layer_parameters(&self, layer: i64, all: &mut Vec<Parameter>) {
        let norm = |name: &str| {
            let name = format!("model.layers.{layer}.{name}.weight");
            Parameter::new(name, vec![self.hidden_size])
        };
        all.push(norm("input_layernorm"));
        for projection in Projection::ALL {
            if projection == Projection::GateProj {
                all.push(norm("post_attention_layernorm"));
            }
            let (out, inner) = self.projection_shape(projection);
            let module = format!("model.{}", module_name(layer, projection));
            all.push(Parameter::new(format!("{module}.weight"), vec![out, inner]));
            if self.projection_bias(projection) {
                all.push(Parameter::new(format!("{module}.bias"), vec![out]));
            }
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

/// The fields of config.json with checked reads.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// `null` counts as absent, as it does for those who write these files.
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn family(&self) -> Result<Family> {
        let wrong = |field: &str, value: &Value, want: &str| {
            Err(Error::config(
                field,
                format!("{value} is not supported; {want}"),
            ))
        };
        match self.get("architectures") {
            Some(Value::Array(names)) if *names == ["Qwen2ForCausalLM"] => {}
            None => {}
            Some(other) => return wrong("architectures", other, "only [\"Qwen2ForCausalLM\"] is"),
        }
        match self.get("model_type") {
            Some(Value::String(name)) if name == Family::Qwen2.name() => Ok(Family::Qwen2),
            Some(other) => wrong("model_type", other, "only \"qwen2\" is"),
            None => Err(Error::config(
                "model_type",
                "is missing; \"qwen2\" is supported",
            )),
        }
    }

    fn refuse_what_is_not_computed(&self) -> Result<()> {
        let refuse = |field: &str, value: &Value, remedy: &str| {
            Err(Error::config(
                field,
                format!("{value} is not supported; {remedy}"),
            ))
        };
        for (field, neutral, remedy) in [
            ("hidden_act", Value::from("silu"), "only \"silu\" is"),
            ("attention_dropout", Value::from(0.0), "only 0 is"),
            ("use_sliding_window", Value::from(false), "only false is"),
        ] {
            match self.get(field) {
                Some(value) if *value != neutral && !is_zero(value, &neutral) => {
                    return refuse(field, value, remedy);
                }
                _ => {}
            }
        }
        if let Some(value) = self.get("quantization_config") {
            return refuse("quantization_config", value, "use unquantised weights");
        }
        if let Some(value) = self.get("rope_scaling").filter(|value| !plain_rope(value)) {
            return refuse("rope_scaling", value, "only null is");
        }
        if let Some(value) = self
            .get("rope_parameters")
            .filter(|value| !plain_rope(value))
        {
            return refuse("rope_parameters", value, "only rope_type \"default\" is");
        }
        match self.get("layer_types") {
            Some(value) if !all_full_attention(value) => {
                refuse("layer_types", value, "only \"full_attention\" is")
            }
            _ => Ok(()),
        }
    }

    fn size(&self, field: &str, bound: i64, default: Option<i64>) -> Result<i64> {
        let Some(value) = self.get(field) else {
            return default.ok_or_else(|| Error::config(field, "is missing"));
        };
        match value.as_i64() {
            Some(size) if (1..=bound).contains(&size) => Ok(size),
            _ => {
                let detail = format!("{value} is not a whole number from 1 to {bound}");
                Err(Error::config(field, detail))
            }
        }
    }

    fn positive(&self, field: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(field) else {
            return Ok(default);
        };
        match value.as_f64() {
            Some(number) if number > 0.0 && number < 1e12 => Ok(number),
            _ => Err(Error::config(
                field,
                format!("{value} is not a positive number below 1e12"),
            )),
        }
    }

    /// Newer files keep the base inside `rope_parameters`, older ones beside the other fields.
    fn rope_theta(&self) -> Result<f64> {
        match self.get("rope_parameters").and_then(Value::as_object) {
            Some(inner) if inner.contains_key("rope_theta") => {
                Fields(inner).positive("rope_theta", 10_000.0)
            }
            _ => self.positive("rope_theta", 10_000.0),
        }
    }

    fn flag(&self, field: &str) -> Result<bool> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(Error::config(
                field,
                format!("{other} is not true or false"),
            )),
        }
    }

    fn tokens(&self, field: &str) -> Result<Vec<i64>> {
        let token = |value: &Value| {
            let id = value.as_i64().filter(|id| *id >= 0);
            id.ok_or_else(|| Error::config(field, format!("{value} is not a token id")))
        };
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(token).collect(),
            Some(one) => Ok(vec![token(one)?]),
        }
    }
}

/// 0 and 0.0 are different JSON values of the same number.
fn is_zero(value: &Value, neutral: &Value) -> bool {
    value.as_f64() == Some(0.0) && neutral.as_f64() == Some(0.0)
}

fn plain_rope(value: &Value) -> bool {
    let Some(fields) = value.as_object() else {
        return false;
    };
    let plain = |(key, value): (&String, &Value)| match key.as_str() {
        "rope_type" | "type" => value.as_str() == Some("default"),
        "rope_theta" => true,
        _ => value.is_null(),
    };
    fields.iter().all(plain)
}

fn all_full_attention(value: &Value) -> bool {
    let full = |kind: &Value| kind.as_str() == Some("full_attention");
    value.as_array().is_some_and(|kinds| kinds.iter().all(full))
}
