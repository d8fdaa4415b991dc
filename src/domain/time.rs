//! Points in time and the one place they come from.

use time::OffsetDateTime;

/// Where code that must know the time asks for it; tests hand in their own.
pub trait Clock: Send + Sync {
    /// The wall clock, for records only; deadlines are the database's.
    fn now(&self) -> OffsetDateTime;
    /// Seconds since some fixed point, never going back, for durations.
    fn monotonic_seconds(&self) -> f64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic seconds count from this call.
    #[allow(clippy::disallowed_methods)] // the one place that may ask the machine
    pub fn start() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn monotonic_seconds(&self) -> f64 {
        self.origin.elapsed().as_secs_f64()
    }
}
