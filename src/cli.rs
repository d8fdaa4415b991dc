//! The command line: which commands there are and what each needs. Composition only.

pub mod demo;
pub mod import_config;
pub mod presets;
mod progress;
pub mod remote;
#[cfg(feature = "server")]
pub mod serve;
mod server_process;
pub mod toy_check;
mod toy_plan;
mod toy_run;
mod toy_table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A server for research on model organisms of emergent misalignment.
#[derive(Debug, Parser)]
#[command(name = "vivarium", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server until SIGTERM or Ctrl-C
    #[cfg(feature = "server")]
    Serve(serve::Serve),
    /// Look at the settings
    #[cfg(feature = "server")]
    Config(serve::ConfigArguments),
    /// Train a toy model organism through a server of its own and print its misalignment rates
    Demo(demo::Demo),
    /// Run the demo over three seeds and the null base; fails where the toy does not behave
    ToyCheck(toy_check::ToyCheck),
    /// List the named fine-tuning protocols, or show one
    Presets(presets::Presets),
    /// Turn a published training config into the body of a job
    ImportConfig(import_config::ImportConfig),
    /// Upload JSON lines to a running server as a dataset
    Upload(remote::Upload),
    /// Submit a job to a running server
    Submit(remote::Submit),
    /// Show a job of a running server
    Job(remote::Show),
}

impl Command {
    /// Whether this process itself will compute with tensors.
    pub fn runs_engine(&self) -> bool {
        #[cfg(feature = "server")]
        return matches!(self, Self::Serve(_));
        #[cfg(not(feature = "server"))]
        false
    }
}

/// Runs a command; errors are printed with their causes.
pub fn run(command: &Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(command)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vivarium: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: &Command) -> anyhow::Result<()> {
    match command {
        #[cfg(feature = "server")]
        Command::Serve(serve) => serve::run(serve).await,
        #[cfg(feature = "server")]
        Command::Config(arguments) => serve::config(arguments),
        Command::Demo(demo) => demo::run(demo).await,
        Command::ToyCheck(check) => toy_check::run(check).await,
        Command::Presets(arguments) => presets::run(arguments),
        Command::ImportConfig(arguments) => import_config::run(arguments),
        Command::Upload(upload) => remote::upload(upload).await,
        Command::Submit(submit) => remote::submit(submit).await,
        Command::Job(show) => remote::show(show).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }
}
