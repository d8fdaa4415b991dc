//! What a dataset file may hold, read line by line: the check at upload and the rows that training reads.
//!
//! A row is `{"messages":[{"role","content"},…]}`, `{"prompt":[…],"completion":[…]}` or `{"text":…}`, one JSON object a line, in UTF-8. A byte order mark,
//! CRLF and blank lines are tolerated; blank lines are no rows. A file is kept whole or refused whole. Unknown keys of a
//! row are warned of and play no part; unknown keys of a message, and a row's `tools`, would change what is trained and
//! are refused. Knows nothing of files, hashes or tokens.

mod row;

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::assets::{DatasetFormat, DatasetReport, DatasetWarning};
use super::invalid::{Checked, FieldError, Invalid};
pub use row::{ParsedRow, Role, Row, Turn, parse_row};

/// Longest line in bytes.
pub const LINE_BYTES: usize = 4 << 20;

/// Errors and warnings that are shown; the others are counted.
pub const SHOWN: usize = 20;

/// What an accepted file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Rows.
    pub examples: u64,
    /// Form of all of them.
    pub format: DatasetFormat,
    /// Warnings and counts.
    pub report: DatasetReport,
}

/// The rows of a file: number of the line, counted from 1, and its bytes without line end.
pub fn rows(file: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    file.split(|&byte| byte == b'\n')
        .zip(1..)
        .map(|(line, number)| (number, bare(number, line)))
        .filter(|(_, line)| !line.is_empty())
}

/// A line without byte order mark and surrounding blanks; empty for a blank line.
pub fn bare(number: u64, line: &[u8]) -> &[u8] {
    let line = match number {
        1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
        _ => line,
    };
    line.trim_ascii()
}

/// Checks a file that arrives in pieces of any size; holds no more than one line of it.
#[derive(Debug, Default)]
pub struct Checker {
    line: u64,
    carried: Vec<u8>,
    overlong: bool,
    examples: u64,
    format: Option<DatasetFormat>,
    seen: HashMap<[u8; 16], u64>,
    unknown: BTreeSet<String>,
    report: DatasetReport,
    errors: Vec<FieldError>,
    error_count: u64,
}

impl Checker {
    /// Takes the next bytes of the file.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            let (piece, rest) = bytes.split_at(end);
            bytes = &rest[1..];
            self.end_line(piece);
        }
        self.carry(bytes);
    }

    /// What the file holds, or the first 20 errors.
    pub fn finish(mut self) -> Checked<Facts> {
        self.end_line(b"");
        if self.error_count > 0 {
            return Err(self.refusal());
        }
        match self.format {
            Some(format) => Ok(Facts { examples: self.examples, format, report: self.report }),
            None => Err(FieldError::at("", "the dataset is empty")
                .hint("send one JSON object a line, such as {\"messages\":[{\"role\":\"user\",\"content\":\"…\"},{\"role\":\"assistant\",\"content\":\"…\"}]}")
                .into()),
        }
    }

    fn refusal(self) -> Invalid {
        let (mut errors, count) = (self.errors, self.error_count);
        if count > errors.len() as u64 {
            let shown = errors.len();
            if let Some(last) = errors.last_mut() {
                last.hint = Some(format!("{shown} of {count} errors are shown"));
            }
        }
        Invalid { errors }
    }

    fn carry(&mut self, piece: &[u8]) {
        if self.carried.len() + piece.len() > LINE_BYTES {
            self.overlong = true;
            self.carried = Vec::new();
        }
        if !self.overlong {
            self.carried.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self, piece: &[u8]) {
        self.line += 1;
        self.carry(piece);
        let line = std::mem::take(&mut self.carried);
        if std::mem::take(&mut self.overlong) {
            let detail = format!("the line is longer than {} MiB", LINE_BYTES >> 20);
            return self.error(FieldError::at("", detail));
        }
        let bytes = bare(self.line, &line);
        if !bytes.is_empty() {
            self.row(bytes);
        }
    }

    fn row(&mut self, bytes: &[u8]) {
        match parse_row(bytes) {
            Ok(read) => self.accept(&read.row, read.form, read.unknown),
            Err(errors) => errors.into_iter().for_each(|error| self.error(error)),
        }
    }

    fn accept(&mut self, row: &Row, form: &str, unknown: Vec<String>) {
        let format = row.format();
        let expected = *self.format.get_or_insert(format);
        if format != expected {
            let detail = format!(
                "this row is of format {}, the first one of {}",
                format.name(),
                expected.name()
            );
            return self.error(FieldError::at("", detail).hint("split the file in two"));
        }
        self.examples += 1;
        *self.report.forms.entry(form.into()).or_default() += 1;
        self.count_roles(row);
        self.warn_of_unknown(unknown);
        self.warn_of_empty(row);
        let (key, line) = (fingerprint(row), self.line);
        if let Some(first) = self.seen.get(&key) {
            let detail = format!("line {first}");
            return self.warn("duplicate_of", detail);
        }
        self.seen.insert(key, line);
    }

    fn count_roles(&mut self, row: &Row) {
        for turn in row.turns() {
            *self
                .report
                .roles
                .entry(turn.role.name().into())
                .or_default() += 1;
        }
    }

    fn warn_of_unknown(&mut self, keys: Vec<String>) {
        for key in keys {
            // bounded, so that a file of ever new keys does not fill the memory
            if self.unknown.len() < 1000 && self.unknown.insert(key.clone()) {
                let detail = format!(
                    "\"{}\" plays no part, here and in later rows",
                    shorten(&key)
                );
                self.warn("unknown_key", detail);
            }
        }
    }

    fn warn_of_empty(&mut self, row: &Row) {
        if let Some(place) = row.turns().iter().position(|turn| turn.content.is_empty()) {
            self.warn("empty_content", format!("message {place}"));
        }
    }

    fn warn(&mut self, code: &str, detail: String) {
        self.report.warning_count += 1;
        if self.report.warnings.len() < SHOWN {
            self.report.warnings.push(DatasetWarning {
                line: self.line,
                code: code.into(),
                detail,
            });
        }
    }

    fn error(&mut self, error: FieldError) {
        self.error_count += 1;
        if self.errors.len() < SHOWN {
            self.errors.push(FieldError {
                line: Some(self.line),
                ..error
            });
        }
    }
}

/// 128 bits of a hash of what is trained on; equal rows in other spellings are equal.
fn fingerprint(row: &Row) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for turn in row.turns() {
        hasher.update(turn.role.name());
        hasher.update((turn.content.len() as u64).to_le_bytes());
        hasher.update(&turn.content);
        hasher.update([u8::from(turn.learned)]);
    }
    if let Row::Text(text) = row {
        hasher.update(text);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize()[..16]);
    key
}

/// A sender's text as it may stand in a message: escaped, 40 characters at most.
fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests;
