//! Shows jobs as they go on: bars on a terminal, a line on every change elsewhere, JSON lines for programs.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::output::{Output, duration, is_dumb, line, say};
use crate::domain::time::{Clock, SystemClock};

/// Parts of a job's way at which a plain line is written.
const PARTS: u64 = 4;

/// How changes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// Bars on standard error.
    Bars,
    /// Lines on standard output: they are the data.
    Data,
    /// Lines on standard error: the data comes later.
    Talk,
    /// JSON lines on standard output.
    Json,
}

impl Face {
    /// For a command whose data the changes are.
    pub(super) fn of_data(output: Output) -> Self {
        let terminal = std::io::stdout().is_terminal() && can_draw();
        match (output.json, terminal) {
            (true, _) => Self::Json,
            (false, true) => Self::Bars,
            (false, false) => Self::Data,
        }
    }

    /// For a command that shows its data at the end.
    pub(super) fn beside_data() -> Self {
        match can_draw() {
            true => Self::Bars,
            false => Self::Talk,
        }
    }
}

fn can_draw() -> bool {
    std::io::stderr().is_terminal() && !is_dumb()
}

/// One job as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JobLine {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) state: String,
    pub(super) phase: Option<String>,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) unit: String,
    pub(super) eta: Option<String>,
    pub(super) error: Option<String>,
    pub(super) waiting: Option<String>,
    pub(super) reused: bool,
}

impl JobLine {
    /// From a job, or from a job of an experiment.
    pub(super) fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let first = |names: &[&str]| names.iter().find_map(|name| text(&value[*name]));
        let id = first(&["job", "id"]).unwrap_or_default();
        let progress = &value["progress"];
        Self {
            label: first(&["key", "name"]).unwrap_or_else(|| id.clone()),
            id,
            state: text(&value["state"]).unwrap_or_default(),
            phase: text(&value["phase"]),
            done: progress["done"].as_u64().unwrap_or(0),
            total: progress["total"].as_u64().unwrap_or(0),
            unit: text(&progress["unit"]).unwrap_or_default(),
            eta: text(&progress["eta"]),
            error: text(&value["error"]["message"]),
            waiting: text(&value["waiting"]["detail"]),
            reused: value["reused"].as_bool().unwrap_or(false),
        }
    }

    /// Whether nothing will change it by itself.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed" | "cancelled")
    }

    fn is_at_work(&self) -> bool {
        matches!(self.state.as_str(), "running" | "pausing" | "cancelling")
    }

    /// What it is at, in words.
    fn status(&self) -> String {
        let word = match (self.state.as_str(), &self.phase) {
            ("running", Some(phase)) => phase.as_str(),
            (state, _) => state,
        };
        let reason = match (&self.error, &self.waiting) {
            (Some(error), _) if self.state == "failed" => format!(": {error}"),
            (_, Some(waiting)) if self.state == "paused" => format!(": {waiting}"),
            _ => String::new(),
        };
        let reused = if self.reused && self.is_over() {
            " before, reused"
        } else {
            ""
        };
        format!("{word}{reused}{reason}")
    }

    /// State and part of the way: a plain line is written when it changes.
    fn mark(&self) -> (String, u64) {
        let part = (self.done * PARTS).checked_div(self.total).unwrap_or(0);
        (self.state.clone(), part)
    }
}

/// What has been shown, and what it is shown on.
pub(super) struct Board {
    face: Face,
    output: Output,
    bars: MultiProgress,
    whole: Option<ProgressBar>,
    open: BTreeMap<String, ProgressBar>,
    shown: BTreeMap<String, (String, u64)>,
    begun: bool,
}

impl Board {
    pub(super) fn new(face: Face, output: Output) -> Self {
        let target = match face {
            Face::Bars => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        Self {
            face,
            output,
            bars: MultiProgress::with_draw_target(target),
            whole: None,
            open: BTreeMap::new(),
            shown: BTreeMap::new(),
            begun: false,
        }
    }

    /// Says something that is not about one job.
    pub(super) fn say(&self, talk: &str) {
        match self.face {
            Face::Bars => {
                let _ = self.bars.println(talk);
            }
            _ => say(talk),
        }
    }

    /// Shows what has changed since the last time.
    pub(super) fn show(&mut self, jobs: &[JobLine]) -> Result<()> {
        let over = jobs.iter().filter(|job| job.is_over()).count();
        let counted = format!("{over}/{}", jobs.len());
        for job in jobs {
            let mark = job.mark();
            let before = self.shown.insert(job.id.clone(), mark.clone());
            let changed = before.as_ref() != Some(&mark);
            // at the first look a crowd of waiting jobs is no news
            let news = before.is_some() || jobs.len() == 1 || job.is_at_work() || job.is_over();
            if self.face == Face::Bars {
                self.draw(
                    job,
                    before.is_none_or(|(state, _)| state != job.state),
                    jobs.len() > 1,
                );
            } else if changed && news {
                self.write(job, &counted, jobs.len() > 1)?;
            }
        }
        if jobs.len() > 1 {
            self.whole(jobs, over);
        }
        self.begun = true;
        Ok(())
    }

    fn write(&self, job: &JobLine, counted: &str, many: bool) -> Result<()> {
        if self.face == Face::Json {
            return line(&changed(job).to_string());
        }
        let way = match job.total {
            0 => String::new(),
            total => format!(" {}/{total} {}s", job.done, job.unit),
        };
        let counted = match many && job.is_over() {
            true => format!("  ({counted} jobs over)"),
            false => String::new(),
        };
        let text = format!("{}: {}{way}{counted}", job.label, job.status());
        match self.face {
            Face::Data => line(&text)?,
            _ => say(&text),
        }
        Ok(())
    }

    /// A job at work has a bar; one that has ended leaves a line above them.
    fn draw(&mut self, job: &JobLine, new: bool, many: bool) {
        if many && !job.is_at_work() {
            if let Some(bar) = self.open.remove(&job.id) {
                bar.finish_and_clear();
            }
            if job.is_over() && new {
                let state = self.output.state(&job.state);
                let status = job.status().replacen(&job.state, &state, 1);
                self.say(&format!("{}: {status}", job.label));
            }
            return;
        }
        let bars = &self.bars;
        let bar = self
            .open
            .entry(job.id.clone())
            .or_insert_with(|| bar(bars, &job.label));
        bar.set_length(job.total);
        bar.set_position(job.done);
        bar.set_message(match left(job) {
            Some(left) => format!("{}, {left} left", job.status()),
            None => job.status(),
        });
        if job.is_over() {
            bar.abandon();
        }
    }

    fn whole(&mut self, jobs: &[JobLine], over: usize) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for job in jobs {
            *counts.entry(job.state.as_str()).or_default() += 1;
        }
        let words: Vec<String> = counts
            .iter()
            .map(|(state, n)| format!("{n} {state}"))
            .collect();
        let words = words.join(", ");
        if self.face != Face::Bars {
            if !self.begun && self.face != Face::Json {
                self.say(&format!("{} jobs: {words}", jobs.len()));
            }
            return;
        }
        let bars = &self.bars;
        let whole = self.whole.get_or_insert_with(|| bar(bars, "all jobs"));
        whole.set_length(jobs.len() as u64);
        whole.set_position(over as u64);
        whole.set_message(words);
        if over == jobs.len() {
            whole.abandon();
        }
    }
}

fn bar(bars: &MultiProgress, label: &str) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(0));
    let style = ProgressStyle::with_template("{prefix} {bar:24} {pos:>5}/{len:<5} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(format!("{label:<28}"));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Time to the estimated end.
fn left(job: &JobLine) -> Option<String> {
    let eta = OffsetDateTime::parse(job.eta.as_deref()?, &Rfc3339).ok()?;
    let seconds = (eta - SystemClock::start().now()).whole_seconds();
    (job.is_at_work() && seconds > 0).then(|| duration(seconds))
}

fn changed(job: &JobLine) -> Value {
    json!({
        "job": job.id, "key": job.label, "state": job.state, "phase": job.phase, "done": job.done, "total": job.total,
        "unit": job.unit, "error": job.error, "reused": job.reused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_an_experiment_is_known_by_its_key_and_a_lone_one_by_its_name() {
        let one = JobLine::of(
            &json!({"key": "train/bad/0", "job": "job_1", "name": "x", "state": "running", "phase": "train",
            "progress": {"done": 30, "total": 120, "unit": "step", "eta": null}, "error": null}),
        );
        assert_eq!(
            (one.label.as_str(), one.id.as_str()),
            ("train/bad/0", "job_1")
        );
        assert_eq!(one.mark(), ("running".into(), 1));
        assert_eq!(one.status(), "train");
        let lone = JobLine::of(
            &json!({"id": "job_2", "name": null, "state": "failed", "progress": null,
            "error": {"message": "no layer 9"}}),
        );
        assert_eq!(lone.label, "job_2");
        assert_eq!(lone.status(), "failed: no layer 9");
        assert_eq!(lone.mark(), ("failed".into(), 0));
    }

    #[test]
    fn what_was_done_before_is_said_so() {
        let job = JobLine {
            state: "succeeded".into(),
            reused: true,
            ..JobLine::default()
        };
        assert_eq!(job.status(), "succeeded before, reused");
    }
}
