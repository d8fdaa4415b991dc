//! A steering vector's two files: `steering_config.json` and `steering_vector.safetensors`.
//!
//! The fields have the names of the published `steering_vector.pt`: `layer_idx`, `d_model`, `alpha`. That one is a pickle
//! and is not read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};
use tch::Kind;

use super::{Steering, check_layer};
use crate::domain::adapter::AdapterFacts;
pub use crate::domain::adapter::{STEERING_CONFIG as CONFIG, STEERING_VECTOR as VECTOR};
use crate::engine::adapter::Base;
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::model::config::ModelConfig;
use crate::engine::tensors::{self, Archive};
use crate::engine::{Error, Result};

/// Name of the only tensor.
const TENSOR: &str = "steering_vector";
/// What `type` says.
const TYPE: &str = "steering_vector";
/// Largest steering_config.json, in bytes.
const LARGEST_CONFIG: u64 = 1 << 20;
/// Fields that change no number.
const OTHERS: [&str; 4] = ["base_model_name_or_path", "revision", "type", "approach"];

/// The content of steering_config.json, fields in the order of their names.
#[derive(Serialize)]
struct Config<'a> {
    alpha: f64,
    base_model_name_or_path: Option<&'a str>,
    d_model: i64,
    layer_idx: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a str>,
    r#type: &'static str,
}

impl Steering {
    /// Writes both files into `folder`; equal vectors give equal bytes.
    pub fn save<'a>(&self, folder: &Path, base: impl Into<Base<'a>>) -> Result<()> {
        let base = base.into();
        let config = Config {
            alpha: self.alpha,
            base_model_name_or_path: base.name,
            d_model: self.vector.size1()?,
            layer_idx: self.layer,
            revision: base.revision,
            r#type: TYPE,
        };
        let text = serde_json::to_string_pretty(&config);
        let text = text.map_err(|error| Error::bad_file(CONFIG, error))? + "\n";
        std::fs::write(folder.join(CONFIG), text).map_err(|source| Error::io(CONFIG, source))?;
        let named = [(TENSOR.to_string(), self.vector.shallow_clone())];
        tensors::write(&folder.join(VECTOR), &named)
    }

    /// Reads a vector for a model of this shape; the numbers become float32.
    ///
    /// *Errors* name the field that is missing or does not fit, or what is wrong with the tensor.
    pub fn load(files: &Files, config: &ModelConfig, device: Device) -> Result<Self> {
        let told = config_of(files)?;
        let layer = layer(&told, config)?;
        let alpha = alpha(&told)?;
        check_rest(&told, config)?;
        if files.get(VECTOR).is_none() && files.get("steering_vector.pt").is_some() {
            let detail =
                "is a pickle, which can run code, and is refused; convert it to safetensors";
            return Err(Error::bad_file("steering_vector.pt", detail));
        }
        let archive = Archive::open([(VECTOR, files.require(VECTOR)?)])?;
        archive.only(|name| name == TENSOR)?;
        let vector = archive.read(TENSOR, &[config.hidden_size], Some(Kind::Float), device)?;
        if vector.f_isfinite()?.f_all()?.f_double_value(&[])? != 1.0 {
            let detail = format!("tensor {TENSOR} holds numbers that are not finite");
            return Err(Error::bad_file(VECTOR, detail));
        }
        Ok(Self {
            layer,
            alpha,
            vector,
        })
    }

    /// What a vector is, after every check that [`Steering::load`] makes.
    ///
    /// *Errors* as [`Steering::load`].
    pub fn inspect(files: &Files, config: &ModelConfig) -> Result<AdapterFacts> {
        let steering = Self::load(files, config, Device::Cpu)?;
        let told = config_of(files)?;
        let known = |name: &str| ["alpha", "d_model", "layer_idx"].contains(&name);
        let unknown = told.keys();
        let unknown = unknown.filter(|name| !known(name) && !OTHERS.contains(&name.as_str()));
        Ok(AdapterFacts {
            rank: 1,
            alpha: steering.alpha,
            rslora: false,
            modules: vec![steering.module()],
            parameters: steering.vector.numel() as u64,
            warnings: unknown
                .map(|name| format!("{CONFIG} has the unknown field \"{}\"", name.escape_debug()))
                .collect(),
        })
    }
}

fn config_of(files: &Files) -> Result<Map<String, Value>> {
    let path = files.require(CONFIG)?;
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST_CONFIG).read_to_end(&mut text));
    read.map_err(|source| Error::io(CONFIG, source))?;
    serde_json::from_slice(&text).map_err(|error| Error::bad_file(CONFIG, error))
}

fn layer(told: &Map<String, Value>, config: &ModelConfig) -> Result<u32> {
    let layer = told.get("layer_idx").and_then(Value::as_u64);
    let layer = layer.and_then(|layer| u32::try_from(layer).ok());
    let layer = layer.ok_or_else(|| not_a(told, "layer_idx", "a layer's number"))?;
    check_layer(config, "layer_idx", layer)?;
    Ok(layer)
}

fn alpha(told: &Map<String, Value>) -> Result<f64> {
    let alpha = told.get("alpha").and_then(Value::as_f64);
    let usable = alpha.filter(|alpha| alpha.is_finite() && *alpha != 0.0);
    usable.ok_or_else(|| not_a(told, "alpha", "a finite number other than 0"))
}

fn check_rest(told: &Map<String, Value>, config: &ModelConfig) -> Result<()> {
    let width = config.hidden_size;
    if told
        .get("d_model")
        .is_some_and(|it| it.as_i64() != Some(width))
    {
        let wanted = format!("{width}, the width of this model's residual stream");
        return Err(not_a(told, "d_model", &wanted));
    }
    match told.get("type") {
        Some(found) if found != TYPE => Err(not_a(told, "type", "\"steering_vector\" or left out")),
        _ => Ok(()),
    }
}

fn not_a(told: &Map<String, Value>, field: &str, wanted: &str) -> Error {
    let detail = match told.get(field) {
        None => format!("is missing; it is {wanted}"),
        Some(found) => format!("is {found}, not {wanted}"),
    };
    Error::steering(field, detail)
}
