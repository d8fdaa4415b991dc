//! `vivarium presets`: the named protocols, without a server.

use anyhow::Result;
use clap::Args;

use crate::domain::presets;

/// `presets`.
#[derive(Debug, Clone, Args)]
pub struct Presets {
    /// Show this one as JSON; a list of all where left out
    name: Option<String>,
}

/// Prints one preset as JSON, or a line for each.
pub fn run(arguments: &Presets) -> Result<()> {
    let Some(name) = &arguments.name else {
        let all = presets::all();
        let width = all
            .iter()
            .map(|preset| preset.name.len())
            .max()
            .unwrap_or(0);
        for preset in all {
            println!("{:width$}  {}", preset.name, preset.description);
        }
        return Ok(());
    };
    let preset = presets::find(name)
        .map_err(|near| anyhow::anyhow!("there is no preset \"{name}\"; {near}"))?;
    println!("{}", serde_json::to_string_pretty(&preset)?);
    Ok(())
}
