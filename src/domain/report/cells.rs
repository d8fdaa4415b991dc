//! Arms at their seeds, with the jobs that stand for them.

use super::material::{JobFacts, Material, RunFacts};
use super::value::{Cell, CellJob};

/// One of every arm and seed in the order of the plan; jobs of the whole in the last.
pub(super) fn cells(material: &Material) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    let (of_cells, of_whole): (Vec<_>, Vec<_>) =
        material.jobs.iter().partition(|job| job.arm.is_some());
    for job in of_cells.into_iter().chain(of_whole) {
        let known = cells
            .iter_mut()
            .find(|cell| cell.arm == job.arm && cell.seed == job.seed);
        match known {
            Some(cell) => cell.jobs.push(cell_job(job)),
            None => cells.push(cell(job, material)),
        }
    }
    cells
}

fn cell(job: &JobFacts, material: &Material) -> Cell {
    let of = |run: &&RunFacts| {
        Some(run.arm.as_str()) == job.arm.as_deref() && Some(run.seed) == job.seed
    };
    let run = material.runs.iter().find(of);
    Cell {
        arm: job.arm.clone(),
        seed: job.seed,
        steps: run.and_then(|run| run.steps.last().copied()),
        last_loss: run.and_then(|run| run.loss.last().copied().flatten()),
        jobs: vec![cell_job(job)],
    }
}

fn cell_job(job: &JobFacts) -> CellJob {
    let wall =
        |(from, to): (time::OffsetDateTime, time::OffsetDateTime)| (to - from).as_seconds_f64();
    CellJob {
        key: job.key.clone(),
        role: job.role.clone(),
        job: job.job.clone(),
        state: job.state.clone(),
        reused: job.reused,
        error: job.error.clone(),
        spec_hash: job.spec_hash.clone(),
        numerics_hash: job.numerics_hash.clone(),
        wall_seconds: job.started_at.zip(job.finished_at).map(wall),
    }
}
