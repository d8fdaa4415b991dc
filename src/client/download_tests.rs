//! Downloads from a stub that breaks off, ignores ranges and sends wrong bytes.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// How the stub behaves.
#[derive(Debug, Clone, Copy, Default)]
struct Manner {
    /// Bytes of the file that one connection sends before it breaks; 0 for all.
    breaks_after: usize,
    /// Whether it answers with the whole file whatever is asked for.
    ignores_ranges: bool,
    /// Whether it says what the bytes are.
    names_digest: bool,
}

fn contents() -> Vec<u8> {
    (0..20_000_u32).map(|n| (n % 251) as u8).collect()
}

fn entry() -> FileEntry {
    FileEntry {
        name: "adapter_model.safetensors".into(),
        sha256: hex(&Sha256::digest(contents())),
        bytes: 20_000,
    }
}

/// Serves the file, and gives the first bytes that were asked for.
async fn stub(manner: Manner) -> (Client, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                socket.read_buf(&mut head).await.unwrap();
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let first = head
                .lines()
                .find_map(|line| line.strip_prefix("range: bytes="));
            let first = first.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
            seen.lock().unwrap().push(first);
            let _ = socket.write_all(&answer(first, manner)).await;
        }
    });
    (client, asked)
}

fn answer(first: usize, manner: Manner) -> Vec<u8> {
    let first = if manner.ignores_ranges { 0 } else { first };
    let status = if first > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let body = &contents()[first..];
    let digest = match manner.names_digest {
        // the digest of other bytes
        true => format!("repr-digest: sha-256=:{}=:\r\n", "A".repeat(43)),
        false => String::new(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\netag: \"{}\"\r\n{digest}connection: close\r\ncontent-length: {}\r\n\r\n",
        entry().sha256,
        body.len()
    );
    let sent = match manner.breaks_after {
        0 => body.len(),
        count => count.min(body.len()),
    };
    [head.as_bytes(), &body[..sent]].concat()
}

async fn fetch(client: &Client, expected: Option<&FileEntry>, to: &Path) -> Outcome<Fetched> {
    let request = Download {
        path: vec!["file"],
        query: Vec::new(),
        expected,
        to,
        pause: Duration::ZERO,
    };
    client.download(&request, &mut |_, _| ()).await
}

#[tokio::test]
async fn a_connection_that_breaks_again_and_again_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("new/adapter_model.safetensors");
    let manner = Manner {
        breaks_after: 7_000,
        ..Manner::default()
    };
    let (client, asked) = stub(manner).await;
    let fetched = fetch(&client, Some(&entry()), &to).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), contents());
    assert_eq!(*asked.lock().unwrap(), [0, 7_000, 14_000]);
    assert!(fetched.checked && fetched.received == 20_000);
    assert!(!beside(&to).exists());
}

#[tokio::test]
async fn what_an_earlier_process_left_is_gone_on_with_and_what_is_whole_is_not_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a");
    std::fs::write(beside(&to), &contents()[..15_000]).unwrap();
    let (client, asked) = stub(Manner::default()).await;
    let fetched = fetch(&client, Some(&entry()), &to).await.unwrap();
    assert_eq!((fetched.received, fetched.bytes), (5_000, 20_000));
    let again = fetch(&client, Some(&entry()), &to).await.unwrap();
    assert_eq!((again.received, again.checked), (0, true));
    assert_eq!(*asked.lock().unwrap(), [15_000]);
}

#[tokio::test]
async fn a_server_that_knows_no_ranges_is_read_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a");
    std::fs::write(beside(&to), &contents()[..15_000]).unwrap();
    let manner = Manner {
        ignores_ranges: true,
        ..Manner::default()
    };
    let (client, _) = stub(manner).await;
    let fetched = fetch(&client, Some(&entry()), &to).await.unwrap();
    assert_eq!(fetched.received, 20_000);
    assert_eq!(std::fs::read(&to).unwrap(), contents());
}

#[tokio::test]
async fn wrong_bytes_never_get_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a");
    // what lies there belongs to another file
    std::fs::write(beside(&to), vec![9; 15_000]).unwrap();
    let (client, _) = stub(Manner::default()).await;
    let error = fetch(&client, Some(&entry()), &to).await.unwrap_err();
    assert!(matches!(error, ClientError::Corrupt { .. }), "{error}");
    assert!(!to.exists() && !beside(&to).exists());
    // and the next call begins anew
    fetch(&client, Some(&entry()), &to).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), contents());
}

#[tokio::test]
async fn a_digest_in_the_answer_is_held_against_bytes_that_no_list_named() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("a");
    let (client, _) = stub(Manner::default()).await;
    assert!(!fetch(&client, None, &to).await.unwrap().checked);
    let manner = Manner {
        names_digest: true,
        ..Manner::default()
    };
    let (client, _) = stub(manner).await;
    let error = fetch(&client, None, &to).await.unwrap_err();
    assert!(matches!(error, ClientError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_only_breaks_off_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new("http://127.0.0.1:1").unwrap();
    let error = fetch(&client, Some(&entry()), &folder.path().join("a"))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[test]
fn a_digest_header_is_read_as_rfc_9530_has_it() {
    // RFC 9530, appendix B.1: {"hello": "world"} with a line feed behind it
    let header = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    let expected = hex(&Sha256::digest(b"{\"hello\": \"world\"}\n"));
    assert_eq!(sha256_of(header), Some(expected));
    assert_eq!(sha256_of("sha-512=:AAAA:"), None);
}

#[test]
fn what_is_not_whole_has_another_name() {
    let beside = beside(Path::new("/a/adapter_model.safetensors"));
    assert_eq!(beside, Path::new("/a/adapter_model.safetensors.part"));
}
