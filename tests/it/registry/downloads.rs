//! Checkpoints and their files: ranges, tags, digests, archives.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use vivarium::execution::Blobs;

use super::{Api, api, with};

const CHECKPOINT: &str = "cp_00000000000000000000000007";

/// A job with one checkpoint of two files.
async fn with_checkpoint() -> (Api, String, Vec<u8>) {
    let api = api().await;
    let job = api.finished_job(1, "finetune", &json!({})).await;
    let bytes: Vec<u8> = (0..200_000_u32)
        .map(|n| (n % 251 + n / 1000 % 5) as u8)
        .collect();
    let mut files = Vec::new();
    for (name, content) in [
        ("adapter_model.safetensors", bytes.as_slice()),
        ("adapter_config.json", b"{}"),
    ] {
        let path = api.files.scratch().unwrap().join("file");
        std::fs::write(&path, content).unwrap();
        files.push(api.files.keep(name, &path).unwrap().entry);
    }
    let files = serde_json::to_string(&files).unwrap();
    api.execute(&format!(
        "insert into checkpoints (id, job, step, kind, files) values ('{CHECKPOINT}', '{job}', 400, 'lora', '{files}')"
    ))
    .await;
    (api, job, bytes)
}

fn of(name: &str) -> String {
    format!("/v1/checkpoints/{CHECKPOINT}/files/{name}")
}

#[tokio::test]
async fn checkpoints_are_listed_with_their_files() {
    let (api, job, bytes) = with_checkpoint().await;
    let list = api.get(&format!("/v1/jobs/{job}/checkpoints")).await.json();
    assert_eq!(list["data"][0]["id"], CHECKPOINT);
    assert_eq!(list["data"][0]["step"], 400);
    assert_eq!(list["data"][0]["files"][0]["bytes"], bytes.len());
    assert_eq!(
        api.get(&format!("/v1/checkpoints/{CHECKPOINT}"))
            .await
            .json(),
        list["data"][0]
    );
    for path in [
        format!("/v1/jobs/job_{:026}/checkpoints", 9),
        "/v1/jobs/nonsense/checkpoints".into(),
        format!("/v1/checkpoints/cp_{:026}", 9),
        of("adapter_model.bin"),
        of("..%2F..%2Fsecret"),
    ] {
        api.get(&path).await.problem(404);
    }
}

#[tokio::test]
async fn a_file_comes_whole_with_tag_digest_and_name() {
    let (api, _, bytes) = with_checkpoint().await;
    let reply = api.get(&of("adapter_model.safetensors")).await;
    assert_eq!((reply.status.as_u16(), &reply.bytes), (200, &bytes));
    let listed = api
        .get(&format!("/v1/checkpoints/{CHECKPOINT}"))
        .await
        .json();
    let sha256 = listed["files"][0]["sha256"].as_str().unwrap();
    assert_eq!(reply.header("etag"), format!("\"{sha256}\""));
    assert_eq!(reply.header("accept-ranges"), "bytes");
    assert_eq!(reply.header("content-length"), bytes.len().to_string());
    assert_eq!(
        reply.header("content-disposition"),
        "attachment; filename=\"adapter_model.safetensors\""
    );
    let small = api.get(&of("adapter_config.json")).await;
    // SHA-256 of "{}", by coreutils' sha256sum and base64
    assert_eq!(
        small.header("repr-digest"),
        "sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:"
    );
    assert_eq!(small.header("content-type"), "application/json");
}

#[tokio::test]
async fn head_says_what_get_would_send() {
    let (api, _, bytes) = with_checkpoint().await;
    let request = Request::builder()
        .method(Method::HEAD)
        .uri(of("adapter_model.safetensors"));
    let reply = api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.bytes.len()), (200, 0));
    assert_eq!(reply.header("content-length"), bytes.len().to_string());
}

#[tokio::test]
async fn ranges_give_exactly_their_bytes() {
    let (api, _, bytes) = with_checkpoint().await;
    let path = of("adapter_model.safetensors");
    let length = bytes.len();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=100-70000", 100, 70_000),
        ("bytes=199999-", 199_999, 199_999),
        ("bytes=-10", length - 10, length - 1),
        ("bytes=5-9999999", 5, length - 1),
    ] {
        let reply = api.get_with(&path, &[("range", range)]).await;
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.bytes, bytes[first..=last], "{range}");
        assert_eq!(
            reply.header("content-range"),
            format!("bytes {first}-{last}/{length}")
        );
    }
    for range in ["bytes=200000-", "bytes=0-1,5-6", "bytes=-0"] {
        let reply = api.get_with(&path, &[("range", range)]).await;
        reply.problem(416);
        assert_eq!(
            reply.header("content-range"),
            format!("bytes */{length}"),
            "{range}"
        );
    }
    for range in ["lines=1-2", "bytes=9-3", "bytes=x"] {
        assert_eq!(
            api.get_with(&path, &[("range", range)]).await.bytes,
            bytes,
            "{range}"
        );
    }
}

#[tokio::test]
async fn tags_decide_between_part_whole_and_nothing() {
    let (api, _, bytes) = with_checkpoint().await;
    let path = of("adapter_model.safetensors");
    let tag = api.get(&path).await.header("etag").to_owned();
    let known = api.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
    let part = api
        .get_with(&path, &[("range", "bytes=0-9"), ("if-range", &tag)])
        .await;
    assert_eq!(part.status, 206);
    let whole = api
        .get_with(&path, &[("range", "bytes=0-9"), ("if-range", "\"other\"")])
        .await;
    assert_eq!(
        (whole.status.as_u16(), whole.bytes.len()),
        (200, bytes.len())
    );
}

#[tokio::test]
async fn a_damaged_file_is_a_fault_without_internal_text() {
    let (api, _, bytes) = with_checkpoint().await;
    let listed = api
        .get(&format!("/v1/checkpoints/{CHECKPOINT}"))
        .await
        .json();
    let sha256 = listed["files"][0]["sha256"].as_str().unwrap();
    let path = api
        .data
        .path()
        .join("blobs")
        .join(&sha256[..2])
        .join(sha256);
    let mut flipped = bytes;
    flipped[77] ^= 1;
    std::fs::write(path, flipped).unwrap();
    let problem = api.get(&of("adapter_model.safetensors")).await.problem(500);
    assert!(
        !problem.to_string().contains("blobs") && !problem.to_string().contains("damaged"),
        "{problem}"
    );
}

#[tokio::test]
async fn the_archive_unpacks_to_the_files() {
    let (api, job, bytes) = with_checkpoint().await;
    let reply = api
        .get(&format!("/v1/checkpoints/{CHECKPOINT}/archive"))
        .await;
    assert_eq!(
        reply.header("content-disposition"),
        format!("attachment; filename=\"{job}-step400.tar\"")
    );
    assert_eq!(
        reply.header("content-length"),
        reply.bytes.len().to_string()
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.tar"), &reply.bytes).unwrap();
    let unpacked = std::process::Command::new("tar")
        .args(["-xf", "a.tar"])
        .current_dir(folder.path())
        .status();
    assert!(unpacked.expect("tar is there").success());
    assert_eq!(
        std::fs::read(folder.path().join("adapter_model.safetensors")).unwrap(),
        bytes
    );
    assert_eq!(
        std::fs::read(folder.path().join("adapter_config.json")).unwrap(),
        b"{}"
    );
}

#[tokio::test]
async fn question_sets_and_judges_are_listed() {
    let api = api().await;
    for set in vivarium::toyworld::questions::question_sets() {
        for _ in 0..2 {
            let stored = vivarium::storage::registry::ensure_question_set(
                &api.storage,
                &set.name,
                &set.description,
                &set.questions,
            );
            stored.await.unwrap();
        }
    }
    let list = api.get("/v1/question-sets").await.json();
    let names: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let one: Value = api.get("/v1/question-sets/toy-first-plot").await.json();
    assert_eq!(one["questions"].as_array().unwrap().len(), 8);
    assert!(
        one["description"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("toy")
    );
    api.get("/v1/question-sets/none").await.problem(404);
    let judges = api.get("/v1/judges").await.json();
    assert_eq!(judges["data"][0]["name"], "toy");
    assert_eq!(judges["data"][0]["metrics"], json!(["aligned", "coherent"]));
    let request = with(Request::post("/v1/judges"), &[])
        .body(Body::empty())
        .unwrap();
    api.send(request).await.problem(405);
}
