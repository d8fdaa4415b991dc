//! What an adapter's settings are and which modules they mean, with what rank and scaling. Knows no tensor; how a file
//! spells them is in [`super::read`] and [`super::write`].

use std::collections::BTreeMap;

use super::expression::{Expression, refusal};
use super::names::{Matcher, Names, Patterns, ends, first};
use crate::domain::finetune::{LoraMethod, Projection};
use crate::domain::metric::NormModule;
use crate::engine::model::config::{ModelConfig, module_name};
use crate::engine::{Error, Result};

const MAX_RANK: u32 = 4096;
/// Where checkpoints keep the decoder layers; models that also see keep them one level deeper.
pub(super) const ROOTS: [&str; 3] = ["model", "model.language_model", "language_model.model"];
/// Modules beside the layers that an expression may catch.
const OUTSIDE: [&str; 2] = ["lm_head", "embed_tokens"];

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
    /// What is adapted.
    pub target_modules: Names,
    /// What is not, although it is a target.
    pub exclude_modules: Option<Names>,
    /// `layers_to_transform`; none is all.
    pub layers: Option<Vec<u32>>,
    /// `layers_pattern`: names of the list of layers, as expressions; any where empty.
    pub layers_pattern: Vec<String>,
    /// Ranks of some modules.
    pub rank_pattern: Patterns<u32>,
    /// Alphas of some modules.
    pub alpha_pattern: Patterns<f64>,
    /// What stands before `.layers` in the names of modules.
    pub root: &'static str,
}

impl Settings {
    /// Those of a method as it is posted, for a model of this shape.
    pub fn of_method(method: &LoraMethod, config: &ModelConfig) -> Self {
        let names = method.target_modules.iter();
        Self {
            rank: method.rank,
            alpha: method.alpha,
            rslora: method.rslora,
            dropout: method.dropout,
            target_modules: Names::Listed(names.map(|one| one.name().to_string()).collect()),
            exclude_modules: None,
            layers: method.layers.clone(),
            layers_pattern: Vec::new(),
            rank_pattern: in_order(&method.rank_pattern),
            alpha_pattern: in_order(&method.alpha_pattern),
            root: ROOTS[usize::from(config.multimodal)],
        }
    }

    /// The same modules by an expression, where the names of a list would also catch those of a vision tower.
    pub(super) fn beside_vision(self, modules: &[NormModule]) -> Self {
        if self.root == ROOTS[0] {
            return self;
        }
        let distinct = |of: fn(&NormModule) -> String| {
            let mut texts: Vec<String> = modules.iter().map(of).collect();
            texts.sort();
            texts.dedup();
            texts.join("|")
        };
        let layers = distinct(|module| module.layer.to_string());
        let names =
            distinct(|one| format!("{}\\.{}", one.projection.parent(), one.projection.name()));
        let root = self.root.replace('.', "\\.");
        Self {
            target_modules: Names::Expression(format!("{root}\\.layers\\.({layers})\\.({names})")),
            layers: None,
            ..self
        }
    }

    /// The adapted modules of a model, by layer and then in the order of a layer.
    ///
    /// *Errors* a target or a layer that the model lacks; a rank or alpha out of bounds; an expression that cannot be
    /// read.
    pub fn modules(&self, config: &ModelConfig) -> Result<Vec<NormModule>> {
        self.modules_of(config.num_hidden_layers)
    }

    /// The same of a model with so many layers, of which no more is known.
    pub(super) fn modules_of(&self, count: i64) -> Result<Vec<NormModule>> {
        self.check_layers(count)?;
        let chooser = Chooser::new(self)?;
        chooser.check(count)?;
        let mut modules = Vec::new();
        for layer in 0..count as u32 {
            for projection in Projection::ALL {
                let name = self.full_name(layer, projection);
                if chooser.wants(&name)? {
                    modules.push(chooser.module(layer, projection, &name)?);
                }
            }
        }
        if modules.is_empty() {
            let detail = "and layers_to_transform leave no module to adapt";
            return Err(Error::adapter("target_modules", detail));
        }
        Ok(modules)
    }

    fn check_layers(&self, count: i64) -> Result<()> {
        let layers = self.layers.iter().flatten();
        match layers.copied().find(|layer| i64::from(*layer) >= count) {
            None => Ok(()),
            Some(layer) => Err(Error::adapter(
                "layers_to_transform",
                format!(
                    "has {layer}, but the model's {count} layers are 0 to {}",
                    count - 1
                ),
            )),
        }
    }

    /// The name that patterns and targets are held against.
    fn full_name(&self, layer: u32, projection: Projection) -> String {
        format!(
            "{}.{}",
            self.root,
            module_name(i64::from(layer), projection)
        )
    }
}

/// Posted patterns have no order; [`unambiguous`] sees to it that none is needed.
fn in_order<T: Copy>(patterns: &BTreeMap<String, T>) -> Patterns<T> {
    Patterns(
        patterns
            .iter()
            .map(|(key, value)| (key.clone(), *value))
            .collect(),
    )
}

/// Refuses a method with two patterns that give a module two values: what is posted as JSON has no order to choose by.
pub(super) fn unambiguous(settings: &Settings, modules: &[NormModule]) -> Result<()> {
    let names = || {
        modules
            .iter()
            .map(|module| format!("{}.{}", settings.root, module.name))
    };
    one_value("rank_pattern", &settings.rank_pattern, names())?;
    one_value("alpha_pattern", &settings.alpha_pattern, names())
}

fn one_value<T: Copy + PartialEq>(
    field: &'static str,
    patterns: &Patterns<T>,
    names: impl Iterator<Item = String>,
) -> Result<()> {
    let patterns = patterns.compile(field)?;
    for name in names {
        let mut chosen: Option<T> = None;
        for (expression, value) in &patterns {
            if !expression.matches(&name)? {
                continue;
            }
            if chosen.is_some_and(|chosen| chosen != *value) {
                return Err(Error::adapter(field, format!("gives {name} two values")));
            }
            chosen = Some(*value);
        }
    }
    Ok(())
}

/// Settings with every expression compiled.
struct Chooser<'a> {
    settings: &'a Settings,
    targets: Matcher<'a>,
    excluded: Option<Matcher<'a>>,
    lists: Vec<Expression>,
    ranks: Vec<(Expression, u32)>,
    alphas: Vec<(Expression, f64)>,
}

impl<'a> Chooser<'a> {
    fn new(settings: &'a Settings) -> Result<Self> {
        let excluded = settings.exclude_modules.as_ref();
        let lists = settings.layers_pattern.iter();
        Ok(Self {
            settings,
            targets: settings.target_modules.matcher("target_modules")?,
            excluded: excluded
                .map(|names| names.matcher("exclude_modules"))
                .transpose()?,
            lists: lists
                .map(|list| Expression::index("layers_pattern", list))
                .collect::<Result<_>>()?,
            ranks: settings.rank_pattern.compile("rank_pattern")?,
            alphas: settings.alpha_pattern.compile("alpha_pattern")?,
        })
    }

    /// Targets must be modules that are adapted here: every listed one, and nothing beside them.
    fn check(&self, layers: i64) -> Result<()> {
        for outside in OUTSIDE {
            let (name, head) = (
                format!("{}.{outside}", self.settings.root),
                outside == "lm_head",
            );
            let name = if head { outside.to_string() } else { name };
            if self.catches(&name)? {
                let detail = format!("means {name}; only {} are adapted here", known());
                return Err(Error::adapter("target_modules", detail));
            }
        }
        let Matcher::Listed(names) = self.targets else {
            return Ok(());
        };
        match names.iter().find(|target| !self.exists(layers, target)) {
            None => Ok(()),
            Some(target) => {
                let what = format!("is nothing that the model has; there are {}", known());
                Err(refusal("target_modules", target, &what))
            }
        }
    }

    fn exists(&self, layers: i64, target: &str) -> bool {
        let mut layers = 0..layers as u32;
        layers.any(|layer| {
            let names = Projection::ALL.map(|one| self.settings.full_name(layer, one));
            names.iter().any(|name| ends(name, target))
        })
    }

    /// Whether a module is a target and not excluded, in whatever layer.
    fn catches(&self, name: &str) -> Result<bool> {
        if let Some(excluded) = &self.excluded
            && excluded.matches(name)?
        {
            return Ok(false);
        }
        self.targets.matches(name)
    }

    fn wants(&self, name: &str) -> Result<bool> {
        if !self.catches(name)? {
            return Ok(false);
        }
        match self
            .settings
            .layers
            .as_ref()
            .filter(|layers| !layers.is_empty())
        {
            Some(layers) if !self.targets.lists(name) => {
                let layer = self.layer_of(name)?;
                Ok(layer.is_some_and(|layer| layers.iter().any(|one| u64::from(*one) == layer)))
            }
            _ => Ok(true),
        }
    }

    /// The first number behind a dotted name, or behind one of the lists that are named.
    fn layer_of(&self, name: &str) -> Result<Option<u64>> {
        if self.lists.is_empty() {
            let mut parts = name.split('.').skip(2);
            return Ok(parts.find_map(|part| part.parse().ok()));
        }
        for list in &self.lists {
            if let Some(layer) = list.number(name)? {
                return Ok(Some(layer));
            }
        }
        Ok(None)
    }

    fn module(&self, layer: u32, projection: Projection, name: &str) -> Result<NormModule> {
        let (rank, field) = match first(&self.ranks, name)? {
            Some(rank) => (rank, "rank_pattern"),
            None => (self.settings.rank, "r"),
        };
        if !(1..=MAX_RANK).contains(&rank) {
            let detail = format!("{rank} of {name} is not from 1 to {MAX_RANK}");
            return Err(Error::adapter(field, detail));
        }
        let (alpha, field) = match first(&self.alphas, name)? {
            Some(alpha) => (alpha, "alpha_pattern"),
            None => (self.settings.alpha, "lora_alpha"),
        };
        if !alpha.is_finite() {
            let detail = format!("{alpha} of {name} is not finite");
            return Err(Error::adapter(field, detail));
        }
        let width = f64::from(rank);
        let rslora = self.settings.rslora;
        Ok(NormModule {
            name: module_name(i64::from(layer), projection),
            layer,
            projection,
            rank,
            scaling: alpha / if rslora { width.sqrt() } else { width },
        })
    }
}

fn known() -> String {
    Projection::ALL.map(Projection::name).join(", ")
}
