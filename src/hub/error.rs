//! What can go wrong between a hub and its cache, in words that say what to do.

use std::io;

use crate::domain::job::ErrorClass;
use crate::execution::{Failure, Stop};

/// Every failure of a hub.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{model} is gated: {}", gated_remedy(page, *token_sent))]
    Gated {
        model: String,
        page: String,
        token_sent: bool,
    },
    #[error("{model} does not exist at {endpoint}, or it is private{}", private_remedy(*token_sent))]
    NoModel {
        model: String,
        endpoint: String,
        token_sent: bool,
    },
    #[error(
        "{model} has no revision \"{revision}\"; give a branch, a tag or a commit that {page} shows"
    )]
    NoRevision {
        model: String,
        revision: String,
        page: String,
    },
    #[error("{model} has no {name} at {commit}, so it is no model that can be loaded here")]
    NoFile {
        model: String,
        commit: String,
        name: String,
    },
    #[error("the hub refuses the token; check HF_TOKEN or the file that HF_TOKEN_PATH names")]
    BadToken,
    #[error("the hub refuses access to {model}: {says}")]
    Refused { model: String, says: String },
    #[error(
        "the hub at {endpoint} cannot be reached: {cause}; check the network or HF_ENDPOINT, or set HF_HUB_OFFLINE=1 to use what the cache has"
    )]
    Unreachable { endpoint: String, cause: String },
    #[error("the hub answers {status}; try again later")]
    Busy { status: u16 },
    #[error("the hub's answer for {what} makes no sense: {detail}")]
    Odd { what: String, detail: String },
    #[error(
        "{model} at revision \"{revision}\" is not in the cache and the server is offline; fetch it once with HF_HUB_OFFLINE unset, or give a commit that is in the cache"
    )]
    NotCached { model: String, revision: String },
    #[error(
        "the cache lacks {missing} of {model} at {commit} and the server is offline; fetch it once with HF_HUB_OFFLINE unset"
    )]
    Incomplete {
        model: String,
        commit: String,
        missing: String,
    },
    #[error(
        "{model} has only pickled weights ({names}), which can run code and are refused; choose a model with safetensors or convert it"
    )]
    Pickles { model: String, names: String },
    #[error("{model} has neither model.safetensors nor its index with shards")]
    NoWeights { model: String },
    #[error("{model}: {detail}")]
    BadIndex { model: String, detail: String },
    #[error("{model} has {bytes} bytes and hub.model_bytes allows {limit}")]
    TooLarge {
        model: String,
        bytes: u64,
        limit: u64,
    },
    #[error(
        "{model} needs {bytes} more bytes in the cache, whose disk has {free} free, of which hub.spare_bytes keeps {spare}; make room or set HF_HUB_CACHE to another disk"
    )]
    DiskFull {
        model: String,
        bytes: u64,
        free: u64,
        spare: u64,
    },
    #[error(
        "{name} of {model} came with other bytes than the hub says it has; they were thrown away"
    )]
    WrongBytes { model: String, name: String },
    #[error("the cache's {what} cannot be used: {source}")]
    Disk { what: String, source: io::Error },
}

fn gated_remedy(page: &str, token_sent: bool) -> String {
    match token_sent {
        true => format!("accept its terms at {page} with the account of the token in HF_TOKEN"),
        false => format!(
            "accept its terms at {page}, then set HF_TOKEN for the server to a token of that account"
        ),
    }
}

fn private_remedy(token_sent: bool) -> &'static str {
    match token_sent {
        true => "; check the spelling, and that the account of the token in HF_TOKEN may see it",
        false => "; check the spelling, or set HF_TOKEN for the server",
    }
}

pub(super) type Result<T> = std::result::Result<T, Error>;

/// A failed call on a file of the cache.
pub(super) fn disk(what: &str) -> impl Fn(io::Error) -> Error + '_ {
    move |source| Error::Disk {
        what: what.to_owned(),
        source,
    }
}

impl Error {
    /// Kind and stable code.
    fn kind(&self) -> (ErrorClass, &'static str) {
        use ErrorClass::{Config, Data, Internal, Timeout};
        match self {
            Self::Gated { .. } => (Config, "hub_gated"),
            Self::NoModel { .. } => (Config, "hub_model_not_found"),
            Self::NoRevision { .. } => (Config, "hub_revision_not_found"),
            Self::NoFile { .. } => (Data, "hub_file_not_found"),
            Self::BadToken => (Config, "hub_token"),
            Self::Refused { .. } => (Config, "hub_refused"),
            Self::Unreachable { .. } => (Timeout, "hub_unreachable"),
            Self::Busy { .. } => (Timeout, "hub_busy"),
            Self::Odd { .. } => (Internal, "hub_answer"),
            Self::NotCached { .. } => (Config, "hub_offline"),
            Self::Incomplete { .. } => (Data, "hub_snapshot_incomplete"),
            Self::Pickles { .. } => (Data, "hub_only_pickles"),
            Self::NoWeights { .. } => (Data, "hub_no_weights"),
            Self::BadIndex { .. } => (Data, "hub_index"),
            Self::TooLarge { .. } => (Config, "hub_too_large"),
            Self::DiskFull { .. } => (Config, "hub_disk_full"),
            Self::WrongBytes { .. } => (Data, "hub_wrong_bytes"),
            Self::Disk { .. } => (Internal, "hub_cache"),
        }
    }

    /// Whether the same call may end otherwise soon.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Busy { .. }
                | Self::WrongBytes { .. }
                | Self::Disk { .. }
        )
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (class, code) = error.kind();
        if let Error::Disk { what, source } = &error {
            tracing::error!(what, %source, "the hub's cache cannot be used");
        }
        Self {
            class,
            code,
            message: error.to_string(),
            retryable: error.may_pass(),
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}
