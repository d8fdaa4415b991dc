//! Several files as one tar, written as it is sent. Archives are only written here, never read.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::Response;
use futures::{Stream, StreamExt, stream};
use tokio_util::io::ReaderStream;

use super::table::set;
use crate::execution::LocalFile;

const BLOCK: u64 = 512;

/// `files` as `<name>.tar`; equal files make equal bytes, since no time, owner or host is in it.
pub fn tar(files: Vec<LocalFile>, name: &str) -> Response {
    let padded = |bytes: u64| bytes.div_ceil(BLOCK) * BLOCK;
    let length: u64 = files
        .iter()
        .map(|file| BLOCK + padded(file.entry.bytes))
        .sum::<u64>()
        + 2 * BLOCK;
    let end = stream::iter([Ok(Bytes::from_static(&[0; 2 * BLOCK as usize]))]);
    let body = stream::iter(files).flat_map(member).chain(end);
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    set(headers, header::CONTENT_TYPE, "application/x-tar");
    set(
        headers,
        header::CONTENT_DISPOSITION,
        &format!("attachment; filename=\"{name}.tar\""),
    );
    response
}

fn member(file: LocalFile) -> impl Stream<Item = std::io::Result<Bytes>> {
    let head = Bytes::copy_from_slice(&header_block(&file.entry.name, file.entry.bytes));
    let rest = (BLOCK - file.entry.bytes % BLOCK) % BLOCK;
    let padding = Bytes::from(vec![0; rest as usize]);
    let content = stream::once(tokio::fs::File::open(file.path)).flat_map(|opened| match opened {
        Ok(file) => ReaderStream::with_capacity(file, 1 << 16).left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    });
    stream::iter([Ok(head)])
        .chain(content)
        .chain(stream::iter([Ok(padding)]))
}

/// *Source* POSIX.1-1988 ustar; lengths of 8 GiB and more in base 256, as GNU tar writes them.
fn header_block(name: &str, bytes: u64) -> [u8; BLOCK as usize] {
    let mut block = [0; BLOCK as usize];
    let mut put =
        |place: usize, text: &[u8]| block[place..place + text.len()].copy_from_slice(text);
    put(0, &name.as_bytes()[..name.len().min(100)]);
    put(100, b"0000644\x000000000\x000000000\0");
    put(136, b"00000000000\0        0");
    put(257, b"ustar\x0000");
    if bytes < 1 << 33 {
        put(124, format!("{bytes:011o}\0").as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &bytes.to_be_bytes());
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
