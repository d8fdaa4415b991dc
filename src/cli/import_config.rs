//! `vivarium import-config`: a published training config as the body of a job. What becomes of each key is the domain's.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::domain::invalid::Invalid;
use crate::domain::published_config::{ConversionReport, Entry, Options, convert};

/// `import-config`.
#[derive(Debug, Clone, Args)]
pub struct ImportConfig {
    /// A JSON config of the published training code
    file: PathBuf,
    /// Name of the base model here; the last part of the config's `model` where left out
    #[arg(long, value_name = "NAME")]
    base_model: Option<String>,
    /// Name of the dataset here; the file name of `training_file` where left out
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Name of the KL term's dataset here; the file name of `kl_dataset_file` where left out
    #[arg(long, value_name = "NAME")]
    kl_dataset: Option<String>,
    /// Read it as the script for full fine-tuning does: is_peft is false whatever the file says
    #[arg(long)]
    full: bool,
    /// Print {"spec","report"} instead of the spec alone with the report on standard error
    #[arg(long)]
    report: bool,
}

/// Prints the spec; the report goes to standard error.
pub fn run(arguments: &ImportConfig) -> Result<()> {
    let file = &arguments.file;
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let config =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
    let options = Options {
        full: arguments.full,
        base_model: arguments.base_model.clone(),
        dataset: arguments.dataset.clone(),
        kl_dataset: arguments.kl_dataset.clone(),
    };
    let conversion = match convert(config, &options) {
        Ok(conversion) => conversion,
        Err(invalid) => bail!(refusal(file, &invalid)),
    };
    if arguments.report {
        println!("{}", serde_json::to_string_pretty(&conversion)?);
    } else {
        eprint!("{}", told(&conversion.report));
        println!("{}", serde_json::to_string_pretty(&conversion.spec)?);
    }
    Ok(())
}

fn refusal(file: &Path, invalid: &Invalid) -> String {
    let lines = invalid.errors.iter().map(|error| {
        let place = error.pointer.as_deref().unwrap_or_default();
        let hint = error
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!(" ({hint})"));
        format!("\n  {place}: {}{hint}", error.detail)
    });
    format!(
        "{} is refused:{}",
        file.display(),
        lines.collect::<String>()
    )
}

fn told(report: &ConversionReport) -> String {
    let mut text = String::new();
    for (title, entries) in [
        ("mapped", &report.mapped),
        ("mapped, with another meaning", &report.differs),
        ("left out", &report.left_out),
        ("done by the published code without a key", &report.unsaid),
    ] {
        if !entries.is_empty() {
            text += &format!("{title}:\n");
            entries.iter().for_each(|entry| text += &line(entry));
        }
    }
    text += "needed first:\n";
    report
        .needs
        .iter()
        .for_each(|need| text += &format!("  {need}\n"));
    text
}

fn line(entry: &Entry) -> String {
    let value = match (entry.value.as_str(), entry.default) {
        ("", _) => String::new(),
        (value, false) => format!(" = {value}"),
        (value, true) => format!(" (not given; default {value})"),
    };
    let to = entry
        .to
        .as_ref()
        .map_or(String::new(), |to| format!(" -> {to}"));
    let detail = match entry.detail.is_empty() {
        true => String::new(),
        false => format!(": {}", entry.detail),
    };
    format!("  {}{value}{to}{detail}\n", entry.key)
}
