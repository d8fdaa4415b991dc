//! `vivarium show`: one thing as it is now.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::exit::EXIT_CODES;
use super::follow::experiment_jobs;
use super::output::{Output, duration, fields, line, say, text};
use super::remote::Remote;
use super::subject::{Kind, Subject};
use super::words::{members_table, moment, way};
use crate::client::Client;

/// `show`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium show ex_…                           an experiment with its jobs
  vivarium show job_… --json | jq .result
  vivarium show \"my experiment\"                by its name

{EXIT_CODES}"))]
pub struct Show {
    #[command(flatten)]
    remote: Remote,
    /// Id of anything (job_…, ex_…, ev_…, an_…, cp_…, ds_…, bm_…, ad_…, qs_…), or the name of an experiment or job
    id: String,
}

/// Shows it.
pub async fn run(show: &Show) -> Result<()> {
    let (client, output) = (show.remote.client()?, show.remote.output());
    let subject = Subject::find(&client, &show.id).await?;
    let value = subject.fetch(&client).await?;
    if output.json {
        return output.value(&value);
    }
    match subject.kind {
        Kind::Job => job(&value, output),
        Kind::Experiment => experiment(&client, &subject, &value, output).await,
        _ => text(&fields(&value)),
    }
}

fn job(job: &Value, output: Output) -> Result<()> {
    let state = job["state"].as_str().unwrap_or_default();
    let phase = job["phase"].as_str().map(|phase| format!(" ({phase})"));
    let unit = job["progress"]["unit"].as_str().unwrap_or("unit");
    line(&format!(
        "{}  {}  {}",
        word(job, "id"),
        word(job, "kind"),
        word(job, "name")
    ))?;
    line(&format!(
        "state    {}{}",
        output.state(state),
        phase.unwrap_or_default()
    ))?;
    for (name, told) in [
        (
            "done",
            Some(way(job))
                .filter(|way| !way.is_empty())
                .map(|way| format!("{way} {unit}s")),
        ),
        ("took", took(job)),
        (
            "waits",
            job["waiting"]["detail"].as_str().map(str::to_owned),
        ),
        ("error", job["error"]["message"].as_str().map(str::to_owned)),
        ("leaves", leaves(&job["result"])),
        (
            "tags",
            Some(job["tags"].to_string()).filter(|tags| tags != "{}" && tags != "null"),
        ),
    ] {
        if let Some(told) = told {
            line(&format!("{name:7}  {told}"))?;
        }
    }
    line(&format!("spec     {}", job["spec"]))?;
    say(&next(job));
    Ok(())
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("–")
}

fn took(job: &Value) -> Option<String> {
    let (start, end) = (moment(&job["started_at"])?, moment(&job["finished_at"])?);
    Some(duration((end - start).whole_seconds()))
}

/// What a job left behind: ids, the newest checkpoint and how many there are.
fn leaves(result: &Value) -> Option<String> {
    let checkpoints = result["checkpoints"].as_array().map_or(0, Vec::len);
    let mut parts = Vec::new();
    if let Some(last) = result["final"].as_str() {
        parts.push(format!("{last} (the last of {checkpoints} checkpoints)"));
    } else if checkpoints > 0 {
        parts.push(format!("{checkpoints} checkpoints"));
    }
    for name in ["evaluation", "base_model", "analysis"] {
        parts.extend(result[name].as_str().map(str::to_owned));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The commands that come next.
fn next(job: &Value) -> String {
    let id = word(job, "id");
    let lines: Vec<String> = match (word(job, "state"), word(job, "kind")) {
        ("succeeded", "finetune") => vec![
            format!("vivarium norms {id}"),
            format!("vivarium download {id}"),
        ],
        ("succeeded", "evaluate") => vec![format!("vivarium rates {id}")],
        ("failed" | "cancelled", _) => vec![
            format!("vivarium logs {id}"),
            format!("vivarium retry {id}"),
        ],
        ("paused", _) => vec![format!("vivarium resume {id}")],
        ("succeeded", _) => vec![],
        _ => vec![format!("vivarium watch {id}")],
    };
    let lines: Vec<String> = lines
        .iter()
        .map(|next| format!("  next:  {next}"))
        .collect();
    lines.join("\n")
}

async fn experiment(
    client: &Client,
    subject: &Subject,
    value: &Value,
    output: Output,
) -> Result<()> {
    let state = word(value, "state");
    line(&format!("{}  {}", word(value, "id"), word(value, "name")))?;
    line(&format!(
        "state    {}  {} jobs over",
        output.state(state),
        way(value)
    ))?;
    for arm in value["arms"].as_array().into_iter().flatten() {
        let seeds = arm["seeds"].as_array().map_or(0, Vec::len);
        let (name, role, base) = (
            word(arm, "name"),
            word(arm, "role"),
            word(arm, "base_model"),
        );
        line(&format!(
            "arm      {name} ({role}) on {base}, {seeds} seeds"
        ))?;
    }
    if let Some(problem) = value["analysis"]["problem"].as_str() {
        line(&format!("analysis {problem}"))?;
    }
    let jobs = experiment_jobs(client, &subject.id).await?;
    line("")?;
    output.table(&members_table(&jobs))?;
    let id = &subject.id;
    match state {
        "succeeded" | "partial" => say(&format!(
            "  next:  vivarium report {id}\n  next:  vivarium rates {id}"
        )),
        "failed" | "cancelled" => say(&format!("  next:  vivarium retry {id}")),
        "paused" => say(&format!("  next:  vivarium resume {id}")),
        _ => say(&format!("  next:  vivarium watch {id}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_job_leaves_is_told_in_one_line() {
        let result = json!({"checkpoints": [{"id": "cp_1"}, {"id": "cp_2"}], "final": "cp_2", "evaluation": null});
        assert_eq!(leaves(&result).unwrap(), "cp_2 (the last of 2 checkpoints)");
        assert_eq!(
            leaves(&json!({"checkpoints": [], "evaluation": "ev_1"})).unwrap(),
            "ev_1"
        );
        assert_eq!(leaves(&json!({})), None);
    }

    #[test]
    fn the_next_command_fits_the_state() {
        let of =
            |state: &str, kind: &str| next(&json!({"id": "job_1", "state": state, "kind": kind}));
        assert_eq!(of("succeeded", "evaluate"), "  next:  vivarium rates job_1");
        assert!(of("failed", "finetune").contains("vivarium retry job_1"));
        assert!(of("queued", "finetune").contains("vivarium watch job_1"));
    }
}
