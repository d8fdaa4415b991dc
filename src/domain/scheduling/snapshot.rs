//! Everything that the order is computed from, at one moment, and the queue as it is shown. Pure.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::line::{self, Candidate, Place, Rules, Use};
use super::outlook::{Outlook, outlook};
use super::reasons::{Holder, reason};
use crate::domain::ids::JobId;
use crate::domain::job::{JobKind, Priority};
use crate::domain::queue::{QueuedJob, RunningJob, UserShare};

/// The queue at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The moment, by the database's clock.
    pub now: OffsetDateTime,
    /// Jobs that could start now.
    pub candidates: Vec<Candidate>,
    /// What users had of devices, running jobs included.
    pub uses: BTreeMap<String, Use>,
    /// Jobs that run.
    pub running: Vec<Running>,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// The job.
    pub job: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Who asked for it.
    pub owner: String,
    /// 0 high, 1 normal, 2 low.
    pub band: u8,
    /// Who runs it.
    pub worker: String,
    /// Since when.
    pub since: OffsetDateTime,
    /// Seconds since then.
    pub elapsed_seconds: f64,
    /// Until when, where that can be told.
    pub until: Option<OffsetDateTime>,
    /// The part of its device that it takes.
    pub share: f64,
    /// It has been asked to stop.
    pub leaving: bool,
}

impl Snapshot {
    /// The line under `rules`.
    pub fn line(&self, rules: &Rules) -> Vec<Place> {
        line::line(&self.candidates, &self.uses, rules)
    }

    /// Lets what has no forecast of its own take as long as its kind usually does, in seconds.
    pub fn expect(&mut self, usual: &BTreeMap<JobKind, f64>) {
        for candidate in &mut self.candidates {
            candidate.seconds = candidate.seconds.or(usual.get(&candidate.kind).copied());
        }
        for run in &mut self.running {
            let seconds = usual.get(&run.kind).copied();
            let length = seconds.and_then(Duration::checked_seconds_f64);
            let until = length.and_then(|length| run.since.checked_add(length));
            run.until = run.until.or(until);
        }
    }

    /// Those who wait, in their order, each with its reason and what to expect.
    pub fn waiting(&self, rules: &Rules) -> Vec<QueuedJob> {
        let line = self.line(rules);
        let holders: Vec<Holder> = self.running.iter().map(holder).collect();
        let ends: Vec<_> = self.running.iter().map(|run| run.until).collect();
        let seconds = line.iter().map(|it| self.candidates[it.index].seconds);
        let expected = outlook(self.now, &ends, &seconds.collect::<Vec<_>>());
        let places = line.iter().zip(expected).enumerate();
        places
            .map(|(place, (at, outlook))| {
                let why = reason(place, &line, &self.candidates, &self.uses, &holders);
                let candidate = &self.candidates[at.index];
                shown(place, at, candidate, (why.code, why.detail), outlook)
            })
            .collect()
    }

    /// Those who run.
    pub fn runs(&self) -> Vec<RunningJob> {
        let shown = |run: &Running| RunningJob {
            job: run.job.clone(),
            owner: run.owner.clone(),
            priority: priority(run.band),
            worker: run.worker.clone(),
            since: run.since,
            until: run.until,
            share: run.share,
        };
        self.running.iter().map(shown).collect()
    }

    /// What each user had, the most first.
    pub fn users(&self) -> Vec<UserShare> {
        let shown = |(owner, used): (&String, &Use)| UserShare {
            owner: owner.clone(),
            used_seconds: used.seconds,
            weight: used.weight,
        };
        let mut users: Vec<UserShare> = self.uses.iter().map(shown).collect();
        users.sort_by(|a, b| b.used_seconds.total_cmp(&a.used_seconds));
        users
    }
}

fn holder(run: &Running) -> Holder {
    Holder {
        job: run.job.clone(),
        owner: run.owner.clone(),
        until: run.until,
    }
}

fn shown(
    place: usize,
    at: &Place,
    candidate: &Candidate,
    (reason, detail): (&str, String),
    outlook: Outlook,
) -> QueuedJob {
    QueuedJob {
        position: place as u64 + 1,
        job: Some(candidate.job.clone()),
        name: candidate.name.clone(),
        kind: Some(candidate.kind),
        owner: candidate.owner.clone(),
        priority: priority(candidate.band),
        counts_as: priority(at.band),
        reason: reason.into(),
        detail,
        since: candidate.since,
        start: outlook.start,
        end: outlook.end,
    }
}

/// The priority that a band stands for.
pub fn priority(band: u8) -> Priority {
    match band {
        0 => Priority::High,
        1 => Priority::Normal,
        _ => Priority::Low,
    }
}

/// The band of a priority.
pub fn band(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}
