//! Text that is being printed, up to a bound.

use std::io;

use minijinja::{Error, ErrorKind};

/// Bytes that one rendering may print.
pub(super) const MOST_OUTPUT: usize = 4 << 20;

/// What was printed so far.
#[derive(Default)]
pub(super) struct Page(Vec<u8>);

impl Page {
    /// The whole.
    pub fn into_text(self) -> Result<String, Error> {
        String::from_utf8(self.0)
            .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
    }
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_OUTPUT {
            return Err(io::Error::other(format!(
                "prints more than {MOST_OUTPUT} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
