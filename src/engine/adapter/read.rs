//! Reading adapter_config.json: every field is honoured, known to change no number, or refused by name and value.
//!
//! *Source* the fields, defaults and rules of PEFT's `LoraConfig`.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::names::{Names, Patterns, shown};
use super::settings::{ROOTS, Settings};
use crate::domain::finetune::Projection;
use crate::engine::{Error, Result};

/// Largest adapter_config.json, in bytes.
pub const LARGEST_CONFIG: u64 = 1 << 20;

/// Most names that a list of layers may have.
const MOST_LISTS: usize = 16;

/// Settings as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What the numbers depend on.
    pub settings: Settings,
    /// Fields that nothing here knows; at rest, so that they change nothing.
    pub unknown: Vec<String>,
}

/// Maps whose order decides; a parsed object forgets it.
#[derive(serde::Deserialize)]
struct InOrder {
    #[serde(default)]
    rank_pattern: Option<Patterns<Value>>,
    #[serde(default)]
    alpha_pattern: Option<Patterns<Value>>,
}

impl Settings {
    /// Reads adapter_config.json; what it asks for beyond plain LoRA is refused by name.
    pub fn read(text: &[u8]) -> Result<Reading> {
        if text.len() as u64 > LARGEST_CONFIG {
            let detail = format!(
                "has {} bytes; at most {LARGEST_CONFIG} are read",
                text.len()
            );
            return Err(Error::adapter(super::CONFIG, detail));
        }
        let not_json = |error| Error::bad_file(super::CONFIG, format!("not JSON: {error}"));
        let Value::Object(fields) = serde_json::from_slice(text).map_err(not_json)? else {
            return Err(Error::adapter(super::CONFIG, "is not a JSON object"));
        };
        for name in ["rank_pattern", "alpha_pattern"] {
            if let Some(value) = fields.get(name).filter(|v| !v.is_null() && !v.is_object()) {
                let detail = format!("{} is no map of names to numbers", shown(value));
                return Err(Error::adapter(name, detail));
            }
        }
        let unknown = refuse_the_rest(&fields)?;
        let maps: InOrder = serde_json::from_slice(text).map_err(not_json)?;
        let settings = settings(&fields, maps)?;
        Ok(Reading { settings, unknown })
    }
}

fn settings(fields: &Map<String, Value>, maps: InOrder) -> Result<Settings> {
    let value = |name: &str| fields.get(name).unwrap_or(&Value::Null);
    let (target_modules, is_list) = targets(value("target_modules"))?;
    let layers = layer_list(value("layers_to_transform"))?;
    let layers_pattern = list_names(value("layers_pattern"))?;
    for (name, given) in [
        ("layers_to_transform", layers.is_some()),
        ("layers_pattern", !layers_pattern.is_empty()),
    ] {
        if given && !is_list {
            let detail = format!(
                "{} needs target_modules to be a list of names",
                shown(value(name))
            );
            return Err(Error::adapter(name, detail));
        }
    }
    if !layers_pattern.is_empty() && layers.is_none() {
        let detail = format!(
            "{} needs layers_to_transform",
            shown(value("layers_pattern"))
        );
        return Err(Error::adapter("layers_pattern", detail));
    }
    Ok(Settings {
        rank: read(fields, "r", 8)?,
        alpha: read(fields, "lora_alpha", 8.0)?,
        rslora: read(fields, "use_rslora", false)?,
        dropout: read(fields, "lora_dropout", 0.0)?,
        target_modules,
        exclude_modules: Names::read("exclude_modules", value("exclude_modules"))?,
        layers,
        layers_pattern,
        rank_pattern: numbers("rank_pattern", maps.rank_pattern)?,
        alpha_pattern: numbers("alpha_pattern", maps.alpha_pattern)?,
        root: ROOTS[0],
    })
}

fn read<T: DeserializeOwned>(fields: &Map<String, Value>, name: &str, default: T) -> Result<T> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => number(name, value),
    }
}

fn number<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|error| {
        Error::adapter(name, format!("{} is not understood: {error}", shown(value)))
    })
}

fn numbers<T: DeserializeOwned>(
    name: &str,
    patterns: Option<Patterns<Value>>,
) -> Result<Patterns<T>> {
    let entries = patterns.map(|patterns| patterns.0).unwrap_or_default();
    let typed = entries.into_iter().map(|(key, value)| {
        let value = number(name, &value)?;
        Ok((key, value))
    });
    typed.collect::<Result<_>>().map(Patterns)
}

/// The targets, and whether they came as a list.
fn targets(value: &Value) -> Result<(Names, bool)> {
    let missing = || {
        let detail = format!("{} names no module to adapt", shown(value));
        Error::adapter("target_modules", detail)
    };
    match Names::read("target_modules", value)?.ok_or_else(missing)? {
        Names::Expression(text) if text.eq_ignore_ascii_case("all-linear") => {
            let all = Projection::ALL.map(|one| one.name().to_string());
            Ok((Names::Listed(all.to_vec()), false))
        }
        Names::Expression(text) => Ok((Names::Expression(text), false)),
        listed => Ok((listed, true)),
    }
}

fn layer_list(value: &Value) -> Result<Option<Vec<u32>>> {
    let layer = |item: &Value| {
        let number = item.as_u64().and_then(|n| u32::try_from(n).ok());
        let detail = || format!("has {}, which is not a layer number", shown(item));
        number.ok_or_else(|| Error::adapter("layers_to_transform", detail()))
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(items) if items.is_empty() => Ok(None),
        Value::Array(items) => Ok(Some(items.iter().map(layer).collect::<Result<_>>()?)),
        one => Ok(Some(vec![layer(one)?])),
    }
}

fn list_names(value: &Value) -> Result<Vec<String>> {
    match Names::read("layers_pattern", value)? {
        None => Ok(Vec::new()),
        Some(Names::Expression(one)) => Ok(vec![one]),
        Some(Names::Listed(names)) if names.len() <= MOST_LISTS => Ok(names),
        Some(Names::Listed(names)) => {
            let detail = format!("has {} names; at most {MOST_LISTS} are read", names.len());
            Err(Error::adapter("layers_pattern", detail))
        }
    }
}

/// Fields that are read above, or that say nothing about the numbers of a trained adapter.
const HONOURED: [&str; 21] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Fields that may be there as long as they are at rest: null, false, empty.
const AT_REST: [&str; 21] = [
    "alora_invocation_tokens",
    "arrow_config",
    "bias",
    "corda_config",
    "fan_in_fan_out",
    "init_lora_weights",
    "kasa_config",
    "layer_replication",
    "loftq_config",
    "lora_bias",
    "lora_ga_config",
    "megatron_config",
    "modules_to_save",
    "monteclora_config",
    "peft_type",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
];

/// Everything else must be at rest, or have a value known to change nothing; gives the names that nobody here knows.
fn refuse_the_rest(fields: &Map<String, Value>) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for (name, value) in fields {
        let resting = match (name.as_str(), value) {
            (name, _) if HONOURED.contains(&name) => continue,
            ("peft_type", Value::String(kind)) => kind == "LORA",
            ("peft_type", _) => false,
            ("bias", Value::String(kind)) => kind == "none",
            // the first values of pairs that are read; other words change the base they stand beside
            ("init_lora_weights", Value::String(kind)) => {
                ["gaussian", "orthogonal", "eva"].contains(&kind.as_str())
            }
            ("init_lora_weights", Value::Bool(_)) => true,
            (_, Value::Null | Value::Bool(false)) => true,
            (_, Value::Array(items)) => items.is_empty(),
            (_, Value::Object(fields)) => fields.is_empty(),
            _ => false,
        };
        if !resting {
            let short: String = name.chars().take(80).collect();
            let detail = format!("{} is not supported; plain LoRA is", shown(value));
            return Err(Error::adapter(short, detail));
        }
        if !AT_REST.contains(&name.as_str()) && unknown.len() < 50 {
            unknown.push(name.chars().take(80).collect());
        }
    }
    match fields.contains_key("peft_type") {
        true => Ok(unknown),
        false => Err(Error::adapter(
            "peft_type",
            "is missing; it must be \"LORA\"",
        )),
    }
}
