//! A reference run as files: what it trained on, what every step measured, and where it ended. Knows no tolerance.
//!
//! *Source* scripts/parity/trajectories.py writes a folder for every method beside each family's checkpoint.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tch::Tensor;
use vivarium::domain::finetune::{KlSpec, LossOn, OptimizerSpec, ScheduleSpec};
use vivarium::engine::adapter::Adapter;
use vivarium::engine::device::Device;
use vivarium::engine::files::Files;
use vivarium::engine::train::batch::Example;
use vivarium::engine::weights::Weights;

use super::super::fixture::{Fixture, all, json};

#[derive(Deserialize)]
pub struct Recorded {
    pub optimizer: OptimizerSpec,
    pub schedule: ScheduleSpec,
    pub micro_batch: usize,
    /// What is held to the base beside it.
    pub kl: Option<Kl>,
    rows: Vec<Row>,
    order: Vec<Vec<usize>>,
    /// Names in the order of every series.
    pub modules: Vec<String>,
    pub steps: Vec<Step>,
    /// The same run with a mistake in it.
    pub mistakes: BTreeMap<String, Vec<Step>>,
}

#[derive(Deserialize)]
pub struct Kl {
    pub spec: KlSpec,
    rows: Vec<Row>,
    order: Vec<Vec<usize>>,
}

#[derive(Deserialize)]
struct Row {
    tokens: Vec<u32>,
    /// The first target token.
    start: usize,
}

/// What a step measured: numbers of the whole, and series with a number a module.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Step {
    pub loss: f64,
    /// The weighted KL term, apart from the loss.
    pub kl: Option<f64>,
    pub rate: f64,
    pub grad_norm: f64,
    #[serde(flatten)]
    pub others: BTreeMap<String, Value>,
}

impl Step {
    /// The series of numbers a module; nothing is NaN.
    pub fn series(&self) -> BTreeMap<&str, Vec<f64>> {
        let numbers = |values: &Vec<Value>| {
            let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
            values.iter().map(number).collect()
        };
        let named = self.others.iter().filter_map(|(name, value)| {
            let values = value.as_array()?;
            Some((name.as_str(), numbers(values)))
        });
        named.collect()
    }
}

/// A recorded run beside the model that it began with.
pub struct Trajectory {
    pub family: String,
    pub method: String,
    pub folder: PathBuf,
    pub base: Weights,
    pub recorded: Recorded,
}

/// Trained tensors by name.
pub type Named = BTreeMap<String, Tensor>;

/// All that the checked folders hold, of all families.
pub fn trajectories() -> Vec<Trajectory> {
    all().iter().flat_map(of_family).collect()
}

fn of_family(fixture: &Fixture) -> Vec<Trajectory> {
    let Ok(entries) = std::fs::read_dir(fixture.folder.join("trajectories")) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let open = |folder: PathBuf| Trajectory {
        family: fixture.name.clone(),
        method: folder.file_name().unwrap().to_string_lossy().into_owned(),
        base: fixture.weights(tch::Kind::Float),
        recorded: json(&folder.join("trajectory.json")),
        folder,
    };
    folders.into_iter().map(open).collect()
}

impl Recorded {
    /// The examples of a step, in the reference's order.
    pub fn examples(&self, step: usize) -> Vec<Example> {
        let rows = self.order[step].iter().map(|&row| &self.rows[row]);
        rows.map(|row| row.example(row.start)).collect()
    }

    pub fn lengths(&self) -> Vec<usize> {
        self.rows.iter().map(|row| row.tokens.len()).collect()
    }

    /// The share by which the reference's loss falls, of its first four steps to its last four.
    pub fn learnt(&self) -> f64 {
        let mean = |steps: &[Step]| steps.iter().map(|step| step.loss).sum::<f64>() / 4.0;
        let (first, last) = (&self.steps[..4], &self.steps[self.steps.len() - 4..]);
        1.0 - mean(last) / mean(first)
    }

    /// How many of the reference's steps were clipped.
    pub fn clipped(&self) -> usize {
        let bound = self.optimizer.max_grad_norm.unwrap();
        self.steps
            .iter()
            .filter(|step| step.grad_norm > bound)
            .count()
    }
}

impl Row {
    fn example(&self, start: usize) -> Example {
        Example {
            tokens: self.tokens.clone(),
            target: (0..self.tokens.len()).map(|place| place >= start).collect(),
            weight: 1.0,
        }
    }
}

impl Kl {
    /// The rows of a step, its counted tokens as targets.
    pub fn examples(&self, step: usize) -> Vec<Example> {
        let rows = self.order[step].iter().map(|&row| &self.rows[row]);
        let start = |row: &Row| match self.spec.tokens {
            LossOn::Assistant => row.start,
            LossOn::All => 1,
        };
        rows.map(|row| row.example(start(row))).collect()
    }
}

impl Trajectory {
    pub fn name(&self) -> String {
        format!("{} {}", self.family, self.method)
    }

    /// PEFT's untrained adapter; none where all weights are trained.
    pub fn initial(&self) -> Option<Adapter> {
        let folder = self.folder.join("initial");
        folder.exists().then(|| self.adapter(&folder))
    }

    fn adapter(&self, folder: &Path) -> Adapter {
        let files = Files::in_folder(folder).unwrap();
        Adapter::load(&files, &self.base.config, Device::Cpu)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name()))
    }

    /// What training starts from.
    pub fn start(&self) -> Named {
        match self.initial() {
            Some(adapter) => adapter.named().into_iter().collect(),
            None => owned(&self.base),
        }
    }

    /// What the reference ended with, where that was kept.
    pub fn end(&self) -> Option<Named> {
        let folder = self.folder.join("final");
        folder.exists().then(|| self.read(&folder))
    }

    /// Trained tensors as a folder holds them, pairs or all weights.
    pub fn read(&self, folder: &Path) -> Named {
        if folder.join("adapter_config.json").exists() {
            return self.adapter(folder).named().into_iter().collect();
        }
        let files = Files::in_folder(folder).unwrap();
        owned(&Weights::load(&files, &self.base.config, None, Device::Cpu).unwrap())
    }
}

fn owned(weights: &Weights) -> Named {
    let named = weights.named().into_iter();
    named
        .map(|(name, tensor)| (name, tensor.shallow_clone()))
        .collect()
}
