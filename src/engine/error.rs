//! What can go wrong with tensors and their files. Knows no job and no status code.

use tch::TchError;

/// A value, or why the engine refused or failed.
pub type Result<T> = std::result::Result<T, Error>;

/// Every failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of config.json that this engine does not compute, or that makes no sense.
    #[error("config.json: {field} {detail}")]
    Config {
        /// Name of the field.
        field: String,
        /// Its value, what is wrong with it, what would do.
        detail: String,
    },
    /// A field of adapter_config.json or of a LoRA method that cannot be honoured.
    #[error("adapter: {field} {detail}")]
    Adapter {
        /// Name of the field.
        field: String,
        /// Its value, what is wrong with it, what would do.
        detail: String,
    },
    /// A field of steering_config.json or of a steering method that cannot be honoured.
    #[error("steering vector: {field} {detail}")]
    Steering {
        /// Name of the field.
        field: String,
        /// Its value, what is wrong with it, what would do.
        detail: String,
    },
    /// A file that must be there is not.
    #[error("{name} is missing; {remedy}")]
    MissingFile {
        /// Its name.
        name: String,
        /// What to do.
        remedy: String,
    },
    /// A file whose content cannot be understood or is refused.
    #[error("{name}: {detail}")]
    BadFile {
        /// Its name.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A tensor that the architecture has and the files lack.
    #[error("tensor {name} is missing")]
    MissingTensor {
        /// Its full name.
        name: String,
    },
    /// A tensor that the files have and the architecture lacks.
    #[error("tensor {name} is unexpected: {detail}")]
    UnexpectedTensor {
        /// Its full name.
        name: String,
        /// Why it is not wanted.
        detail: String,
    },
    /// A tensor of another shape than the config says.
    #[error("tensor {name} has shape {found:?}, expected {expected:?}")]
    Misshaped {
        /// Its full name.
        name: String,
        /// What the config says.
        expected: Vec<i64>,
        /// What the file holds.
        found: Vec<i64>,
    },
    /// A tensor of a number type that this engine does not compute with.
    #[error(
        "tensor {name} is of type {found}; only float32, bfloat16 and float16 weights are read, quantised ones are not"
    )]
    NumberType {
        /// Its full name.
        name: String,
        /// As the file calls it.
        found: String,
    },
    /// A number that is not finite where one must be.
    #[error("{what} is not finite")]
    NonFinite {
        /// Such as `loss at step 7`.
        what: String,
    },
    /// A step of training whose numbers are not finite.
    #[error("step {step}: loss {loss}{}, gradient norm {grad_norm}", kl_text(*kl_loss))]
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Its KL term, where it has one.
        kl_loss: Option<f64>,
        /// The norm of its gradients.
        grad_norm: f64,
    },
    /// A device that does not exist here.
    #[error("device {name}: {detail}")]
    Device {
        /// As it was asked for.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("{what}: {source}")]
    Io {
        /// Which file, for what.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A model that is larger than all the room there is for models.
    #[error(
        "{name} takes {bytes} bytes on {device} and models.memory_bytes allows {limit} in all; raise it, choose a smaller dtype or another model"
    )]
    TooLarge {
        /// Shown name.
        name: String,
        /// Where it was to be.
        device: String,
        /// Bytes of its weights.
        bytes: u64,
        /// Bytes that models may take there.
        limit: u64,
    },
    /// Memory of the device or of the host ran out.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Anything else that libtorch reports, its first line only.
    #[error("libtorch: {0}")]
    Torch(String),
}

fn kl_text(kl_loss: Option<f64>) -> String {
    kl_loss.map_or(String::new(), |kl| format!(", kl_loss {kl}"))
}

impl Error {
    /// A refused field of config.json.
    pub fn config(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Config {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// A refused field of an adapter.
    pub fn adapter(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Adapter {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// A refused field of a steering vector.
    pub fn steering(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Steering {
            field: field.into(),
            detail: detail.into(),
        }
    }

    /// A file that cannot be understood.
    pub fn bad_file(name: impl Into<String>, detail: impl ToString) -> Self {
        Self::BadFile {
            name: name.into(),
            detail: detail.to_string(),
        }
    }

    /// A failed read or write of `what`.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}

/// libtorch's text carries a C++ backtrace behind its first line; nobody who reads our errors wants it.
impl From<TchError> for Error {
    fn from(error: TchError) -> Self {
        let text = match error {
            TchError::Torch(text) => text,
            other => other.to_string(),
        };
        let line = text.lines().next().unwrap_or_default().trim().to_string();
        let lower = line.to_lowercase();
        // The second is what the host's allocator says.
        let memory = ["out of memory", "can't allocate memory"];
        if memory.iter().any(|words| lower.contains(words)) {
            Self::OutOfMemory(line)
        } else {
            Self::Torch(line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torch_error_keeps_its_first_line_only() {
        let shape = tch::Tensor::zeros([2, 3], tch::kind::FLOAT_CPU);
        let text = Error::from(shape.f_matmul(&shape).unwrap_err()).to_string();
        assert!(text.starts_with("libtorch: "), "{text}");
        assert!(text.contains("2x3"), "{text}");
        assert!(!text.contains('\n'), "{text}");
    }

    #[test]
    fn running_out_of_memory_is_told_apart() {
        let error = tch::Tensor::f_zeros([1 << 46], tch::kind::FLOAT_CPU).unwrap_err();
        assert!(matches!(Error::from(error), Error::OutOfMemory(_)));
    }
}
