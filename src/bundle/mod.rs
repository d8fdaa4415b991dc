//! Bundles: one zip of everything that an experiment left behind, with a manifest of sizes and hashes that is checked offline.
//!
//! Knows entries and their bytes; not what they mean, nor where they come from.

mod path;
mod verify;
mod write;

use serde::{Deserialize, Serialize};

pub use path::{NotAPath, require_plain};
pub use verify::{Fault, FaultCode, Findings, Limits, verify};
pub use write::{WriteError, Writer};

/// The entry that lists all others.
pub const MANIFEST: &str = "manifest.json";

/// What `format` of a manifest says.
pub const FORMAT: &str = "vivarium-bundle";

/// The one version of the format that there is.
pub const VERSION: u32 = 1;

/// What is in a bundle, in the order of its entries. Holds no time, so that equal content is an equal bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// Whose content it is, such as an experiment's id.
    pub of: String,
    /// Every entry but the manifest itself.
    pub entries: Vec<Entry>,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative, with `/` between its parts.
    pub path: String,
    /// Length.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

#[cfg(test)]
mod tests;
