//! `vivarium watch`: a job or an experiment until its end.

use anyhow::Result;
use clap::Args;

use super::board::{Board, Face};
use super::exit::EXIT_CODES;
use super::follow::follow;
use super::output::say;
use super::remote::{Remote, unless_left};
use super::subject::{Kind, Subject};
use super::submit::left;

/// `watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("On a terminal every job at work has a bar. Elsewhere a line is written on every change, with --json a JSON \
object. Ends as the work ends: 0 for success, 5 otherwise.

Examples:
  vivarium watch ex_…
  vivarium watch job_… --json | jq -r .state

{EXIT_CODES}"))]
pub struct Watch {
    #[command(flatten)]
    remote: Remote,
    /// Id or name of a job or an experiment
    id: String,
}

/// Watches.
pub async fn run(watch: &Watch) -> Result<()> {
    let (client, output) = (watch.remote.client()?, watch.remote.output());
    let kinds = [Kind::Job, Kind::Experiment];
    let subject = Subject::find_of(&client, &watch.id, &kinds).await?;
    let mut board = Board::new(Face::of_data(output), output);
    let followed = follow(&client, &subject, &mut board);
    let over = unless_left(followed, || left(&subject)).await?;
    if subject.kind == Kind::Experiment {
        let state = over.shown["state"].as_str().unwrap_or_default();
        say(&format!(
            "experiment {} ended {state}\n  next:  vivarium report {}",
            subject.id, subject.id
        ));
    }
    over.into_result()
}
