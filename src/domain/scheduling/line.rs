//! In which order waiting jobs are to start: bands of priority, fair shares inside a band, age against starving. Pure rules; knows
//! no device's memory and no SQL.
//!
//! A user's use is what his jobs held of devices, in seconds times the part of the device, halved with every half-life, those that run
//! now included. In each band the next job is that of the user with the least use for his weight; being named adds an entry penalty
//! to his use, so that thirty jobs sent at once do not all see a use of nothing.

use std::collections::{BTreeMap, VecDeque};

use time::OffsetDateTime;

use crate::domain::ids::JobId;
use crate::domain::job::JobKind;

/// A job that could start now, as far as its own state goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The job.
    pub job: JobId,
    /// Its label.
    pub name: Option<String>,
    /// What it does.
    pub kind: JobKind,
    /// Who asked for it.
    pub owner: String,
    /// 0 high, 1 normal, 2 low.
    pub band: u8,
    /// Since when it waits.
    pub since: OffsetDateTime,
    /// Seconds that it has waited.
    pub waited_seconds: f64,
    /// Seconds in which it waited and no other job of its owner and band started.
    pub denied_seconds: f64,
    /// The part of a device that it takes, above 0 and up to 1.
    pub share: f64,
    /// Seconds that it is expected to run, where that can be told.
    pub seconds: Option<f64>,
}

/// What a user has had of the devices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Use {
    /// Device seconds, each counted by the part of the device and by its age.
    pub seconds: f64,
    /// What he is entitled to beside others; twice the weight, twice the time.
    pub weight: f64,
}

impl Default for Use {
    fn default() -> Self {
        Self {
            seconds: 0.0,
            weight: 1.0,
        }
    }
}

/// Settings of the order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// After so many seconds a device second counts half.
    pub half_life_seconds: f64,
    /// After so many seconds in which nothing of its owner and band started, a job counts as one band higher; 0 lets nothing age.
    pub ageing_seconds: f64,
    /// Seconds of a device that a job counts beyond what it has had, from the moment in which it is named until it ends.
    pub entry_seconds: f64,
    /// Seconds that a job runs at least before one of a higher band may take its place.
    pub undisturbed_seconds: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            half_life_seconds: 7.0 * 86_400.0,
            ageing_seconds: 6.0 * 3600.0,
            entry_seconds: 60.0,
            undisturbed_seconds: 60.0,
        }
    }
}

/// One job's place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which candidate.
    pub index: usize,
    /// The band that it counts as.
    pub band: u8,
}

/// What `seconds` of a device, used so long ago, count now.
pub fn decayed(seconds: f64, ago_seconds: f64, rules: &Rules) -> f64 {
    seconds * 0.5_f64.powf(ago_seconds.max(0.0) / rules.half_life_seconds)
}

/// What a running job counts: its time so far and the entry penalty, which stands for the time that it is sure to take yet.
///
/// Without it whoever has some catching up to do gets every slot that falls free until his new jobs' time shows, and overshoots.
pub fn running(share: f64, elapsed_seconds: f64, rules: &Rules) -> f64 {
    share * (elapsed_seconds + rules.entry_seconds)
}

/// The band that a job counts as after it has waited.
///
/// Only time in which its owner got nothing in this band counts: a list of a hundred jobs that are served one after another does not
/// age past colleagues, which would undo the fair share.
pub fn aged(candidate: &Candidate, rules: &Rules) -> u8 {
    if rules.ageing_seconds <= 0.0 {
        return candidate.band;
    }
    let bands = (candidate.denied_seconds / rules.ageing_seconds).floor();
    candidate.band.saturating_sub(bands.clamp(0.0, 255.0) as u8)
}

/// Everyone who waits, in the order in which they should start.
///
/// *Source* the entry penalty and the decayed use: Kueue's admission fair sharing; the least-served-first pick: stride scheduling.
pub fn line(candidates: &[Candidate], uses: &BTreeMap<String, Use>, rules: &Rules) -> Vec<Place> {
    let mut bands: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        bands.entry(aged(candidate, rules)).or_default().push(index);
    }
    let mut uses = uses.clone();
    let mut line = Vec::with_capacity(candidates.len());
    for (band, members) in bands {
        let picked = picks(candidates, members, &mut uses, rules);
        line.extend(picked.into_iter().map(|index| Place { index, band }));
    }
    line
}

/// The members of one band in their order; whoever is named has the penalty added to his use.
fn picks(
    candidates: &[Candidate],
    members: Vec<usize>,
    uses: &mut BTreeMap<String, Use>,
    rules: &Rules,
) -> Vec<usize> {
    let mut queues: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    let mut members = members;
    members.sort_by(|a, b| first_come(&candidates[*a], &candidates[*b]));
    for index in members {
        let owner = candidates[index].owner.as_str();
        queues.entry(owner).or_default().push_back(index);
    }
    let mut picked = Vec::new();
    while let Some(owner) = least_served(candidates, &queues, uses) {
        let queue = queues.get_mut(owner);
        let Some(index) = queue.and_then(VecDeque::pop_front) else {
            queues.remove(owner);
            continue;
        };
        picked.push(index);
        let used = uses.entry(owner.to_owned()).or_default();
        used.seconds += candidates[index].share * rules.entry_seconds;
        if queues.get(owner).is_some_and(VecDeque::is_empty) {
            queues.remove(owner);
        }
    }
    picked
}

/// Who waited longest comes first; equal waits go by id, which is the order of submission.
fn first_come(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let waited = b.waited_seconds.total_cmp(&a.waited_seconds);
    waited.then_with(|| a.job.cmp(&b.job))
}

fn least_served<'a>(
    candidates: &[Candidate],
    queues: &BTreeMap<&'a str, VecDeque<usize>>,
    uses: &BTreeMap<String, Use>,
) -> Option<&'a str> {
    let served = |owner: &str| {
        let used = uses.get(owner).copied().unwrap_or_default();
        used.seconds / used.weight
    };
    let of = |owner: &&&'a str| queues[**owner].front().map(|index| &candidates[*index]);
    let least = queues.keys().min_by(|a, b| {
        let by_use = served(a).total_cmp(&served(b));
        by_use.then_with(|| match (of(a), of(b)) {
            (Some(a), Some(b)) => first_come(a, b),
            _ => std::cmp::Ordering::Equal,
        })
    });
    least.copied()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn job(n: usize) -> JobId {
        format!("job_{n:026}").parse().unwrap()
    }

    pub fn candidate(n: usize, owner: &str, band: u8, waited: f64) -> Candidate {
        Candidate {
            job: job(n),
            name: None,
            kind: JobKind::Finetune,
            owner: owner.into(),
            band,
            since: OffsetDateTime::UNIX_EPOCH,
            waited_seconds: waited,
            denied_seconds: waited,
            share: 1.0,
            seconds: Some(60.0),
        }
    }

    pub fn used(entries: &[(&str, f64, f64)]) -> BTreeMap<String, Use> {
        let entry = |(owner, seconds, weight): &(&str, f64, f64)| {
            let used = Use {
                seconds: *seconds,
                weight: *weight,
            };
            ((*owner).to_owned(), used)
        };
        entries.iter().map(entry).collect()
    }

    fn owners(candidates: &[Candidate], uses: &BTreeMap<String, Use>) -> String {
        let line = line(candidates, uses, &Rules::default());
        let owner = |place: &Place| candidates[place.index].owner.clone();
        line.iter().map(owner).collect()
    }

    #[test]
    fn one_user_s_jobs_start_in_the_order_of_their_coming() {
        let all = [
            candidate(2, "a", 1, 5.0),
            candidate(0, "a", 1, 9.0),
            candidate(1, "a", 1, 5.0),
        ];
        let line = line(&all, &BTreeMap::new(), &Rules::default());
        let order: Vec<usize> = line.iter().map(|place| place.index).collect();
        assert_eq!(order, [1, 2, 0]);
    }

    #[test]
    fn many_jobs_at_once_take_turns_with_a_colleague_s() {
        let mut all: Vec<Candidate> = (0..6).map(|n| candidate(n, "a", 1, 10.0)).collect();
        all.extend((6..9).map(|n| candidate(n, "b", 1, 1.0)));
        assert_eq!(owners(&all, &BTreeMap::new()), "abababaaa");
    }

    #[test]
    fn twice_the_weight_is_twice_the_turns() {
        let mut all: Vec<Candidate> = (0..9).map(|n| candidate(n, "a", 1, 10.0)).collect();
        all.extend((9..12).map(|n| candidate(n, "b", 1, 10.0)));
        let order = owners(&all, &used(&[("a", 0.0, 2.0), ("b", 0.0, 1.0)]));
        assert_eq!(order[..9].matches('a').count(), 6, "{order}");
    }

    #[test]
    fn who_used_more_waits_until_the_other_has_had_as_much() {
        let mut all: Vec<Candidate> = (0..2).map(|n| candidate(n, "a", 1, 10.0)).collect();
        all.extend((2..6).map(|n| candidate(n, "b", 1, 1.0)));
        assert_eq!(owners(&all, &used(&[("a", 150.0, 1.0)])), "bbbaba");
    }

    #[test]
    fn a_higher_band_goes_first_whatever_was_used() {
        let all = [candidate(0, "a", 1, 10.0), candidate(1, "b", 0, 1.0)];
        assert_eq!(owners(&all, &used(&[("b", 1e9, 1.0)])), "ba");
    }

    #[test]
    fn a_low_job_that_waited_two_ageings_goes_before_younger_high_ones() {
        let rules = Rules::default();
        let old = candidate(0, "a", 2, 2.0 * rules.ageing_seconds);
        let young = candidate(1, "a", 0, 60.0);
        assert_eq!((aged(&old, &rules), aged(&young, &rules)), (0, 0));
        let nearly = candidate(0, "a", 2, 2.0 * rules.ageing_seconds - 1.0);
        assert_eq!(aged(&nearly, &rules), 1);
        let line = line(&[young, old], &BTreeMap::new(), &rules);
        assert_eq!((line[0].index, line[0].band), (1, 0));
        let never = Rules {
            ageing_seconds: 0.0,
            ..rules
        };
        assert_eq!(aged(&candidate(0, "a", 2, 1e12), &never), 2);
    }

    #[test]
    fn a_second_counts_half_after_a_half_life_and_a_start_counts_at_once() {
        let rules = Rules::default();
        assert_eq!(decayed(8.0, 2.0 * rules.half_life_seconds, &rules), 2.0);
        assert_eq!(decayed(8.0, -5.0, &rules), 8.0);
        assert_eq!(running(0.5, 0.0, &rules), 0.5 * rules.entry_seconds);
        assert_eq!(
            running(0.5, 200.0, &rules),
            0.5 * (200.0 + rules.entry_seconds)
        );
    }
}
