//! How far a registration is, told in bytes and not too often.

use serde_json::Value;

use crate::execution::fetch::Watch;
use crate::execution::{Context, Report, Stop};

/// Parts of the whole that are told.
const PARTS: u64 = 200;
/// Least bytes between two that are told.
const LEAST: u64 = 4 << 20;

/// Bytes done, as the job's progress; every call is a turn, so that the job can be ended.
pub(crate) struct Pace<'a> {
    context: &'a dyn Context,
    told: Option<(u64, u64)>,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(context: &'a dyn Context) -> Self {
        Self {
            context,
            told: None,
        }
    }

    fn is_due(&self, done: u64, total: u64) -> bool {
        match self.told {
            None => total > 0,
            Some(told) if told == (done, total) => false,
            Some((before, of)) => {
                of != total || done >= total || done.abs_diff(before) >= LEAST.max(total / PARTS)
            }
        }
    }
}

impl Watch for Pace<'_> {
    fn progress(&mut self, done: u64, total: u64) -> Result<(), Stop> {
        self.context.turn()?;
        if !self.is_due(done, total) {
            return Ok(());
        }
        self.told = Some((done, total));
        self.context.report(Report::Progress {
            done,
            total,
            unit: "byte",
        })
    }

    fn event(&mut self, r#type: &'static str, data: Value) -> Result<(), Stop> {
        self.context.report(Report::Event { r#type, data })
    }
}
