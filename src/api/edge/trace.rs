//! `traceparent` (W3C Trace Context, level 1): which trace a request belongs to, for the log and for the client.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where a request stands in its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    /// 32 hexadecimal digits: the client's, or new ones.
    pub(super) id: String,
    /// This request: 16 hexadecimal digits.
    span: String,
    /// Flags of the client, 2 hexadecimal digits.
    flags: String,
}

impl Trace {
    /// The client's trace, or a new one where it sent none or a broken one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let span = random[..16].to_owned();
        let given = headers.get(&TRACEPARENT).and_then(|it| it.to_str().ok());
        let (id, flags) = given
            .and_then(read)
            .unwrap_or_else(|| (uuid::Uuid::new_v4().simple().to_string(), "00".into()));
        Self { id, span, flags }
    }

    /// Names this request as the one that answered.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let text = format!("00-{}-{}-{}", self.id, self.span, self.flags);
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(TRACEPARENT.clone(), value);
        }
    }
}

/// Trace id and flags of a well-formed header.
fn read(text: &str) -> Option<(String, String)> {
    let mut parts = text.trim().split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let (parent, flags) = (parts.next()?, parts.next()?);
    let further = parts.next().is_some();
    let well = is_hex(version, 2) && is_hex(id, 32) && is_hex(parent, 16) && is_hex(flags, 2);
    let void = version == "ff" || is_zero(id) || is_zero(parent) || version == "00" && further;
    (well && !void).then(|| (id.to_owned(), flags.to_owned()))
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(digit)
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trace_that_the_recommendation_allows_is_taken() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let good = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(read(&good), Some((id.to_owned(), "01".to_owned())));
        assert!(read(&format!("cc-{id}-00f067aa0ba902b7-01-more")).is_some());
        for bad in [
            format!("{good}-more"),
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{id}-0000000000000000-01"),
            good.to_uppercase(),
            String::new(),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
        }
    }
}
