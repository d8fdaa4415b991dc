//! Files of the artifact store over HTTP: ranges, strong tags, digests (RFC 9110 §13 and §14, RFC 9530).

use std::io::SeekFrom;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::ApiState;
use super::error::{Answer, Problem, RANGE_NOT_SATISFIABLE, STORAGE_FULL};
use super::table::{has, set};
use crate::domain::assets::FileEntry;

static REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A failure of the disk.
pub fn disk(error: std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Problem::new(&STORAGE_FULL, "the server's data folder has no space left")
        }
        _ => Problem::internal(error),
    }
}

/// The entry called `name` among `entries`, which belong to `owner`.
///
/// *Errors*: 404 with the names that there are.
pub fn named<'a>(entries: &'a [FileEntry], name: &str, owner: &str) -> Answer<&'a FileEntry> {
    entries
        .iter()
        .find(|entry| entry.name == name)
        .ok_or_else(|| {
            let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            let (name, names) = (name.escape_debug(), names.join(", "));
            Problem::not_found("file", format!("{name} of {owner}, which has {names}"))
        })
}

/// The media type that a file's name tells.
pub fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "md")) => "text/markdown; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The bytes of `entry`, or the part that is asked for; saved under `name`.
///
/// *Errors*: 416 for a range outside the file and for several ranges at once.
pub async fn serve(
    state: &ApiState,
    headers: &HeaderMap,
    entry: &FileEntry,
    (name, media_type): (&str, &str),
) -> Answer<Response> {
    let tag = format!("\"{}\"", entry.sha256);
    if has(headers, &tag) {
        return Ok(described(
            Response::new(Body::empty()),
            entry,
            StatusCode::NOT_MODIFIED,
        ));
    }
    let wanted = wanted(headers, &tag, entry.bytes)?;
    let file = state.files.checked(entry).await.map_err(disk)?;
    let mut file = tokio::fs::File::open(&file.path).await.map_err(disk)?;
    let (first, length) = wanted.unwrap_or((0, entry.bytes));
    file.seek(SeekFrom::Start(first)).await.map_err(disk)?;
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), 1 << 16));
    let status = wanted.map_or(StatusCode::OK, |_| StatusCode::PARTIAL_CONTENT);
    let mut response = described(Response::new(body), entry, status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    set(headers, header::CONTENT_TYPE, media_type);
    set(
        headers,
        header::CONTENT_DISPOSITION,
        &format!("attachment; filename=\"{name}\""),
    );
    if wanted.is_some() {
        let range = format!("bytes {first}-{}/{}", first + length - 1, entry.bytes);
        set(headers, header::CONTENT_RANGE, &range);
    }
    Ok(response)
}

/// Headers that belong to the file however much of it is sent.
fn described(mut response: Response, entry: &FileEntry, status: StatusCode) -> Response {
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, header::ETAG, &format!("\"{}\"", entry.sha256));
    set(headers, header::ACCEPT_RANGES, "bytes");
    set(
        headers,
        header::CACHE_CONTROL,
        "private, max-age=31536000, immutable",
    );
    set(
        headers,
        REPR_DIGEST.clone(),
        &format!("sha-256=:{}:", base64_of_hex(&entry.sha256)),
    );
    response
}

/// First byte and number of bytes of the one range that is wanted; none for the whole file.
fn wanted(headers: &HeaderMap, tag: &str, length: u64) -> Answer<Option<(u64, u64)>> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    // a part of another version than the client's is no use; dates are never equal to this tag
    if text(header::IF_RANGE).is_some_and(|known| known != tag) {
        return Ok(None);
    }
    let Some(ranges) = text(header::RANGE).and_then(|value| value.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    if ranges.contains(',') {
        return Err(outside("only one range at a time is served", length));
    }
    match range(ranges.trim(), length) {
        Range::Part(first, count) => Ok(Some((first, count))),
        Range::Malformed => Ok(None),
        Range::Outside => Err(outside(
            &format!("bytes={ranges} lies outside a file of {length} bytes"),
            length,
        )),
    }
}

fn outside(detail: &str, length: u64) -> Problem {
    let problem = Problem::new(&RANGE_NOT_SATISFIABLE, detail);
    match HeaderValue::from_str(&format!("bytes */{length}")) {
        Ok(value) => problem.with_header(header::CONTENT_RANGE, value),
        Err(_) => problem,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// First byte, number of bytes.
    Part(u64, u64),
    /// To be ignored, as RFC 9110 §14.2 wants.
    Malformed,
    Outside,
}

fn range(text: &str, length: u64) -> Range {
    let Some((first, last)) = text.split_once('-') else {
        return Range::Malformed;
    };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    match (
        first.is_empty(),
        last.is_empty(),
        number(first),
        number(last),
    ) {
        (true, false, _, Some(0)) => Range::Outside,
        (true, false, _, Some(_)) if length == 0 => Range::Outside,
        (true, false, _, Some(count)) => {
            Range::Part(length.saturating_sub(count), count.min(length))
        }
        (false, true, Some(first), _) if first < length => Range::Part(first, length - first),
        (false, false, Some(first), Some(last)) if last < first => Range::Malformed,
        (false, false, Some(first), Some(last)) if first < length => {
            Range::Part(first, last.min(length - 1) - first + 1)
        }
        (false, true, Some(_), _) | (false, false, Some(_), Some(_)) => Range::Outside,
        _ => Range::Malformed,
    }
}

/// RFC 4648 §4 of the bytes that `hex` spells.
fn base64_of_hex(hex: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - group.len()));
        for place in 0..=group.len() {
            text.push(char::from(
                LETTERS[(word >> (18 - 6 * place)) as usize & 63],
            ));
        }
        text.push_str(&"=="[..3 - group.len()]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        let table = [
            ("0-499", Range::Part(0, 500)),
            ("500-999", Range::Part(500, 500)),
            ("9500-", Range::Part(9500, 500)),
            ("-500", Range::Part(9500, 500)),
            ("-20000", Range::Part(0, 10_000)),
            ("9999-20000", Range::Part(9999, 1)),
            ("0-0", Range::Part(0, 1)),
            ("10000-", Range::Outside),
            ("10000-10001", Range::Outside),
            ("-0", Range::Outside),
            ("5-4", Range::Malformed),
            ("-", Range::Malformed),
            ("a-b", Range::Malformed),
            ("+1-2", Range::Malformed),
            ("7", Range::Malformed),
            ("99999999999999999999-", Range::Malformed),
        ];
        for (text, expected) in table {
            assert_eq!(range(text, 10_000), expected, "{text}");
        }
        assert_eq!(range("0-", 0), Range::Outside);
        assert_eq!(range("-1", 0), Range::Outside);
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // RFC 4648 §10: f, fo, foo, foob
        for (hex, expected) in [
            ("66", "Zg=="),
            ("666f", "Zm8="),
            ("666f6f", "Zm9v"),
            ("666f6f62", "Zm9vYg=="),
        ] {
            assert_eq!(base64_of_hex(hex), expected);
        }
    }
}
