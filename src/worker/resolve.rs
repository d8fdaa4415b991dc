//! From a claimed job's spec to files: every name looked up, every file's hash checked.
//!
//! What is missing is a failure of the job, in its owner's words; submission refuses most of it earlier.

mod analyze;
mod evaluate;
mod import_run;
mod register;
mod rejudge;

use super::Shared;
use super::context::{fault, stop_of};
use super::control::Control;
use super::writer::patiently;
use crate::domain::assets::{BaseModelState, FileEntry};
use crate::domain::finetune::FinetuneSpec;
use crate::domain::job::{ErrorClass, JobSpec};
use crate::domain::requests;
use crate::execution::files;
use crate::execution::{DatasetFile, Failure, FinetuneWork, LocalFile, ModelFiles, Stop, Work};
use crate::storage::inputs::{self, ModelInput};
use crate::storage::queue::Claim;
use crate::storage::{Result as Stored, Storage};

/// What to do for `claim`.
pub(super) fn work_of(shared: &Shared, claim: &Claim, control: &Control) -> Result<Work, Stop> {
    let look = Look { shared, control };
    match spec_of(claim)? {
        JobSpec::Register(spec) => look.register(spec).map(Work::Register),
        JobSpec::Finetune(spec) => look.finetune(*spec).map(|work| Work::Finetune(work.into())),
        JobSpec::Imported(spec) => look.import(*spec).map(|work| Work::Import(work.into())),
        JobSpec::Evaluate(spec) => look.evaluate(*spec).map(|work| Work::Evaluate(work.into())),
        JobSpec::Analyze(spec) => look.analyze(&spec).map(|work| Work::Analyze(work.into())),
        JobSpec::Rejudge(spec) => look.rejudge(&spec).map(|work| Work::Rejudge(work.into())),
    }
}

fn spec_of(claim: &Claim) -> Result<JobSpec, Stop> {
    requests::read_stored(claim.spec.clone()).map_err(|error| {
        tracing::error!(job = %claim.lease.job, %error, "a stored spec cannot be read");
        let message =
            "this version of the server cannot read the job's stored spec; submit it again";
        fault("stored_spec", message).into()
    })
}

/// One attempt's look at the assets.
struct Look<'a> {
    shared: &'a Shared,
    control: &'a Control,
}

impl Look<'_> {
    fn ask<'s, T, F>(&'s self, call: impl Fn(&'s Storage) -> F) -> Result<T, Stop>
    where
        F: Future<Output = Stored<T>>,
    {
        self.control.sign();
        let answer = patiently(self.control, || call(&self.shared.storage));
        self.shared.runtime.block_on(answer).map_err(stop_of)
    }

    fn finetune(&self, spec: FinetuneSpec) -> Result<FinetuneWork, Stop> {
        let base = self.ready_model(&spec.base_model)?;
        let mut datasets = Vec::with_capacity(spec.datasets.len());
        for used in &spec.datasets {
            datasets.push(self.dataset(&used.dataset)?);
        }
        let kl = spec.loss.kl.as_ref();
        let kl = kl.map(|kl| self.dataset(&kl.dataset)).transpose()?;
        let job = &self.control.lease.job;
        Ok(FinetuneWork {
            start: self.start(&spec, &base)?,
            provenance: self.ask(|storage| inputs::provenance(storage, job, &base.id))?,
            base: self.model_files(base.name, &base.files)?,
            datasets,
            kl,
            spec,
        })
    }

    fn dataset(&self, reference: &str) -> Result<DatasetFile, Stop> {
        let found = self.ask(|storage| inputs::dataset(storage, reference))?;
        let found = found.ok_or_else(|| missing("dataset", reference))?;
        Ok(DatasetFile {
            file: self.file(&found.entry)?,
            format: found.format,
        })
    }

    fn ready_model(&self, reference: &str) -> Result<ModelInput, Stop> {
        let found = self.ask(|storage| inputs::base_model(storage, reference))?;
        let found = found.ok_or_else(|| missing("base model", reference))?;
        if found.state == BaseModelState::Ready {
            return Ok(found);
        }
        let message = format!("base model \"{reference}\" is not ready; register it again");
        Err(refused("base_model_not_ready", message))
    }

    /// The files of a model; their identity depends on their names and bytes alone.
    fn model_files(&self, name: String, entries: &[FileEntry]) -> Result<ModelFiles, Stop> {
        ModelFiles::gathered(name, entries, |entry| self.file(entry))
    }

    fn file(&self, entry: &FileEntry) -> Result<LocalFile, Stop> {
        self.control.turn()?;
        files::checked(self.shared.blobs.as_ref(), entry).map_err(Stop::Failed)
    }
}

fn missing(kind: &str, reference: &str) -> Stop {
    refused(
        "missing_input",
        format!("{kind} \"{reference}\" does not exist"),
    )
}

fn refused(code: &'static str, message: impl Into<String>) -> Stop {
    Stop::Failed(Failure {
        class: ErrorClass::Config,
        code,
        message: message.into(),
        retryable: false,
    })
}
