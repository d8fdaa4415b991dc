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

/// How long pairs of steps may take together.
const MOST_SECONDS: f64 = 240.0;

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

/// Steps two trainers in turn on the same batches and prints what the measuring adds to a step, by wall time and by processor
/// time: both sides of a pair run within milliseconds of each other, so a neighbour's load falls on both. Where neighbours
/// disturb most steps, each batch's fastest step of either side still tells. Ends early once the pairs have taken [`MOST_SECONDS`].
fn share_of_norms(
    with: &mut Trainer,
    without: &mut Trainer,
    batches: &[Vec<Example>],
    steps: usize,
) -> anyhow::Result<()> {
    let (mut wall, mut cpu, mut plain_ms) = (Vec::new(), Vec::new(), Vec::new());
    let mut fastest = vec![[(f64::INFINITY, f64::INFINITY); 2]; batches.len()];
    let mut seconds = 0.0;
    for step in 0..steps + 2 {
        if seconds > MOST_SECONDS {
            break;
        }
        let batch = &batches[step % batches.len()];
        // whoever goes second finds the batch in the caches, so they change places
        let (measured, plain) = if step % 2 == 0 {
            let measured = timed(with, batch)?;
            (measured, timed(without, batch)?)
        } else {
            let plain = timed(without, batch)?;
            (timed(with, batch)?, plain)
        };
        seconds += measured.0 + plain.0;
        if step >= 2 {
            wall.push(measured.0 / plain.0 - 1.0);
            cpu.push(measured.1 / plain.1 - 1.0);
            plain_ms.push(1000.0 * plain.0);
            for (best, found) in fastest[step % batches.len()]
                .iter_mut()
                .zip([measured, plain])
            {
                *best = (best.0.min(found.0), best.1.min(found.1));
            }
        }
    }
    anyhow::ensure!(!wall.is_empty(), "give more than no steps");
    // few pairs leave batches that nobody ran
    fastest.retain(|best| best[0].0.is_finite());
    let share = |of: fn((f64, f64)) -> f64| {
        let sum = |side: usize| fastest.iter().map(|best| of(best[side])).sum::<f64>();
        sum(0) / sum(1) - 1.0
    };
    let numbers = serde_json::json!({
        "pairs": wall.len(), "plain_ms": Middle::of(plain_ms).median, "wall": Middle::of(wall).json(), "cpu": Middle::of(cpu).json(),
        "fastest": {"wall": share(|best| best.0), "cpu": share(|best| best.1)},
    });
    println!("{numbers}");
    Ok(())
}

/// Seconds of a step by wall time, and of the processor in all threads of this process.
#[allow(clippy::disallowed_methods)] // a bench reads the clock
fn timed(trainer: &mut Trainer, batch: &[Example]) -> anyhow::Result<(f64, f64)> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    one_step(trainer, batch)?;
    Ok((start.elapsed().as_secs_f64(), cpu_seconds() - cpu))
}

/// The middle of numbers and how sure it is.
struct Middle {
    median: f64,
    quartiles: [f64; 2],
    /// Order statistics that hold the median of the distribution in 95 of 100 cases.
    interval: [f64; 2],
}

impl Middle {
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let last = numbers.len() as f64 - 1.0;
        let at = |quantile: f64| numbers[(last * quantile.clamp(0.0, 1.0)).round() as usize];
        let apart = 0.98 / (numbers.len() as f64).sqrt();
        Self {
            median: at(0.5),
            quartiles: [at(0.25), at(0.75)],
            interval: [at(0.5 - apart), at(0.5 + apart)],
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({"median": self.median, "quartiles": self.quartiles, "interval": self.interval})
    }
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

/// Processor time of this process in all its threads.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
