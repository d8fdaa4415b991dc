//! `vivarium submit`: a job or an experiment from a file, JSON or YAML.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::board::{Board, Face};
use super::exit::{EXIT_CODES, Ended};
use super::follow::follow;
use super::output::{Output, fields, line, say, text};
use super::remote::{Remote, read, unless_left};
use super::subject::{Kind, Subject};
use super::words::{plan_table, told_refusal};
use crate::client::{Client, ClientError};
use crate::domain::experiment::Document;
use crate::domain::invalid::{FieldError, Invalid};

/// `submit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium submit examples/phase-transition-toy.yaml --dry-run
  vivarium submit examples/phase-transition-toy.yaml --wait
  id=$(vivarium submit job.json)
  jq '.seed = 3' job.json | vivarium submit -

{EXIT_CODES}"))]
pub struct Submit {
    #[command(flatten)]
    remote: Remote,
    /// A job (it has `kind`) or an experiment (it has `arms` or `preset`) as JSON or YAML; - is standard input
    file: PathBuf,
    /// Show what would be done and what it would need; nothing is queued
    #[arg(long)]
    dry_run: bool,
    /// Wait for the end, and fail where the work does
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
}

/// Submits, or tells what submitting would do.
pub async fn run(submit: &Submit) -> Result<()> {
    let document = document(&submit.file)?;
    let kind = kind_of(&document.value)?;
    let (client, output) = (submit.remote.client()?, submit.remote.output());
    if submit.dry_run {
        return tell_plan(&client, kind, &document, output).await;
    }
    let posted = post(&client, &["v1", kind.path()], &[], &document).await?;
    let id = posted["id"].as_str().unwrap_or_default().to_owned();
    let subject = Subject { kind, id };
    tell_accepted(&subject, &posted, submit.wait);
    if !submit.wait {
        return match output.json {
            true => output.value(&posted),
            false => line(&subject.id),
        };
    }
    let goes_on = || left(&subject);
    let mut board = Board::new(Face::beside_data(), output);
    let ended = unless_left(follow(&client, &subject, &mut board), goes_on).await?;
    match output.json {
        true => output.value(&ended.shown)?,
        false => line(&subject.id)?,
    }
    ended.into_result()
}

/// What the file says, with the lines of its places.
pub(super) fn document(file: &Path) -> Result<Document> {
    parsed(&read(file)?, &file.display().to_string())
}

/// The document in a text that comes from `name`.
pub(super) fn parsed(text: &str, name: &str) -> Result<Document> {
    let document = match text.trim_start().starts_with('{') {
        true => json(text),
        false => Document::yaml(text.as_bytes()),
    };
    document.map_err(|invalid| Ended::Usage(told_refusal(name, &invalid)).into())
}

fn json(text: &str) -> Result<Document, Invalid> {
    let value = serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let what = whole.split(" at line ").next().unwrap_or_default();
        FieldError::on_line(error.line() as u64, "", format!("this is not JSON: {what}"))
    })?;
    Ok(Document::of(value))
}

/// A refusal of what the document says, with the lines of its places where they are known.
pub(super) fn located(document: &Document, error: ClientError) -> ClientError {
    match error {
        ClientError::Refused(mut problem) => {
            let errors = &mut problem.errors;
            errors.iter_mut().for_each(|error| document.locate(error));
            ClientError::Refused(problem)
        }
        other => other,
    }
}

/// Whether a body is a job or an experiment.
fn kind_of(body: &Value) -> Result<Kind> {
    let has = |field: &str| body.get(field).is_some();
    match (has("kind"), has("arms") || has("preset")) {
        (true, _) => Ok(Kind::Job),
        (false, true) => Ok(Kind::Experiment),
        (false, false) => {
            let detail = "this is neither a job, which has the field \"kind\", nor an experiment, which has \"arms\" or \"preset\"";
            Err(Ended::Usage(detail.into()).into())
        }
    }
}

/// What goes on when somebody leaves.
pub(super) fn left(subject: &Subject) -> String {
    let (word, id) = (subject.kind.word(), &subject.id);
    format!(
        "left; the {word} goes on at the server\n  look again:  vivarium watch {id}\n  end it:      vivarium cancel {id}"
    )
}

fn tell_accepted(subject: &Subject, posted: &Value, waits: bool) {
    let (word, id) = (subject.kind.word(), &subject.id);
    let state = posted["state"].as_str().unwrap_or("accepted");
    match posted["deduplicated"].as_bool() {
        Some(true) => say(&format!("the same work exists: {word} {id} ({state})")),
        _ => say(&format!("{word} {id} is {state}")),
    }
    if !waits {
        say(&format!(
            "  follow it:   vivarium watch {id}\n  look at it:  vivarium show {id}"
        ));
    }
}

/// Posts a document; a refusal names its lines.
pub(super) async fn post(
    client: &Client,
    path: &[&str],
    query: &[(&str, &str)],
    document: &Document,
) -> Result<Value> {
    let posted = client.post(path, query, Some(&document.value)).await;
    Ok(posted.map_err(|error| located(document, error))?)
}

async fn tell_plan(client: &Client, kind: Kind, document: &Document, output: Output) -> Result<()> {
    let dry: &[_] = &[("dry_run", "true")];
    let (path, query): (&[&str], &[_]) = match kind {
        Kind::Experiment => (&["v1", "experiments"], dry),
        _ => (&["v1", "jobs", "estimate"], &[]),
    };
    let plan = post(client, path, query, document).await?;
    if output.json {
        return output.value(&plan);
    }
    match plan_table(&plan) {
        Some(table) => {
            output.table(&table)?;
            text(&fields(&without(&plan, &["jobs", "plan", "spec"])))
        }
        None => text(&fields(&plan)),
    }
}

/// An object less some fields.
fn without(value: &Value, names: &[&str]) -> Value {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| !names.contains(&name.as_str()));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_has_a_kind_and_an_experiment_arms_or_a_preset() {
        assert_eq!(kind_of(&json!({"kind": "finetune"})).unwrap(), Kind::Job);
        assert_eq!(kind_of(&json!({"arms": []})).unwrap(), Kind::Experiment);
        assert_eq!(
            kind_of(&json!({"kind": "finetune", "preset": "x"})).unwrap(),
            Kind::Job
        );
        assert_eq!(kind_of(&json!({"preset": "x"})).unwrap(), Kind::Experiment);
        assert!(kind_of(&json!({"name": "x"})).is_err());
        assert!(kind_of(&json!([1])).is_err());
    }

    #[test]
    fn a_refused_field_is_told_with_its_line_in_the_file() {
        let document =
            parsed("name: x\narms:\n  - name: bad\n    seeds: [-1]\n", "x.yaml").unwrap();
        let problem = json!({"title": "Invalid body", "status": 422, "detail": "1 field is wrong",
            "errors": [{"pointer": "/arms/0/seeds", "detail": "-1 is below 0", "hint": "give 0 or more"}]});
        let refused = ClientError::Refused(Box::new(serde_json::from_value(problem).unwrap()));
        let told = located(&document, refused).to_string();
        assert!(
            told.ends_with("\n  line 4: /arms/0/seeds: -1 is below 0 (give 0 or more)"),
            "{told}"
        );
    }

    #[test]
    fn a_text_that_cannot_be_read_is_told_by_file_and_line() {
        let error = parsed("{\"a\": 1,\n\"b\" 2}", "x.json").unwrap_err();
        assert!(
            error.to_string().contains("line 2: this is not JSON"),
            "{error}"
        );
        let error = parsed("a: 1\na: 2\n", "x.yaml").unwrap_err().to_string();
        assert!(
            error.starts_with("x.yaml is refused:\n  line 2: "),
            "{error}"
        );
    }
}
