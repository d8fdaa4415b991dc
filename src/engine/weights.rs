//! A model's weights: read strictly, made from a seed, shared by handles, written. Knows no computation with them.

use tch::{Kind, Tensor};

use super::device::Device;
use super::files::Files;
use super::keyed::Stream;
use super::model::block::Layer;
use super::model::config::{HEAD, ModelConfig, Parameter};
use super::model::projection::Linear;
use super::tensors::{self, Archive};
use super::{Error, Result};
use crate::domain::finetune::Projection;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const MAX_RANDOM: u64 = 1_000_000_000;

/// All weights of a model.
///
/// Base weights never require gradients and are never written in place; they are shared by [`Weights::shallow_clone`].
pub struct Weights {
    /// The shape they have.
    pub config: ModelConfig,
    /// `[V, D]`.
    pub embedding: Tensor,
    /// The decoder layers in order.
    pub layers: Vec<Layer>,
    /// `[D]`, of the last norm.
    pub norm: Tensor,
    /// `[V, D]`; none where the embedding is the head.
    pub head: Option<Tensor>,
}

/// How weights are drawn when there are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Init {
    /// Standard deviation of embeddings and matrices.
    pub std: f64,
    /// Whether o_proj and down_proj are divided by √(2·L).
    pub scale_residual: bool,
    /// Key of the draws.
    pub seed: u64,
}

impl Weights {
    /// Reads weights of exactly this architecture from one safetensors file or from shards with their index.
    ///
    /// `kind` converts on reading; none keeps each tensor as stored.
    ///
    /// *Errors* name the tensor that is missing, unexpected, misshaped or of another number type, and refuse pickles.
    pub fn load(
        files: &Files,
        config: &ModelConfig,
        kind: Option<Kind>,
        device: Device,
    ) -> Result<Self> {
        let archive = open_known(files, config)?;
        let read = |name: &str, shape: &[i64]| archive.read(name, shape, kind, device);
        let weights = Self::assemble(config, |p| read(&p.name, &p.shape))?;
        if config.tie_word_embeddings && archive.contains(HEAD) {
            weights.check_tied(&read(HEAD, &weights.embedding.size())?)?;
        }
        Ok(weights)
    }

    /// Whether [`Weights::load`] could read these files, judged by their headers alone.
    ///
    /// *Errors* as there, but for the numbers of a tied head.
    pub fn check(files: &Files, config: &ModelConfig) -> Result<()> {
        let archive = open_known(files, config)?;
        let mut parameters = config.parameters().into_iter();
        parameters.try_for_each(|p| archive.check(&p.name, &p.shape))
    }

    fn check_tied(&self, head: &Tensor) -> Result<()> {
        if head.f_equal(&self.embedding)? {
            return Ok(());
        }
        Err(Error::UnexpectedTensor {
            name: HEAD.into(),
            detail: "tie_word_embeddings is true but it differs from model.embed_tokens.weight"
                .into(),
        })
    }

    /// Makes weights from nothing but a seed: matrices normal, biases 0, norms such that they multiply by 1, in float32.
    ///
    /// Each number depends on (seed, tensor name, its index) alone, so it is the same on any device and thread count.
    ///
    /// *Errors* `Config` for a model of more than a billion weights, which nobody trains from nothing here.
    pub fn random(config: &ModelConfig, init: Init, device: Device) -> Result<Self> {
        let count = config.parameter_count();
        if count > MAX_RANDOM {
            let detail = format!("make {count} weights; a random model has at most {MAX_RANDOM}");
            return Err(Error::config("the sizes", detail));
        }
        Self::assemble(config, |parameter| {
            let host = draw(config, init, parameter)?;
            Ok(host.f_to_device(device.torch())?)
        })
    }

    /// Puts weights together from whatever gives a tensor for each parameter, asked in the fixed order.
    ///
    /// *Errors* `Misshaped` when a tensor has not its parameter's shape.
    pub fn assemble(
        config: &ModelConfig,
        mut tensor: impl FnMut(&Parameter) -> Result<Tensor>,
    ) -> Result<Self> {
        let parameters = config.parameters();
        let mut rest = parameters.iter();
        let mut next = || match rest.next() {
            Some(parameter) => checked(parameter, tensor(parameter)?),
            None => Err(Error::config("parameters", "ended early")),
        };
        Ok(Self {
            embedding: next()?,
            layers: (0..config.num_hidden_layers)
                .map(|_| layer(config, &mut next))
                .collect::<Result<_>>()?,
            norm: next()?,
            head: if config.tie_word_embeddings {
                None
            } else {
                Some(next()?)
            },
            config: config.clone(),
        })
    }

    /// Every tensor with its name, in the order of [`ModelConfig::parameters`].
    pub fn named(&self) -> Vec<(String, &Tensor)> {
        let mut tensors = vec![&self.embedding];
        for layer in &self.layers {
            layer.tensors(&mut tensors);
        }
        tensors.push(&self.norm);
        tensors.extend(&self.head);
        let names = self.config.parameters().into_iter().map(|p| p.name);
        names.zip(tensors).collect()
    }

    /// Weights of the same shape with every tensor replaced by what `change` makes of it.
    pub fn map(&self, mut change: impl FnMut(&str, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let named = self.named();
        let mut tensors = named.iter();
        Self::assemble(&self.config, |parameter| match tensors.next() {
            Some((name, tensor)) => change(name, tensor),
            None => Err(Error::MissingTensor {
                name: parameter.name.clone(),
            }),
        })
    }

    /// New handles on the same storage, for another thread to use.
    pub fn shallow_clone(&self) -> Result<Self> {
        self.map(|_, tensor| Ok(tensor.shallow_clone()))
    }

    /// A private copy on storage of its own, as `kind` or as it is; for training all weights.
    pub fn deep_copy(&self, kind: Option<Kind>) -> Result<Self> {
        self.map(|_, tensor| {
            let kind = kind.unwrap_or(tensor.f_kind()?);
            let copy = tensor.f_to_device_(tensor.device(), kind, false, true)?;
            Ok(copy.f_detach()?)
        })
    }

    /// Writes `model.safetensors` to `path`; a tied head is left out.
    pub fn save(&self, path: &std::path::Path) -> Result<()> {
        let named = self.named();
        let named: Vec<_> = named
            .into_iter()
            .map(|(name, tensor)| (name, tensor.shallow_clone()))
            .collect();
        tensors::write(path, &named)
    }

    /// *Errors* `NonFinite` naming the first tensor that holds a NaN or an infinity.
    pub fn check_finite(&self) -> Result<()> {
        for (name, tensor) in self.named() {
            if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Err(Error::NonFinite {
                    what: format!("tensor {name}"),
                });
            }
        }
        Ok(())
    }

    /// The number type of the embedding, which the activations take.
    pub fn kind(&self) -> Result<Kind> {
        Ok(self.embedding.f_kind()?)
    }

    /// Where the weights are.
    pub fn device(&self) -> tch::Device {
        self.embedding.device()
    }
}

fn checked(parameter: &Parameter, tensor: Tensor) -> Result<Tensor> {
    let found = tensor.size();
    if found == parameter.shape {
        return Ok(tensor);
    }
    Err(Error::Misshaped {
        name: parameter.name.clone(),
        expected: parameter.shape.clone(),
        found,
    })
}

/// One layer in the order of [`ModelConfig::parameters`].
fn layer(config: &ModelConfig, next: &mut impl FnMut() -> Result<Tensor>) -> Result<Layer> {
    let linear = |projection, next: &mut dyn FnMut() -> Result<Tensor>| -> Result<Linear> {
        let weight = next()?;
        let bias = config.projection_bias(projection);
        Ok(Linear {
            weight,
            bias: if bias { Some(next()?) } else { None },
        })
    };
    let optional = |there: bool, next: &mut dyn FnMut() -> Result<Tensor>| {
        if there { next().map(Some) } else { Ok(None) }
    };
    use Projection::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
    Ok(Layer {
        input_norm: next()?,
        q: linear(QProj, next)?,
        k: linear(KProj, next)?,
        v: linear(VProj, next)?,
        q_norm: optional(config.qk_norm, next)?,
        k_norm: optional(config.qk_norm, next)?,
        o: linear(OProj, next)?,
        attention_norm: optional(config.norm_outputs, next)?,
        mlp_norm: next()?,
        gate: linear(GateProj, next)?,
        up: linear(UpProj, next)?,
        down: linear(DownProj, next)?,
        output_norm: optional(config.norm_outputs, next)?,
    })
}

/// The files' tensors, none of which is strange to the architecture.
fn open_known(files: &Files, config: &ModelConfig) -> Result<Archive> {
    let archive = open(files)?;
    let parameters = config.parameters();
    let known: std::collections::HashSet<&str> =
        parameters.iter().map(|p| p.name.as_str()).collect();
    archive.only(|name| known.contains(name) || name == HEAD)?;
    Ok(archive)
}

fn open(files: &Files) -> Result<Archive> {
    if let Some(path) = files.get(SINGLE) {
        return Archive::open([(SINGLE, path)]);
    }
    if files.get(INDEX).is_some() {
        return open_shards(files);
    }
    let pickles: Vec<&str> = files
        .names()
        .into_iter()
        .filter(|name| is_pickle(name))
        .collect();
    match pickles.first() {
        Some(name) => Err(Error::bad_file(
            *name,
            "pickled weights can run code and are refused; convert them to safetensors",
        )),
        None => {
            files.require(SINGLE)?;
            Archive::open([])
        }
    }
}

fn is_pickle(name: &str) -> bool {
    [".bin", ".pt", ".pth", ".pkl"]
        .iter()
        .any(|end| name.ends_with(end))
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: std::collections::BTreeMap<String, String>,
}

/// Shards hold exactly what the index says, each tensor in the shard it is said to be in.
fn open_shards(files: &Files) -> Result<Archive> {
    let index: Index = files.json(INDEX)?;
    let shards: std::collections::BTreeSet<&str> =
        index.weight_map.values().map(String::as_str).collect();
    let paths = shards
        .into_iter()
        .map(|shard| Ok((shard, files.require(shard)?)))
        .collect::<Result<Vec<_>>>()?;
    let archive = Archive::open(paths)?;
    archive.only(|name| index.weight_map.contains_key(name))?;
    for (name, shard) in &index.weight_map {
        if archive.file_of(name) != Some(shard) {
            return Err(Error::MissingTensor {
                name: format!("{name}, which {INDEX} places in {shard},"),
            });
        }
    }
    Ok(archive)
}

fn draw(config: &ModelConfig, init: Init, parameter: &Parameter) -> Result<Tensor> {
    let count = parameter.shape.iter().product::<i64>() as usize;
    let name = parameter.name.as_str();
    let mut values = vec![0f32; count];
    if name.ends_with("norm.weight") {
        values.fill(if config.norm_plus_one { 0.0 } else { 1.0 });
    } else if !name.ends_with(".bias") {
        let ends_branch = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
        let residual = if init.scale_residual && ends_branch {
            (2.0 * config.num_hidden_layers as f64).sqrt()
        } else {
            1.0
        };
        let stream = Stream::new(init.seed, "init").text(name);
        stream.fill_normal(init.std / residual, &mut values);
    }
    Ok(Tensor::f_from_slice(&values)?.f_view(parameter.shape.as_slice())?)
}
