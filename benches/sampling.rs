//! This side of sampling.sh: answers the prompts that hf_sampling.py prepared and prints one JSON line.
//!
//! FOLDER THREADS ROWS TOKENS SLOTS

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use vivarium::engine::Error;
use vivarium::engine::adapter::Adapter;
use vivarium::engine::device::{Device, set_threads};
use vivarium::engine::files::Files;
use vivarium::engine::generate::{Drawn, Row, Variant, generate, slots};
use vivarium::engine::keyed::Stream;
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::sample::Sampling;
use vivarium::engine::weights::Weights;

fn main() -> anyhow::Result<()> {
    let given: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let [folder, threads, rows, tokens, wanted] = given.as_slice() else {
        anyhow::bail!("give FOLDER THREADS ROWS TOKENS SLOTS");
    };
    set_threads(threads.parse()?);
    let (rows, tokens): (u64, u32) = (rows.parse()?, tokens.parse()?);
    let folder = Path::new(folder);
    let files = Files::in_folder(folder)?;
    let config = ModelConfig::from_json(&files.json("config.json")?)?;
    let weights = Weights::load(&files, &config, None, Device::Cpu)?;
    let adapter = Files::in_folder(&folder.join("adapter"))?;
    let adapter = Adapter::load(&adapter, &config, Device::Cpu)?;
    let prompts: Vec<Vec<u32>> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("prompts.json"))?)?;
    let prompts: Vec<Arc<[u32]>> = prompts.iter().map(|ids| ids.as_slice().into()).collect();
    let (variant, ends) = (Variant::Adapted(Rc::new(adapter), 1.0), Arc::default());
    let row = |index: u64| Row {
        prompt: prompts[(index * prompts.len() as u64 / rows) as usize].clone(),
        variant: variant.clone(),
        draws: Stream::new(0, "sample").number(index),
        sampling: Sampling::PLAIN,
        max_new_tokens: tokens,
        ends: Arc::clone(&ends),
        alternatives: None,
        urgent: false,
    };
    let asked: Vec<Row> = (0..rows).map(row).collect();
    let slots = slots(wanted.parse()?);
    run(&weights, &asked, slots)?;
    let (began, spent) = (Instant::now(), cpu_seconds());
    let drawn = run(&weights, &asked, slots)?;
    let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - spent);
    println!(r#"{{"tokens": {drawn}, "seconds": {wall:.4}, "cpu_seconds": {cpu:.4}}}"#);
    Ok(())
}

fn run(weights: &Weights, rows: &[Row], slots: usize) -> Result<usize, Error> {
    let mut tokens = 0;
    let mut done = |drawn: Drawn| {
        tokens += drawn.tokens.len();
        Ok(())
    };
    let weights = weights.shallow_clone()?;
    generate::<Error>(weights, rows, slots, &mut || Ok(()), &mut done)?;
    Ok(tokens)
}

/// User and system time of this process, in ticks of 1/100 s as Linux counts them.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|number| number.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
