//! Whose place a job of a higher band takes. Pure.
//!
//! Only the band that a job was sent with counts here: age moves a job up in the line, and takes nobody's place.

use super::line::{Candidate, Rules};
use super::snapshot::Running;
use crate::domain::ids::JobId;
use crate::domain::job::JobKind;

/// Which of `running`, which hold all places of one worker, should give its own to `next`, the first of the line.
///
/// None while one is leaving anyway, and where all are of its band or a higher one, cannot go on from where they stop, or have only
/// begun. Among the others the lowest band leaves first, and in it whoever runs for the shortest time.
pub fn victim(next: &Candidate, running: &[Running], rules: &Rules) -> Option<JobId> {
    if running.iter().any(|run| run.leaving) {
        return None;
    }
    let may_leave = |run: &&Running| {
        run.band > next.band
            && matches!(run.kind, JobKind::Finetune | JobKind::Evaluate)
            && run.elapsed_seconds >= rules.undisturbed_seconds
    };
    let first = running.iter().filter(may_leave).min_by(|a, b| {
        let lowest = b.band.cmp(&a.band);
        lowest.then(a.elapsed_seconds.total_cmp(&b.elapsed_seconds))
    });
    first.map(|run| run.job.clone())
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::domain::scheduling::line::tests::{candidate, job};

    fn run(n: usize, band: u8, elapsed: f64) -> Running {
        Running {
            job: job(n),
            kind: JobKind::Finetune,
            owner: "b".into(),
            band,
            worker: "w".into(),
            since: OffsetDateTime::UNIX_EPOCH,
            elapsed_seconds: elapsed,
            until: None,
            share: 1.0,
            leaving: false,
        }
    }

    #[test]
    fn the_lowest_band_leaves_first_and_in_it_the_latest_comer() {
        let rules = Rules::default();
        let all = [run(1, 1, 70.0), run(2, 2, 500.0), run(3, 2, 90.0)];
        let next = candidate(9, "a", 0, 1.0);
        assert_eq!(victim(&next, &all, &rules), Some(job(3)));
        let equal = candidate(9, "a", 2, 1e9);
        assert_eq!(victim(&equal, &all, &rules), None, "age takes no place");
    }

    #[test]
    fn nobody_leaves_who_has_only_begun_or_could_not_go_on_or_while_one_leaves() {
        let rules = Rules::default();
        let next = candidate(9, "a", 0, 1.0);
        assert_eq!(victim(&next, &[run(1, 2, 59.0)], &rules), None);
        let mut register = run(1, 2, 100.0);
        register.kind = JobKind::Register;
        assert_eq!(victim(&next, &[register], &rules), None);
        let mut leaving = run(2, 1, 100.0);
        leaving.leaving = true;
        assert_eq!(victim(&next, &[run(1, 2, 100.0), leaving], &rules), None);
    }
}
