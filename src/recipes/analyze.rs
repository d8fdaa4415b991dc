//! Geometry and transitions of finished runs: their vectors are read, everything else is a pure function of numbers.

mod vectors;

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::domain::analysis::{Analysis, AnalysisSettings, RunData, analyse};
use crate::domain::job::{ErrorClass, JobResult, Phase};
use crate::execution::{AnalyzeWork, Commit, Context, Report, Stop};
use crate::recipes::failure;

/// Time between two signs of life while numbers are computed.
const SIGN: Duration = Duration::from_millis(200);

/// Reads the vectors of every run, computes and records; nothing of an earlier attempt is needed.
pub(super) fn run(work: &AnalyzeWork, context: &dyn Context) -> Result<JobResult, Stop> {
    context.report(Report::Phase(Phase::Load))?;
    let mut runs = Vec::with_capacity(work.runs.len());
    for run in &work.runs {
        runs.push(vectors::filled(run, context)?);
        context.report(Report::Progress {
            done: runs.len() as u64,
            total: work.runs.len() as u64,
            unit: "run",
        })?;
    }
    context.report(Report::Phase(Phase::Analyze))?;
    let computed = computed(runs, work.settings.clone(), context)?;
    context.report(Report::Phase(Phase::Save))?;
    context.commit(Commit::Analysis(Box::new(computed)))?;
    Ok(JobResult {
        analysis: Some(work.analysis.clone()),
        ..JobResult::default()
    })
}

/// Computes beside the attempt's thread, which goes on to say that it lives and hears when it is to stop; what is computed then is
/// dropped.
fn computed(
    runs: Vec<RunData>,
    settings: AnalysisSettings,
    context: &dyn Context,
) -> Result<Analysis, Stop> {
    let (sender, receiver) = sync_channel(1);
    let runs = Arc::new(runs);
    let worker = thread::Builder::new().name("analysis".into());
    let worker = worker.spawn(move || {
        // whoever stopped waiting wants no answer
        let _ = sender.send(analyse(&runs, &settings));
    });
    let worker = worker.map_err(|error| {
        let message = format!("no thread for the computation could be started: {error}");
        failure(ErrorClass::Internal, "analysis_thread", message)
    })?;
    loop {
        match receiver.recv_timeout(SIGN) {
            Ok(computed) => return Ok(computed),
            Err(RecvTimeoutError::Timeout) => context.turn()?,
            Err(RecvTimeoutError::Disconnected) => {
                return match worker.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => {
                        let message = "the computation ended without an answer";
                        Err(failure(ErrorClass::Internal, "analysis_thread", message).into())
                    }
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
