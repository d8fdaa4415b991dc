//! A model's weights: read strictly, made from a seed, shared by handles, written. Knows no computation with them.

mod layout;
mod shards;

use tch::{Kind, Tensor};

use super::device::Device;
use super::files::Files;
use super::keyed::Stream;
use super::model::block::Layer;
use super::model::config::{HEAD, ModelConfig, Parameter};
use super::model::projection::Linear;
use super::tensors;
use super::{Error, Result};
use crate::domain::finetune::{Dtype, Projection};

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
        Self::load_telling(files, config, kind, device, &mut |_, _| ())
    }

    /// The same, calling `progress` with the bytes done and the bytes in all after each tensor.
    ///
    /// Files are mapped: what is held is one tensor after the other, never a file beside its tensors.
    pub fn load_telling(
        files: &Files,
        config: &ModelConfig,
        kind: Option<Kind>,
        device: Device,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let (archive, layout) = shards::open(files, config)?;
        let parameters = config.parameters();
        let bytes = |p: &Parameter| archive.bytes_of(&layout.stored(&p.name));
        let total = parameters.iter().map(bytes).sum();
        let mut done = 0;
        let weights = Self::assemble(config, |parameter| {
            let name = layout.stored(&parameter.name);
            let tensor = archive.read(&name, &parameter.shape, kind, device)?;
            done += archive.bytes_of(&name);
            progress(done, total);
            Ok(tensor)
        })?;
        let head = layout.stored(HEAD);
        if config.tie_word_embeddings && archive.contains(&head) {
            let shape = weights.embedding.size();
            weights.check_tied(&archive.read(&head, &shape, kind, device)?)?;
        }
        Ok(weights)
    }

    /// Whether [`Weights::load`] could read these files, judged by their headers alone.
    ///
    /// *Errors* as there, but for the numbers of a tied head.
    pub fn check(files: &Files, config: &ModelConfig) -> Result<()> {
        let (archive, layout) = shards::open(files, config)?;
        let mut parameters = config.parameters().into_iter();
        parameters.try_for_each(|p| archive.check(&layout.stored(&p.name), &p.shape))
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
    ///
    /// The names are those of the family's language model, whatever stood beside it in the files that were read;
    /// `config::text_only` gives the config.json that belongs to them.
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

    /// The same as specs name it; both narrow types are as wide as `bfloat16`.
    pub fn dtype(&self) -> Result<Dtype> {
        Ok(match self.kind()? {
            Kind::Float => Dtype::Float32,
            _ => Dtype::Bfloat16,
        })
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
