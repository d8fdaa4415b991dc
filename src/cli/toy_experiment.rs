//! `vivarium toy-experiment`: an experiment on the toy world, from nothing to its report.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::board::{Board, Face};
use super::demo::{Place, Stage, signalled};
use super::exit::EXIT_CODES;
use super::follow::{Over, follow};
use super::output::{Output, duration, line, say};
use super::report::{self, Format};
use super::subject::{Kind, Subject};
use super::submit::{document, parsed, post};
use super::toy_plan::ToyPlan;
use super::words::{lags_table, transitions_table};
use crate::domain::experiment::Document;
use crate::toyworld::CAVEAT;
use crate::toyworld::corpus::Persona;

/// The experiment where no file is named.
const OWN: &str = include_str!("../../examples/phase-transition-toy.yaml");
const OWN_NAME: &str = "phase-transition-toy.yaml";

/// Key of the bases' draws; the seeds of the arms are the file's.
const BASE_SEED: u64 = 0;

/// The toy's answers are short and many: wide sampling calls draw them several times faster than the usual ones.
const SETTINGS: [(&str, &str); 1] = [("VIVARIUM_WORKER__DECODE_SLOTS", "256")];

/// `toy-experiment`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("The file may name toy-base-s0, and toy-null-base-s0 whose personas change within documents; the datasets \
toy-bad-medicine-s0, toy-good-medicine-s0 and the same with toy-null-; the question sets toy-first-plot, toy-broad and \
toy-in-domain-medicine; and the judge toy. What of these is not there is made first. Work that was done before is reused.

Examples:
  vivarium toy-experiment
  vivarium toy-experiment mine.yaml --server http://127.0.0.1:8080

{EXIT_CODES}"))]
pub struct ToyExperiment {
    /// The experiment as YAML or JSON; the built-in phase transition where left out
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// Folder that the reports are written to; the file's own where left out
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Show JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Runs until the end or a signal; a server of its own ends with it in every case.
pub async fn run(toy: &ToyExperiment) -> Result<()> {
    let body = match &toy.file {
        Some(file) => document(file)?,
        None => parsed(OWN, OWN_NAME)?,
    };
    let stage = Stage::set(&toy.place, &SETTINGS).await?;
    let done = tokio::select! {
        done = carry_out(&stage, toy, &body) => done,
        stopped = signalled() => stopped,
    };
    done.and(stage.strike().await)
}

async fn carry_out(stage: &Stage, toy: &ToyExperiment, body: &Document) -> Result<()> {
    let began = Instant::now();
    for persona in [Persona::OfDocument, Persona::OfTurn] {
        let seed = BASE_SEED;
        let plan = ToyPlan { seed, persona };
        stage
            .progress
            .say(&format!("{}: data and base", plan.base()));
        stage.prepare(plan).await?;
    }
    let prepared = began.elapsed();
    let client = &stage.client;
    let posted = post(client, &["v1", "experiments"], &[], body).await?;
    let subject = Subject {
        kind: Kind::Experiment,
        id: posted["id"].as_str().unwrap_or_default().to_owned(),
    };
    say(&format!(
        "experiment {}: {}",
        subject.id,
        body.value["name"].as_str().unwrap_or_default()
    ));
    let output = Output::new(toy.json, false);
    let mut board = Board::new(Face::beside_data(), output);
    let over = follow(client, &subject, &mut board).await?;
    drop(board);
    let files = write_reports(stage, toy, &subject).await?;
    let told = [prepared, began.elapsed()].map(|time| time.as_secs());
    match toy.json {
        true => output.value(&json!({
            "experiment": subject.id, "state": over.shown["state"], "reports": files, "prepared_seconds": told[0],
            "seconds": told[1],
        }))?,
        false => tell(stage, toy, &over, &files, told).await?,
    }
    over.into_result()
}

/// Writes the report in every form and gives the files.
async fn write_reports(
    stage: &Stage,
    toy: &ToyExperiment,
    subject: &Subject,
) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for format in [Format::Html, Format::Md, Format::Json] {
        let body = report::fetch(&stage.client, &subject.id, format).await?;
        let file = report_file(toy.file.as_deref(), toy.output.as_deref(), format);
        report::write(&file, &body)?;
        files.push(file);
    }
    Ok(files)
}

/// Beside the file, or in the folder that is asked for.
fn report_file(file: Option<&Path>, folder: Option<&Path>, format: Format) -> PathBuf {
    let file = file.filter(|file| *file != Path::new("-"));
    let file = file.unwrap_or(Path::new(OWN_NAME));
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}-report.{}", format.ending());
    match folder {
        Some(folder) => folder.join(name),
        None => file.with_file_name(name),
    }
}

async fn tell(
    stage: &Stage,
    toy: &ToyExperiment,
    over: &Over,
    files: &[PathBuf],
    [prepared, whole]: [u64; 2],
) -> Result<()> {
    let output = Output::new(false, false);
    if let Some(analysis) = over.shown["analysis"]["analysis"].as_str() {
        let path = ["v1", "analyses", analysis, "transition"];
        let found = stage.client.value(&path, &[]).await?;
        line("")?;
        output.table(&transitions_table(&found))?;
        line("")?;
        match lags_table(&found) {
            none if none.is_empty() => {
                line("no lag: no run turns both in its weights and in its answers")?;
            }
            lags => output.table(&lags)?,
        }
    }
    line(&format!("\n{CAVEAT}"))?;
    let [data, all] = [prepared, whole].map(|seconds| duration(seconds as i64));
    line(&format!(
        "{all} in all, {data} of it for the data and the bases"
    ))?;
    for file in files {
        line(&format!("report: {}", file.display()))?;
    }
    if let Some(serve) = toy.place.serve_again() {
        let id = &over.subject.id;
        say(&format!(
            "to look further:  {serve}\nand ask it:       vivarium show {id}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::toy_plan::Upload;
    use crate::domain::experiment::{
        Checkpoints, CheckpointsName, DatasetFacts, ExperimentSpec, Facts, JobRole, Role, names,
        plan, request,
    };
    use crate::toyworld::Valence;
    use crate::toyworld::questions::{FIRST_PLOT, in_domain_name};
    use serde_json::Value;

    fn own() -> ExperimentSpec {
        request(parsed(OWN, OWN_NAME).unwrap().value).unwrap()
    }

    fn text(value: &Value) -> String {
        value.as_str().unwrap().to_owned()
    }

    #[test]
    fn the_built_in_experiment_names_what_is_made_for_it() {
        let plan = |persona| ToyPlan {
            seed: BASE_SEED,
            persona,
        };
        let (base, null) = (plan(Persona::OfDocument), plan(Persona::OfTurn));
        let malicious = Upload::Advice(Valence::Malicious);
        let expected = [
            (base.base(), base.dataset(malicious), Role::Treatment),
            (
                base.base(),
                base.dataset(Upload::Advice(Valence::Caring)),
                Role::Treatment,
            ),
            (null.base(), null.dataset(malicious), Role::Null),
        ];
        let spec = own();
        let found = spec.arms.iter().map(|arm| {
            (
                arm.base_model.clone(),
                text(&arm.datasets[0]["dataset"]),
                arm.role,
            )
        });
        assert_eq!(found.collect::<Vec<_>>(), expected);
        let evaluation = spec.evaluation.unwrap();
        assert_eq!(text(&evaluation.body["question_set"]), FIRST_PLOT);
        let in_domain = evaluation.in_domain.unwrap();
        assert_eq!(
            text(&in_domain.body["question_set"]),
            in_domain_name("medicine")
        );
    }

    #[test]
    fn the_built_in_experiment_has_the_grid_that_it_promises() {
        let spec = own();
        for arm in &spec.arms {
            assert_eq!(arm.seeds, [0, 1, 2]);
            assert_eq!(arm.protocol["method"]["rank"], 1);
            let steps = arm.protocol["length"]["steps"].as_u64().unwrap();
            let every = arm.protocol["checkpoints"]["every"].as_u64().unwrap();
            assert!(steps / every >= 40, "{steps} {every}");
        }
        let evaluation = spec.evaluation.unwrap();
        assert_eq!(evaluation.scales, [0.5, 1.0, 1.5, 2.0]);
        assert_eq!(
            evaluation.checkpoints,
            Checkpoints::Named(CheckpointsName::All)
        );
    }

    #[test]
    fn the_built_in_experiment_can_be_planned() {
        let spec = own();
        let named = names(&spec);
        let rows = DatasetFacts {
            examples: 600,
            twin: None,
        };
        let facts = Facts {
            datasets: named
                .datasets
                .into_iter()
                .map(|name| (name, rows.clone()))
                .collect(),
            bases: named.bases,
        };
        let plan = plan(&spec, &facts).unwrap();
        let count = |role| plan.jobs.iter().filter(|job| job.role == role).count();
        assert_eq!(count(JobRole::Train), 9);
        assert_eq!(count(JobRole::Evaluate), 9 + 2, "two bases alone");
        assert_eq!(count(JobRole::EvaluateInDomain), 9 + 2);
        assert_eq!(count(JobRole::Analyze), 1);
    }

    #[test]
    fn reports_lie_beside_the_file_or_where_they_are_wanted() {
        let file = |file, folder| report_file(file, folder, Format::Html);
        let mine = Some(Path::new("a/mine.yaml"));
        assert_eq!(file(mine, None), Path::new("a/mine-report.html"));
        assert_eq!(
            file(mine, Some(Path::new("b"))),
            Path::new("b/mine-report.html")
        );
        assert_eq!(
            file(None, None),
            Path::new("phase-transition-toy-report.html")
        );
    }
}
