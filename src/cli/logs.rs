//! `vivarium logs`: what happened to a job, or to the jobs of an experiment, and what happens.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::exit::EXIT_CODES;
use super::follow::experiment_jobs;
use super::output::{cell, line};
use super::remote::{Remote, unless_left};
use super::subject::{Kind, Subject};
use super::submit::left;
use crate::client::{Client, ClientError};

/// Pause between two looks at the jobs of an experiment, and before a stream that broke is opened again.
const LOOK: Duration = Duration::from_secs(1);
/// Times in a row that a stream may break without a message.
const BREAKS: u32 = 10;
/// Events that are asked for at once.
const PAGE: &str = "200";

/// `logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("Examples:
  vivarium logs job_…
  vivarium logs ex_… --follow
  vivarium logs job_… --json | jq -r 'select(.type == \"checkpoint\")'

{EXIT_CODES}"))]
pub struct Logs {
    #[command(flatten)]
    remote: Remote,
    /// Id or name of a job or an experiment
    id: String,
    /// Go on until the work has ended
    #[arg(long, short)]
    follow: bool,
}

/// Shows events, oldest first.
pub async fn run(logs: &Logs) -> Result<()> {
    let client = logs.remote.client()?;
    let kinds = [Kind::Job, Kind::Experiment];
    let subject = Subject::find_of(&client, &logs.id, &kinds).await?;
    let json = logs.remote.output().json;
    let work = async {
        match (subject.kind, logs.follow) {
            (Kind::Experiment, follow) => of_experiment(&client, &subject, json, follow).await,
            (_, true) => stream(&client, &subject.id, json).await,
            (_, false) => {
                for event in events(&client, &subject.id, &mut None).await? {
                    show(&event, None, json)?;
                }
                Ok(())
            }
        }
    };
    unless_left(work, || left(&subject)).await
}

/// Every event behind `after`, which is moved to the last one.
async fn events(client: &Client, job: &str, after: &mut Option<String>) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    loop {
        let mut query = vec![("limit", PAGE)];
        query.extend(after.iter().map(|id| ("after", id.as_str())));
        let page = client.value(&["v1", "jobs", job, "events"], &query).await?;
        let items = page["data"].as_array().cloned().unwrap_or_default();
        let last = items.last().map(|event| event["id"].to_string());
        found.extend(items);
        *after = last.or(after.take());
        if !page["has_more"].as_bool().unwrap_or(false) {
            return Ok(found);
        }
    }
}

/// Follows one job; a stream that breaks goes on behind the last event seen.
async fn stream(client: &Client, job: &str, json: bool) -> Result<()> {
    let (mut last, mut breaks): (Option<String>, u32) = (None, 0);
    loop {
        let before = last.clone();
        match read_stream(client, job, json, &mut last).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if breaks < BREAKS && may_pass(&error) => {}
            Err(error) => return Err(error),
        }
        breaks = if last == before { breaks + 1 } else { 0 };
        tokio::time::sleep(LOOK).await;
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<ClientError>();
    error.is_some_and(ClientError::may_pass)
}

/// Whether the stream came to the job's end.
async fn read_stream(
    client: &Client,
    job: &str,
    json: bool,
    last: &mut Option<String>,
) -> Result<bool> {
    let mut messages = client.events(job, last.as_deref()).await?;
    while let Some(message) = messages.next().await? {
        if message.event == "end" {
            return Ok(true);
        }
        show(&message.json(job)?, None, json)?;
        *last = message.id.or(last.take());
    }
    Ok(false)
}

/// Events of all jobs in the order in which they happened.
async fn of_experiment(client: &Client, subject: &Subject, json: bool, follow: bool) -> Result<()> {
    let mut seen: BTreeMap<String, Option<String>> = BTreeMap::new();
    loop {
        // the state is read first, so that the last round has every event
        let state = subject.fetch(client).await?["state"].clone();
        let mut found = Vec::new();
        for job in experiment_jobs(client, &subject.id).await? {
            let (id, key) = (cell(&job["job"]), cell(&job["key"]));
            let after = seen.entry(id.clone()).or_default();
            let events = events(client, &id, after).await?;
            found.extend(events.into_iter().map(|event| (key.clone(), event)));
        }
        found.sort_by_key(|(_, event)| event["id"].as_i64());
        for (key, event) in &found {
            show(event, Some(key), json)?;
        }
        let state = state.as_str().unwrap_or_default();
        if !follow || matches!(state, "succeeded" | "failed" | "cancelled" | "partial") {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(event: &Value, key: Option<&str>, json: bool) -> Result<()> {
    match json {
        true => line(&event.to_string()),
        false => line(&told(event, key)),
    }
}

/// An event on a line: when, of which job, what, with which values.
fn told(event: &Value, key: Option<&str>) -> String {
    let at = cell(&event["at"]);
    let at = at.get(..19).map_or(at.clone(), |at| at.replace('T', " "));
    let key = key.map(|key| format!("{key}  ")).unwrap_or_default();
    let data = event["data"].as_object();
    let data = data
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null());
    let data: String = data
        .map(|(name, value)| format!(" {name}={}", cell(value)))
        .collect();
    format!("{at}  {key}{}{data}", cell(&event["type"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({"id": 7, "job": "job_1", "at": "2025-06-13T10:00:05.123Z", "type": "checkpoint",
            "data": {"step": 5, "id": "cp_1", "note": null}});
        assert_eq!(
            told(&event, None),
            "2025-06-13 10:00:05  checkpoint id=cp_1 step=5"
        );
        assert!(told(&event, Some("train/bad/0")).contains("  train/bad/0  checkpoint"));
    }
}
