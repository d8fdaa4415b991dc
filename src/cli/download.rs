//! `vivarium download`: checkpoints and adapters in PEFT's layout, vectors, an experiment's bundle. Whole files or none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::exit::{EXIT_CODES, Ended};
use super::output::{bytes, line, say};
use super::remote::{Remote, unless_left};
use super::subject::{Kind, Subject};
use crate::client::{Client, Download as Request, Fetched};
use crate::domain::assets::FileEntry;

/// Pause before a broken download goes on.
const PAUSE: Duration = Duration::from_millis(500);

/// `download`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Files come with another name, are checked against the SHA-256 that the server names, and are renamed when \
they are whole. What is there already is not fetched again; a download that broke off goes on where it was.

Examples:
  vivarium download cp_…                       a folder that peft.PeftModel.from_pretrained reads
  vivarium download job_… --step 30 -o organism
  vivarium download job_… --all                every kept checkpoint, a folder each
  vivarium download job_… --vectors            the vectors of rank-1 pairs at every step
  vivarium download ex_…                       the bundle; vivarium verify checks it

{EXIT_CODES}"))]
pub struct Download {
    #[command(flatten)]
    remote: Remote,
    /// A checkpoint, an adapter, a fine-tune (its last checkpoint), or an experiment (its bundle)
    id: String,
    /// This step's checkpoint of a fine-tune
    #[arg(long, conflicts_with_all = ["all", "vectors"])]
    step: Option<u64>,
    /// Every kept checkpoint of a fine-tune
    #[arg(long, conflicts_with = "vectors")]
    all: bool,
    /// The vectors of a fine-tune's rank-1 pairs
    #[arg(long)]
    vectors: bool,
    /// Folder, or for vectors and bundles the file; named after the id where left out
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// One file to fetch.
struct Item {
    path: Vec<String>,
    entry: Option<FileEntry>,
    to: PathBuf,
}

/// Downloads.
pub async fn run(download: &Download) -> Result<()> {
    let client = download.remote.client()?;
    let kinds = [Kind::Checkpoint, Kind::Adapter, Kind::Job, Kind::Experiment];
    let subject = Subject::find_of(&client, &download.id, &kinds).await?;
    if subject.kind != Kind::Job && (download.step.is_some() || download.all || download.vectors) {
        let detail =
            "--step, --all and --vectors choose among what a fine-tune left: give a job's id";
        return Err(Ended::Usage(detail.into()).into());
    }
    let goes_on =
        || "left; what came so far is kept, the same command goes on from there".to_owned();
    let json = download.remote.output().json;
    let work = async {
        let items = items(&client, &subject, download).await?;
        let mut told = Vec::new();
        for item in &items {
            let fetched = fetch(&client, item).await?;
            told.push(tell(item, &fetched, json)?);
        }
        match json {
            true => line(&serde_json::to_string_pretty(&told)?),
            false => Ok(()),
        }
    };
    unless_left(work, goes_on).await
}

async fn items(client: &Client, subject: &Subject, download: &Download) -> Result<Vec<Item>> {
    let named = |ending: &str| {
        let own = PathBuf::from(format!("{}{ending}", subject.id));
        download.output.clone().unwrap_or(own)
    };
    let whole = |more: &[&str], to: PathBuf| Item {
        path: subject.path(more).into_iter().map(str::to_owned).collect(),
        entry: None,
        to,
    };
    match subject.kind {
        Kind::Experiment => Ok(vec![whole(&["bundle"], named(".zip"))]),
        Kind::Job if download.vectors => {
            Ok(vec![whole(&["vectors"], named("-vectors.safetensors"))])
        }
        Kind::Job => of_job(client, subject, download).await,
        _ => {
            let shown = subject.fetch(client).await?;
            files(
                subject.kind.path(),
                &subject.id,
                &shown["files"],
                &named(""),
            )
        }
    }
}

async fn of_job(client: &Client, subject: &Subject, download: &Download) -> Result<Vec<Item>> {
    let kept = client.value(&subject.path(&["checkpoints"]), &[]).await?;
    let kept = kept["data"].as_array().cloned().unwrap_or_default();
    let mut kept: Vec<Value> = kept
        .into_iter()
        .filter(|one| one["retired"] != true)
        .collect();
    kept.sort_by_key(|one| one["step"].as_u64());
    let steps: Vec<u64> = kept.iter().filter_map(|one| one["step"].as_u64()).collect();
    let wanted: Vec<&Value> = match (download.all, download.step) {
        (true, _) => kept.iter().collect(),
        (false, Some(step)) => kept.iter().filter(|one| one["step"] == step).collect(),
        (false, None) => kept.last().into_iter().collect(),
    };
    if wanted.is_empty() {
        return Err(Ended::NotFound(no_checkpoint(&subject.id, download.step, &steps)).into());
    }
    let mut items = Vec::new();
    for one in wanted {
        let (id, step) = (one["id"].as_str().unwrap_or_default(), &one["step"]);
        let own = || PathBuf::from(format!("{}-step{step}", subject.id));
        let folder = match (&download.output, download.all) {
            (Some(folder), true) => folder.join(format!("step{step}")),
            (Some(folder), false) => folder.clone(),
            (None, _) => own(),
        };
        items.extend(files("checkpoints", id, &one["files"], &folder)?);
    }
    Ok(items)
}

fn no_checkpoint(job: &str, step: Option<u64>, steps: &[u64]) -> String {
    let listed: Vec<String> = steps.iter().map(u64::to_string).collect();
    match (step, listed.is_empty()) {
        (Some(step), false) => format!(
            "{job} has no checkpoint of step {step}; it has {}",
            listed.join(", ")
        ),
        _ => format!("{job} has no checkpoint yet; vivarium show {job} tells how far it is"),
    }
}

/// The files of a checkpoint or an adapter.
fn files(list: &str, id: &str, files: &Value, folder: &Path) -> Result<Vec<Item>> {
    let entries: Vec<FileEntry> = serde_json::from_value(files.clone())
        .context("the server lists files in an unknown form")?;
    let item = |entry: FileEntry| {
        // a name decides where bytes go on this machine
        let plain = Path::new(&entry.name)
            .file_name()
            .is_some_and(|name| name == entry.name.as_str());
        if !plain {
            anyhow::bail!(
                "the server names a file \"{}\", which is no plain name",
                entry.name.escape_debug()
            );
        }
        let path = ["v1", list, id, "files", &entry.name];
        Ok(Item {
            path: path.into_iter().map(str::to_owned).collect(),
            to: folder.join(&entry.name),
            entry: Some(entry),
        })
    };
    entries.into_iter().map(item).collect()
}

async fn fetch(client: &Client, item: &Item) -> Result<Fetched> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{prefix} {bar:24} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(item.to.display().to_string());
    let request = Request {
        path: item.path.iter().map(String::as_str).collect(),
        query: Vec::new(),
        expected: item.entry.as_ref(),
        to: &item.to,
        pause: PAUSE,
    };
    let mut seen = |done: u64, total: Option<u64>| {
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    };
    let fetched = client.download(&request, &mut seen).await;
    bar.finish_and_clear();
    Ok(fetched?)
}

/// Says what became of a file; gives it as JSON.
fn tell(item: &Item, fetched: &Fetched, json: bool) -> Result<Value> {
    if !json {
        line(&item.to.display().to_string())?;
        let how = match (fetched.received, fetched.checked) {
            (0, _) if fetched.bytes > 0 => "was there already, its SHA-256 is right",
            (_, true) => "SHA-256 checked",
            (_, false) => "no SHA-256 is told for it",
        };
        say(&format!("  {}, {how}", bytes(fetched.bytes)));
    }
    Ok(json!({
        "file": item.to, "bytes": fetched.bytes, "received": fetched.received, "sha256": fetched.sha256,
        "checked": fetched.checked,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let of = |name: &str| {
            let list = json!([{"name": name, "sha256": "00", "bytes": 1}]);
            files("checkpoints", "cp_1", &list, Path::new("to"))
        };
        assert_eq!(
            of("adapter_config.json").unwrap()[0].to,
            Path::new("to/adapter_config.json")
        );
        for name in ["../x", "/etc/x", "a/b", "..", ""] {
            assert!(of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_step_that_is_not_kept_is_told_with_those_that_are() {
        let told = no_checkpoint("job_1", Some(7), &[5, 10]);
        assert_eq!(told, "job_1 has no checkpoint of step 7; it has 5, 10");
        assert!(no_checkpoint("job_1", None, &[]).contains("no checkpoint yet"));
    }
}
