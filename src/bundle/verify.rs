//! Reading a bundle that anybody may have made: bounded before anything is unpacked, every entry held against the manifest.
//!
//! Nothing is written anywhere. What is wrong is told, all of it, not only the first.

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::{Entry, FORMAT, MANIFEST, Manifest, VERSION, require_plain};
use crate::domain::canonical::hex;

/// How much is read of a bundle at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// All entries unpacked.
    pub bytes: u64,
    /// The manifest unpacked.
    pub manifest_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            bytes: 256 << 30,
            manifest_bytes: 64 << 20,
        }
    }
}

/// No deflated data unpacks to more than so many times its length.
///
/// *Source* RFC 1951: at best 258 bytes come from one two-bit pair of symbols, 1032 : 1.
const MOST_EXPANSION: u64 = 1032;

/// What is wrong with a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultCode {
    /// Not a zip, or its directory does not fit its entries.
    NotABundle,
    /// More entries or bytes than are read.
    TooLarge,
    /// A name that could lie outside the folder it is unpacked into.
    Path,
    /// Not a plain file, or packed in an unknown way.
    Kind,
    /// The manifest is not there or not one.
    Manifest,
    /// In the manifest, not in the zip.
    Missing,
    /// In the zip, not in the manifest.
    Extra,
    /// Another length than the manifest's.
    Size,
    /// Other content than the manifest's.
    Hash,
    /// Content that cannot be unpacked or has not its own checksum.
    Damaged,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Of what kind.
    pub code: FaultCode,
    /// With which entry; none for the whole.
    pub path: Option<String>,
    /// In words.
    pub detail: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Whether nothing is wrong.
    pub intact: bool,
    /// Whose bundle the manifest says it is.
    pub of: Option<String>,
    /// Of the manifest as it stands; equal for equal content.
    pub manifest_sha256: Option<String>,
    /// Entries that are as the manifest says.
    pub verified: u64,
    /// Their bytes.
    pub verified_bytes: u64,
    /// What is wrong, in the order of the entries.
    pub faults: Vec<Fault>,
}

/// Checks a bundle; what it finds wrong is in the answer, not an error.
pub fn verify<R: Read + Seek>(source: R, limits: &Limits) -> Findings {
    let mut check = Check::default();
    if let Err(fault) = check.whole(source, limits) {
        check.faults.push(fault);
    }
    Findings {
        intact: check.faults.is_empty(),
        of: check.of,
        manifest_sha256: check.manifest_sha256,
        verified: check.verified,
        verified_bytes: check.verified_bytes,
        faults: check.faults,
    }
}

#[derive(Default)]
struct Check {
    of: Option<String>,
    manifest_sha256: Option<String>,
    verified: u64,
    verified_bytes: u64,
    faults: Vec<Fault>,
}

fn fault(code: FaultCode, path: Option<&str>, detail: impl ToString) -> Fault {
    Fault {
        code,
        path: path.map(shown),
        detail: detail.to_string(),
    }
}

/// A name that cannot move a terminal's cursor.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

fn not_a_bundle(error: ZipError) -> Fault {
    fault(FaultCode::NotABundle, None, error)
}

/// What the directory says of an entry.
struct Member {
    index: usize,
    name: String,
    bytes: u64,
}

impl Check {
    /// The faults after which nothing more is read are errors; all others are noted.
    fn whole<R: Read + Seek>(&mut self, source: R, limits: &Limits) -> Result<(), Fault> {
        // an archive that begins later would hide what stands before it
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let mut archive = ZipArchive::with_config(config, source).map_err(not_a_bundle)?;
        let many = archive.len() as u64;
        if many > limits.entries {
            let detail = format!("{many} entries; at most {} are read", limits.entries);
            return Err(fault(FaultCode::TooLarge, None, detail));
        }
        let members = self.members(&mut archive)?;
        require_bounded(&members, limits)?;
        archive
            .validate_header_consistency()
            .map_err(not_a_bundle)?;
        let manifest = self.manifest(&mut archive, &members, limits)?;
        self.contents(&mut archive, &members, manifest);
        Ok(())
    }

    /// The entries, with what their names and kinds have wrong noted.
    fn members<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
    ) -> Result<Vec<Member>, Fault> {
        let mut members = Vec::with_capacity(archive.len());
        for index in 0..archive.len() {
            let file = archive.by_index_raw(index).map_err(not_a_bundle)?;
            let name = std::str::from_utf8(file.name_raw());
            let name = name.map_err(|error| fault(FaultCode::Path, None, error))?;
            if let Err(reason) = require_plain(name) {
                let one = fault(FaultCode::Path, Some(name), reason);
                self.faults.push(one);
                continue;
            }
            let known = [CompressionMethod::Stored, CompressionMethod::Deflated];
            if !file.is_file() || file.encrypted() || !known.contains(&file.compression()) {
                let detail = "not a plain file, stored or deflated";
                self.faults.push(fault(FaultCode::Kind, Some(name), detail));
                continue;
            }
            if file.size() > file.compressed_size().saturating_mul(MOST_EXPANSION) {
                let (large, packed) = (file.size(), file.compressed_size());
                let detail = format!("{packed} bytes cannot unpack to {large}");
                return Err(fault(FaultCode::TooLarge, Some(name), detail));
            }
            members.push(Member {
                index,
                name: name.to_owned(),
                bytes: file.size(),
            });
        }
        Ok(members)
    }

    fn manifest<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
        members: &[Member],
        limits: &Limits,
    ) -> Result<Manifest, Fault> {
        let wrong =
            |detail: &dyn ToString| fault(FaultCode::Manifest, Some(MANIFEST), detail.to_string());
        let member = members.iter().find(|member| member.name == MANIFEST);
        let member = member.ok_or_else(|| wrong(&"there is none"))?;
        if member.bytes > limits.manifest_bytes {
            let most = limits.manifest_bytes;
            return Err(wrong(&format!(
                "{} bytes; at most {most} are read",
                member.bytes
            )));
        }
        let mut text = Vec::new();
        unpack(archive, member, &mut text).map_err(|error| wrong(&error))?;
        self.manifest_sha256 = Some(hex(&Sha256::digest(&text)));
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            let (format, version) = (shown(&manifest.format), manifest.version);
            let detail = format!("format {format} {version}, not {FORMAT} {VERSION}");
            return Err(wrong(&detail));
        }
        self.of = Some(shown(&manifest.of));
        Ok(manifest)
    }

    fn contents<R: Read + Seek>(
        &mut self,
        archive: &mut ZipArchive<R>,
        members: &[Member],
        manifest: Manifest,
    ) {
        let mut there: BTreeMap<&str, &Member> = BTreeMap::new();
        there.extend(members.iter().map(|member| (member.name.as_str(), member)));
        there.remove(MANIFEST);
        for entry in &manifest.entries {
            let checked = match there.remove(entry.path.as_str()) {
                None => Err(fault(
                    FaultCode::Missing,
                    Some(&entry.path),
                    "in the manifest, not in the zip",
                )),
                Some(member) => same(archive, member, entry),
            };
            match checked {
                Ok(()) => {
                    self.verified += 1;
                    self.verified_bytes += entry.bytes;
                }
                Err(fault) => self.faults.push(fault),
            }
        }
        let extra = |name: &&str| {
            fault(
                FaultCode::Extra,
                Some(name),
                "in the zip, not in the manifest",
            )
        };
        self.faults.extend(there.keys().map(extra));
    }
}

fn require_bounded(members: &[Member], limits: &Limits) -> Result<(), Fault> {
    let total = members
        .iter()
        .fold(0_u64, |sum, member| sum.saturating_add(member.bytes));
    if total <= limits.bytes {
        return Ok(());
    }
    let most = limits.bytes;
    let detail = format!("{total} bytes unpacked; at most {most} are read");
    Err(fault(FaultCode::TooLarge, None, detail))
}

/// Whether an entry is what the manifest says.
fn same<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    member: &Member,
    entry: &Entry,
) -> Result<(), Fault> {
    let named = |code, detail: String| fault(code, Some(&entry.path), detail);
    if member.bytes != entry.bytes {
        let detail = format!("{} bytes, not {}", member.bytes, entry.bytes);
        return Err(named(FaultCode::Size, detail));
    }
    let mut hash = Hash(Sha256::new());
    let damaged = |error: std::io::Error| named(FaultCode::Damaged, error.to_string());
    unpack(archive, member, &mut hash).map_err(damaged)?;
    let found = hex(&hash.0.finalize());
    match found == entry.sha256 {
        true => Ok(()),
        false => {
            let detail = format!("sha256 {found}, not {}", shown(&entry.sha256));
            Err(named(FaultCode::Hash, detail))
        }
    }
}

struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The content of an entry, never more than the directory says it has.
fn unpack<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    member: &Member,
    into: &mut impl Write,
) -> std::io::Result<()> {
    let file = archive.by_index(member.index)?;
    let copied = std::io::copy(&mut file.take(member.bytes.saturating_add(1)), into)?;
    if copied == member.bytes {
        return Ok(());
    }
    let detail = format!("unpacks to another length than {} bytes", member.bytes);
    Err(std::io::Error::new(std::io::ErrorKind::InvalidData, detail))
}
