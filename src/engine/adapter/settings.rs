//! What adapter_config.json says: which modules, what rank, what scaling. Knows no tensor.
//!
//! *Source* PEFT's matching rules: a target is a module's name or the end of it behind a dot; so is a pattern's key.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::finetune::{LoraMethod, Projection};
use crate::domain::metric::NormModule;
use crate::engine::model::config::{ModelConfig, module_name};
use crate::engine::{Error, Result};

const MAX_RANK: u32 = 4096;

/// The settings of an adapter that its numbers depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `r`.
    pub rank: u32,
    /// `lora_alpha`.
    pub alpha: f64,
    /// `use_rslora`.
    pub rslora: bool,
    /// `lora_dropout`; of training only.
    pub dropout: f64,
    /// Module names or ends of them.
    pub target_modules: Vec<String>,
    /// `layers_to_transform`; none is all.
    pub layers: Option<Vec<u32>>,
    /// Ranks of some modules.
    pub rank_pattern: BTreeMap<String, u32>,
    /// Alphas of some modules.
    pub alpha_pattern: BTreeMap<String, f64>,
}

impl Settings {
    /// Those of a method as it is posted.
    pub fn of_method(method: &LoraMethod) -> Self {
        let names = method.target_modules.iter();
        Self {
            rank: method.rank,
            alpha: method.alpha,
            rslora: method.rslora,
            dropout: method.dropout,
            target_modules: names.map(|module| module.name().to_string()).collect(),
            layers: method.layers.clone(),
            rank_pattern: method.rank_pattern.clone(),
            alpha_pattern: method.alpha_pattern.clone(),
        }
    }

    /// Reads adapter_config.json; what it asks for beyond plain LoRA is refused by name.
    pub fn from_json(json: &Value) -> Result<Self> {
        let Some(fields) = json.as_object() else {
            return Err(Error::adapter(
                "adapter_config.json",
                "is not a JSON object",
            ));
        };
        refuse_the_rest(fields)?;
        let targets = fields.get("target_modules").unwrap_or(&Value::Null);
        Ok(Self {
            rank: read(fields, "r", 8)?,
            alpha: read(fields, "lora_alpha", 8.0)?,
            rslora: read(fields, "use_rslora", false)?,
            dropout: read(fields, "lora_dropout", 0.0)?,
            target_modules: target_list(targets)?,
            layers: layer_list(fields.get("layers_to_transform").unwrap_or(&Value::Null))?,
            rank_pattern: read(fields, "rank_pattern", BTreeMap::new())?,
            alpha_pattern: read(fields, "alpha_pattern", BTreeMap::new())?,
        })
    }

    /// As adapter_config.json, with no key that older readers do not know.
    pub fn to_json(&self, base: Option<&str>) -> Value {
        json!({
            "alpha_pattern": self.alpha_pattern,
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "layers_pattern": null,
            "layers_to_transform": self.layers,
            "lora_alpha": plain_number(self.alpha),
            "lora_dropout": self.dropout,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.rank,
            "rank_pattern": self.rank_pattern,
            "revision": null,
            "target_modules": self.target_modules,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": self.rslora,
        })
    }

    /// The adapted modules of a model, by layer and then in the order of a layer.
    ///
    /// *Errors* a target or a layer that the model lacks; a rank or alpha out of bounds; a pattern with a regular
    /// expression; two patterns that disagree about a module.
    pub fn modules(&self, config: &ModelConfig) -> Result<Vec<NormModule>> {
        self.check_layers(config)?;
        self.check_targets(config)?;
        check_patterns("rank_pattern", self.rank_pattern.keys())?;
        check_patterns("alpha_pattern", self.alpha_pattern.keys())?;
        let layers = 0..config.num_hidden_layers as u32;
        let all = layers.flat_map(|layer| Projection::ALL.map(|p| (layer, p)));
        let wanted = all.filter(|(layer, projection)| self.wants(*layer, *projection));
        let modules = wanted.map(|(layer, projection)| self.module(layer, projection));
        let modules = modules.collect::<Result<Vec<_>>>()?;
        if modules.is_empty() {
            return Err(Error::adapter(
                "target_modules",
                "and layers leave no module to adapt",
            ));
        }
        Ok(modules)
    }

    fn check_layers(&self, config: &ModelConfig) -> Result<()> {
        let count = config.num_hidden_layers;
        let layers = self.layers.iter().flatten();
        match layers.copied().find(|layer| i64::from(*layer) >= count) {
            None => Ok(()),
            Some(layer) => Err(Error::adapter(
                "layers",
                format!(
                    "has {layer}, but the model's {count} layers are 0 to {}",
                    count - 1
                ),
            )),
        }
    }

    fn check_targets(&self, config: &ModelConfig) -> Result<()> {
        let exists = |target: &str| {
            let mut layers = 0..config.num_hidden_layers;
            layers.any(|layer| {
                Projection::ALL
                    .iter()
                    .any(|p| names(&full_name(layer, *p), target))
            })
        };
        match self.target_modules.iter().find(|target| !exists(target)) {
            None => Ok(()),
            Some(target) => Err(Error::adapter(
                "target_modules",
                format!(
                    "has \"{}\", which the model lacks; there are {}",
                    target.escape_debug(),
                    Projection::ALL.map(Projection::name).join(", ")
                ),
            )),
        }
    }

    /// A target that is a module's whole name stands beside `layers`, any other is limited by it.
    fn wants(&self, layer: u32, projection: Projection) -> bool {
        let name = full_name(i64::from(layer), projection);
        if self.target_modules.contains(&name) {
            return true;
        }
        let listed = self.layers.as_ref().filter(|layers| !layers.is_empty());
        listed.is_none_or(|layers| layers.contains(&layer))
            && self
                .target_modules
                .iter()
                .any(|target| names(&name, target))
    }

    fn module(&self, layer: u32, projection: Projection) -> Result<NormModule> {
        let name = full_name(i64::from(layer), projection);
        let rank = matched("rank_pattern", &self.rank_pattern, &name)?.unwrap_or(self.rank);
        let alpha = matched("alpha_pattern", &self.alpha_pattern, &name)?.unwrap_or(self.alpha);
        if !(1..=MAX_RANK).contains(&rank) {
            let detail = format!("{rank} of {name} is not from 1 to {MAX_RANK}");
            return Err(Error::adapter("rank", detail));
        }
        if !alpha.is_finite() {
            return Err(Error::adapter(
                "alpha",
                format!("{alpha} of {name} is not finite"),
            ));
        }
        let width = f64::from(rank);
        Ok(NormModule {
            name: module_name(i64::from(layer), projection),
            layer,
            projection,
            rank,
            scaling: alpha / if self.rslora { width.sqrt() } else { width },
        })
    }
}

/// The name that patterns and targets are held against.
fn full_name(layer: i64, projection: Projection) -> String {
    format!("model.{}", module_name(layer, projection))
}

/// Whether `end` is `name` or the end of it behind a dot.
fn names(name: &str, end: &str) -> bool {
    match name.strip_suffix(end) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
}

/// The value of the pattern that matches, which must be one value however many patterns do.
fn matched<T: Copy + PartialEq + std::fmt::Debug>(
    field: &str,
    patterns: &BTreeMap<String, T>,
    name: &str,
) -> Result<Option<T>> {
    let mut hits = patterns.iter().filter(|(key, _)| names(name, key));
    let Some((first, value)) = hits.next() else {
        return Ok(None);
    };
    match hits.find(|(_, other)| *other != value) {
        None => Ok(Some(*value)),
        Some((second, _)) => Err(Error::adapter(
            field,
            format!("gives {name} two values, by \"{first}\" and by \"{second}\""),
        )),
    }
}

fn check_patterns<'a>(field: &str, mut keys: impl Iterator<Item = &'a String>) -> Result<()> {
    let literal = |key: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        !key.is_empty() && key.bytes().all(letter)
    };
    match keys.find(|key| !literal(key)) {
        None => Ok(()),
        Some(key) => Err(Error::adapter(
            field,
            format!(
                "has \"{}\"; only module names and their ends are supported, no regular expressions",
                key.escape_debug()
            ),
        )),
    }
}

fn read<T: serde::de::DeserializeOwned>(
    fields: &Map<String, Value>,
    name: &str,
    default: T,
) -> Result<T> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => T::deserialize(value)
            .map_err(|error| Error::adapter(name, format!("{value} is not understood: {error}"))),
    }
}

fn target_list(value: &Value) -> Result<Vec<String>> {
    let wrong = |detail: String| Err(Error::adapter("target_modules", detail));
    match value {
        Value::String(text) if text == "all-linear" => {
            Ok(Projection::ALL.map(|p| p.name().to_string()).to_vec())
        }
        Value::Array(items) if !items.is_empty() => {
            let text = |item: &Value| item.as_str().map(str::to_string);
            match items.iter().map(text).collect() {
                Some(names) => Ok(names),
                None => wrong(format!("{value} is not a list of names")),
            }
        }
        Value::String(_) => wrong(format!(
            "{value} is a regular expression; list the modules instead"
        )),
        _ => wrong(format!("{value} is not a list of module names")),
    }
}

fn layer_list(value: &Value) -> Result<Option<Vec<u32>>> {
    let layer = |item: &Value| {
        let number = item.as_u64().and_then(|n| u32::try_from(n).ok());
        let detail = || format!("has {item}, which is not a layer number");
        number.ok_or_else(|| Error::adapter("layers_to_transform", detail()))
    };
    match value {
        Value::Null => Ok(None),
        Value::Array(items) if items.is_empty() => Ok(None),
        Value::Array(items) => Ok(Some(items.iter().map(layer).collect::<Result<_>>()?)),
        one => Ok(Some(vec![layer(one)?])),
    }
}

/// Fields that are honoured, or that say nothing about the numbers of a loaded adapter.
const HONOURED: [&str; 18] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "inference_mode",
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
    "ensure_weight_tying",
];

/// Everything else must be at rest: null, false, empty, or a value known to change nothing.
fn refuse_the_rest(fields: &Map<String, Value>) -> Result<()> {
    for (name, value) in fields {
        let resting = match (name.as_str(), value) {
            (name, _) if HONOURED.contains(&name) => true,
            ("peft_type", Value::String(kind)) => kind == "LORA",
            ("bias", Value::String(kind)) => kind == "none",
            ("init_lora_weights", Value::String(kind)) => {
                ["gaussian", "orthogonal", "eva"].contains(&kind.as_str())
            }
            ("init_lora_weights", _) => true,
            ("layers_pattern", Value::String(name)) => name.is_empty() || name == "layers",
            ("layers_pattern", Value::Array(names)) => names.iter().all(|name| name == "layers"),
            (_, Value::Null | Value::Bool(false)) => true,
            (_, Value::Array(items)) => items.is_empty(),
            (_, Value::Object(fields)) => fields.is_empty(),
            _ => false,
        };
        if !resting {
            let detail = format!("{value} is not supported; plain LoRA is");
            return Err(Error::adapter(name, detail));
        }
    }
    Ok(())
}

/// Whole alphas as integers, as PEFT writes them.
fn plain_number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 {
        Value::from(number as i64)
    } else {
        Value::from(number)
    }
}
