//! `vivarium report`: what an experiment found, as text, as a page, or as JSON.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::exit::{EXIT_CODES, Ended};
use super::output::{say, text};
use super::remote::Remote;
use super::subject::{Kind, Subject};
use crate::client::Client;

/// `report`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium report ex_… | less
  vivarium report ex_… -o report.html          the form follows the ending: .md, .html, .json
  vivarium report ex_… --json | jq .transitions

{EXIT_CODES}"))]
pub struct Report {
    #[command(flatten)]
    remote: Remote,
    /// Id or name of an experiment
    id: String,
    /// Form; by the file's ending, or md, where left out
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// File that it is written to; standard output where left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Md,
    Html,
    Json,
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::Md => "text/markdown",
            Self::Html => "text/html",
            Self::Json => "application/json",
        }
    }

    /// The ending of its files.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Md => "md",
            Self::Html => "html",
            Self::Json => "json",
        }
    }

    fn of_file(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "md" | "markdown" => Some(Self::Md),
            "html" | "htm" => Some(Self::Html),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Writes a report.
pub async fn run(report: &Report) -> Result<()> {
    let client = report.remote.client()?;
    let subject = Subject::find_of(&client, &report.id, &[Kind::Experiment]).await?;
    let format = chosen(report)?;
    let body = fetch(&client, &subject.id, format).await?;
    match report
        .output
        .as_deref()
        .filter(|file| *file != Path::new("-"))
    {
        Some(file) => {
            write(file, &body)?;
            say(&format!("{} is written", file.display()));
            Ok(())
        }
        None => {
            let page = format == Format::Html && std::io::stdout().is_terminal();
            if page {
                let detail =
                    "a page is nothing to read on a terminal; give it a file with -o report.html";
                return Err(Ended::Usage(detail.into()).into());
            }
            text(&body)
        }
    }
}

fn chosen(report: &Report) -> Result<Format> {
    if report.remote.output().json {
        return match report.format {
            None | Some(Format::Json) => Ok(Format::Json),
            Some(_) => {
                Err(Ended::Usage("--json and another --format contradict each other".into()).into())
            }
        };
    }
    let by_file = report.output.as_deref().and_then(Format::of_file);
    Ok(report.format.or(by_file).unwrap_or(Format::Md))
}

/// The report of an experiment in a form.
pub(super) async fn fetch(client: &Client, experiment: &str, format: Format) -> Result<String> {
    let path = ["v1", "experiments", experiment, "report"];
    let query = [("format", format.ending())];
    Ok(client.text(&path, &query, format.media_type()).await?)
}

/// Writes a file aside and gives it its name when it is whole.
pub(super) fn write(file: &Path, body: &str) -> Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let written = std::fs::write(&part, body).and_then(|()| std::fs::rename(&part, file));
    written.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn format(arguments: &[&str]) -> Result<Format> {
        let all = ["vivarium", "report", "ex_1"].iter().chain(arguments);
        match Cli::parse_from(all).command {
            Command::Report(report) => chosen(&report),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_form_is_what_is_asked_for_else_the_files_else_markdown() {
        assert_eq!(format(&[]).unwrap(), Format::Md);
        assert_eq!(format(&["-o", "x.html"]).unwrap(), Format::Html);
        assert_eq!(
            format(&["-o", "x.html", "--format", "md"]).unwrap(),
            Format::Md
        );
        assert_eq!(format(&["--json"]).unwrap(), Format::Json);
        assert!(format(&["--json", "--format", "html"]).is_err());
    }
}
