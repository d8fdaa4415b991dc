//! When a job runs again and how long a right to it may be trusted: pure rules. Knows no job, no clock.

pub mod line;
pub mod outlook;
pub mod preemption;
pub mod reasons;
pub mod snapshot;

/// Crashes in a row without durable progress that end a job as `worker_lost`.
pub const CRASHES_WITHOUT_PROGRESS: u32 = 3;

/// How often and how soon a failure that may pass is tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Failed attempts at most; the last one ends the job.
    pub attempts: u32,
    /// Seconds before the second attempt; doubles with each further one.
    pub first_delay_seconds: f64,
    /// Seconds at most.
    pub longest_delay_seconds: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_delay_seconds: 5.0,
            longest_delay_seconds: 300.0,
        }
    }
}

impl RetryPolicy {
    /// Seconds until the next attempt after `failures` failed ones, or none when that was the last.
    pub fn delay_after(&self, failures: u32) -> Option<f64> {
        if failures >= self.attempts {
            return None;
        }
        let doublings = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let delay = self.first_delay_seconds * 2f64.powi(doublings);
        Some(delay.min(self.longest_delay_seconds))
    }
}

/// Until when a lease may be trusted, on the clock that gave `asked`: its length from before the question, less a margin.
///
/// *Units* seconds. *Source* the database starts its count after `asked`, so this end is never behind the database's.
pub fn trusted_until(asked: f64, lease: f64) -> f64 {
    asked + lease * 0.9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_end_with_the_attempts() {
        let policy = RetryPolicy {
            attempts: 6,
            first_delay_seconds: 5.0,
            longest_delay_seconds: 30.0,
        };
        let delays: Vec<Option<f64>> = (1..=6).map(|n| policy.delay_after(n)).collect();
        let expected = [
            Some(5.0),
            Some(10.0),
            Some(20.0),
            Some(30.0),
            Some(30.0),
            None,
        ];
        assert_eq!(delays, expected);
    }

    #[test]
    fn a_lease_is_trusted_for_less_than_its_length() {
        assert!(trusted_until(100.0, 30.0) < 130.0);
        assert!(trusted_until(100.0, 30.0) > 120.0);
    }
}
