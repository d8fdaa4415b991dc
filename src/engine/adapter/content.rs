//! An adapter's two files, opened and held against each other and against the model, before any tensor is used.

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;

use tch::Kind;

use super::read::{LARGEST_CONFIG, Reading};
use super::settings::ROOTS;
use super::{CONFIG, MODEL, Pair, Settings, tensor_name};
use crate::domain::adapter::AdapterFacts;
use crate::domain::metric::NormModule;
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::model::config::ModelConfig;
use crate::engine::tensors::Archive;
use crate::engine::{Error, Result};

/// Largest header of a tensor file that is looked at, in bytes.
const LARGEST_HEADER: u64 = 16 << 20;
/// Header bytes that a tensor may take up on average, its name and all.
const HEADER_PER_TENSOR: u64 = 512;
/// Header bytes beside the tensors: metadata and padding.
const HEADER_BESIDE: u64 = 64 << 10;

/// Both files, the settings read and the names of all tensors checked.
pub(super) struct Content {
    pub(super) reading: Reading,
    pub(super) modules: Vec<NormModule>,
    archive: Archive,
}

impl Content {
    /// Without a `config` the model is as large as the adapter says: its layers reach to the last one adapted, and its
    /// matrices have the sides of the pairs.
    pub(super) fn open(files: &Files, config: Option<&ModelConfig>) -> Result<Self> {
        let mut reading = Settings::read(&config_text(files)?)?;
        let path = tensor_file(files)?;
        let header = header_bytes(path)?;
        bound_header(header, LARGEST_HEADER)?;
        let archive = Archive::open([(MODEL, path)])?;
        reading.settings.root = root(&archive);
        let modules = match config {
            Some(config) => reading.settings.modules(config)?,
            None => reading
                .settings
                .modules_of(layers_told(&reading, &archive)?)?,
        };
        let content = Self {
            reading,
            modules,
            archive,
        };
        content.check_names()?;
        let tensors = 2 * content.modules.len() as u64;
        bound_header(header, HEADER_BESIDE + HEADER_PER_TENSOR * tensors)?;
        Ok(content)
    }

    /// Every tensor of the settings is there, and no other.
    fn check_names(&self) -> Result<()> {
        let root = self.reading.settings.root;
        let sides = |module| ['A', 'B'].map(|side| tensor_name(root, module, side));
        let known: HashSet<String> = self.modules.iter().flat_map(sides).collect();
        if let Some(name) = self.archive.names().find(|name| !known.contains(*name)) {
            return Err(Error::UnexpectedTensor {
                name: name.chars().take(300).collect(),
                detail: why_unexpected(name).into(),
            });
        }
        let mut wanted = self.modules.iter().flat_map(sides);
        match wanted.find(|name| !self.archive.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Error::MissingTensor { name }),
        }
    }

    /// The pair of one module, in float32.
    pub(super) fn pair(
        &self,
        config: Option<&ModelConfig>,
        module: &NormModule,
        device: Device,
    ) -> Result<Pair> {
        let (out, inner) = match config {
            Some(config) => config.projection_shape(module.projection),
            None => (self.side(module, 'B', 0), self.side(module, 'A', 1)),
        };
        let rank = i64::from(module.rank);
        let read = |side, shape: [i64; 2]| {
            let name = tensor_name(self.reading.settings.root, module, side);
            let tensor = self
                .archive
                .read(&name, &shape, Some(Kind::Float), device)?;
            match tensor.f_isfinite()?.f_all()?.f_double_value(&[])? == 1.0 {
                true => Ok(tensor),
                false => {
                    let detail = format!("tensor {name} holds numbers that are not finite");
                    Err(Error::bad_file(MODEL, detail))
                }
            }
        };
        Ok(Pair {
            a: read('A', [rank, inner])?,
            b: read('B', [out, rank])?,
            module: module.clone(),
        })
    }

    /// A side of a pair as the file's header has it; 0 where it has none.
    fn side(&self, module: &NormModule, side: char, axis: usize) -> i64 {
        let name = tensor_name(self.reading.settings.root, module, side);
        let shape = self.archive.shape_of(&name);
        shape
            .and_then(|shape| shape.get(axis).copied())
            .unwrap_or(0)
    }

    pub(super) fn facts(self, parameters: u64) -> AdapterFacts {
        let settings = self.reading.settings;
        let unknown = self.reading.unknown.into_iter();
        AdapterFacts {
            rank: self
                .modules
                .iter()
                .map(|module| module.rank)
                .max()
                .unwrap_or(0),
            alpha: settings.alpha,
            rslora: settings.rslora,
            modules: self.modules,
            parameters,
            warnings: unknown
                .map(|name| format!("{CONFIG} has the unknown field \"{}\"", name.escape_debug()))
                .collect(),
        }
    }
}

fn config_text(files: &Files) -> Result<Vec<u8>> {
    let path = files.require(CONFIG)?;
    let mut text = Vec::new();
    let opened = std::fs::File::open(path);
    opened
        .and_then(|file| file.take(LARGEST_CONFIG + 1).read_to_end(&mut text))
        .map_err(|source| Error::io(CONFIG, source))?;
    Ok(text)
}

fn tensor_file(files: &Files) -> Result<&Path> {
    if files.get(MODEL).is_none() && files.get("adapter_model.bin").is_some() {
        return Err(Error::bad_file(
            "adapter_model.bin",
            "pickled weights can run code and are refused; convert them to safetensors",
        ));
    }
    files.require(MODEL)
}

/// Length of the header, which the first eight bytes tell.
fn header_bytes(path: &Path) -> Result<u64> {
    let mut length = [0; 8];
    let opened = std::fs::File::open(path);
    match opened.and_then(|mut file| file.read_exact(&mut length)) {
        Ok(()) => Ok(u64::from_le_bytes(length)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Error::bad_file(
            MODEL,
            "not a safetensors file: it is shorter than 8 bytes",
        )),
        Err(source) => Err(Error::io(MODEL, source)),
    }
}

fn bound_header(found: u64, most: u64) -> Result<()> {
    if found <= most {
        return Ok(());
    }
    let detail = format!("its header says that it has {found} bytes; at most {most} are read");
    Err(Error::bad_file(MODEL, detail))
}

/// Where the decoder lies, by the first tensor that tells.
fn root(archive: &Archive) -> &'static str {
    let of = |name: &str| {
        let path = name.strip_prefix("base_model.model.")?;
        ROOTS.into_iter().find(|root| {
            let rest = path.strip_prefix(root);
            rest.is_some_and(|rest| rest.starts_with(".layers."))
        })
    };
    archive.names().find_map(of).unwrap_or(ROOTS[0])
}

/// One more than the last layer that a setting or a tensor speaks of.
///
/// *Errors* a number beyond what any model has.
fn layers_told(reading: &Reading, archive: &Archive) -> Result<i64> {
    const MOST: i64 = 1024;
    let in_name = |name: &str| -> Option<i64> {
        let (_, rest) = name.split_once(".layers.")?;
        rest.split('.').next()?.parse().ok()
    };
    let listed = reading.settings.layers.iter().flatten();
    let listed = listed.map(|layer| i64::from(*layer));
    let last = archive.names().filter_map(in_name).chain(listed).max();
    match last {
        Some(last) if last < MOST => Ok(last + 1),
        Some(last) => {
            let detail = format!("speaks of layer {last}; at most {MOST} layers are read");
            Err(Error::adapter("layers_to_transform", detail))
        }
        None => Err(Error::bad_file(MODEL, "has no tensor of a layer")),
    }
}

fn why_unexpected(name: &str) -> &'static str {
    let parts = [
        (
            "lora_embedding_",
            "adapters of embeddings are not supported",
        ),
        ("lora_magnitude_vector", "DoRA is not supported"),
        ("vision", "adapters of a vision tower are not supported"),
        (
            "modules_to_save",
            "whole modules beside the pairs are not supported",
        ),
        (".bias", "trained biases are not supported"),
        ("token_adapter", "trained tokens are not supported"),
    ];
    let found = parts.iter().find(|(part, _)| name.contains(part));
    found.map_or("adapter_config.json has no place for it", |(_, why)| why)
}
