//! Writing adapter_config.json with keys that every reader knows, in an order that never changes.

use serde::Serialize;

use super::names::{Names, Patterns};
use super::settings::Settings;
use crate::engine::{Error, Result};

/// The model that an adapter belongs to, as its file names it; a path of this machine does not belong there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Base<'a> {
    /// `base_model_name_or_path`.
    pub name: Option<&'a str>,
    /// `revision`: the commit of a published model.
    pub revision: Option<&'a str>,
}

impl<'a> From<Option<&'a str>> for Base<'a> {
    fn from(name: Option<&'a str>) -> Self {
        Self {
            name,
            revision: None,
        }
    }
}

impl<'a> From<&'a str> for Base<'a> {
    fn from(name: &'a str) -> Self {
        Some(name).into()
    }
}

/// Fields in the order of their names; those that older readers do not know are there only where they say something.
#[derive(Serialize)]
struct File<'a> {
    alpha_pattern: Patterns<Number>,
    base_model_name_or_path: Option<&'a str>,
    bias: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclude_modules: Option<&'a Names>,
    fan_in_fan_out: bool,
    inference_mode: bool,
    init_lora_weights: bool,
    layers_pattern: Option<&'a [String]>,
    layers_to_transform: Option<&'a [u32]>,
    lora_alpha: Number,
    lora_dropout: f64,
    modules_to_save: Option<()>,
    peft_type: &'static str,
    r: u32,
    rank_pattern: &'a Patterns<u32>,
    revision: Option<&'a str>,
    target_modules: &'a Names,
    task_type: &'static str,
    use_dora: bool,
    use_rslora: bool,
}

impl Settings {
    /// The text of adapter_config.json.
    pub fn text(&self, base: Base<'_>) -> Result<String> {
        let alphas = self.alpha_pattern.0.iter();
        let lists = Some(self.layers_pattern.as_slice());
        let file = File {
            alpha_pattern: Patterns(alphas.map(|(key, x)| (key.clone(), Number(*x))).collect()),
            base_model_name_or_path: base.name,
            bias: "none",
            exclude_modules: self.exclude_modules.as_ref(),
            fan_in_fan_out: false,
            inference_mode: true,
            init_lora_weights: true,
            layers_pattern: lists.filter(|lists| !lists.is_empty()),
            layers_to_transform: self.layers.as_deref(),
            lora_alpha: Number(self.alpha),
            lora_dropout: self.dropout,
            modules_to_save: None,
            peft_type: "LORA",
            r: self.rank,
            rank_pattern: &self.rank_pattern,
            revision: base.revision,
            target_modules: &self.target_modules,
            task_type: "CAUSAL_LM",
            use_dora: false,
            use_rslora: self.rslora,
        };
        let text = serde_json::to_string_pretty(&file);
        Ok(text.map_err(|error| Error::bad_file(super::CONFIG, error))? + "\n")
    }
}

/// Whole numbers without a point, as PEFT writes alphas and as readers that want integers need them.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}
