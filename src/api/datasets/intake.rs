//! A dataset on its way in: written, hashed and checked in one pass, in whichever form it comes.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header;
use http_body_util::Limited;

use super::check;
use crate::api::ApiState;
use crate::api::error::{self, Answer, Problem};
use crate::api::extract::{self, Upload, media_type};
use crate::api::files::disk;
use crate::artifacts::{self, Full, UploadError};
use crate::domain::dataset::{Checker, Facts, LINE_BYTES};
use crate::domain::invalid::FieldError;

/// Room for the parts of a form that are not the file.
const FORM_BYTES: u64 = 64 << 10;

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
            "multipart/form-data" => form(state, request, name).await,
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

async fn form(state: &ApiState, request: Request, mut name: Option<String>) -> Answer<Intake> {
    let limit = state.settings.upload_bytes;
    let announced = extract::content_length(request.headers());
    if announced.is_some_and(|length| length > limit + FORM_BYTES) {
        return Err(extract::too_large(limit));
    }
    let most = usize::try_from(limit + FORM_BYTES).unwrap_or(usize::MAX);
    let request = request.map(|body| Body::new(Limited::new(body, most)));
    let mut form = multipart(request).await?;
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
            Some("name") if name.is_none() => name = Some(short_text(field).await?),
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

async fn multipart(request: Request) -> Answer<Multipart> {
    let boundary = request.headers().get(header::CONTENT_TYPE).cloned();
    Multipart::from_request(request, &()).await.map_err(|_| {
        let found = boundary
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        Problem::new(
            &error::BAD_REQUEST,
            format!("the form has no boundary: {}", found.escape_debug()),
        )
    })
}

async fn short_text(mut field: axum::extract::multipart::Field<'_>) -> Answer<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = field.chunk().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > 1000 {
            return Err(Problem::invalid("/name", "longer than a name may be"));
        }
    }
    let name = String::from_utf8(bytes).map_err(|_| Problem::invalid("/name", "not UTF-8"))?;
    check(&name)?;
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
