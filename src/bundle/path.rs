//! Which names an entry may have: such as lie below the folder that a bundle is unpacked into, on every system.

use thiserror::Error;

/// Longest name.
const MOST_BYTES: usize = 512;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAPath {
    /// Nothing, or far too much.
    #[error("the name has {0} bytes; 1 to {MOST_BYTES} are allowed")]
    Length(usize),
    /// It begins at a root or a drive.
    #[error("the name is absolute")]
    Absolute,
    /// `..`, `.` or nothing between two slashes.
    #[error("a part of the name is empty, \".\" or \"..\"")]
    Part,
    /// Something that a system gives a meaning of its own.
    #[error("the name holds a backslash, a colon or a control character")]
    Character,
}

/// Refuses names that could lie outside the folder that a bundle is unpacked into, or mean different files on different systems.
pub fn require_plain(name: &str) -> Result<(), NotAPath> {
    if name.is_empty() || name.len() > MOST_BYTES {
        return Err(NotAPath::Length(name.len()));
    }
    if name.starts_with('/') {
        return Err(NotAPath::Absolute);
    }
    if name.contains(|c: char| c == '\\' || c == ':' || c.is_control()) {
        return Err(NotAPath::Character);
    }
    match name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        true => Err(NotAPath::Part),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_below_the_folder_are_plain() {
        let long = "a".repeat(513);
        let table = [
            ("report.json", Ok(())),
            ("data/rates.csv", Ok(())),
            ("adapters/bad seed 0/…", Ok(())),
            ("", Err(NotAPath::Length(0))),
            (&long, Err(NotAPath::Length(513))),
            ("/etc/passwd", Err(NotAPath::Absolute)),
            ("../x", Err(NotAPath::Part)),
            ("a/../../x", Err(NotAPath::Part)),
            ("a//b", Err(NotAPath::Part)),
            ("./a", Err(NotAPath::Part)),
            ("a/", Err(NotAPath::Part)),
            ("a\\..\\b", Err(NotAPath::Character)),
            ("C:x", Err(NotAPath::Character)),
            ("a\0b", Err(NotAPath::Character)),
        ];
        for (name, expected) in table {
            assert_eq!(require_plain(name), expected, "{name:?}");
        }
    }
}
