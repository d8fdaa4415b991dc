//! `vivarium verify`: holds a bundle against its manifest, without a server. Exit code 0: intact; 1: something is wrong; 2: no file.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::bundle::{Findings, Limits, verify};

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// The zip, as an experiment's `/bundle` gave it
    bundle: PathBuf,
    /// Read bundles that unpack to so many GiB at most
    #[arg(long, value_name = "GIB", default_value_t = 256)]
    most_gib: u32,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Prints what is found; the exit code says whether the bundle is intact.
pub fn run(arguments: &Verify) -> Result<ExitCode> {
    let file = match File::open(&arguments.bundle) {
        Ok(file) => file,
        Err(error) => {
            eprintln!(
                "vivarium: cannot read {}: {error}",
                arguments.bundle.display()
            );
            return Ok(ExitCode::from(2));
        }
    };
    let limits = Limits {
        bytes: u64::from(arguments.most_gib) << 30,
        ..Limits::default()
    };
    let findings = verify(BufReader::new(file), &limits);
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&findings)?),
        false => print!("{}", words(&findings)),
    }
    Ok(match findings.intact {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// One line a fault, and one that sums up.
fn words(findings: &Findings) -> String {
    let mut lines = String::new();
    for fault in &findings.faults {
        let code = serde_json::to_value(fault.code).unwrap_or_default();
        let code = code.as_str().unwrap_or_default().replace('_', " ");
        let place = fault.path.as_deref().map(|path| format!("{path}: "));
        lines += &format!("{code}: {}{}\n", place.unwrap_or_default(), fault.detail);
    }
    let of = findings.of.as_deref().unwrap_or("an unknown experiment");
    let (files, bytes) = (findings.verified, findings.verified_bytes);
    lines += &match findings.intact {
        true => format!("intact: bundle of {of}, {files} files, {bytes} bytes\n"),
        false => format!(
            "not intact: bundle of {of}, {} faults; {files} files are as the manifest says\n",
            findings.faults.len()
        ),
    };
    if let Some(hash) = &findings.manifest_sha256 {
        lines += &format!("manifest sha256 {hash}\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Writer;

    fn write(folder: &std::path::Path, name: &str, bytes: &[u8]) -> Verify {
        let bundle = folder.join(name);
        std::fs::write(&bundle, bytes).unwrap();
        Verify {
            bundle,
            most_gib: 1,
            json: false,
        }
    }

    #[test]
    fn the_exit_code_tells_intact_from_faulty_from_absent() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::begin(Vec::new());
        writer.add_bytes("a.png", b"picture").unwrap();
        let bytes = writer.finish("ex_1").unwrap().1;
        let mut flipped = bytes.clone();
        let place = bytes.windows(7).position(|part| part == b"picture");
        flipped[place.unwrap()] = b'P';
        let code = |arguments: &Verify| format!("{:?}", run(arguments).unwrap());
        let same = |code: ExitCode| format!("{code:?}");
        let intact = write(folder.path(), "intact.zip", &bytes);
        assert_eq!(code(&intact), same(ExitCode::SUCCESS));
        let faulty = write(folder.path(), "faulty.zip", &flipped);
        assert_eq!(code(&faulty), same(ExitCode::FAILURE));
        let absent = Verify {
            bundle: folder.path().join("absent.zip"),
            ..intact
        };
        assert_eq!(code(&absent), same(ExitCode::from(2)));
    }

    #[test]
    fn the_words_name_each_fault_and_sum_up() {
        let findings = verify(std::io::Cursor::new(b"no zip"), &Limits::default());
        let words = words(&findings);
        assert!(words.starts_with("not a bundle: "), "{words}");
        assert!(words.contains("not intact: bundle of an unknown experiment, 1 faults"));
    }
}
