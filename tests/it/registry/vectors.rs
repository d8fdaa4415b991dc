//! Downloads of rank-1 vectors: whole, sliced, live, refused.

use serde_json::{Value, json};
use vivarium::domain::vectors::{Contents, VectorModule, file};
use vivarium::execution::Blobs;

use super::{Api, api};

const NAMES: [&str; 2] = ["layers.0.mlp.down_proj", "layers.1.mlp.down_proj"];

fn contents(steps: impl IntoIterator<Item = u64>) -> Contents {
    let module = |name: &&str| VectorModule {
        name: (*name).into(),
        inputs: 3,
        outputs: 2,
    };
    Contents {
        modules: NAMES.iter().map(module).collect(),
        steps: steps.into_iter().collect(),
    }
}

/// The file whose every number tells its step and its place.
fn bytes(steps: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    let row = |step| (0..10).map(move |place| (100 * step + place) as f32);
    let rows: Vec<f32> = steps.clone().flat_map(row).collect();
    file(&contents(steps), &rows)
}

async fn record(api: &Api, job: &str, steps: std::ops::RangeInclusive<u64>) {
    let path = api.files.scratch().unwrap().join("vectors");
    std::fs::write(&path, bytes(steps.clone())).unwrap();
    let entry = api.files.keep("vectors.safetensors", &path).unwrap().entry;
    let entry = serde_json::to_value(entry).unwrap();
    let (first, last) = (steps.start(), steps.end());
    api.execute(&format!(
        "insert into vectors values ('{job}', {first}, {last}, '{entry}')"
    ))
    .await;
}

async fn with_vectors() -> (Api, String) {
    let api = api().await;
    let job = api.finished_job(1, "finetune", &json!({})).await;
    for steps in [0..=4, 5..=5, 6..=9] {
        record(&api, &job, steps).await;
    }
    (api, job)
}

#[tokio::test]
async fn the_vectors_of_all_steps_come_as_one_file_however_they_were_recorded() {
    let (api, job) = with_vectors().await;
    let path = format!("/v1/jobs/{job}/vectors");
    let whole = api.get(&path).await;
    assert!(whole.bytes == bytes(0..=9), "{}", whole.text());
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    let name = format!("{job}-vectors.safetensors");
    assert!(whole.header("content-disposition").contains(&name));
    let tag = whole.header("etag").to_owned();
    let again = api.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    record(&api, &job, 10..=11).await;
    let more = api.get_with(&path, &[("if-none-match", &tag)]).await;
    assert!(more.bytes == bytes(0..=11));
}

#[tokio::test]
async fn a_slice_has_the_wanted_steps_of_the_wanted_modules() {
    let (api, job) = with_vectors().await;
    let query = format!("modules={}&from=2&to=8&every=3", NAMES[1]);
    let slice = api.get(&format!("/v1/jobs/{job}/vectors?{query}")).await;
    let length = u64::from_le_bytes(slice.bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&slice.bytes[8..8 + length]).unwrap();
    let expected = json!({
        "steps": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]},
        "layers.1.mlp.down_proj.a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [16, 40]},
        "layers.1.mlp.down_proj.b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [40, 56]},
    });
    assert_eq!(header, expected);
    let (numbers, _) = slice.bytes[8 + length + 16..].as_chunks::<4>();
    let numbers: Vec<f32> = numbers
        .iter()
        .map(|four| f32::from_le_bytes(*four))
        .collect();
    let expected = [
        305.0, 306.0, 307.0, 605.0, 606.0, 607.0, 308.0, 309.0, 608.0, 609.0,
    ];
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn wrong_questions_about_vectors_are_refused() {
    let (api, job) = with_vectors().await;
    for query in [
        "modules=layers.9.mlp.down_proj",
        "every=0",
        "from=5&to=4",
        "format=csv",
    ] {
        let problem = api
            .get(&format!("/v1/jobs/{job}/vectors?{query}"))
            .await
            .problem(400);
        assert!(problem["detail"].is_string(), "{problem}");
    }
    api.get(&format!("/v1/jobs/job_{:026}/vectors", 9))
        .await
        .problem(404);
    let other = api.finished_job(2, "finetune", &json!({})).await;
    let early = api
        .get(&format!("/v1/jobs/{other}/vectors?modules=x"))
        .await;
    let nothing = Contents {
        modules: Vec::new(),
        steps: Vec::new(),
    };
    assert!(early.bytes == file(&nothing, &[]));
    let modules =
        json!([{"name": "x", "layer": 0, "projection": "down_proj", "rank": 2, "scaling": 1.0}]);
    api.execute(&format!(
        "insert into norm_modules values ('{other}', '{modules}')"
    ))
    .await;
    let none = api
        .get(&format!("/v1/jobs/{other}/vectors"))
        .await
        .problem(404);
    assert!(
        none["detail"].as_str().unwrap().contains("rank 1"),
        "{none}"
    );
}
