//! When waiting jobs will start and end, should everything take as long as it is expected to. Pure; knows no clock but what it is given.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use time::{Duration, OffsetDateTime};

/// What is expected of one waiting job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outlook {
    /// When it starts; none behind a job whose end cannot be told.
    pub start: Option<OffsetDateTime>,
    /// When it ends.
    pub end: Option<OffsetDateTime>,
}

/// What to expect of jobs that start in this order, each in the place that falls free first.
///
/// `running` are the expected ends of what holds the places now, `line` the expected seconds of what waits. What should have ended ends
/// now; what has no expected end is taken to hold its place for good.
pub fn outlook(
    now: OffsetDateTime,
    running: &[Option<OffsetDateTime>],
    line: &[Option<f64>],
) -> Vec<Outlook> {
    let known = running.iter().flatten();
    let mut free: BinaryHeap<Reverse<OffsetDateTime>> =
        known.map(|until| Reverse((*until).max(now))).collect();
    let expected = |seconds: &Option<f64>| {
        let Some(Reverse(start)) = free.pop() else {
            return Outlook::default();
        };
        let end = seconds
            .and_then(Duration::checked_seconds_f64)
            .and_then(|seconds| start.checked_add(seconds));
        free.extend(end.map(Reverse));
        Outlook {
            start: Some(start),
            end,
        }
    };
    line.iter().map(expected).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds)
    }

    fn seconds(found: &[Outlook]) -> Vec<(Option<i64>, Option<i64>)> {
        let second = |at: Option<OffsetDateTime>| at.map(|at| at.unix_timestamp());
        let pair = |it: &Outlook| (second(it.start), second(it.end));
        found.iter().map(pair).collect()
    }

    #[test]
    fn each_job_takes_the_place_that_falls_free_first() {
        let running = [Some(at(100)), Some(at(40))];
        let found = outlook(at(0), &running, &[Some(30.0), Some(10.0), Some(5.0)]);
        let expected = [(40, 70), (70, 80), (80, 85)];
        assert_eq!(
            seconds(&found),
            expected.map(|(start, end)| (Some(start), Some(end)))
        );
    }

    #[test]
    fn what_should_have_ended_ends_now() {
        let found = outlook(at(50), &[Some(at(10))], &[Some(1.0)]);
        assert_eq!(seconds(&found), [(Some(50), Some(51))]);
    }

    #[test]
    fn nothing_is_told_behind_what_has_no_end() {
        let found = outlook(at(0), &[None, Some(at(5))], &[None, Some(1.0)]);
        assert_eq!(seconds(&found), [(Some(5), None), (None, None)]);
        assert_eq!(outlook(at(0), &[], &[Some(1.0)]), [Outlook::default()]);
    }
}
