//! How the progress of jobs is shown: bars on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::domain::job::{Job, JobState};

/// Where progress is shown.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bars: Option<MultiProgress>,
}

/// Progress of one piece of work.
#[derive(Debug)]
pub(super) struct Line {
    title: String,
    bar: Option<ProgressBar>,
    shown: Option<(JobState, u64)>,
}

impl Progress {
    /// Bars where standard error is a terminal, lines otherwise.
    pub(super) fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { bars }
    }

    /// Says something above the bars.
    pub(super) fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => eprintln!("{text}"),
        }
    }

    /// A new line for a piece of work.
    pub(super) fn line(&self, title: &str) -> Line {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_style(style());
            bar.set_prefix(format!("{title:<34}"));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Line {
            title: title.to_owned(),
            bar,
            shown: None,
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix} {bar:28} {pos:>5}/{len:<5} {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Parts of the way at which plain lines are printed.
const QUARTERS: u64 = 4;

impl Line {
    /// Shows a job as it is now.
    pub(super) fn see(&mut self, job: &Job) {
        let (done, total) = job
            .progress
            .as_ref()
            .map_or((0, 0), |seen| (seen.done, seen.total));
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(status(job));
                if job.state.is_final() {
                    bar.finish();
                }
            }
            None => self.see_plain(job, done, total),
        }
    }

    fn see_plain(&mut self, job: &Job, done: u64, total: u64) {
        let quarter = (done * QUARTERS).checked_div(total).unwrap_or(0);
        let now = (job.state, quarter);
        if self.shown != Some(now) {
            self.shown = Some(now);
            eprintln!("{}: {} {done}/{total}", self.title, status(job));
        }
    }
}

/// What a job is at, in a word or two.
fn status(job: &Job) -> String {
    if job.deduplicated || job.state != JobState::Running {
        return job.state.name().to_owned();
    }
    let phase = job.phase.map(|phase| format!("{phase:?}").to_lowercase());
    phase.unwrap_or_else(|| "running".into())
}
