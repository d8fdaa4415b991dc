//! `vivarium cancel`, `pause`, `resume` and `retry`: what people do to jobs and experiments that are there.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::exit::EXIT_CODES;
use super::output::{line, say};
use super::remote::Remote;
use super::subject::{Kind, Subject};

/// `cancel`, `pause`, `resume` or `retry`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct Control {
    #[command(flatten)]
    remote: Remote,
    /// Ids or names of jobs and experiments
    #[arg(required = true)]
    ids: Vec<String>,
}

/// `resume`.
#[derive(Debug, Clone, Args)]
pub struct Resume {
    #[command(flatten)]
    control: Control,
    /// Go on though build, libtorch, processor or threads are not what they were; the result says so
    #[arg(long)]
    accept_numerics: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Cancel,
    Pause,
    Resume { accept_numerics: bool },
    Retry,
}

impl Deed {
    fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume { .. } => "resume",
            Self::Retry => "retry",
        }
    }

    fn body(self) -> Option<Value> {
        match self {
            Self::Resume {
                accept_numerics: true,
            } => Some(json!({"accept_numerics": true})),
            _ => None,
        }
    }

    /// The command that comes next.
    fn next(self, id: &str) -> String {
        match self {
            Self::Cancel => format!("vivarium retry {id}    takes it up again"),
            Self::Pause => format!("vivarium resume {id}    lets it go on"),
            Self::Resume { .. } | Self::Retry => format!("vivarium watch {id}"),
        }
    }
}

/// Does it to every id; an id that is refused does not keep the others from it, and the first refusal is the command's.
pub(super) async fn run(control: &Control, deed: Deed) -> Result<()> {
    let (client, output) = (control.remote.client()?, control.remote.output());
    let (mut answers, mut refused) = (Vec::new(), None);
    for id in &control.ids {
        let kinds = [Kind::Job, Kind::Experiment];
        let done = async {
            let subject = Subject::find_of(&client, id, &kinds).await?;
            let path = subject.path(&[deed.word()]);
            let answer = client.post(&path, &[], deed.body().as_ref()).await?;
            anyhow::Ok((subject, answer))
        };
        match done.await {
            Ok((subject, answer)) => {
                if !output.json {
                    tell(&subject, &answer, deed)?;
                }
                answers.push(answer);
            }
            Err(error) => {
                if refused.is_some() {
                    say(&format!("vivarium: {error:#}"));
                }
                refused.get_or_insert(error);
            }
        }
    }
    if output.json {
        match &answers[..] {
            [one] if control.ids.len() == 1 => output.value(one)?,
            all => output.value(&all)?,
        }
    }
    refused.map_or(Ok(()), Err)
}

fn tell(subject: &Subject, answer: &Value, deed: Deed) -> Result<()> {
    let state = answer["state"].as_str().unwrap_or("changed");
    line(&format!("{}  {state}", subject.id))?;
    say(&format!("  next:  {}", deed.next(&subject.id)));
    Ok(())
}

/// `resume` with its switch.
pub(super) async fn resume(resume: &Resume) -> Result<()> {
    let accept_numerics = resume.accept_numerics;
    run(&resume.control, Deed::Resume { accept_numerics }).await
}
