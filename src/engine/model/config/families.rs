//! What each family's config.json says, may leave out and must not say, as transformers reads it.

use serde_json::Value;

use super::fields::{Fields, Stated, refuse};
use super::rotary::RopeConfig;
use super::{Activation, LayerType, ModelConfig};
use crate::engine::{Error, Result};

/// The families whose decoder block this engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3, the dense ones.
    Qwen3,
    /// Llama 2 and 3.x.
    Llama,
    /// Mistral.
    Mistral,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, its text path.
    Gemma3,
}

/// (architecture, `model_type`, family, whether a vision tower stands beside it).
const KNOWN: [(&str, &str, Family, bool); 7] = [
    ("Qwen2ForCausalLM", "qwen2", Family::Qwen2, false),
    ("Qwen3ForCausalLM", "qwen3", Family::Qwen3, false),
    ("LlamaForCausalLM", "llama", Family::Llama, false),
    ("MistralForCausalLM", "mistral", Family::Mistral, false),
    ("Gemma2ForCausalLM", "gemma2", Family::Gemma2, false),
    ("Gemma3ForCausalLM", TEXT_TYPE, Family::Gemma3, false),
    (
        "Gemma3ForConditionalGeneration",
        "gemma3",
        Family::Gemma3,
        true,
    ),
];
const TEXT_TYPE: &str = "gemma3_text";
const TEXT: &str = "text_config";
const ACTIVATIONS: [(&str, Activation); 3] = [
    ("silu", Activation::Silu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu", Activation::Gelu),
];

impl Family {
    /// In reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// What transformers takes for a size that config.json leaves out, where a published checkpoint does so.
    fn default_size(self, field: &str) -> Option<i64> {
        match (self, field) {
            (Self::Gemma3, "hidden_size") => Some(2304),
            (Self::Gemma3, "intermediate_size") => Some(9216),
            (Self::Gemma3, "num_hidden_layers") => Some(26),
            (Self::Gemma3, "num_attention_heads") => Some(8),
            (Self::Gemma3, "num_key_value_heads") => Some(4),
            (Self::Gemma3, "vocab_size") => Some(262_208),
            (Self::Gemma2 | Self::Gemma3, "head_dim") => Some(256),
            (Self::Qwen3, "head_dim") => Some(128),
            (Self::Gemma3 | Self::Mistral, "max_position_embeddings") => Some(131_072),
            (Self::Gemma2, "max_position_embeddings") => Some(8192),
            (Self::Llama, "max_position_embeddings") => Some(2048),
            (Self::Qwen2 | Self::Qwen3, "max_position_embeddings") => Some(32_768),
            _ => None,
        }
    }
}

/// The shape that a config.json tells, not yet checked as a whole.
pub(super) fn read(json: &Value) -> Result<ModelConfig> {
    let whole = Fields::of("the whole file", json)?;
    let (family, multimodal) = family(whole)?;
    refuse_what_is_not_computed(whole)?;
    if !multimodal {
        return language_model(family, whole, None);
    }
    let Some(text) = whole.object(TEXT)? else {
        return Err(Error::config(TEXT, "is missing"));
    };
    text.only("model_type", &TEXT_TYPE.into(), "only \"gemma3_text\" is")?;
    refuse_what_is_not_computed(text)?;
    language_model(family, text, Some(whole))
}

/// The config.json of the language model alone, for weights that are written without the vision tower; none where there is
/// no tower.
pub fn text_only(config: &Value) -> Option<Value> {
    let Some(Value::Object(text)) = config.get(TEXT) else {
        return None;
    };
    let mut text = text.clone();
    text.insert(
        "architectures".into(),
        serde_json::json!(["Gemma3ForCausalLM"]),
    );
    text.insert("model_type".into(), TEXT_TYPE.into());
    for outer in [
        "eos_token_id",
        "tie_word_embeddings",
        "dtype",
        "torch_dtype",
    ] {
        if let Some(value) = config.get(outer) {
            text.insert(outer.into(), value.clone());
        }
    }
    Some(Value::Object(text))
}

fn family(fields: Fields) -> Result<(Family, bool)> {
    let kinds: Vec<String> = KNOWN
        .iter()
        .map(|known| format!("\"{}\"", known.1))
        .collect();
    let list = format!("{} are", kinds.join(", "));
    let Some(kind) = fields.get("model_type") else {
        return Err(Error::config(
            "model_type",
            format!("is missing; {list} supported"),
        ));
    };
    let found = KNOWN.iter().find(|known| kind.as_str() == Some(known.1));
    let architecture = fields.get("architectures");
    match (found, architecture) {
        (Some(known), Some(value)) if *value != Value::from(vec![known.0]) => {
            let remedy = format!("with model_type {kind} only [\"{}\"] is", known.0);
            refuse("architectures", value, &remedy)
        }
        (Some(known), _) => Ok((known.2, known.3)),
        (None, _) => refuse("model_type", kind, &list),
    }
}

/// What would change any family's computation and is computed for none.
fn refuse_what_is_not_computed(fields: Fields) -> Result<()> {
    if let Some(value) = fields.get("quantization_config") {
        return refuse("quantization_config", value, "use unquantised weights");
    }
    let no = Value::from(false);
    fields.only("attention_dropout", &Value::from(0.0), "only 0 is")?;
    fields.only("is_causal", &Value::from(true), "only true is")?;
    fields.only("use_mrope", &no, "only false is")?;
    fields.only("use_bidirectional_attention", &no, "only false is")
}

/// `outer` holds `text_config` where there is a vision tower; it has the end tokens and the kind of head.
fn language_model(family: Family, fields: Fields, outer: Option<Fields>) -> Result<ModelConfig> {
    let size = |field: &str, bound| fields.size(field, bound, family.default_size(field));
    let hidden_size = size("hidden_size", 1 << 16)?;
    let num_hidden_layers = size("num_hidden_layers", 1 << 10)?;
    let heads = size("num_attention_heads", 1 << 10)?;
    let positions = size("max_position_embeddings", 1 << 24)?;
    let head_dim = match (fields.get("head_dim"), family.default_size("head_dim")) {
        (None, None) => shared_width(hidden_size, heads)?,
        (_, default) => fields.size("head_dim", 1 << 10, default)?,
    };
    let (layer_types, sliding_window) = attention_kinds(family, fields, num_hidden_layers)?;
    let (rope, rope_local) = rotary(family, fields, positions)?;
    let (attn_logit_softcapping, final_logit_softcapping) = softcaps(family, fields)?;
    let groups = match family {
        Family::Llama | Family::Mistral => Some(heads),
        _ => family.default_size("num_key_value_heads"),
    };
    let biased = match family {
        Family::Qwen2 | Family::Mistral => false,
        _ => fields.flag("attention_bias", false)?,
    };
    Ok(ModelConfig {
        family,
        multimodal: outer.is_some(),
        hidden_size,
        num_hidden_layers,
        num_attention_heads: heads,
        num_key_value_heads: fields.size("num_key_value_heads", 1 << 10, groups)?,
        head_dim,
        intermediate_size: size("intermediate_size", 1 << 18)?,
        vocab_size: size("vocab_size", 1 << 22)?,
        max_position_embeddings: positions,
        rms_norm_eps: fields.positive("rms_norm_eps", Some(1e-6))?,
        layer_types,
        sliding_window,
        rope,
        rope_local,
        query_pre_attn_scalar: match family.is_gemma() {
            true => fields.positive("query_pre_attn_scalar", Some(256.0))?,
            false => head_dim as f64,
        },
        attn_logit_softcapping,
        final_logit_softcapping,
        activation: activation(family, fields)?,
        tie_word_embeddings: tied(family, fields, outer)?,
        qkv_bias: family == Family::Qwen2 || biased,
        o_bias: biased,
        mlp_bias: family == Family::Llama && fields.flag("mlp_bias", false)?,
        qk_norm: matches!(family, Family::Qwen3 | Family::Gemma3),
        norm_plus_one: family.is_gemma(),
        norm_outputs: family.is_gemma(),
        scale_embeddings: family.is_gemma(),
        eos_token_ids: match outer.filter(|outer| outer.get("eos_token_id").is_some()) {
            Some(outer) => outer.tokens("eos_token_id")?,
            None => fields.tokens("eos_token_id")?,
        },
    })
}

fn shared_width(hidden: i64, heads: i64) -> Result<i64> {
    if hidden % heads == 0 {
        return Ok(hidden / heads);
    }
    let detail = format!("{heads} does not divide hidden_size {hidden}, and there is no head_dim");
    Err(Error::config("num_attention_heads", detail))
}

fn tied(family: Family, fields: Fields, outer: Option<Fields>) -> Result<bool> {
    const FIELD: &str = "tie_word_embeddings";
    let inner = fields.flag(FIELD, family.is_gemma())?;
    let Some(outer) = outer else {
        return Ok(inner);
    };
    let whole = outer.flag(FIELD, inner)?;
    if fields.get(FIELD).is_some() && whole != inner {
        let detail = format!("is {whole}, and {inner} in {TEXT}; make them equal");
        return Err(Error::config(FIELD, detail));
    }
    Ok(whole)
}

fn activation(family: Family, fields: Fields) -> Result<Activation> {
    let (field, default) = match family.is_gemma() {
        true => ("hidden_activation", "gelu_pytorch_tanh"),
        false => ("hidden_act", "silu"),
    };
    let default = Value::from(default);
    let value = fields.get(field).unwrap_or(&default);
    let found = ACTIVATIONS.iter().find(|(name, _)| value == name);
    match found {
        Some((_, activation)) => Ok(*activation),
        None => refuse(
            field,
            value,
            "\"silu\", \"gelu_pytorch_tanh\" and \"gelu\" are",
        ),
    }
}

fn softcaps(family: Family, fields: Fields) -> Result<(Option<f64>, Option<f64>)> {
    const SCORES: &str = "attn_logit_softcapping";
    let logits = fields.stated_positive("final_logit_softcapping");
    match family {
        Family::Gemma2 => Ok((fields.stated_positive(SCORES)?.or(50.0), logits?.or(30.0))),
        Family::Gemma3 => match fields.get(SCORES) {
            Some(value) => refuse(
                SCORES,
                value,
                "transformers leaves it out in Gemma 3; only null is",
            ),
            None => Ok((None, stated(logits?))),
        },
        _ => Ok((None, None)),
    }
}

fn stated<T>(value: Stated<T>) -> Option<T> {
    match value {
        Stated::Value(value) => Some(value),
        Stated::Absent | Stated::Null => None,
    }
}

fn rotary(
    family: Family,
    fields: Fields,
    positions: i64,
) -> Result<(RopeConfig, Option<RopeConfig>)> {
    if family != Family::Gemma3 {
        return Ok((RopeConfig::read(fields, positions)?, None));
    }
    let (full, sliding) = RopeConfig::read_both(fields, positions)?;
    Ok((full, Some(sliding)))
}

/// What each layer sees, and how many tokens a sliding one does.
fn attention_kinds(
    family: Family,
    fields: Fields,
    layers: i64,
) -> Result<(Vec<LayerType>, Option<i64>)> {
    const WINDOW: &str = "sliding_window";
    let window = fields.stated_size(WINDOW, 1 << 24)?.or(4096);
    let window = match family {
        Family::Qwen2 | Family::Qwen3 if !fields.flag("use_sliding_window", false)? => None,
        Family::Llama => None,
        _ => window,
    };
    let implied = implied_kinds(family, fields, layers, window.is_some())?;
    let kinds = match listed_kinds(fields, layers)? {
        Some(kinds) if kinds != implied && matches!(family, Family::Llama | Family::Mistral) => {
            let detail = "differs from what this family computes in every layer; leave it out";
            return Err(Error::config("layer_types", detail));
        }
        Some(kinds) => kinds,
        None => implied,
    };
    let slides = kinds.contains(&LayerType::Sliding);
    if slides && window.is_none() {
        let detail = "is not set though layer_types has \"sliding_attention\"";
        return Err(Error::config(WINDOW, detail));
    }
    Ok((kinds, window.filter(|_| slides)))
}

/// What the layers see where `layer_types` does not say it.
fn implied_kinds(
    family: Family,
    fields: Fields,
    layers: i64,
    windowed: bool,
) -> Result<Vec<LayerType>> {
    let every = fields.size("sliding_window_pattern", 1 << 10, Some(6))?;
    let first = match fields.get("max_window_layers") {
        Some(value) if value.as_i64() == Some(0) => 0,
        _ => fields.size("max_window_layers", 1 << 10, Some(28))?,
    };
    let slides = |layer: i64| match family {
        Family::Qwen2 | Family::Qwen3 => windowed && layer >= first,
        Family::Llama | Family::Mistral => windowed,
        Family::Gemma2 => (layer + 1) % 2 != 0,
        Family::Gemma3 => (layer + 1) % every != 0,
    };
    let kind = |layer| match slides(layer) {
        true => LayerType::Sliding,
        false => LayerType::Full,
    };
    Ok((0..layers).map(kind).collect())
}

fn listed_kinds(fields: Fields, layers: i64) -> Result<Option<Vec<LayerType>>> {
    const FIELD: &str = "layer_types";
    let Some(value) = fields.get(FIELD) else {
        return Ok(None);
    };
    let kind = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Some(LayerType::Full),
        Some("sliding_attention") => Some(LayerType::Sliding),
        _ => None,
    };
    let all = value.as_array().map(|kinds| kinds.iter().map(kind));
    match all.and_then(|kinds| kinds.collect::<Option<Vec<_>>>()) {
        Some(kinds) if kinds.len() as i64 == layers => Ok(Some(kinds)),
        Some(kinds) => {
            let detail = format!("has {} entries for {layers} layers", kinds.len());
            Err(Error::config(FIELD, detail))
        }
        None => refuse(
            FIELD,
            value,
            "only lists of \"full_attention\" and \"sliding_attention\" are",
        ),
    }
}
