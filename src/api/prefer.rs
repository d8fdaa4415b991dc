//! Wishes about time and freshness in the headers of a request: `Prefer: wait=N`, `If-None-Match`, `If-Match`.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

use super::error::{Answer, PRECONDITION_FAILED, Problem};

/// Longest wait that is granted.
const LONGEST: Duration = Duration::from_secs(60);

/// How long the client is willing to wait for something to happen (RFC 7240); zero where it does not say.
pub fn wait(headers: &HeaderMap) -> Duration {
    let values = headers.get_all("prefer").iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let wishes = texts.flat_map(|text| text.split([',', ';']));
    let seconds = wishes.filter_map(|wish| {
        let (name, value) = wish.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
    });
    let wanted = seconds.take(1).next().unwrap_or(0);
    Duration::from_secs(wanted).min(LONGEST)
}

/// Whether the client has the representation with the tag `etag` already.
pub fn has(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// The strong tag of a representation.
pub fn tag(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// Refuses a change of something that is not as the client knows it.
///
/// *Errors*: 412 where `If-Match` is there and names neither `etag` nor anything that exists.
pub fn unchanged(headers: &HeaderMap, etag: &str) -> Answer<()> {
    let values = headers.get_all(header::IF_MATCH).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok()).peekable();
    if texts.peek().is_none() {
        return Ok(());
    }
    // Strong comparison: a weak tag is equal to nothing.
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    if tags.any(|tag| tag == "*" || tag == etag) {
        return Ok(());
    }
    let detail = format!("it has the tag {etag} now; read it again before changing it");
    let problem = Problem::new(&PRECONDITION_FAILED, detail);
    Err(match HeaderValue::from_str(etag) {
        Ok(value) => problem.with_header(header::ETAG, value),
        Err(_) => problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_wait_is_read_among_other_wishes_and_has_a_bound() {
        let seconds = |text| wait(&headers("prefer", text)).as_secs();
        assert_eq!(seconds("wait=10"), 10);
        assert_eq!(seconds("respond-async, Wait = 5"), 5);
        assert_eq!(seconds("wait=3600"), 60);
        assert_eq!(seconds("wait=soon"), 0);
        assert_eq!(wait(&HeaderMap::new()), Duration::ZERO);
    }

    #[test]
    fn a_tag_is_found_among_several_weak_or_strong() {
        assert!(has(&headers("if-none-match", "\"a\", W/\"b\""), "\"b\""));
        assert!(has(&headers("if-none-match", "*"), "\"b\""));
        assert!(!has(&headers("if-none-match", "\"a\""), "\"b\""));
    }
}
