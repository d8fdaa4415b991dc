//! What the headers of a model's safetensors files say about its size and number type. Reads no tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::files::Files;
use super::{Error, Result};
use crate::domain::finetune::Dtype;

/// Longest header that safetensors allows, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// All tensors of a model together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// Numbers in all.
    pub count: u64,
    /// Bytes in all.
    pub bytes: u64,
    types: BTreeSet<String>,
}

impl Stored {
    /// The number type of every tensor, where they all have the same.
    pub fn dtype(&self) -> Option<Dtype> {
        let mut types = self.types.iter().map(String::as_str);
        match (types.next(), types.next()) {
            (Some("F32"), None) => Some(Dtype::Float32),
            (Some("BF16"), None) => Some(Dtype::Bfloat16),
            _ => None,
        }
    }

    /// Bytes in memory as `dtype`, or as stored.
    pub fn bytes_as(&self, dtype: Option<Dtype>) -> u64 {
        match dtype {
            None => self.bytes,
            Some(Dtype::Float32) => self.count.saturating_mul(4),
            Some(Dtype::Bfloat16) => self.count.saturating_mul(2),
        }
    }
}

/// What the weight files of a model hold.
///
/// *Errors* `BadFile` for what is not safetensors. Missing files are for the loader to name.
pub fn of(files: &Files) -> Result<Stored> {
    let names = files.names();
    let single = names.contains(&"model.safetensors");
    let mut stored = Stored::default();
    for name in names {
        let counts = match single {
            true => name == "model.safetensors",
            false => name.ends_with(".safetensors"),
        };
        if counts {
            add(&mut stored, name, files.require(name)?)?;
        }
    }
    Ok(stored)
}

/// A tensor's line in a header.
#[derive(Deserialize)]
struct Line {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

fn add(stored: &mut Stored, name: &str, path: &Path) -> Result<()> {
    let bad = |error| Error::bad_file(name, format!("not a sound safetensors file: {error}"));
    let mut lines: BTreeMap<String, Value> =
        serde_json::from_slice(&header(name, path)?).map_err(bad)?;
    lines.remove("__metadata__");
    for line in lines.into_values() {
        let line: Line = serde_json::from_value(line).map_err(bad)?;
        let (begin, end) = line.data_offsets;
        stored.bytes = stored.bytes.saturating_add(end.saturating_sub(begin));
        let count = line
            .shape
            .iter()
            .fold(1, |sum: u64, size| sum.saturating_mul(*size));
        stored.count = stored.count.saturating_add(count);
        stored.types.insert(line.dtype);
    }
    Ok(())
}

/// The JSON that a safetensors file begins with, behind its length.
fn header(name: &str, path: &Path) -> Result<Vec<u8>> {
    let fail = |source| Error::io(name, source);
    let mut file = File::open(path).map_err(fail)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|_| Error::bad_file(name, "is too short for a safetensors file"))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER {
        let detail = format!("its header claims {length} bytes; at most {LONGEST_HEADER} are read");
        return Err(Error::bad_file(name, detail));
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).map_err(fail)?;
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixture_is_counted_as_its_header_has_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let files =
            Files::in_folder(&folder.join("tests/fixtures/engine/peft_training/base")).unwrap();
        let stored = of(&files).unwrap();
        assert_eq!(stored.dtype(), Some(Dtype::Float32));
        assert_eq!(stored.bytes, stored.count * 4);
        assert_eq!(stored.bytes_as(Some(Dtype::Bfloat16)), stored.bytes / 2);
        let length = std::fs::metadata(files.require("model.safetensors").unwrap())
            .unwrap()
            .len();
        assert!(stored.bytes < length && stored.bytes > length / 2);
    }

    #[test]
    fn a_header_of_200_megabytes_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, 200_000_000u64.to_le_bytes()).unwrap();
        let error = of(&Files::in_folder(folder.path()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("200000000"), "{error}");
        std::fs::write(&path, b"abc").unwrap();
        assert!(of(&Files::in_folder(folder.path()).unwrap()).is_err());
    }
}
