//! The rank-1 vectors of a run, gathered into files of many steps.

use crate::domain::vectors::{Contents, VectorModule, file};
use crate::engine::adapter::Adapter;
use crate::execution::{Commit, Context, Stop};
use crate::recipes::broken_file;

/// Numbers that are gathered before a file is written.
const MOST: usize = 8 << 20;
const NAME: &str = "vectors.safetensors";

/// Vectors that are in no file yet.
#[derive(Default)]
pub(super) struct Rows {
    modules: Vec<VectorModule>,
    steps: Vec<u64>,
    numbers: Vec<f32>,
}

impl Rows {
    /// For the modules of rank 1 that `adapter` has; there may be none.
    pub(super) fn of(adapter: &Adapter) -> Self {
        Self {
            modules: adapter.vector_modules(),
            ..Self::default()
        }
    }

    pub(super) fn add(
        &mut self,
        step: u64,
        adapter: &Adapter,
        context: &dyn Context,
    ) -> Result<(), Stop> {
        if self.modules.is_empty() {
            return Ok(());
        }
        self.steps.push(step);
        self.numbers.extend(adapter.vectors()?);
        match self.numbers.len() >= MOST {
            true => self.flush(context),
            false => Ok(()),
        }
    }

    /// Commits what was gathered.
    pub(super) fn flush(&mut self, context: &dyn Context) -> Result<(), Stop> {
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else {
            return Ok(());
        };
        let (first, last) = (*first, *last);
        let contents = Contents {
            modules: self.modules.clone(),
            steps: std::mem::take(&mut self.steps),
        };
        let bytes = file(&contents, &std::mem::take(&mut self.numbers));
        let broken = |error: std::io::Error| broken_file(NAME, &error);
        let scratch = context.blobs().scratch().map_err(broken)?;
        let path = scratch.join(NAME);
        let kept = std::fs::write(&path, bytes).and_then(|()| context.blobs().keep(NAME, &path));
        // what could not be kept is garbage
        let _ = std::fs::remove_dir_all(&scratch);
        context.commit(Commit::Vectors {
            first,
            last,
            file: kept.map_err(broken)?,
        })?;
        Ok(())
    }
}
