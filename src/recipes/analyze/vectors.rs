//! The paths of a run's vectors, from its files of vectors or, where it has none, from its checkpoints.

use std::collections::HashMap;

use crate::domain::analysis::RunData;
use crate::domain::geometry::Trajectory;
use crate::domain::job::ErrorClass;
use crate::domain::vectors::{Contents, LENGTH, VectorModule, steps_of};
use crate::engine::adapter::Adapter;
use crate::engine::device::Device;
use crate::execution::{Context, LocalFile, ModelFiles, RunInputs, RunVectors, Stop};
use crate::recipes::{failure, verified};

/// The run's numbers with a path for A and B of every module that has vectors.
pub(super) fn filled(run: &RunInputs, context: &dyn Context) -> Result<RunData, Stop> {
    let mut paths = Paths {
        only: run.only.clone(),
        ..Paths::default()
    };
    match &run.vectors {
        RunVectors::None => {}
        RunVectors::Files(files) => {
            for file in files {
                context.turn()?;
                paths.take_file(file).map_err(|why| broken(run, &why))?;
            }
        }
        RunVectors::Checkpoints(checkpoints) => {
            for (step, files) in checkpoints {
                context.turn()?;
                paths.take_checkpoint(*step, files, context)?;
            }
        }
    }
    let mut data = run.data.clone();
    paths
        .into_modules(&mut data)
        .map_err(|why| broken(run, &why))?;
    Ok(data)
}

fn broken(run: &RunInputs, why: &str) -> Stop {
    let message = format!("the vectors of {} cannot be read: {why}", run.job);
    failure(ErrorClass::Data, "vectors_broken", message).into()
}

/// Vectors that were read so far.
#[derive(Default)]
struct Paths {
    only: Option<Vec<u64>>,
    steps: Vec<u64>,
    /// A and B by module; one row a step.
    numbers: HashMap<String, [Vec<f32>; 2]>,
}

impl Paths {
    fn take_file(&mut self, file: &LocalFile) -> Result<(), String> {
        let bytes = std::fs::read(&file.path).map_err(|error| error.to_string())?;
        let (contents, mut rest) = opened(&bytes)?;
        let rows = contents.steps.len();
        for module in &contents.modules {
            let sides = self.numbers.entry(module.name.clone()).or_default();
            for (side, width) in sides.iter_mut().zip([module.inputs, module.outputs]) {
                let length = 4 * rows * width as usize;
                let (own, behind) = rest.split_at_checked(length).ok_or("a file is too short")?;
                let (numbers, _) = own.as_chunks::<4>();
                side.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
                rest = behind;
            }
        }
        self.steps.extend(contents.steps);
        Ok(())
    }

    fn take_checkpoint(
        &mut self,
        step: u64,
        files: &ModelFiles,
        context: &dyn Context,
    ) -> Result<(), Stop> {
        let adapter = Adapter::load_alone(&verified(files, context)?, Device::Cpu)?;
        let numbers = adapter.vectors()?;
        let mut rest = numbers.as_slice();
        for VectorModule {
            name,
            inputs,
            outputs,
        } in adapter.vector_modules()
        {
            let sides = self.numbers.entry(name).or_default();
            for (side, width) in sides.iter_mut().zip([inputs, outputs]) {
                let (own, behind) = rest.split_at(width as usize);
                side.extend(own);
                rest = behind;
            }
        }
        self.steps.push(step);
        Ok(())
    }

    fn into_modules(mut self, data: &mut RunData) -> Result<(), String> {
        for module in &mut data.modules {
            let Some([a, b]) = self.numbers.remove(&module.module.name) else {
                continue;
            };
            module.a = Some(self.path(&module.module.name, a)?);
            module.b = Some(self.path(&module.module.name, b)?);
        }
        Ok(())
    }

    fn path(&self, module: &str, numbers: Vec<f32>) -> Result<Trajectory, String> {
        let width = (numbers.len() / self.steps.len().max(1)).max(1);
        let rows = self.steps.iter().zip(numbers.chunks(width));
        let wanted = rows.filter(|(step, _)| self.wants(**step));
        let (steps, rows): (Vec<u64>, Vec<&[f32]>) = wanted.map(|(step, row)| (*step, row)).unzip();
        let path = Trajectory::new(steps, width, rows.concat());
        path.map_err(|error| format!("{module}: {error}"))
    }

    fn wants(&self, step: u64) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| only.binary_search(&step).is_ok())
    }
}

/// What a file holds, and its numbers.
fn opened(bytes: &[u8]) -> Result<(Contents, &[u8]), String> {
    let short = || "a file is too short".to_owned();
    let (length, rest) = bytes.split_first_chunk::<LENGTH>().ok_or_else(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
    let (header, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let rows = steps_of(header).ok_or("a file tells of no steps")?;
    let (steps, rest) = usize::try_from(8 * rows)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(short)?;
    Ok((Contents::read(header, steps)?, rest))
}
