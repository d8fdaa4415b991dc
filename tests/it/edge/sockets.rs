//! Clients that misbehave below HTTP: half a head, half a body, silence, too many at once.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{self, TestServer};

/// Short limits; each test allows for one second more than the limit it is about.
const SHORT: &[(&str, &str)] = &[
    ("VIVARIUM_SERVER__HEADER_SECONDS", "0.4"),
    ("VIVARIUM_SERVER__BODY_STALL_SECONDS", "0.4"),
    ("VIVARIUM_SERVER__CONNECTIONS_PER_ADDRESS", "4"),
];

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

/// Everything until the server closes, which must be within two seconds.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(2), stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn half_a_head_and_silence_are_closed_within_the_limit() {
    let server = support::server_with(SHORT).await;
    for sent in [
        "",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "PRI * HT",
    ] {
        let began = Instant::now();
        let mut stream = connect(&server).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        rest(stream).await;
        assert!(
            began.elapsed() >= Duration::from_millis(350),
            "closed too early after {sent:?}"
        );
    }
}

#[tokio::test]
async fn a_half_sent_body_is_answered_with_a_problem_and_closed() {
    let server = support::server_with(SHORT).await;
    let mut stream = connect(&server).await;
    let head = "POST /v1/base-models HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"kind\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
}

#[tokio::test]
async fn one_address_gets_its_share_of_connections_and_no_more() {
    let server = support::server_with(SHORT).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&server).await;
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
            .await
            .unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let refused = rest(connect(&server).await).await;
    assert_eq!(refused, "");
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "refused at once, not by the head's limit"
    );
    drop(held);
}

#[tokio::test]
async fn an_answer_under_way_is_finished_when_the_server_stops() {
    let server = support::server().await;
    let mut stream = connect(&server).await;
    stream
        .write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(b"\r\n").await.unwrap();
    let answer = rest(stream).await;
    stopping.await.unwrap();
    assert!(
        answer.is_empty() || answer.contains("\"vivarium\""),
        "{answer}"
    );
}
