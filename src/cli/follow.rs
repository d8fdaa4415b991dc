//! Follows a job or an experiment to its end, through moments in which the server does not answer.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::board::{Board, JobLine};
use super::exit::Ended;
use super::subject::{Kind, Subject};
use crate::client::{Client, ClientError};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long a server may be away before it is given up.
const AWAY: Duration = Duration::from_secs(180);
/// Ends that a message lists.
const LISTED: usize = 8;

/// Work that will not change by itself any more.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) subject: Subject,
    /// The job or experiment as the server shows it.
    pub(super) shown: Value,
    pub(super) jobs: Vec<JobLine>,
}

/// Shows every change until the end.
///
/// *Errors* a refusal, a server that is away for longer than some minutes.
pub(super) async fn follow(client: &Client, subject: &Subject, board: &mut Board) -> Result<Over> {
    let mut shown = subject.fetch(client).await?;
    loop {
        let jobs = match subject.kind {
            Kind::Experiment => patiently(board, || experiment_jobs(client, &subject.id)).await?,
            _ => vec![shown.clone()],
        };
        let jobs: Vec<JobLine> = jobs.iter().map(JobLine::of).collect();
        board.show(&jobs)?;
        if is_over(&shown) {
            return Ok(Over {
                subject: subject.clone(),
                shown,
                jobs,
            });
        }
        tokio::time::sleep(LOOK).await;
        let path = subject.path(&[]);
        shown = patiently(board, || client.value(&path, &[])).await?;
    }
}

/// Every job of an experiment, in the order of its plan.
pub(super) async fn experiment_jobs(client: &Client, id: &str) -> Result<Vec<Value>, ClientError> {
    let mut jobs = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let query: Vec<(&str, &str)> = cursor.iter().map(|at| ("cursor", at.as_str())).collect();
        let page = client
            .value(&["v1", "experiments", id, "jobs"], &query)
            .await?;
        jobs.extend(page["data"].as_array().into_iter().flatten().cloned());
        let more = page["has_more"].as_bool().unwrap_or(false);
        match page["next_cursor"].as_str().filter(|_| more) {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(jobs),
        }
    }
}

fn is_over(shown: &Value) -> bool {
    let state = shown["state"].as_str().unwrap_or_default();
    matches!(state, "succeeded" | "failed" | "cancelled" | "partial")
}

/// Asks again where a server is away for a while, as it is when it is started anew.
async fn patiently<T, F>(board: &Board, ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut since: Option<Instant> = None;
    loop {
        let error = match ask().await {
            Ok(answer) => {
                if since.is_some() {
                    board.say("the server answers again");
                }
                return Ok(answer);
            }
            Err(error) => error,
        };
        let first = *since.get_or_insert_with(Instant::now);
        if !error.may_pass() || first.elapsed() > AWAY {
            return Err(error.into());
        }
        if first.elapsed() < LOOK {
            board.say(&format!("{error}; asking again for {} s", AWAY.as_secs()));
        }
        tokio::time::sleep(LOOK * 2).await;
    }
}

impl Over {
    /// *Errors* work that did not succeed, with what to do.
    pub(super) fn into_result(self) -> Result<()> {
        let state = self.shown["state"].as_str().unwrap_or_default();
        if state == "succeeded" {
            return Ok(());
        }
        let (word, id) = (self.subject.kind.word(), &self.subject.id);
        let bad = self
            .jobs
            .iter()
            .filter(|job| job.is_over() && job.state != "succeeded");
        let told: Vec<String> = match self.subject.kind {
            Kind::Experiment => bad
                .map(|job| format!("\n  {}: {}", job.label, reason(job)))
                .collect(),
            _ => bad.map(|job| format!(": {}", reason(job))).collect(),
        };
        let more = match told.len().saturating_sub(LISTED) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        let told = told[..told.len().min(LISTED)].concat();
        Err(Ended::Unsuccessful(format!(
            "{word} {id} ended {state}{told}{more}\n  try it again:  vivarium retry {id}"
        ))
        .into())
    }
}

fn reason(job: &JobLine) -> String {
    let error = job.error.as_deref().unwrap_or("no reason was recorded");
    format!("{} ({error})", job.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn over(state: &str, jobs: &[(&str, Option<&str>)]) -> Over {
        let job = |(state, error): &(&str, Option<&str>)| JobLine {
            label: "train/bad/0".into(),
            state: (*state).into(),
            error: error.map(str::to_owned),
            ..JobLine::default()
        };
        Over {
            subject: Subject {
                kind: Kind::Experiment,
                id: "ex_1".into(),
            },
            shown: json!({"state": state}),
            jobs: jobs.iter().map(job).collect(),
        }
    }

    #[test]
    fn success_is_no_error_and_anything_else_names_job_reason_and_remedy() {
        assert!(
            over("succeeded", &[("succeeded", None)])
                .into_result()
                .is_ok()
        );
        let bad = over(
            "partial",
            &[("succeeded", None), ("failed", Some("no layer 9"))],
        );
        let error = bad.into_result().unwrap_err();
        assert_eq!(super::super::exit::number(&error), 5);
        assert_eq!(
            error.to_string(),
            "experiment ex_1 ended partial\n  train/bad/0: failed (no layer 9)\n  try it again:  vivarium retry ex_1"
        );
    }
}
