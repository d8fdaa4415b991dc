//! The bounds around handlers, with handlers made for the purpose and no database.

use axum::routing::{get, post};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::super::extract::{JsonBody, Upload};
use super::super::{Readiness, Settings};
use super::*;
use crate::artifacts::Store;
use crate::domain::time::SystemClock;
use crate::storage::{Limits, Storage};

fn settings() -> Settings {
    Settings {
        json_bytes: 64,
        upload_bytes: 128,
        in_flight: 1,
        request: Duration::from_millis(200),
        body_stall: Duration::from_millis(50),
        ..Settings::default()
    }
}

fn service() -> Router {
    let folder = tempfile::tempdir().unwrap();
    let files = Store::open(folder.path()).unwrap();
    let storage =
        Storage::unconnected("postgres://nobody@127.0.0.1:1/none", &Limits::default()).unwrap();
    let state = ApiState::new(
        storage,
        Arc::new(files),
        settings(),
        Arc::new(SystemClock::start()),
    );
    let routes = Router::new()
        .route(
            "/echo",
            post(|JsonBody(value): JsonBody| async move { value.to_string() }),
        )
        .route(
            "/upload",
            post(|upload: Upload| async move {
                Ok::<_, Problem>(upload.whole(128).await?.len().to_string())
            }),
        )
        .route(
            "/slow",
            get(|| async { tokio::time::sleep(Duration::from_secs(9)).await }),
        )
        .route(
            "/panic",
            get(|| async { panic!("a secret of the code") as () }),
        );
    around(routes, state, Rules::default())
}

async fn ask(service: &Router, request: axum::http::Request<Body>) -> (Response<()>, Value) {
    let response = service.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    (Response::from_parts(head, ()), value)
}

fn post_json(body: impl Into<Body>) -> axum::http::Request<Body> {
    axum::http::Request::post("/echo")
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

fn get_request(path: &str) -> axum::http::Request<Body> {
    axum::http::Request::get(path).body(Body::empty()).unwrap()
}

/// Status and code, after checking what every problem has.
fn code((head, body): &(Response<()>, Value)) -> (u16, &str) {
    assert_eq!(head.headers()["content-type"], PROBLEM_JSON, "{body}");
    assert_eq!(
        body["request_id"],
        head.headers()["x-request-id"].to_str().unwrap()
    );
    assert_eq!(body["status"], head.status().as_u16());
    for field in ["type", "title", "detail", "instance"] {
        assert!(
            body[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field} in {body}"
        );
    }
    assert!(
        body["errors"].is_array() && body["retryable"].is_boolean(),
        "{body}"
    );
    (head.status().as_u16(), body["code"].as_str().unwrap())
}

#[tokio::test]
async fn each_bad_body_has_its_own_code() {
    let service = service();
    let broken = ask(&service, post_json("{\"a\": [1, NaN]}")).await;
    assert_eq!(code(&broken), (400, "json_syntax"));
    assert_eq!(broken.1["errors"][0]["pointer"], "/a/1");
    assert_eq!(broken.1["errors"][0]["line"], 1);
    let long = ask(&service, post_json("x".repeat(65))).await;
    assert_eq!(code(&long), (413, "payload_too_large"));
    assert!(
        long.1["detail"].as_str().unwrap().contains("64 bytes"),
        "{}",
        long.1
    );
    let untyped = axum::http::Request::post("/echo")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(
        code(&ask(&service, untyped).await),
        (415, "unsupported_media_type")
    );
    assert_eq!(ask(&service, post_json("{}")).await.0.status(), 200);
}

#[tokio::test]
async fn an_upload_is_refused_by_its_announced_length_or_where_it_passes_the_limit() {
    let service = service();
    let announced = axum::http::Request::post("/upload").header("content-length", "3000000000");
    let announced = ask(&service, announced.body(Body::empty()).unwrap()).await;
    assert_eq!(code(&announced), (413, "payload_too_large"));
    let pieces = futures::stream::iter((0..3).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 50])));
    let streamed = axum::http::Request::post("/upload")
        .body(Body::from_stream(pieces))
        .unwrap();
    assert_eq!(
        code(&ask(&service, streamed).await),
        (413, "payload_too_large")
    );
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let stalled = ask(&service(), post_json(Body::from_stream(never))).await;
    assert_eq!(code(&stalled), (408, "request_timeout"));
}

#[tokio::test]
async fn a_slow_handler_meets_its_deadline_and_one_too_many_is_sent_away() {
    let service = service();
    let (slow, refused) = tokio::join!(ask(&service, get_request("/slow")), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ask(&service, get_request("/slow")).await
    });
    assert_eq!(code(&slow), (504, "deadline"));
    assert_eq!(code(&refused), (503, "unavailable"));
    assert_eq!(refused.0.headers()["retry-after"], "1");
}

#[tokio::test]
async fn a_panic_is_a_fault_without_its_text() {
    let panicked = ask(&service(), get_request("/panic")).await;
    assert_eq!(code(&panicked), (500, "internal"));
    assert!(!panicked.1.to_string().contains("secret"), "{}", panicked.1);
}

#[tokio::test]
async fn a_clients_request_id_is_kept_only_where_it_is_plain() {
    let service = service();
    let with = |id: &str| {
        axum::http::Request::get("/nope")
            .header("x-request-id", id)
            .body(Body::empty())
            .unwrap()
    };
    let kept = ask(&service, with("run-7.a")).await;
    assert_eq!(kept.1["request_id"], "run-7.a");
    let replaced = ask(&service, with("a b<script>")).await;
    assert_eq!(code(&replaced), (404, "not_found"));
    assert_ne!(replaced.1["request_id"], "a b<script>");
}

#[tokio::test]
async fn draining_is_heard_by_every_clone() {
    let readiness = Readiness::default();
    let other = readiness.clone();
    assert!(!other.is_draining());
    readiness.drain();
    assert!(other.is_draining());
}
