//! Uploads: what is stored, what is refused, and that refusals leave nothing.

use axum::body::{Body, Bytes};
use axum::http::Request;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use vivarium::api::Settings;

use super::{Api, Reply, api, api_with};

fn row(n: usize) -> String {
    json!({"messages": [{"role": "user", "content": format!("q{n}")}, {"role": "assistant", "content": "a"}]}).to_string()
}

fn rows(count: usize) -> String {
    (0..count).map(|n| row(n) + "\n").collect()
}

async fn upload(api: &Api, name: &str, body: impl Into<Body>) -> Reply {
    api.post(
        &format!("/v1/datasets?name={name}"),
        "application/jsonl",
        body,
    )
    .await
}

#[tokio::test]
async fn an_upload_is_stored_once_and_found_by_id_and_by_name() {
    let api = api().await;
    let made = upload(&api, "medical", rows(3)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let dataset = made.json();
    let id = dataset["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/v1/datasets/{id}"));
    assert_eq!(
        (&dataset["examples"], &dataset["format"]),
        (&json!(3), &json!("messages"))
    );
    assert_eq!(
        dataset["report"]["roles"],
        json!({"user": 3, "assistant": 3})
    );
    assert_eq!(dataset["report"]["errors"], json!([]));

    let again = upload(&api, "medical", rows(3)).await;
    assert_eq!(
        (again.status.as_u16(), again.json()),
        (200, dataset.clone())
    );
    for key in [id, "medical"] {
        assert_eq!(
            api.get(&format!("/v1/datasets/{key}")).await.json(),
            dataset
        );
    }
    let content = api.get("/v1/datasets/medical/content").await;
    assert_eq!((content.status.as_u16(), content.text()), (200, rows(3)));
    let report = api.get("/v1/datasets/medical/report").await;
    assert_eq!(report.json(), dataset["report"]);
    assert_eq!(api.left().await, (1, 1));
}

#[tokio::test]
async fn a_name_with_other_bytes_is_a_conflict_that_leaves_nothing() {
    let api = api().await;
    upload(&api, "medical", rows(3)).await;
    let problem = upload(&api, "medical", rows(4)).await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("medical"));
    assert_eq!(api.left().await, (1, 1));
}

#[tokio::test]
async fn an_unnamed_upload_gets_the_name_of_its_bytes() {
    let api = api().await;
    let first = api
        .post("/v1/datasets", "text/plain; charset=utf-8", rows(2))
        .await;
    assert_eq!(first.status, 201);
    let name = first.json()["name"].as_str().unwrap().to_owned();
    assert_eq!(
        name,
        format!(
            "dataset-{}",
            &first.json()["sha256"].as_str().unwrap()[..12]
        )
    );
    let again = api
        .post("/v1/datasets", "application/x-ndjson", rows(2))
        .await;
    assert_eq!(
        (again.status.as_u16(), again.json()["name"].as_str()),
        (200, Some(name.as_str()))
    );
}

#[tokio::test]
async fn line_17_with_role_bot_is_named_and_nothing_is_left() {
    let api = api().await;
    let file: String = (1..=20)
        .map(|n| match n {
            17 => row(n).replace("\"user\"", "\"bot\"") + "\n",
            _ => row(n) + "\n",
        })
        .collect();
    let problem = upload(&api, "medical", file).await.problem(422);
    let expected = json!([{"line": 17, "pointer": "/messages/0/role",
        "detail": "role \"bot\" is not one of system, user, assistant, tool"}]);
    assert_eq!(problem["errors"], expected);
    assert_eq!(api.left().await, (0, 0));
}

#[tokio::test]
async fn bad_uploads_are_refused_by_name_and_leave_nothing() {
    let api = api().await;
    let jsonl = "application/jsonl";
    let table: [(u16, &str, &str, &str, &str); 8] = [
        (422, "/v1/datasets?name=a", jsonl, "", "empty"),
        (
            422,
            "/v1/datasets?name=a",
            jsonl,
            "{\"text\":\"a\"}\n{\"text\":",
            "line 2",
        ),
        (
            400,
            "/v1/datasets?name=job_a",
            jsonl,
            "{\"text\":\"a\"}",
            "kept for ids",
        ),
        (
            400,
            "/v1/datasets?name=a%2Fb",
            jsonl,
            "{\"text\":\"a\"}",
            "is not a name",
        ),
        (400, "/v1/datasets?nam=a", jsonl, "{\"text\":\"a\"}", "nam"),
        (
            415,
            "/v1/datasets?name=a",
            "application/json",
            "{}",
            "application/jsonl",
        ),
        (
            415,
            "/v1/datasets?name=a",
            "application/octet-stream",
            "x",
            "application/jsonl",
        ),
        (
            400,
            "/v1/datasets?name=a",
            "multipart/form-data",
            "x",
            "boundary",
        ),
    ];
    for (status, path, media_type, body, word) in table {
        let problem = api
            .post(path, media_type, body.to_owned())
            .await
            .problem(status);
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{path} {problem}"
        );
    }
    assert_eq!(api.left().await, (0, 0));
}

#[tokio::test]
async fn three_gigabytes_are_refused_before_a_byte_is_read() {
    let api = api().await;
    let body = Body::from_stream(stream::poll_fn(
        |_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
            panic!("the body was read")
        },
    ));
    let request = Request::post("/v1/datasets?name=big")
        .header("content-type", "application/jsonl")
        .header("content-length", 3_u64 << 30);
    let problem = api.send(request.body(body).unwrap()).await.problem(413);
    let limit = Settings::default().upload_bytes.to_string();
    assert!(
        problem["detail"].as_str().unwrap().contains(&limit),
        "{problem}"
    );
    assert_eq!(api.left().await, (0, 0));
}

type Pieces = stream::BoxStream<'static, Result<Bytes, std::io::Error>>;

/// Good rows without end.
fn endless() -> Pieces {
    stream::repeat_with(|| Ok(Bytes::from(row(1) + "\n"))).boxed()
}

#[tokio::test]
async fn a_stream_over_the_limit_is_cut_off_and_leaves_nothing() {
    let api = api_with(Settings {
        upload_bytes: 10_000,
        ..Settings::default()
    })
    .await;
    let problem = upload(&api, "big", Body::from_stream(endless()))
        .await
        .problem(413);
    assert!(problem["detail"].as_str().unwrap().contains("10000"));
    let head = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    let form = stream::iter([Ok(Bytes::from(head))]).chain(endless());
    let form_type = "multipart/form-data; boundary=x";
    api.post("/v1/datasets", form_type, Body::from_stream(form))
        .await
        .problem(413);
    assert_eq!(api.left().await, (0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let api = api().await;
    let half = stream::iter([Ok(Bytes::from(rows(2))), Err(std::io::Error::other("gone"))]);
    upload(&api, "half", Body::from_stream(half))
        .await
        .problem(400);
    assert_eq!(api.left().await, (0, 0));
}

#[tokio::test]
async fn a_form_with_file_and_name_is_an_upload() {
    let api = api().await;
    let form = |parts: &[(&str, &str)]| {
        let part = |(name, text): &(&str, &str)| {
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        parts.iter().map(part).collect::<String>() + "--x--\r\n"
    };
    let send = |body: String| api.post("/v1/datasets", "multipart/form-data; boundary=x", body);
    let made = send(form(&[("file", &rows(2)), ("name", "formed")])).await;
    assert_eq!(
        (made.status.as_u16(), made.json()["name"].as_str()),
        (201, Some("formed")),
        "{}",
        made.text()
    );
    let left = api.left().await;
    for (parts, word) in [
        (vec![("name", "b")], "no field \"file\""),
        (
            vec![("file", "{\"text\":\"a\"}"), ("colour", "red")],
            "colour",
        ),
    ] {
        let problem = send(form(&parts)).await.problem(422);
        assert!(
            problem["detail"].as_str().unwrap().contains(word),
            "{problem}"
        );
    }
    assert_eq!(api.left().await, left);
}

#[tokio::test]
async fn lists_are_paged_from_the_newest_to_the_oldest() {
    let api = api().await;
    for n in 1..=5 {
        assert_eq!(upload(&api, &format!("set-{n}"), rows(n)).await.status, 201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api
            .get(&format!("/v1/datasets?limit=2{cursor}"))
            .await
            .json();
        names.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d["name"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break assert_eq!(page["has_more"], false),
        }
    }
    assert_eq!(names, ["set-5", "set-4", "set-3", "set-2", "set-1"]);
    for path in [
        "/v1/datasets?limit=0",
        "/v1/datasets?limit=201",
        "/v1/datasets?limit=x",
        "/v1/datasets?page=1",
    ] {
        api.get(path).await.problem(400);
    }
}

#[tokio::test]
async fn a_row_is_shown_with_its_line_and_beyond_the_end_is_nothing() {
    let api = api().await;
    upload(
        &api,
        "gaps",
        format!("\u{feff}{}\r\n\r\n{}\r\n", row(0), row(1)),
    )
    .await;
    let second = api.get("/v1/datasets/gaps/rows/1").await.json();
    assert_eq!((&second["row"], &second["line"]), (&json!(1), &json!(3)));
    assert_eq!(
        second["value"],
        serde_json::from_str::<Value>(&row(1)).unwrap()
    );
    for path in [
        "/v1/datasets/gaps/rows/2",
        "/v1/datasets/gaps/rows/x",
        "/v1/datasets/none",
        "/v1/datasets/none/content",
    ] {
        api.get(path).await.problem(404);
    }
}
