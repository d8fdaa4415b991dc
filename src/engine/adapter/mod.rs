//! Low-rank adapters in PEFT's layout: made from a method, read strictly, written so that PEFT reads them.
//!
//! Knows nothing of training; what an adapter adds to a forward pass is a [`Deltas`] made from it.

mod rows;
mod settings;

use std::path::Path;

use tch::{Kind, Tensor};

pub use self::rows::Slots;
pub use self::settings::Settings;
use super::device::Device;
use super::files::Files;
use super::keyed::Stream;
use super::model::config::ModelConfig;
use super::model::projection::{Delta, Deltas, Shared};
use super::tensors::{self, Archive};
use super::{Error, Result};
use crate::domain::finetune::LoraMethod;
use crate::domain::metric::NormModule;

/// File of the settings.
pub const CONFIG: &str = "adapter_config.json";
/// File of the tensors.
pub const MODEL: &str = "adapter_model.safetensors";

/// The low-rank pair of one module.
pub struct Pair {
    /// Which module, with its rank and scaling.
    pub module: NormModule,
    /// `[R, in]`, float32.
    pub a: Tensor,
    /// `[out, R]`, float32.
    pub b: Tensor,
}

/// Low-rank pairs with the settings that say where they belong.
pub struct Adapter {
    /// As adapter_config.json has them.
    pub settings: Settings,
    /// In the order of layers, and of projections within a layer.
    pub pairs: Vec<Pair>,
}

impl Adapter {
    /// The modules that a method adapts in a model, with their ranks and scalings, in the fixed order.
    ///
    /// *Errors* `Adapter` naming a layer or module that the model lacks, or a pattern that cannot be honoured.
    pub fn targets(config: &ModelConfig, method: &LoraMethod) -> Result<Vec<NormModule>> {
        Settings::of_method(method).modules(config)
    }

    /// An untrained adapter: A uniform within ±1/√in, B zero.
    ///
    /// Each number depends on (seed, module name, its index) alone. *Source* PEFT's default initialisation.
    pub fn init(
        config: &ModelConfig,
        method: &LoraMethod,
        seed: u64,
        device: Device,
    ) -> Result<Self> {
        let settings = Settings::of_method(method);
        let pairs = settings.modules(config)?.into_iter().map(|module| {
            let (out, inner) = config.projection_shape(module.projection);
            let rank = i64::from(module.rank);
            let mut values = vec![0f32; (rank * inner) as usize];
            let bound = 1.0 / (inner as f64).sqrt();
            let stream = Stream::new(seed, "lora_a").text(&module.name);
            stream.fill_uniform(-bound, bound, &mut values);
            let a = Tensor::f_from_slice(&values)?.f_view([rank, inner])?;
            Ok(Pair {
                a: a.f_to_device(device.torch())?,
                b: Tensor::f_zeros([out, rank], (Kind::Float, device.torch()))?,
                module,
            })
        });
        let pairs = pairs.collect::<Result<_>>()?;
        Ok(Self { settings, pairs })
    }

    /// Reads an adapter for a model of this shape; the numbers become float32.
    ///
    /// *Errors* name the setting that is not supported, or the tensor that is missing, unexpected or misshaped.
    pub fn load(files: &Files, config: &ModelConfig, device: Device) -> Result<Self> {
        let settings = Settings::from_json(&files.json(CONFIG)?)?;
        let archive = open(files)?;
        let pairs = settings.modules(config)?.into_iter().map(|module| {
            let (out, inner) = config.projection_shape(module.projection);
            let rank = i64::from(module.rank);
            let read = |side, shape: [i64; 2]| {
                let name = tensor_name(&module, side);
                archive.read(&name, &shape, Some(Kind::Float), device)
            };
            let (a, b) = (read('A', [rank, inner])?, read('B', [out, rank])?);
            Ok(Pair { module, a, b })
        });
        let pairs: Vec<Pair> = pairs.collect::<Result<_>>()?;
        let known: std::collections::HashSet<String> = pairs
            .iter()
            .flat_map(|pair| ['A', 'B'].map(|side| tensor_name(&pair.module, side)))
            .collect();
        archive.only(|name| known.contains(name))?;
        Ok(Self { settings, pairs })
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `folder`; equal adapters give equal bytes.
    ///
    /// `base` goes to `base_model_name_or_path`; a path of this machine does not belong there.
    pub fn save(&self, folder: &Path, base: Option<&str>) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.settings.to_json(base))
            .map_err(|error| Error::bad_file(CONFIG, error))?;
        std::fs::write(folder.join(CONFIG), text + "\n")
            .map_err(|source| Error::io(CONFIG, source))?;
        tensors::write(&folder.join(MODEL), &self.named())
    }

    /// Handles on every tensor under its name in the file, A before B.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let both = |pair: &Pair| {
            let name = |side| tensor_name(&pair.module, side);
            [
                (name('A'), pair.a.shallow_clone()),
                (name('B'), pair.b.shallow_clone()),
            ]
        };
        self.pairs.iter().flat_map(both).collect()
    }

    /// The same modules and settings with other tensors: `make` gets each pair and gives A and B.
    pub fn map(&self, make: impl Fn(&Pair) -> Result<(Tensor, Tensor)>) -> Result<Self> {
        let pairs = self.pairs.iter().map(|pair| {
            let (a, b) = make(pair)?;
            let module = pair.module.clone();
            Ok(Pair { module, a, b })
        });
        Ok(Self {
            settings: self.settings.clone(),
            pairs: pairs.collect::<Result<_>>()?,
        })
    }

    /// What this adapter adds, `scale` times, to every sequence of a pass; its tensors are shared, not copied.
    pub fn deltas(&self, scale: f64) -> Deltas {
        Deltas::of(self.pairs.iter().map(|pair| {
            let shared = Shared {
                a: pair.a.shallow_clone(),
                b: pair.b.shallow_clone(),
                scaling: scale * pair.module.scaling,
                dropout: None,
            };
            let layer = pair.module.layer as usize;
            (layer, pair.module.projection, Delta::Shared(shared))
        }))
    }
}

/// `side` is A or B.
fn tensor_name(module: &NormModule, side: char) -> String {
    format!("base_model.model.model.{}.lora_{side}.weight", module.name)
}

fn open(files: &Files) -> Result<Archive> {
    match (files.get(MODEL), files.get("adapter_model.bin")) {
        (Some(path), _) => Archive::open([(MODEL, path)]),
        (None, Some(_)) => Err(Error::bad_file(
            "adapter_model.bin",
            "pickled weights can run code and are refused; convert them to safetensors",
        )),
        (None, None) => {
            files.require(MODEL)?;
            Archive::open([])
        }
    }
}
