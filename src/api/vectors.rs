//! The rank-1 vectors of a fine-tune over its steps, put together from the files that it has recorded so far.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::{Stream, StreamExt, stream};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{Answer, NOT_FOUND, Problem, ProblemBody};
use super::extract::{InPath, Query};
use super::files::disk;
use super::metrics::wanted;
use super::table::{has, set};
use crate::domain::assets::FileEntry;
use crate::domain::canonical::hex;
use crate::domain::ids::JobId;
use crate::domain::vectors::{self, Contents, Joined, LENGTH, Piece, VectorModule, Wanted};
use crate::execution::LocalFile;
use crate::storage::metrics;

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(download))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct VectorsQuery {
    /// Exact names of modules, separated by commas; all where absent.
    modules: Option<String>,
    /// First step.
    from: Option<u64>,
    /// Last step.
    to: Option<u64>,
    /// Only the steps that are multiples of this, 1 or more.
    every: Option<u64>,
}

/// Download the vectors of every module of rank 1, by step
///
/// A safetensors file: `steps` `[S]` int64, and for each module `<name>.a` `[S, inputs]` and `<name>.b` `[S, outputs]` in
/// float32, row i being the state after `steps[i]` updates; step 0 is the state before the first. While the job runs the
/// file has the steps recorded so far.
#[utoipa::path(get, path = "/v1/jobs/{job}/vectors", tag = "results", params(("job" = String, Path), VectorsQuery),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "If-None-Match names the present tag"),
        (status = 400, body = ProblemBody, content_type = "application/problem+json", description = "no such module"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json", description = "no such job, or none of its modules has rank 1")
    ))]
async fn download(
    State(state): State<ApiState>,
    InPath(job): InPath<JobId>,
    Query(query): Query<VectorsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let range = wanted(query.from, query.to)?;
    let every = match query.every {
        Some(0) => return Err(Problem::parameter("every", "0 is less than 1")),
        every => every.unwrap_or(1),
    };
    let entries = files(&state, &job, &range).await?;
    let files = local(&state, &entries).await?;
    let contents = read(&files).await?;
    let places = places(&contents, query.modules.as_deref())?;
    let wanted = Wanted {
        from: *range.start(),
        to: *range.end(),
        every,
    };
    let joined = vectors::joined(&contents, &places, wanted);
    let tag = tag(&joined, &entries);
    if has(&headers, &tag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        set(response.headers_mut(), header::ETAG, &tag);
        return Ok(response);
    }
    Ok(answer(&job, &tag, joined, files))
}

/// *Errors*: 404 for a job that has no vectors and will have none.
async fn files(state: &ApiState, job: &JobId, range: &metrics::Steps) -> Answer<Vec<FileEntry>> {
    metrics::require_job(&state.storage, job).await?;
    let files = metrics::vector_files(&state.storage, job, range).await?;
    let modules = metrics::norm_modules(&state.storage, job).await?;
    let kept = modules.is_empty() || modules.iter().any(|module| module.rank == Some(1));
    match files.is_empty() && !kept {
        true => Err(Problem::new(
            &NOT_FOUND,
            format!("{job} has no vectors; they are kept of modules with rank 1, and it has none"),
        )),
        false => Ok(files),
    }
}

async fn local(state: &ApiState, entries: &[FileEntry]) -> Answer<Vec<LocalFile>> {
    let mut files = Vec::with_capacity(entries.len());
    for entry in entries {
        files.push(state.files.checked(entry).await.map_err(disk)?);
    }
    Ok(files)
}

async fn read(files: &[LocalFile]) -> Answer<Vec<Contents>> {
    let mut all: Vec<Contents> = Vec::with_capacity(files.len());
    for file in files {
        let found = contents(file).await?;
        if all
            .first()
            .is_some_and(|first| first.modules != found.modules)
        {
            return Err(Problem::internal("files of vectors have different modules"));
        }
        all.push(found);
    }
    Ok(all)
}

/// What a file's head says; the file's hash was right.
async fn contents(file: &LocalFile) -> Answer<Contents> {
    let mut open = tokio::fs::File::open(&file.path).await.map_err(disk)?;
    let mut length = [0; LENGTH];
    open.read_exact(&mut length).await.map_err(disk)?;
    let length = u64::from_le_bytes(length).min(file.entry.bytes);
    let mut header = vec![0; length as usize];
    open.read_exact(&mut header).await.map_err(disk)?;
    let rows = vectors::steps_of(&header).unwrap_or_default();
    let mut steps = vec![0; (8 * rows).min(file.entry.bytes) as usize];
    open.read_exact(&mut steps).await.map_err(disk)?;
    Contents::read(&header, &steps).map_err(Problem::internal)
}

/// Places of the named modules in the files, in the order of the names; nobody can be named where there is no file yet.
fn places(files: &[Contents], names: Option<&str>) -> Answer<Vec<usize>> {
    let all = files.first().map_or(&[][..], |file| &file.modules);
    let Some(names) = names.filter(|_| !files.is_empty()) else {
        return Ok((0..all.len()).collect());
    };
    let place = |name: &str| {
        let found = all.iter().position(|module| module.name == name);
        found.ok_or_else(|| unknown(name, all))
    };
    names.split(',').map(|name| place(name.trim())).collect()
}

fn unknown(name: &str, all: &[VectorModule]) -> Problem {
    let some = all.iter().take(8).map(|module| module.name.as_str());
    let list = some.collect::<Vec<_>>().join(", ");
    let more = match all.len() {
        0..=8 => String::new(),
        count => format!(" and {} more", count - 8),
    };
    let name = name.escape_debug();
    Problem::parameter(
        "modules",
        format!("no vectors of \"{name}\"; there are those of {list}{more}"),
    )
}

/// Equal for equal bytes of a job whose files stay as they are.
fn tag(joined: &Joined, entries: &[FileEntry]) -> String {
    let mut hash = Sha256::new();
    hash.update(&joined.head);
    for entry in entries {
        hash.update(&entry.sha256);
    }
    format!("\"{}\"", &hex(&hash.finalize())[..32])
}

fn answer(job: &JobId, tag: &str, joined: Joined, files: Vec<LocalFile>) -> Response {
    let length = joined.bytes();
    let head = stream::iter([Ok(Bytes::from(joined.head))]);
    let pieces = stream::iter(joined.pieces);
    let body = head.chain(pieces.flat_map(move |piece| part(&files, piece)));
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    set(headers, header::CONTENT_TYPE, "application/octet-stream");
    set(headers, header::CACHE_CONTROL, "private, no-cache");
    set(headers, header::ETAG, tag);
    let name = format!("attachment; filename=\"{job}-vectors.safetensors\"");
    set(headers, header::CONTENT_DISPOSITION, &name);
    response
}

fn part(files: &[LocalFile], piece: Piece) -> impl Stream<Item = std::io::Result<Bytes>> + use<> {
    let path = files[piece.file].path.clone();
    let opened = async move {
        let mut file = tokio::fs::File::open(path).await?;
        file.seek(std::io::SeekFrom::Start(piece.offset)).await?;
        Ok(file.take(piece.length))
    };
    stream::once(opened).flat_map(|opened: std::io::Result<_>| match opened {
        Ok(file) => ReaderStream::with_capacity(file, 1 << 16).left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    })
}
