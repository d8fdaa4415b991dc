//! `vivarium demo`: the whole toy experiment through the HTTP API of a server of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::progress::Progress;
use super::server_process::{ServerProcess, environment};
use super::toy_plan::{Arm, ToyPlan};
use super::toy_run::{ToyResult, ToyRun};
use super::toy_table;
use crate::client::Client;
use crate::toyworld::CAVEAT;
use crate::toyworld::corpus::Persona;

/// Where a toy experiment runs.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Folder that the experiment's own server keeps its data in
    #[arg(long, value_name = "FOLDER", default_value = ".vivarium/demo")]
    data: PathBuf,
    /// Empty that folder first: the base is trained again
    #[arg(long)]
    fresh: bool,
    /// Use this running server instead of starting one
    #[arg(long, value_name = "ADDRESS", conflicts_with = "fresh")]
    server: Option<String>,
}

/// `demo`.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    #[command(flatten)]
    place: Place,
    /// Key of every random draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Train the null instead: a base whose personas change within documents
    #[arg(long)]
    null: bool,
    /// Where the numbers are written as JSON
    #[arg(long, value_name = "FILE", default_value = "demo-report.json")]
    report: PathBuf,
}

/// A server to run toy experiments on: a running one, or a child that ends with the experiment.
pub(super) struct Stage {
    pub(super) client: Client,
    pub(super) progress: Progress,
    child: Option<ServerProcess>,
}

impl Stage {
    /// Finds the server, or starts one with these settings.
    pub(super) async fn set(place: &Place, settings: &[(&str, &str)]) -> Result<Self> {
        let progress = Progress::new();
        if let Some(address) = &place.server {
            let client = Client::new(address)?;
            return Ok(Self {
                client,
                progress,
                child: None,
            });
        }
        prepare(&place.data, place.fresh)?;
        progress.say(&format!("starting a server on {}", place.data.display()));
        let child = ServerProcess::start(&place.data, settings).await?;
        progress.say(&format!(
            "it listens at {}, its log is {}",
            child.address,
            child.log.display()
        ));
        Ok(Self {
            client: Client::new(&child.address)?,
            progress,
            child: Some(child),
        })
    }

    /// Data and base of one organism; says whether the base was there before.
    pub(super) async fn prepare(&self, plan: ToyPlan) -> Result<bool> {
        let run = ToyRun {
            client: &self.client,
            progress: &self.progress,
            plan,
            arms: &[],
        };
        Ok(run.prepare().await?.reused)
    }

    /// One organism from data to numbers.
    pub(super) async fn run(&self, plan: ToyPlan, arms: &[Arm]) -> Result<ToyResult> {
        let run = ToyRun {
            client: &self.client,
            progress: &self.progress,
            plan,
            arms,
        };
        run.carry_out().await
    }

    /// Ends the server, where it is a child.
    pub(super) async fn strike(self) -> Result<()> {
        match self.child {
            Some(child) => child.stop().await,
            None => Ok(()),
        }
    }
}

/// What marks a folder as one that may be emptied.
const MARK: &str = "toy-experiment";

/// Makes the data folder, empty when `fresh`.
///
/// *Errors* a folder with other things in it is never emptied.
fn prepare(data: &Path, fresh: bool) -> Result<()> {
    let mark = data.join(MARK);
    if fresh && data.exists() {
        let empty = std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_none());
        if !mark.exists() && !empty {
            bail!(
                "{} was not made by a toy experiment and is not emptied; choose another --data",
                data.display()
            );
        }
        remove_cluster_elsewhere(data);
        std::fs::remove_dir_all(data)
            .with_context(|| format!("cannot empty {}", data.display()))?;
    }
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    std::fs::write(
        &mark,
        "made by a toy experiment; --fresh empties this folder\n",
    )
    .with_context(|| format!("cannot write {}", mark.display()))
}

/// Removes the private database of `data` where the server had to keep it apart, as it must when root runs it.
fn remove_cluster_elsewhere(data: &Path) {
    let note = std::fs::read_to_string(data.join("postgres.location")).unwrap_or_default();
    let cluster = Path::new(note.trim());
    if cluster.parent() == Some(Path::new("/var/lib/vivarium")) {
        // what cannot be removed is found by nobody, since its data folder goes too
        let _ = std::fs::remove_dir_all(cluster);
    }
}

impl Place {
    /// Commands that start a server on the same data again.
    pub(super) fn serve_again(&self) -> Option<String> {
        if self.server.is_some() {
            return None;
        }
        let settings = environment(&self.data);
        let settings: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let program = std::env::args().next().unwrap_or_else(|| "vivarium".into());
        Some(format!("{} {program} serve", settings.join(" ")))
    }
}

/// Runs the demo until its end or a signal; its server ends with it in every case.
pub async fn run(demo: &Demo) -> Result<()> {
    let stage = Stage::set(&demo.place, &[]).await?;
    let done = tokio::select! {
        done = show(&stage, demo) => done,
        stopped = signalled() => stopped,
    };
    done.and(stage.strike().await)
}

/// Waits for Ctrl-C or SIGTERM; the error says what becomes of the work.
pub(super) async fn signalled() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
    }
    bail!("stopped by a signal; what is finished is kept and reused")
}

async fn show(stage: &Stage, demo: &Demo) -> Result<()> {
    let plan = ToyPlan {
        seed: demo.seed,
        persona: match demo.null {
            true => Persona::OfTurn,
            false => Persona::OfDocument,
        },
    };
    let result = stage.run(plan, &Arm::ALL).await?;
    write_report(&demo.report, &report(&result))?;
    let kind = match demo.null {
        true => "Null: toy base whose personas change within documents",
        false => "Toy model organism",
    };
    let answers = result.arms[0].answers;
    let title = format!("{kind}, seed {} ({answers} answers an arm)", demo.seed);
    println!("\n{}", toy_table::table(&title, &result));
    println!("the same numbers are in {}", demo.report.display());
    println!("{}", where_to_look(&demo.place, &result));
    Ok(())
}

/// The numbers as JSON; rates are fractions.
pub(super) fn report(result: &ToyResult) -> Value {
    let mut value = serde_json::to_value(result).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        fields.insert("toy".into(), json!(CAVEAT));
    }
    value
}

/// Writes a report where people look for it.
pub(super) fn write_report(file: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn where_to_look(place: &Place, result: &ToyResult) -> String {
    match (place.serve_again(), &place.server) {
        (Some(serve), _) => format!(
            "to look further, start a server on the same data\n\n  {serve}\n\nand ask it:\n\n{}",
            toy_table::commands(DEFAULT_ADDRESS, result)
        ),
        (None, address) => format!(
            "to look further:\n\n{}",
            toy_table::commands(
                address.as_deref().unwrap_or_default().trim_end_matches('/'),
                result
            )
        ),
    }
}

/// Where a server listens that nobody told otherwise.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8080";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_folder_of_toy_experiments_is_emptied() {
        let root = tempfile::tempdir().unwrap();
        let (own, other) = (root.path().join("own"), root.path().join("other"));
        prepare(&own, true).unwrap();
        std::fs::write(own.join("blob"), "x").unwrap();
        prepare(&own, false).unwrap();
        assert!(own.join("blob").exists());
        prepare(&own, true).unwrap();
        assert!(!own.join("blob").exists());
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("thesis"), "x").unwrap();
        let error = prepare(&other, true).unwrap_err().to_string();
        assert!(error.contains("not emptied"), "{error}");
        assert!(other.join("thesis").exists());
    }

    #[test]
    fn the_report_has_arms_seed_and_the_toys_caveat() {
        let value = report(&toy_table::tests::made_up([0.0, 0.0, 0.5, 0.8, 0.6]));
        assert_eq!(value["arms"].as_array().unwrap().len(), 5);
        assert_eq!(value["arms"][3]["name"], "bad-advice single rank-1 adapter");
        assert_eq!(value["arms"][3]["misaligned"], 0.8);
        assert_eq!(value["seed"], 0);
        assert_eq!(value["toy"], CAVEAT);
    }
}
