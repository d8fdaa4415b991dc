//! Commands that ask a running server: upload a dataset, submit a job, look at one. Answers are printed as JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::progress::Progress;
use crate::client::Client;
use crate::domain::job::Job;

/// Which server.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// Address of the server
    #[arg(long, value_name = "ADDRESS", default_value = "http://127.0.0.1:8080")]
    server: String,
}

/// `upload`.
#[derive(Debug, Clone, Args)]
pub struct Upload {
    #[command(flatten)]
    remote: Remote,
    /// JSON lines of chats or texts
    file: PathBuf,
    /// Name of the dataset; the file's own without its ending where left out
    #[arg(long)]
    name: Option<String>,
}

/// `submit`.
#[derive(Debug, Clone, Args)]
pub struct Submit {
    #[command(flatten)]
    remote: Remote,
    /// The job as JSON, the body of POST /v1/jobs
    file: PathBuf,
    /// Wait for its end
    #[arg(long)]
    wait: bool,
}

/// `job`.
#[derive(Debug, Clone, Args)]
pub struct Show {
    #[command(flatten)]
    remote: Remote,
    /// The job's id
    id: String,
    /// Wait for its end
    #[arg(long)]
    wait: bool,
}

const POLL: Duration = Duration::from_millis(500);

/// Uploads a file as a dataset and prints what the server found in it.
pub async fn upload(upload: &Upload) -> Result<()> {
    let name = match &upload.name {
        Some(name) => name.clone(),
        None => upload
            .file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    };
    let lines = read(&upload.file)?;
    let client = Client::new(&upload.remote.server)?;
    print(&client.upload_dataset(&name, lines).await?)
}

/// Submits a job and prints it, at once or at its end.
pub async fn submit(submit: &Submit) -> Result<()> {
    let text = read(&submit.file)?;
    let body: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not JSON", submit.file.display()))?;
    let client = Client::new(&submit.remote.server)?;
    let job = client.submit_body(&body).await?;
    print(&end_of(&client, job, submit.wait).await?)
}

/// Prints a job, at once or at its end.
pub async fn show(show: &Show) -> Result<()> {
    let client = Client::new(&show.remote.server)?;
    let job = client.job(&show.id).await?;
    print(&end_of(&client, job, show.wait).await?)
}

async fn end_of(client: &Client, job: Job, wait: bool) -> Result<Job> {
    if !wait {
        return Ok(job);
    }
    let mut line = Progress::new().line(job.name.as_deref().unwrap_or(job.id.as_str()));
    Ok(client
        .wait(job.id.as_str(), POLL, |job| line.see(job))
        .await?)
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn print(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
