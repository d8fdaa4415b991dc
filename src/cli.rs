//! The command line: which commands there are and what each needs. Composition only.

mod board;
pub mod chat;
pub mod completions;
pub mod control;
pub mod demo;
pub mod download;
mod exit;
mod follow;
pub mod import_config;
pub mod logs;
pub mod ls;
pub mod norms;
mod output;
pub mod presets;
mod progress;
pub mod rates;
pub mod remote;
pub mod report;
#[cfg(feature = "server")]
pub mod serve;
mod server_process;
pub mod show;
mod subject;
pub mod submit;
pub mod toy_check;
pub mod toy_experiment;
mod toy_plan;
mod toy_run;
mod toy_table;
pub mod verify;
pub mod watch;
mod words;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use control::Deed;

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
    /// Run an experiment on the toy world from nothing to its report
    ToyExperiment(toy_experiment::ToyExperiment),
    /// List the named fine-tuning protocols, or show one
    Presets(presets::Presets),
    /// Turn a published training config into the body of a job
    ImportConfig(import_config::ImportConfig),
    /// Upload JSON lines as a dataset
    Upload(remote::Upload),
    /// Submit a job or an experiment
    Submit(submit::Submit),
    /// List jobs, experiments, models, datasets
    Ls(ls::Ls),
    /// Show a job, an experiment, or anything with an id
    #[command(alias = "job")]
    Show(show::Show),
    /// Watch a job or an experiment until it ends
    Watch(watch::Watch),
    /// Show what happened to a job or an experiment
    Logs(logs::Logs),
    /// Show misalignment rates of an evaluation or an experiment
    Rates(rates::Rates),
    /// Show norms of a fine-tune's modules
    Norms(norms::Norms),
    /// Talk to a base model, a checkpoint or an adapter
    Chat(chat::Chat),
    /// Download checkpoints, vectors, or an experiment's bundle
    Download(download::Download),
    /// Write what an experiment found
    Report(report::Report),
    /// Cancel jobs or experiments
    Cancel(control::Control),
    /// Let jobs or experiments stand still
    Pause(control::Control),
    /// Let paused jobs or experiments go on
    Resume(control::Resume),
    /// Try failed or cancelled jobs or experiments again
    Retry(control::Control),
    /// Write completions for a shell
    Completions(completions::Completions),
    /// Hold an experiment's bundle against its manifest, without a server
    Verify(verify::Verify),
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
        Ok(code) => code,
        Err(error) => exit::tell(&error),
    }
}

async fn dispatch(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        #[cfg(feature = "server")]
        Command::Serve(serve) => serve::run(serve).await,
        #[cfg(feature = "server")]
        Command::Config(arguments) => serve::config(arguments),
        Command::Demo(demo) => demo::run(demo).await,
        Command::ToyCheck(check) => toy_check::run(check).await,
        Command::ToyExperiment(toy) => toy_experiment::run(toy).await,
        Command::Presets(arguments) => presets::run(arguments),
        Command::ImportConfig(arguments) => import_config::run(arguments),
        Command::Upload(upload) => remote::upload(upload).await,
        Command::Submit(submit) => submit::run(submit).await,
        Command::Ls(ls) => ls::run(ls).await,
        Command::Show(show) => show::run(show).await,
        Command::Watch(watch) => watch::run(watch).await,
        Command::Logs(logs) => logs::run(logs).await,
        Command::Rates(rates) => rates::run(rates).await,
        Command::Norms(norms) => norms::run(norms).await,
        Command::Chat(chat) => chat::run(chat).await,
        Command::Download(download) => download::run(download).await,
        Command::Report(report) => report::run(report).await,
        Command::Cancel(control) => control::run(control, Deed::Cancel).await,
        Command::Pause(control) => control::run(control, Deed::Pause).await,
        Command::Resume(resume) => control::resume(resume).await,
        Command::Retry(control) => control::run(control, Deed::Retry).await,
        Command::Completions(completions) => completions::run(completions),
        Command::Verify(arguments) => return verify::run(arguments),
    }
    .map(|()| ExitCode::SUCCESS)
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
