//! Why a queued job waits, in words for its owner. Pure; says only what the order and the places decide by.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use super::line::{Candidate, Place, Use};
use crate::domain::ids::JobId;

/// Why a job waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable code.
    pub code: &'static str,
    /// In words.
    pub detail: String,
}

/// A running job that holds a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The job.
    pub job: JobId,
    /// Who asked for it.
    pub owner: String,
    /// Until when, where that can be told.
    pub until: Option<OffsetDateTime>,
}

/// Running jobs that are named before the rest is counted.
const NAMED: usize = 4;

/// Why the job at `place` of `line` waits.
///
/// `priority`: others count as of a higher band. `share`: colleagues who had less of the devices come first. `slots`: its owner's own
/// earlier jobs do, or it is the next and every place is taken. `no_worker`: nothing runs and nothing has taken it.
pub fn reason(
    place: usize,
    line: &[Place],
    candidates: &[Candidate],
    uses: &BTreeMap<String, Use>,
    running: &[Holder],
) -> Reason {
    let own = &candidates[line[place].index];
    let ahead = &line[..place];
    let higher = ahead.iter().filter(|it| it.band < line[place].band).count();
    let of_others = |it: &&Place| candidates[it.index].owner != own.owner;
    let others = ahead.iter().filter(of_others).count();
    if ahead.is_empty() {
        next(running)
    } else if higher > 0 {
        let detail = format!(
            "{} of higher priority {} first, {} ahead of it in all",
            jobs(higher),
            comes(higher),
            jobs(ahead.len())
        );
        Reason {
            code: "priority",
            detail,
        }
    } else if others > 0 {
        let owners = ahead.iter().map(|it| candidates[it.index].owner.as_str());
        let detail = shares(own, owners, uses, others, ahead.len());
        Reason {
            code: "share",
            detail,
        }
    } else {
        let verb = comes(ahead.len());
        let detail = format!("{} of its owner's own {verb} first", jobs(ahead.len()));
        Reason {
            code: "slots",
            detail,
        }
    }
}

fn next(running: &[Holder]) -> Reason {
    if running.is_empty() {
        let detail = "is the next, and no worker has taken it: one that is idle does within a second or two; \
                      if it stays so, no server with worker.slots above 0 is connected";
        return Reason {
            code: "no_worker",
            detail: detail.into(),
        };
    }
    let named = running.iter().take(NAMED).map(holder).collect::<Vec<_>>();
    let more = running.len().saturating_sub(NAMED);
    let rest = match more {
        0 => String::new(),
        more => format!(" and {} more", jobs(more)),
    };
    Reason {
        code: "slots",
        detail: format!(
            "is the next; the places are held by {}{rest}",
            named.join(", ")
        ),
    }
}

fn holder(holder: &Holder) -> String {
    let until = holder.until.map(|until| {
        let (hour, minute, _) = until.to_hms();
        format!(", until about {} {hour:02}:{minute:02} UTC", until.date())
    });
    let until = until.unwrap_or_else(|| ", whose end cannot be told yet".into());
    format!("{} of {}{until}", holder.job, holder.owner)
}

fn shares<'a>(
    own: &Candidate,
    ahead: impl Iterator<Item = &'a str>,
    uses: &BTreeMap<String, Use>,
    others: usize,
    all: usize,
) -> String {
    let mut names: Vec<&str> = ahead.filter(|name| *name != own.owner).collect();
    names.sort_unstable();
    names.dedup();
    let used = |name: &str| {
        let used = uses.get(name).copied().unwrap_or_default();
        let seconds = spelled(used.seconds);
        match used.weight {
            1.0 => format!("{name} {seconds}"),
            weight => format!("{name} {seconds} at a weight of {weight}"),
        }
    };
    let theirs = names.iter().take(NAMED).map(|name| used(name));
    let theirs = theirs.collect::<Vec<_>>().join(", ");
    format!(
        "{} of colleagues {} first by their share of the device, {} ahead of it in all; had so far: {theirs}; {}",
        jobs(others),
        comes(others),
        jobs(all),
        used(&own.owner)
    )
}

fn jobs(count: usize) -> String {
    match count {
        1 => "1 job".into(),
        count => format!("{count} jobs"),
    }
}

fn comes(count: usize) -> &'static str {
    match count {
        1 => "comes",
        _ => "come",
    }
}

/// Device time in the unit that reads best.
pub fn spelled(seconds: f64) -> String {
    match seconds {
        // Told apart no further, so that what is shown of a waiting job does not change with every look.
        s if s < 90.0 => "less than 2 device minutes".into(),
        s if s < 5400.0 => format!("{:.0} device minutes", s / 60.0),
        s => format!("{:.1} device hours", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scheduling::line::tests::{candidate, job, used};
    use crate::domain::scheduling::line::{Rules, line};

    fn reasons(candidates: &[Candidate], uses: &BTreeMap<String, Use>) -> Vec<Reason> {
        let line = line(candidates, uses, &Rules::default());
        let holders = [Holder {
            job: job(99),
            owner: "carol".into(),
            until: Some(OffsetDateTime::UNIX_EPOCH),
        }];
        (0..line.len())
            .map(|place| reason(place, &line, candidates, uses, &holders))
            .collect()
    }

    #[test]
    fn the_next_is_told_who_holds_the_places_and_until_when() {
        let found = reasons(&[candidate(0, "a", 1, 1.0)], &BTreeMap::new());
        assert_eq!(found[0].code, "slots");
        let detail = "is the next; the places are held by job_00000000000000000000000099 of carol, until about 1970-01-01 00:00 UTC";
        assert_eq!(found[0].detail, detail);
    }

    #[test]
    fn each_place_has_the_reason_that_put_it_there() {
        let all = [
            candidate(0, "anna", 0, 1.0),
            candidate(1, "ben", 1, 9.0),
            candidate(2, "anna", 1, 5.0),
            candidate(3, "ben", 1, 4.0),
        ];
        let uses = used(&[("anna", 5000.0, 1.0), ("ben", 7300.0, 2.0)]);
        let found = reasons(&all, &uses);
        let codes: Vec<&str> = found.iter().map(|it| it.code).collect();
        assert_eq!(codes, ["slots", "priority", "priority", "priority"]);
        let found = reasons(&all[1..], &uses);
        let codes: Vec<&str> = found.iter().map(|it| it.code).collect();
        assert_eq!(codes, ["slots", "slots", "share"]);
        assert_eq!(found[1].detail, "1 job of its owner's own comes first");
        let detail = "2 jobs of colleagues come first by their share of the device, 2 jobs ahead of it in all; had so far: \
                      ben 2.0 device hours at a weight of 2; anna 83 device minutes";
        assert_eq!(found[2].detail, detail);
    }

    #[test]
    fn with_nothing_running_the_next_is_told_what_may_be_missing() {
        let all = [candidate(0, "a", 1, 1.0)];
        let line = line(&all, &BTreeMap::new(), &Rules::default());
        let found = reason(0, &line, &all, &BTreeMap::new(), &[]);
        assert_eq!(found.code, "no_worker");
        assert!(found.detail.contains("worker.slots"), "{}", found.detail);
    }
}
