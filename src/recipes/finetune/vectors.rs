//! When the vectors of pairs of rank 1 are recorded, and the files that they leave in.

use serde_json::json;

use crate::domain::vectors::{Contents, file};
use crate::engine::train::Trainer;
use crate::engine::train::record::Recorder;
use crate::execution::{Commit, Context, LocalFile, Report, Stop};
use crate::recipes::broken_file;

/// Bytes of vectors that a run leaves at most; a run with more keeps every so manyth step.
const MOST: u64 = 4 << 30;
const NAME: &str = "vectors.safetensors";

/// The recording of one attempt.
pub(super) struct Vectors<'a> {
    context: &'a dyn Context,
    recorder: Option<Recorder>,
    /// Steps that are multiples of it are kept, and the last one.
    every: u64,
    total: u64,
}

impl<'a> Vectors<'a> {
    /// A recording of a run of `total` steps that has begun at none yet.
    pub(super) fn new(
        context: &'a dyn Context,
        trainer: &Trainer,
        total: u64,
    ) -> Result<Self, Stop> {
        let recorder = Recorder::of(trainer)?;
        let bytes = recorder.as_ref().map_or(0, Recorder::bytes);
        Ok(Self {
            context,
            recorder,
            every: stride(bytes, total),
            total,
        })
    }

    /// Keeps the state before the first update, and tells which steps will follow where they are not all.
    pub(super) fn begin(&mut self, trainer: &Trainer) -> Result<(), Stop> {
        if self.every > 1 {
            self.context.report(Report::Event {
                r#type: "vectors_thinned",
                data: json!({"every": self.every, "most_bytes": MOST}),
            })?;
        }
        self.add(trainer)
    }

    /// Keeps the vectors as they are now.
    pub(super) fn add(&mut self, trainer: &Trainer) -> Result<(), Stop> {
        let step = trainer.updates();
        let wanted = step.is_multiple_of(self.every) || step == self.total;
        let Some(recorder) = self.recorder.as_mut().filter(|_| wanted) else {
            return Ok(());
        };
        recorder.add(trainer)?;
        match recorder.is_full() {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Records what was gathered; a state is committed only behind this, so that a resumed run lacks no step.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        let taken = match &mut self.recorder {
            Some(recorder) => recorder.take()?,
            None => None,
        };
        let Some((contents, rows)) = taken else {
            return Ok(());
        };
        let (Some(&first), Some(&last)) = (contents.steps.first(), contents.steps.last()) else {
            return Ok(());
        };
        let file = self.keep(&contents, &rows);
        let file = file.map_err(|error| broken_file(NAME, &error))?;
        self.context.commit(Commit::Vectors { first, last, file })?;
        Ok(())
    }

    fn keep(&self, contents: &Contents, rows: &[f32]) -> std::io::Result<LocalFile> {
        let blobs = self.context.blobs();
        let scratch = blobs.scratch()?;
        let path = scratch.join(NAME);
        let kept =
            std::fs::write(&path, file(contents, rows)).and_then(|()| blobs.keep(NAME, &path));
        // what could not be kept is garbage; the store removes what is left at its next start
        let _ = std::fs::remove_dir_all(&scratch);
        kept
    }
}

/// The smallest n for which every nth of the steps 0 to `total`, and the last, are within [`MOST`].
fn stride(bytes: u64, total: u64) -> u64 {
    let rows = (MOST / bytes.max(1)).saturating_sub(2).max(1);
    total.div_ceil(rows).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_kept_as_long_as_there_is_room() {
        let kept = |bytes: u64, total: u64| 2 + total / stride(bytes, total);
        for (bytes, total) in [(4, 1), (1 << 20, 4094), (1 << 20, 100_000), (15 << 20, 792)] {
            assert!(kept(bytes, total) * bytes <= MOST, "{bytes} {total}");
        }
        assert_eq!(stride(1 << 20, 4094), 1);
        assert_eq!(stride(1 << 20, 4095), 2);
        assert_eq!(stride(0, 10), 1);
    }
}
