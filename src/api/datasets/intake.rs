//! A dataset on its way in: written, hashed and checked in one pass, in whichever form it comes.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Request};

use super::check;
use crate::api::ApiState;
use crate::api::error::{self, Answer, Problem};
use crate::api::extract::{self, Upload, media_type};
use crate::api::files::disk;
use crate::api::form;
use crate::artifacts::{self, Full, UploadError};
use crate::domain::dataset::{Checker, Facts, LINE_BYTES};
use crate::domain::invalid::FieldError;

/// A dataset that is whole, checked and on disk, but not stored.
pub(super) struct Intake {
    pub full: Full,
    pub facts: Facts,
    pub name: Option<String>,
}

/// The file and what is known of it so far.
struct Receiver {
    upload: artifacts::Upload,
    checker: Checker,
}

impl Receiver {
    async fn new(state: &ApiState) -> Answer<Self> {
        let upload = state
            .files
            .upload(state.settings.upload_bytes)
            .await
            .map_err(disk)?;
        Ok(Self {
            upload,
            checker: Checker::default(),
        })
    }

    async fn take(&mut self, piece: &[u8]) -> Answer<()> {
        self.upload
            .write(piece)
            .await
            .map_err(|error| match error {
                UploadError::TooLarge { limit } => extract::too_large(limit),
                UploadError::Io(error) => disk(error),
            })?;
        self.checker.push(piece);
        Ok(())
    }

    async fn finish(self, name: Option<String>) -> Answer<Intake> {
        let facts = self.checker.finish()?;
        let full = self.upload.finish().await.map_err(disk)?;
        Ok(Intake { full, facts, name })
    }
}

impl Intake {
    /// Reads the body to its end.
    pub async fn receive(state: &ApiState, request: Request, name: Option<String>) -> Answer<Self> {
        match media_type(request.headers()).as_str() {
            "application/jsonl" | "application/x-ndjson" | "application/ndjson" | "text/plain" => {
                let upload = Upload::from_request(request, state).await?;
                plain(state, upload, name).await
            }
            "multipart/form-data" => by_form(state, request, name).await,
            other => {
                let found = if other.is_empty() {
                    "there is none"
                } else {
                    other
                };
                let detail = format!(
                    "a dataset comes as application/jsonl, application/x-ndjson, text/plain or multipart/form-data; the Content-Type: {found}"
                );
                Err(Problem::new(&error::UNSUPPORTED_MEDIA_TYPE, detail))
            }
        }
    }
}

async fn plain(state: &ApiState, mut upload: Upload, name: Option<String>) -> Answer<Intake> {
    let mut receiver = Receiver::new(state).await?;
    while let Some(piece) = upload.chunk().await? {
        receiver.take(&piece).await?;
    }
    receiver.finish(name).await
}

async fn by_form(state: &ApiState, request: Request, mut name: Option<String>) -> Answer<Intake> {
    let mut form = form::open(request, state.settings.upload_bytes).await?;
    let mut file = None;
    while let Some(mut field) = form.next_field().await? {
        match field.name() {
            Some("file") if file.is_none() => {
                let mut receiver = Receiver::new(state).await?;
                while let Some(piece) = field.chunk().await? {
                    receiver.take(&piece).await?;
                }
                file = Some(receiver);
            }
            Some("name") if name.is_none() => name = Some(name_of(field).await?),
            other => return Err(unexpected(other)),
        }
    }
    let missing = || {
        let error = FieldError::at("/file", "the form has no field \"file\"");
        Problem::from(crate::domain::invalid::Invalid::from(
            error.hint("send the JSON lines as the field \"file\""),
        ))
    };
    file.ok_or_else(missing)?.finish(name).await
}

async fn name_of(field: Field<'_>) -> Answer<String> {
    let name = form::short_text(field, "/name").await?;
    check("name", &name)?;
    Ok(name)
}

fn unexpected(name: Option<&str>) -> Problem {
    let name: String = name.unwrap_or("").chars().take(40).collect();
    let detail = format!("unexpected form field \"{}\"", name.escape_debug());
    let error = FieldError::at(format!("/{}", crate::domain::decode::escape(&name)), detail);
    crate::domain::invalid::Invalid::from(error.hint("there are file and name, each at most once"))
        .into()
}

/// Line and bytes of row `number`, counted from 0.
pub(super) fn row_of(path: &Path, number: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let (mut line, mut row) = (0, 0);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        // stored lines are no longer than this
        if io::Read::take(&mut file, 2 * LINE_BYTES as u64).read_until(b'\n', &mut bytes)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line += 1;
        let bare = crate::domain::dataset::bare(line, &bytes);
        if bare.is_empty() {
            continue;
        }
        if row == number {
            return Ok((line, bare.to_vec()));
        }
        row += 1;
    }
}
