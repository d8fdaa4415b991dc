//! Which server a command asks, and how a command is left while it waits.

use std::future::Future;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::exit::Ended;
use super::output::Output;
use crate::client::Client;
use crate::domain::nearest::nearest;

/// Which server, and how its answers are shown.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// Address of the server
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "VIVARIUM_SERVER",
        default_value = "http://127.0.0.1:8080"
    )]
    server: String,
    /// Show JSON, for programs
    #[arg(long)]
    json: bool,
    /// Show no colours; the variable NO_COLOR does the same
    #[arg(long)]
    no_color: bool,
}

impl Remote {
    /// A connection to the server.
    pub(super) fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.server)?)
    }

    /// How data is shown.
    pub(super) fn output(&self) -> Output {
        Output::new(self.json, self.no_color)
    }
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

/// Uploads a file as a dataset and shows what the server found in it.
pub async fn upload(upload: &Upload) -> Result<()> {
    let own = upload.file.file_stem().unwrap_or_default();
    let name = match &upload.name {
        Some(name) => name.clone(),
        None => own.to_string_lossy().into_owned(),
    };
    let lines = read(&upload.file)?;
    let client = upload.remote.client()?;
    upload
        .remote
        .output()
        .value(&client.upload_dataset(&name, lines).await?)
}

/// The text of a file, or of standard input where it is `-`.
///
/// *Errors* name the file, and the ones beside it that may be meant.
pub(super) fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let text = std::io::read_to_string(std::io::stdin());
        return text.context("cannot read standard input");
    }
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ended::Usage(no_file(file)).into(),
        _ => anyhow::Error::from(error).context(format!("cannot read {}", file.display())),
    })
}

fn no_file(file: &Path) -> String {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let word = file.file_name().unwrap_or_default().to_string_lossy();
    let near = nearest(&word, names.iter().map(String::as_str));
    let hint = match near.is_empty() {
        true => String::new(),
        false => format!("; did you mean {}?", near.join(" or ")),
    };
    format!("there is no file {}{hint}", file.display())
}

/// Does `work`; Ctrl-C ends it at once with what `goes_on`.
pub(super) async fn unless_left<T>(
    work: impl Future<Output = Result<T>>,
    goes_on: impl Fn() -> String,
) -> Result<T> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Ended::Interrupted(goes_on()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_suggests_its_neighbour() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("experiment.yaml"), "x").unwrap();
        let error = read(&folder.path().join("experimnet.yaml")).unwrap_err();
        assert!(
            error.to_string().ends_with("did you mean experiment.yaml?"),
            "{error}"
        );
        assert_eq!(super::super::exit::number(&error), 2);
    }
}
