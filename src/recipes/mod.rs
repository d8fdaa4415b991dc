//! One file per job kind: read a spec, call the engine, report, return an outcome. The loops are in sight.
//!
//! Everything blocks; time, files and interruption come from the `Context`.

mod adapter;
mod analyze;
mod base;
pub mod converse;
mod devices;
mod evaluate;
pub mod finetune;
mod fingerprint;
pub mod generators;
mod import_run;
pub mod inspect;
mod local_judge;
mod register;
#[cfg(test)]
mod testing;
mod toy_judge;

use std::sync::Arc;

use serde_json::Value;

use self::generators::Generators;
use crate::domain::job::{ErrorClass, JobResult};
use crate::engine::Error;
use crate::engine::chat::ChatError;
use crate::engine::files::Files;
use crate::engine::residents::Residents;
use crate::execution::fetch::Fetch;
use crate::execution::files::is_full;
use crate::execution::judge::Judges;
use crate::execution::{Context, Execute, Failure, Hold, ModelFiles, Settings, Stop, Task, Work};

/// Runs every kind of task and keeps base models in memory between them.
pub struct Recipes {
    residents: Residents,
    generators: Generators,
    /// Where tasks run, such as `cpu`.
    device: String,
    hub: Arc<dyn Fetch>,
    judges: Arc<dyn Judges>,
}

impl Recipes {
    /// Recipes for tasks on `device` that keep at most `model_bytes` of base models on it; none is a sensible share.
    ///
    /// Rows of evaluations are drawn by `generators`, models of a hub brought by `hub`, answers scored behind endpoints by `judges`.
    pub fn new(
        device: impl Into<String>,
        model_bytes: Option<u64>,
        generators: Generators,
        hub: Arc<dyn Fetch>,
        judges: Arc<dyn Judges>,
    ) -> Self {
        Self {
            hub,
            judges,
            residents: Residents::new(model_bytes),
            generators,
            device: device.into(),
        }
    }
}

impl Recipes {
    /// The base models in memory, for others who want them; clones are the same.
    pub fn residents(&self) -> Residents {
        self.residents.clone()
    }

    fn outside(&self) -> evaluate::Outside<'_> {
        evaluate::Outside {
            residents: &self.residents,
            generators: &self.generators,
            judges: self.judges.as_ref(),
        }
    }
}

impl Execute for Recipes {
    fn execute(&self, task: &Task, context: &dyn Context) -> Result<JobResult, Stop> {
        crate::engine::device::set_threads(context.settings().threads_per_attempt);
        match &task.work {
            Work::Register(work) => register::run(work, context, self.hub.as_ref()),
            Work::Finetune(work) => finetune::run(work, context, &self.residents),
            Work::Import(work) => import_run::run(work, context, self.hub.as_ref()),
            Work::Evaluate(work) => evaluate::run(work, &task.job, context, &self.outside()),
            Work::Analyze(work) => analyze::run(work, context),
            Work::Rejudge(work) => {
                evaluate::rejudge::run(work, &task.job, context, &self.outside())
            }
        }
    }

    fn fingerprint(&self, settings: &Settings) -> Value {
        fingerprint::of(settings)
    }

    fn settings_of(&self, fingerprint: &Value, settings: &Settings) -> Settings {
        fingerprint::settings_of(fingerprint, settings)
    }
}

/// A refusal of something in the spec; another attempt would meet it again.
pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Stop {
    failure(ErrorClass::Config, code, message).into()
}

/// A failure; whether another attempt could end otherwise follows from its kind.
pub(crate) fn failure(
    class: ErrorClass,
    code: &'static str,
    message: impl Into<String>,
) -> Failure {
    Failure {
        class,
        code,
        message: message.into(),
        retryable: matches!(
            class,
            ErrorClass::Oom | ErrorClass::Device | ErrorClass::Internal
        ),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (class, code) = match &error {
            Error::Config { .. } => (ErrorClass::Config, "model_config"),
            Error::Adapter { .. } => (ErrorClass::Config, "adapter_config"),
            Error::Steering { .. } => (ErrorClass::Config, "steering_config"),
            Error::MissingFile { .. } => (ErrorClass::Data, "file_missing"),
            Error::BadFile { .. } => (ErrorClass::Data, "file_invalid"),
            Error::MissingTensor { .. } => (ErrorClass::Data, "tensor_missing"),
            Error::UnexpectedTensor { .. } => (ErrorClass::Data, "tensor_unexpected"),
            Error::Misshaped { .. } => (ErrorClass::Data, "tensor_misshaped"),
            Error::NumberType { .. } => (ErrorClass::Data, "tensor_type"),
            Error::NonFinite { .. } | Error::Diverged { .. } => {
                (ErrorClass::NonFinite, "loss_not_finite")
            }
            Error::Device { .. } => (ErrorClass::Device, "device_unavailable"),
            Error::Io { .. } => (ErrorClass::Internal, "file_io"),
            Error::TooLarge { .. } => (ErrorClass::Config, "model_too_large"),
            Error::OutOfMemory(_) => (ErrorClass::Oom, "out_of_memory"),
            Error::Torch(_) => (ErrorClass::Internal, "libtorch"),
        };
        failure(class, code, error.to_string())
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        if let Error::Io { what, source } = &error
            && is_full(source)
        {
            return disk_full(format_args!("{what} could not be written")).into();
        }
        Failure::from(error).into()
    }
}

impl From<ChatError> for Failure {
    fn from(error: ChatError) -> Self {
        let (class, code) = match &error {
            ChatError::File { .. } => (ErrorClass::Data, "tokenizer"),
            ChatError::Template { .. } => (ErrorClass::Data, "chat_template"),
            ChatError::Row { .. } => (ErrorClass::Data, "dataset_row"),
            ChatError::NoTemplate => (ErrorClass::Config, "no_chat_template"),
            ChatError::Spec { .. } => (ErrorClass::Config, "chat_spec"),
            ChatError::EveryRowParts { .. } => (ErrorClass::Config, "template_prefix"),
        };
        failure(class, code, error.to_string())
    }
}

impl From<ChatError> for Stop {
    fn from(error: ChatError) -> Self {
        Failure::from(error).into()
    }
}

/// What a full disk means for a job: it waits for room.
pub(crate) fn disk_full(what: impl std::fmt::Display) -> Hold {
    Hold {
        reason: "disk_full",
        detail: format!("the disk is full: {what}; make room on it, then resume the job"),
    }
}

/// A file of the store that could not be read or kept.
pub(crate) fn broken_file(name: &str, error: &std::io::Error) -> Stop {
    if is_full(error) {
        return disk_full(format_args!("{name} could not be written")).into();
    }
    let class = match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::NotFound => ErrorClass::Data,
        _ => ErrorClass::Internal,
    };
    failure(class, "file_io", format!("{name}: {error}")).into()
}

/// A model's files, each with its hash checked.
pub(crate) fn verified(model: &ModelFiles, context: &dyn Context) -> Result<Files, Stop> {
    let one = |entry: &crate::execution::LocalFile| {
        let file = context.blobs().verified(&entry.entry);
        let file = file.map_err(|error| broken_file(&entry.entry.name, &error))?;
        Ok((file.entry.name, file.path))
    };
    model.files.iter().map(one).collect()
}
