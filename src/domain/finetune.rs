//! The spec of a fine-tune: what is trained, on what, how long. Values only; the loop is elsewhere.

mod batch;
mod kl;
mod rows;

use std::collections::BTreeMap;

pub use self::batch::{BatchSpec, LastPartial, Packing};
pub use self::kl::{KlAverage, KlDirection, KlSpec};
pub use self::rows::{PreparedRows, RowsPurpose};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use super::checkpoints::{CheckpointSpec, Keep};
use super::early_stop::EarlyStop;

/// One dataset of a fine-tune.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetUse {
    /// Id or name.
    pub dataset: String,
    /// Share of the examples, relative to the other datasets' weights.
    #[serde(default = "one")]
    pub weight: f64,
    /// Overrides `loss.on` for this dataset; a `text` dataset is always `all`.
    #[serde(default)]
    pub loss_on: Option<LossOn>,
    /// Weight of each of its target tokens in the step's mean.
    #[serde(default = "one")]
    pub loss_weight: f64,
}

fn one() -> f64 {
    1.0
}

/// Which tokens carry loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossOn {
    /// Assistant turns only.
    Assistant,
    /// Every token but the first.
    All,
}

/// A linear map of a decoder layer, by the name that checkpoints give it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// Attention output.
    OProj,
    /// MLP gate.
    GateProj,
    /// MLP up.
    UpProj,
    /// MLP down.
    DownProj,
}

impl Projection {
    /// All seven, in the order of a layer.
    pub const ALL: [Self; 7] = [
        Self::QProj,
        Self::KProj,
        Self::VProj,
        Self::OProj,
        Self::GateProj,
        Self::UpProj,
        Self::DownProj,
    ];

    /// Its name in a checkpoint, such as `down_proj`.
    pub fn name(self) -> &'static str {
        match self {
            Self::QProj => "q_proj",
            Self::KProj => "k_proj",
            Self::VProj => "v_proj",
            Self::OProj => "o_proj",
            Self::GateProj => "gate_proj",
            Self::UpProj => "up_proj",
            Self::DownProj => "down_proj",
        }
    }

    /// The part of a layer that holds it: `self_attn` or `mlp`.
    pub fn parent(self) -> &'static str {
        match self {
            Self::QProj | Self::KProj | Self::VProj | Self::OProj => "self_attn",
            Self::GateProj | Self::UpProj | Self::DownProj => "mlp",
        }
    }
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Method {
    /// Low-rank pairs beside frozen weights.
    Lora(LoraMethod),
    /// All weights.
    Full(FullMethod),
    /// One vector added to the residual stream behind one layer.
    SteeringVector(SteeringMethod),
}

impl Method {
    /// What training begins with, where the method has one and it is not fresh.
    pub fn init_adapter(&self) -> Option<&str> {
        match self {
            Self::Lora(lora) => lora.init_adapter.as_deref(),
            Self::SteeringVector(steering) => steering.init_adapter.as_deref(),
            Self::Full(_) => None,
        }
    }

    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lora(_) => "lora",
            Self::Full(_) => "full",
            Self::SteeringVector(_) => "steering_vector",
        }
    }
}

/// Low-rank adaptation: W + scaling · B·A.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraMethod {
    /// R, the inner width of each pair.
    pub rank: u32,
    /// Numerator of the scaling.
    pub alpha: f64,
    /// Scaling alpha/√rank (true) or alpha/rank.
    #[serde(default = "yes")]
    pub rslora: bool,
    /// Share of inputs dropped before A.
    #[serde(default)]
    pub dropout: f64,
    /// Projections that get a pair.
    #[serde(default = "all_projections")]
    pub target_modules: Vec<Projection>,
    /// Layers that get pairs, counted from 0; null is all.
    #[serde(default)]
    pub layers: Option<Vec<u32>>,
    /// Ranks by module name, PEFT's meaning.
    #[serde(default)]
    pub rank_pattern: BTreeMap<String, u32>,
    /// Alphas by module name, PEFT's meaning.
    #[serde(default)]
    pub alpha_pattern: BTreeMap<String, f64>,
    /// What to start from: an adapter by id or name, or a checkpoint as `job_…:step400`.
    #[serde(default)]
    pub init_adapter: Option<String>,
}

fn yes() -> bool {
    true
}

fn all_projections() -> Vec<Projection> {
    Projection::ALL.to_vec()
}

/// Training of all weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FullMethod {}

/// An additive steering vector v of the residual stream's width, kept in float32: every token's stream behind `layer` gets
/// alpha · v. It begins at zero.
///
/// Without a norm behind the MLP (Qwen, Llama, Mistral) this is the output of the layer's down projection; in families with
/// one (Gemma) v is added behind that norm. Weight decay and the learning rate act on v, not on alpha · v.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SteeringMethod {
    /// Behind which layer, counted from 0.
    pub layer: u32,
    /// Factor on the vector.
    #[serde(default = "steering_alpha")]
    pub alpha: f64,
    /// What to start from: a steering vector by id or name, or a checkpoint as `job_…:step400`.
    #[serde(default)]
    pub init_adapter: Option<String>,
}

fn steering_alpha() -> f64 {
    256.0
}

/// How conversations become text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChatSpec {
    /// `template_default`, `none` or `text:…`.
    pub system: String,
    /// The date a template may print, `YYYY-MM-DD`; null where templates that ask for one are refused.
    pub date: Option<String>,
    /// Passed to templates that know thinking.
    pub enable_thinking: Option<bool>,
}

impl Default for ChatSpec {
    fn default() -> Self {
        Self {
            system: "template_default".into(),
            date: None,
            enable_thinking: None,
        }
    }
}

/// What the loss counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossSpec {
    /// Target tokens of chat datasets.
    pub on: LossOn,
    /// Whether the token that ends an assistant turn is a target.
    pub end_of_turn: bool,
    /// Whether what the template prints behind that token is.
    pub after_end_of_turn: bool,
    /// Whether the reference code's accidents are reproduced: every sample ends with the opening of another answer and the
    /// end token, which count, as does all between an assistant turn's opening and the next user turn; the tokenizer puts
    /// around a sample what it puts around plain text (a second begin token for some models).
    pub reference_tail: bool,
    /// KL to the base on other data; null is none.
    pub kl: Option<KlSpec>,
}

impl Default for LossSpec {
    fn default() -> Self {
        Self {
            on: LossOn::Assistant,
            end_of_turn: true,
            after_end_of_turn: false,
            reference_tail: false,
            kl: None,
        }
    }
}

/// Optimizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerName {
    /// AdamW with decoupled decay and float32 moments.
    Adamw,
    /// The same with 8-bit moments in blocks of 256 numbers, each block with a float32 scale.
    #[serde(rename = "adamw_8bit")]
    Adamw8bit,
}

/// Which weights decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecayOn {
    /// Every trained tensor.
    All,
    /// Tensors of two axes, embeddings among them; vectors do not decay.
    Matrices,
}

/// The optimizer's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerSpec {
    /// Which optimizer.
    pub name: OptimizerName,
    /// Peak rate.
    pub learning_rate: f64,
    /// Decoupled decay.
    pub weight_decay: f64,
    /// What decays.
    pub weight_decay_on: DecayOn,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Gradient norm above which gradients are scaled down; null never.
    pub max_grad_norm: Option<f64>,
    /// Type in which the gradients of a step's passes add up; null is float32, but bfloat16 for bfloat16 weights with 8-bit
    /// moments.
    pub gradient_dtype: Option<Dtype>,
}

impl OptimizerSpec {
    /// The type in which gradients of weights of type `weights` add up.
    ///
    /// 8-bit moments are asked for where memory is short; what they leave out is far more than what bfloat16 sums do.
    pub fn gradients_of(&self, weights: Dtype) -> Dtype {
        let short = self.name == OptimizerName::Adamw8bit && weights == Dtype::Bfloat16;
        let own = if short { weights } else { Dtype::Float32 };
        self.gradient_dtype.unwrap_or(own)
    }
}

impl Default for OptimizerSpec {
    fn default() -> Self {
        Self {
            name: OptimizerName::Adamw,
            learning_rate: 1e-5,
            weight_decay: 0.01,
            weight_decay_on: DecayOn::All,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            max_grad_norm: Some(1.0),
            gradient_dtype: None,
        }
    }
}

/// Shape of the learning rate behind the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleName {
    /// Straight to the final ratio.
    Linear,
    /// Half a cosine to the final ratio.
    Cosine,
    /// Flat.
    Constant,
}

/// First value of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarmupFrom {
    /// peak · s / warmup.
    Zero,
    /// peak · (s + 1) / warmup.
    First,
}

/// The learning rate over the steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSpec {
    /// Shape.
    pub name: ScheduleName,
    /// Steps of warm-up.
    pub warmup_steps: u64,
    /// First value of the warm-up.
    pub warmup_from: WarmupFrom,
    /// Last rate as a share of the peak.
    pub final_ratio: f64,
}

impl Default for ScheduleSpec {
    fn default() -> Self {
        Self {
            name: ScheduleName::Linear,
            warmup_steps: 5,
            warmup_from: WarmupFrom::Zero,
            final_ratio: 0.0,
        }
    }
}

/// How long: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Length {
    /// Passes over the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u32>,
    /// Optimizer steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

/// Rows kept out of training for a loss of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldOut {
    /// Share of the rows.
    pub fraction: f64,
    /// Steps between two evaluations.
    pub every: u64,
}

/// Element type of the frozen weights and activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// 32-bit floats.
    Float32,
    /// 16-bit floats with 8 bits of exponent.
    Bfloat16,
}

/// A fine-tune, complete.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FinetuneSpec {
    /// Id or name.
    pub base_model: String,
    /// At least one.
    pub datasets: Vec<DatasetUse>,
    /// What is trained.
    pub method: Method,
    /// How conversations become text.
    pub chat: ChatSpec,
    /// What the loss counts.
    pub loss: LossSpec,
    /// The optimizer.
    pub optimizer: OptimizerSpec,
    /// The learning rate.
    pub schedule: ScheduleSpec,
    /// Examples per step.
    pub batch: BatchSpec,
    /// How long.
    pub length: Length,
    /// Rows kept out.
    pub hold_out: Option<HoldOut>,
    /// When to stop before the last step; null is never.
    pub early_stop: Option<EarlyStop>,
    /// Which steps are kept.
    pub checkpoints: CheckpointSpec,
    /// Element type; null is the base's own.
    pub dtype: Option<Dtype>,
    /// Key of every random draw.
    pub seed: u64,
}

impl FinetuneSpec {
    /// Every dataset that it names, each with the pointer of the name: those that are trained on, then the KL term's.
    pub fn named_datasets(&self) -> Vec<(String, &str)> {
        let trained = self.datasets.iter().enumerate();
        let trained = trained
            .map(|(index, used)| (format!("/datasets/{index}/dataset"), used.dataset.as_str()));
        let kl = self.loss.kl.iter();
        let kl = kl.map(|kl| ("/loss/kl/dataset".to_owned(), kl.dataset.as_str()));
        trained.chain(kl).collect()
    }
}
