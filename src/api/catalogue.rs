//! Every code that a failure of the API may carry: status, title, meaning, whether trying again can help.

use serde::Serialize;
use utoipa::ToSchema;

/// One kind of failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ProblemKind)]
pub struct Kind {
    /// Stable name.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// In words.
    pub title: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When it is sent and what to do.
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($name:ident $code:literal $status:literal $retryable:literal $title:literal $meaning:literal)*) => {
        $(
            #[doc = $meaning]
            pub static $name: Kind = Kind {
                code: $code, status: $status, title: $title, retryable: $retryable, meaning: $meaning,
            };
        )*
        /// All kinds; the first with a status stands for that status.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    BAD_REQUEST "bad_request" 400 false "The request cannot be read"
        "The request does not follow HTTP or the form that this resource expects; see the detail."
    JSON_SYNTAX "json_syntax" 400 false "The body is not JSON"
        "The body breaks off or is not JSON at the given line and column. NaN and Infinity are not JSON."
    UNKNOWN_PARAMETER "unknown_parameter" 400 false "An unknown query parameter"
        "The resource has no such query parameter; the detail lists those it has."
    INVALID_PARAMETER "invalid_parameter" 400 false "A query parameter cannot be used"
        "A query parameter has a value of the wrong form or out of range."
    UNAUTHORIZED "unauthorized" 401 false "Who are you"
        "The request needs a key."
    FORBIDDEN "forbidden" 403 false "Not allowed"
        "The key does not permit this."
    NOT_FOUND "not_found" 404 false "Not found"
        "There is nothing under this path, id or name."
    METHOD_NOT_ALLOWED "method_not_allowed" 405 false "Method not allowed"
        "The path exists but not for this method; the Allow header lists those it has."
    NOT_ACCEPTABLE "not_acceptable" 406 false "No such representation"
        "The resource cannot be given in a form that the Accept header names."
    REQUEST_TIMEOUT "request_timeout" 408 true "The request came too slowly"
        "The body stalled or took longer than allowed; send it again."
    CONFLICT "conflict" 409 false "Conflict"
        "The request does not fit the present state: a name is taken by other bytes, or a finished job cannot be cancelled."
    IDEMPOTENCY_KEY_IN_USE "idempotency_key_in_use" 409 true "The same request is at work"
        "A request with the same Idempotency-Key has not been answered yet; ask again after Retry-After seconds."
    PRECONDITION_FAILED "precondition_failed" 412 false "Changed meanwhile"
        "The If-Match tag is not the present one; read again."
    PAYLOAD_TOO_LARGE "payload_too_large" 413 false "Too large"
        "The body is larger than the configured limit, which the detail names."
    UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" 415 false "Unsupported media type"
        "The Content-Type is not one that this resource reads; the detail lists those."
    RANGE_NOT_SATISFIABLE "range_not_satisfiable" 416 false "No such range"
        "The Range lies outside the file; Content-Range tells its length."
    INVALID "invalid" 422 false "Values cannot be accepted"
        "The body is well formed but says something that cannot be done; `errors` lists every place with a remedy."
    IDEMPOTENCY_KEY_REUSED "idempotency_key_reused" 422 false "The key belongs to another request"
        "The Idempotency-Key was used within a day for a request with another path or body; take a new key for new work."
    TOO_MANY_REQUESTS "too_many_requests" 429 true "Too many"
        "A bound such as the queue's depth is reached; try again after Retry-After seconds."
    HEADERS_TOO_LARGE "headers_too_large" 431 false "Headers too large"
        "The header section is over the limit."
    INTERNAL "internal" 500 true "A fault of the server"
        "Something failed that should not; the log has the cause under the request_id."
    UNAVAILABLE "unavailable" 503 true "Not available just now"
        "The server starts, stops, is full or lost its database; try again after Retry-After seconds."
    DEADLINE "deadline" 504 true "No answer in time"
        "The request took longer than its time limit and was given up."
    STORAGE_FULL "storage_full" 507 true "No space"
        "The data folder's file system is nearly full."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<_> = ALL.iter().map(|kind| kind.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }
}
