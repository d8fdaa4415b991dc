//! The commands that concern the server of this machine: run it, look at its settings.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app;
use crate::config::Loaded;

/// Run the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// Settings file instead of ./vivarium.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Look at the settings.
#[derive(Debug, Args)]
pub struct ConfigArguments {
    /// What to do with them.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check them and print what is in force, with the source of each value
    Check(Serve),
}

/// Runs the server until a signal.
pub(super) async fn run(serve: &Serve) -> anyhow::Result<()> {
    let loaded = Loaded::from_process(serve.config.as_deref())?;
    app::start_log(&loaded.config);
    Ok(app::serve(&loaded.config).await?)
}

/// Prints the settings.
pub(super) fn config(arguments: &ConfigArguments) -> anyhow::Result<()> {
    let ConfigCommand::Check(check) = &arguments.command;
    let loaded = Loaded::from_process(check.config.as_deref())?;
    print!("{}", loaded.effective());
    Ok(())
}
