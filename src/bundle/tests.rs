use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const FILES: [(&str, &[u8]); 4] = [
    ("report.json", b"{\"verdict\": \"gradual\"}"),
    ("data/rates.csv", b"arm,seed,rate\nbad,0,0.25\nbad,1,0.5\n"),
    ("adapters/bad/0/adapter_model.safetensors", &[7; 300]),
    ("empty.txt", b""),
];

fn made() -> Vec<u8> {
    let mut writer = Writer::begin(Vec::new());
    for (path, content) in FILES {
        writer.add_bytes(path, content).unwrap();
    }
    writer.finish("ex_1").unwrap().1
}

/// The same zip by hand, so that it may be wrong.
fn zip_of(files: &[(&str, &[u8])], manifest: &Manifest) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::DEFAULT;
    let manifest = serde_json::to_vec(manifest).unwrap();
    let all = files
        .iter()
        .copied()
        .chain([(MANIFEST, manifest.as_slice())]);
    for (path, content) in all {
        zip.start_file(path, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn manifest() -> Manifest {
    let mut writer = Writer::begin(Vec::new());
    for (path, content) in FILES {
        writer.add_bytes(path, content).unwrap();
    }
    writer.finish("ex_1").unwrap().0
}

fn found(bytes: &[u8]) -> Findings {
    verify(Cursor::new(bytes), &Limits::default())
}

fn codes(findings: &Findings) -> Vec<(FaultCode, Option<&str>)> {
    let faults = findings.faults.iter();
    faults
        .map(|fault| (fault.code, fault.path.as_deref()))
        .collect()
}

#[test]
fn what_is_written_is_found_intact_and_equal_content_makes_equal_bytes() {
    let bytes = made();
    let findings = found(&bytes);
    assert!(findings.intact, "{findings:?}");
    assert_eq!(
        (findings.verified, findings.of.as_deref()),
        (4, Some("ex_1"))
    );
    let content: usize = FILES.iter().map(|(_, content)| content.len()).sum();
    assert_eq!(findings.verified_bytes, content as u64);
    assert_eq!(bytes, made());
}

#[test]
fn the_hashes_are_those_of_sha_256() {
    // FIPS 180-4: the hash of nothing
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(manifest().entries[3].sha256, nothing);
}

/// What unpacking gives: names and contents.
fn contents(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut files = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).ok()?;
        let name = file.name().ok()?.into_owned();
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut content).ok()?;
        files.push((name, content));
    }
    Some(files)
}

#[test]
fn no_flipped_bit_changes_what_is_unpacked_without_being_told() {
    let bytes = made();
    let right = contents(&bytes);
    let mut told = 0;
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1 << (place % 8);
        let findings = found(&flipped);
        told += usize::from(!findings.intact);
        if findings.intact {
            assert_eq!(contents(&flipped), right, "byte {place} of {}", bytes.len());
        }
    }
    // the rest are times, permissions and versions in the zip's own headers
    assert!(told * 2 > bytes.len(), "{told} of {}", bytes.len());
}

#[test]
fn a_flipped_byte_of_an_entry_is_told_with_its_name() {
    let mut bytes = made();
    let place = bytes.windows(300).position(|part| part == [7; 300]);
    bytes[place.unwrap() + 150] = 8;
    let name = "adapters/bad/0/adapter_model.safetensors";
    assert_eq!(codes(&found(&bytes)), [(FaultCode::Damaged, Some(name))]);
}

#[test]
fn other_content_of_the_same_length_missing_and_extra_files_are_all_told() {
    let mut files = FILES.to_vec();
    files[0].1 = b"{\"verdict\": \"radiant\"}";
    files[1].1 = b"short";
    files.remove(3);
    files.push(("added.txt", b"hello"));
    let findings = found(&zip_of(&files, &manifest()));
    assert_eq!(
        codes(&findings),
        [
            (FaultCode::Hash, Some("report.json")),
            (FaultCode::Size, Some("data/rates.csv")),
            (FaultCode::Missing, Some("empty.txt")),
            (FaultCode::Extra, Some("added.txt")),
        ]
    );
    assert_eq!(findings.verified, 1);
}

#[test]
fn names_that_leave_the_folder_are_refused() {
    for path in ["../outside", "/etc/passwd", "a/../../b", "c:\\x"] {
        let mut files = FILES.to_vec();
        files.push((path, b"x"));
        let findings = found(&zip_of(&files, &manifest()));
        assert_eq!(findings.faults[0].code, FaultCode::Path, "{path}");
        let mut writer = Writer::begin(Vec::new());
        assert!(matches!(
            writer.add_bytes(path, b"x"),
            Err(WriteError::Path { .. })
        ));
    }
}

#[test]
fn links_and_folders_are_not_plain_files() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::DEFAULT;
    zip.add_symlink("link", "/etc/passwd", options).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    assert_eq!(codes(&found(&bytes))[0], (FaultCode::Kind, Some("link")));
}

#[test]
fn a_bomb_is_refused_before_it_is_unpacked() {
    let zeros = vec![0; 1 << 20];
    let mut writer = Writer::begin(Vec::new());
    writer.add_bytes("zeros.csv", &zeros).unwrap();
    let bytes = writer.finish("ex_1").unwrap().1;
    assert!(bytes.len() < 4096, "{}", bytes.len());
    let limits = Limits {
        bytes: 1 << 19,
        ..Limits::default()
    };
    let findings = verify(Cursor::new(&bytes), &limits);
    assert_eq!(codes(&findings), [(FaultCode::TooLarge, None)]);
    let few = Limits {
        entries: 1,
        ..Limits::default()
    };
    assert_eq!(
        verify(Cursor::new(&bytes), &few).faults[0].code,
        FaultCode::TooLarge
    );
    assert!(found(&bytes).intact);
}

#[test]
fn a_size_that_lies_is_told() {
    let bytes = made();
    let mut lying = bytes.clone();
    // the size unpacked of the first entry of the directory: 24 bytes behind its signature
    let directory = bytes
        .windows(4)
        .position(|part| part == b"PK\x01\x02")
        .unwrap();
    lying[directory + 24] = 1;
    assert!(!found(&lying).intact);
}

#[test]
fn what_is_no_bundle_is_told() {
    for bytes in [&b""[..], b"hello", &made()[..200]] {
        assert_eq!(codes(&found(bytes)), [(FaultCode::NotABundle, None)]);
    }
    let mut before = b"#!/bin/sh\n".to_vec();
    before.extend(made());
    assert!(!found(&before).intact, "something stands before the zip");
    let other = Manifest {
        format: "other".into(),
        ..manifest()
    };
    let findings = found(&zip_of(&FILES, &other));
    assert_eq!(codes(&findings), [(FaultCode::Manifest, Some(MANIFEST))]);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("a", SimpleFileOptions::DEFAULT).unwrap();
    let none = zip.finish().unwrap().into_inner();
    assert_eq!(
        codes(&found(&none)),
        [(FaultCode::Manifest, Some(MANIFEST))]
    );
}

#[test]
fn a_source_of_another_length_and_a_second_entry_of_a_name_are_errors() {
    let mut writer = Writer::begin(Vec::new());
    let said = writer.add("a", 3, &mut &b"four"[..]);
    assert!(matches!(
        said,
        Err(WriteError::Length {
            said: 3,
            found: 4,
            ..
        })
    ));
    assert!(matches!(
        writer.add_bytes("a", b""),
        Err(WriteError::Duplicate(_))
    ));
    assert!(matches!(
        writer.add_bytes(MANIFEST, b""),
        Err(WriteError::Duplicate(_))
    ));
}
