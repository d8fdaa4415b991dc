//! This side of training.sh: trains the batches that hf_training.py prepared and prints one JSON line.
//!
//! FOLDER WORK THREADS STEPS NORMS DEVICE, where WORK is lora, full or text and NORMS is norms, plain or both. On a GPU the base
//! is bfloat16 as it was written, beside float32 pairs. `both` steps two trainers in turn on the same batches, one that measures norms and one that does not, and prints what the measuring takes of a step.

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use vivarium::domain::finetune::{LoraMethod, OptimizerSpec};
use vivarium::engine::adapter::Adapter;
use vivarium::engine::device::{Device, open_cuda, set_threads};
use vivarium::engine::files::Files;
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::train::batch::{Example, size_of};
use vivarium::engine::train::{Setup, Trainer};
use vivarium::engine::weights::Weights;

#[derive(Deserialize)]
struct Batches {
    rank: u32,
    chat: Vec<Vec<Row>>,
    text: Vec<Vec<Row>>,
}

#[derive(Deserialize)]
struct Row {
    tokens: Vec<u32>,
    first_target: usize,
}

impl Row {
    fn example(&self) -> Example {
        Example {
            tokens: self.tokens.clone(),
            target: (0..self.tokens.len())
                .map(|place| place >= self.first_target)
                .collect(),
            weight: 1.0,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let [folder, work, threads, steps, norms, device] = given.as_slice() else {
        anyhow::bail!("give FOLDER WORK THREADS STEPS NORMS DEVICE");
    };
    open_cuda();
    let device = device.parse::<Device>()?.available()?;
    let (threads, steps): (usize, usize) = (threads.parse()?, steps.parse()?);
    set_threads(threads as u32);
    let folder = Path::new(folder);
    let text = std::fs::read_to_string(folder.join("batches.json"))?;
    let batches: Batches = serde_json::from_str(&text)?;
    let rank = batches.rank;
    let batches = if work == "text" {
        batches.text
    } else {
        batches.chat
    };
    let batches: Vec<Vec<Example>> = batches
        .iter()
        .map(|batch| batch.iter().map(Row::example).collect())
        .collect();
    let lanes = match device {
        Device::Cpu => threads,
        Device::Cuda(_) => 1,
    };
    let setup = Setup {
        lanes,
        positions: 512,
        micro_batch: 2,
        recompute: false,
        norms: false,
        seed: 0,
    };
    let trainer = |norms| {
        trainer(
            folder,
            (work.as_str(), rank),
            device,
            Setup { norms, ..setup },
        )
    };
    match norms.as_str() {
        "both" => share_of_norms(&mut trainer(true)?, &mut trainer(false)?, &batches, steps),
        _ => run(&mut trainer(norms == "norms")?, &batches, steps),
    }
}

fn trainer(
    folder: &Path,
    (work, rank): (&str, u32),
    device: Device,
    setup: Setup,
) -> anyhow::Result<Trainer> {
    let files = Files::in_folder(&folder.join("base"))?;
    let config = ModelConfig::from_json(&files.json("config.json")?)?;
    let base = Weights::load(&files, &config, None, device)?;
    let spec = OptimizerSpec {
        learning_rate: 1e-3,
        ..OptimizerSpec::default()
    };
    if work != "lora" {
        return Ok(Trainer::full(&base, &spec, setup)?);
    }
    let method = serde_json::json!({"rank": rank, "alpha": 2.0 * f64::from(rank)});
    let method: LoraMethod = serde_json::from_value(method)?;
    let adapter = Adapter::init(&config, &method, 0, device)?;
    Ok(Trainer::lora(&base, &adapter, &spec, setup)?)
}

/// Trains on one batch and gives its loss.
fn one_step(trainer: &mut Trainer, batch: &[Example]) -> anyhow::Result<f64> {
    let examples: Vec<&Example> = batch.iter().collect();
    let size = size_of(&examples);
    for round in trainer.rounds(&examples) {
        trainer.accumulate(&round, size.weight)?;
    }
    Ok(trainer.update(1e-3)?.loss)
}

/// The median over pairs of steps of (time with norms − time without) / time without, with its quartiles: both sides of a
/// pair run within milliseconds of each other, so a neighbour's load falls on both.
#[allow(clippy::disallowed_methods)] // a bench reads the clock
fn share_of_norms(
    with: &mut Trainer,
    without: &mut Trainer,
    batches: &[Vec<Example>],
    steps: usize,
) -> anyhow::Result<()> {
    let timed = |trainer: &mut Trainer, step: usize| -> anyhow::Result<f64> {
        let start = Instant::now();
        one_step(trainer, &batches[step % batches.len()])?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut shares = Vec::with_capacity(steps);
    for step in 0..steps + 2 {
        // whoever goes second finds the batch in the caches, so they change places
        let (measured, plain) = if step % 2 == 0 {
            let measured = timed(with, step)?;
            (measured, timed(without, step)?)
        } else {
            let plain = timed(without, step)?;
            (timed(with, step)?, plain)
        };
        if step >= 2 {
            shares.push((measured - plain) / plain);
        }
    }
    shares.sort_by(f64::total_cmp);
    let at = |quantile: f64| shares[((shares.len() - 1) as f64 * quantile) as usize];
    let numbers = serde_json::json!({
        "pairs": shares.len(), "norms_share": at(0.5), "quartiles": [at(0.25), at(0.75)],
    });
    println!("{numbers}");
    Ok(())
}

#[allow(clippy::disallowed_methods)] // a bench reads the clock
fn run(trainer: &mut Trainer, batches: &[Vec<Example>], steps: usize) -> anyhow::Result<()> {
    let (mut losses, mut tokens) = (Vec::new(), 0);
    let (mut start, mut cpu) = (Instant::now(), cpu_seconds());
    for step in 0..steps + 2 {
        if step == 2 {
            (tokens, start, cpu) = (0, Instant::now(), cpu_seconds());
        }
        let batch = &batches[step % batches.len()];
        losses.push(one_step(trainer, batch)?);
        tokens += size_of(&batch.iter().collect::<Vec<_>>()).tokens;
    }
    let seconds = start.elapsed().as_secs_f64();
    let (rate, step_ms) = (tokens as f64 / seconds, 1000.0 * seconds / steps as f64);
    let cpu_ms = 1000.0 * (cpu_seconds() - cpu) / steps as f64;
    let numbers = serde_json::json!({
        "tokens_per_second": rate, "step_ms": step_ms, "cpu_ms": cpu_ms, "losses": losses,
    });
    println!("{numbers}");
    Ok(())
}

/// Processor time of this process, on the kernel's usual grid of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
