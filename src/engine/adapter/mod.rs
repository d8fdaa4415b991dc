//! Low-rank adapters in PEFT's layout: made from a method, read strictly, written so that PEFT reads them.
//!
//! Knows nothing of training; what an adapter adds to a forward pass is a [`Deltas`] made from it.

mod content;
mod expression;
mod measure;
mod names;
mod read;
mod rows;
mod settings;
mod write;

use std::path::Path;

use tch::{Kind, Tensor};

use self::content::Content;
pub use self::names::{Names, Patterns};
pub use self::read::{LARGEST_CONFIG, Reading};
pub use self::rows::Slots;
pub use self::settings::Settings;
pub use self::write::Base;
use super::device::Device;
use super::files::Files;
use super::keyed::Stream;
use super::model::config::ModelConfig;
use super::model::projection::{Delta, Deltas, Dropout, Shared};
use super::tensors;
use super::{Error, Result};
use crate::domain::adapter::AdapterFacts;
use crate::domain::finetune::LoraMethod;
use crate::domain::metric::NormModule;
use crate::domain::modules::difference;

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
        method_modules(config, method).map(|(_, modules)| modules)
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
        let (settings, modules) = method_modules(config, method)?;
        let pairs = modules.into_iter().map(|module| {
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

    /// The pairs of another adapter as the beginning of a method's.
    ///
    /// *Errors* the first module that one has and the other lacks, or with another rank or scaling.
    pub fn begin(config: &ModelConfig, method: &LoraMethod, from: Self) -> Result<Self> {
        let (settings, modules) = method_modules(config, method)?;
        let pairs = from.pairs;
        let found = pairs.iter().map(|pair| &pair.module);
        if let Some(detail) = difference(&modules, &found.collect::<Vec<_>>()) {
            return Err(Error::adapter("init_adapter", detail));
        }
        Ok(Self { settings, pairs })
    }

    /// The first pair that is wider than the smaller side of its matrix, in words.
    ///
    /// Submission refuses it where the base's shapes are known; here it shows where they were not.
    pub fn rank_above(&self) -> Option<String> {
        self.pairs.iter().find_map(|pair| {
            let (inner, out, rank) = (pair.a.size()[1], pair.b.size()[0], pair.module.rank);
            (i64::from(rank) > inner.min(out)).then(|| {
                let name = &pair.module.name;
                format!("{rank} is above the smaller side of {name} ({out} × {inner})")
            })
        })
    }

    /// Reads an adapter for a model of this shape; the numbers become float32.
    ///
    /// *Errors* name the setting that is not supported, or the tensor that is missing, unexpected, misshaped, of another
    /// number type or not finite.
    pub fn load(files: &Files, config: &ModelConfig, device: Device) -> Result<Self> {
        Self::read(files, Some(config), device)
    }

    /// Reads an adapter whose base may not be here: what a config would tell is taken from the files themselves.
    ///
    /// *Errors* as [`Adapter::load`].
    pub fn load_alone(files: &Files, device: Device) -> Result<Self> {
        Self::read(files, None, device)
    }

    fn read(files: &Files, config: Option<&ModelConfig>, device: Device) -> Result<Self> {
        let content = Content::open(files, config)?;
        let pairs = content
            .modules
            .iter()
            .map(|module| content.pair(config, module, device));
        Ok(Self {
            pairs: pairs.collect::<Result<_>>()?,
            settings: content.reading.settings,
        })
    }

    /// What an adapter is, after every check that [`Adapter::load`] makes; one pair at a time is in memory.
    ///
    /// *Errors* as [`Adapter::load`].
    pub fn inspect(files: &Files, config: &ModelConfig) -> Result<AdapterFacts> {
        let content = Content::open(files, Some(config))?;
        let mut parameters = 0;
        for module in &content.modules {
            let pair = content.pair(Some(config), module, Device::Cpu)?;
            parameters += (pair.a.numel() + pair.b.numel()) as u64;
        }
        Ok(content.facts(parameters))
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `folder`; equal adapters give equal bytes.
    pub fn save<'a>(&self, folder: &Path, base: impl Into<Base<'a>>) -> Result<()> {
        std::fs::write(folder.join(CONFIG), self.settings.text(base.into())?)
            .map_err(|source| Error::io(CONFIG, source))?;
        tensors::write(&folder.join(MODEL), &self.named())
    }

    /// Handles on every tensor under its name in the file, A before B.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let both = |pair: &Pair| {
            let name = |side| tensor_name(self.settings.root, &pair.module, side);
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
        self.dropping(scale, |_| None)
    }

    /// The same with the dropout that `make` gives each module.
    pub fn dropping(
        &self,
        scale: f64,
        make: impl Fn(&NormModule) -> Option<Box<dyn Dropout>>,
    ) -> Deltas {
        Deltas::of(self.pairs.iter().map(|pair| {
            let shared = Shared {
                a: pair.a.shallow_clone(),
                b: pair.b.shallow_clone(),
                scaling: scale * pair.module.scaling,
                dropout: make(&pair.module),
            };
            let layer = pair.module.layer as usize;
            (layer, pair.module.projection, Delta::Shared(shared))
        }))
    }
}

fn method_modules(
    config: &ModelConfig,
    method: &LoraMethod,
) -> Result<(Settings, Vec<NormModule>)> {
    let settings = Settings::of_method(method, config);
    let modules = settings.modules(config)?;
    settings::unambiguous(&settings, &modules)?;
    Ok((settings.beside_vision(&modules), modules))
}

/// `side` is A or B.
fn tensor_name(root: &str, module: &NormModule, side: char) -> String {
    format!("base_model.model.{root}.{}.lora_{side}.weight", module.name)
}
