//! Metrics and norms: shapes, ranges, thinning, forms, tags.

use axum::body::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use super::{Api, api};

/// Six steps with a spike in the loss at step 4, and norms of two modules with NaN where nothing exists.
async fn with_series() -> (Api, String) {
    let api = api().await;
    let job = api.finished_job(1, "finetune", &json!({})).await;
    let modules = json!([
        {"name": "layers.0.mlp.down_proj", "layer": 0, "projection": "down_proj", "rank": 1, "scaling": 64.0},
        {"name": "layers.1.mlp.down_proj", "layer": 1, "projection": "down_proj", "rank": 1, "scaling": 64.0},
    ]);
    api.execute(&format!(
        "insert into metrics select '{job}', s, case s when 4 then 9 else 3 - s * 0.25 end, s * 1e-5, 0.5, 100 + s
           from generate_series(1, 6) s;
         insert into timings select '{job}', s, 2000.5, 1048576 from generate_series(1, 5) s;
         insert into hold_out values ('{job}', 3, 2.5), ('{job}', 6, 2.25);
         insert into norm_modules values ('{job}', '{modules}');
         insert into norms select '{job}', s, array[0.5, 0.25], array[s * 0.1, s * 0.2], array[s, s * 2],
           array['NaN', 1]::float8[], array['NaN', 1]::float8[], array['NaN', 'NaN']::float8[],
           case s when 0 then '{{}}' else array[1, 1.5]::float8[] end from generate_series(0, 6) s"
    ))
    .await;
    (api, job)
}

#[tokio::test]
async fn metrics_have_the_documented_shape() {
    let (api, job) = with_series().await;
    let metrics = api
        .get(&format!("/v1/jobs/{job}/metrics?from=2&to=4"))
        .await
        .json();
    assert_eq!(metrics["job"], job);
    assert_eq!(metrics["steps"], json!([2, 3, 4]));
    assert_eq!(metrics["series"]["loss"], json!([2.5, 2.25, 9.0]));
    assert_eq!(
        metrics["series"]["target_tokens"],
        json!([102.0, 103.0, 104.0])
    );
    assert_eq!(
        metrics["series"]["tokens_per_second"],
        json!([2000.5, 2000.5, 2000.5])
    );
    assert_eq!(metrics["hold_out"], json!({"steps": [3], "loss": [2.5]}));
    let last = api
        .get(&format!("/v1/jobs/{job}/metrics?from=6"))
        .await
        .json();
    assert_eq!(last["series"]["tokens_per_second"], json!([null]));
}

#[tokio::test]
async fn metrics_come_as_csv_and_as_lines() {
    let (api, job) = with_series().await;
    let path = format!("/v1/jobs/{job}/metrics?to=1");
    let csv = api.get_with(&path, &[("accept", "text/csv")]).await;
    let expected = "step,loss,learning_rate,grad_norm,target_tokens,tokens_per_second\n1,2.75,0.00001,0.5,101,2000.5\n";
    assert_eq!(csv.text(), expected);
    assert!(
        csv.header("content-disposition")
            .contains(&format!("{job}-metrics.csv"))
    );
    let lines = api.get(&format!("{path}&format=ndjson")).await;
    let first: Value = serde_json::from_str(lines.text().lines().next().unwrap()).unwrap();
    assert_eq!((&first["step"], &first["loss"]), (&json!(1), &json!(2.75)));
    api.get_with(&path, &[("accept", "text/html")])
        .await
        .problem(406);
}

/// The rows of a Parquet answer, every cell as text.
fn cells(bytes: &[u8]) -> (Vec<String>, Vec<Vec<String>>) {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).unwrap();
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let columns = schema.columns().iter();
    let names = columns.map(|column| column.name().to_owned()).collect();
    let rows = reader.get_row_iter(None).unwrap().map(|row| {
        let row = row.unwrap();
        let cells = row.get_column_iter().map(|(_, cell)| cell.to_string());
        cells.collect()
    });
    (names, rows.collect())
}

#[tokio::test]
async fn series_come_as_parquet_with_the_rows_of_the_long_table() {
    let (api, job) = with_series().await;
    let accept = [("accept", "application/vnd.apache.parquet")];
    let path = format!("/v1/jobs/{job}/lora-norms?from=1&to=2");
    let norms = api.get_with(&path, &accept).await;
    assert_eq!(norms.header("content-type"), accept[0].1);
    assert!(
        norms
            .header("content-disposition")
            .contains("lora-norms.parquet")
    );
    let (names, rows) = cells(&norms.bytes);
    let head = "step module layer projection a_norm b_norm ba_norm a_grad_norm b_grad_norm b_cosine_previous stable_rank";
    assert_eq!(names.join(" "), head);
    assert_eq!(rows.len(), 4);
    let last = "2 \"layers.1.mlp.down_proj\" 1 \"down_proj\" 0.25 0.4 4.0 1.0 1.0 NaN 1.5";
    assert_eq!(rows[3].join(" "), last);
    let metrics = api
        .get(&format!("/v1/jobs/{job}/metrics?format=parquet"))
        .await;
    let (names, rows) = cells(&metrics.bytes);
    let head =
        "step loss learning_rate grad_norm target_tokens tokens_per_second peak_memory_bytes";
    assert_eq!(names.join(" "), head);
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[3][..2], ["4", "9.0"]);
    assert_eq!(rows[5][5], "NaN");
}

#[tokio::test]
async fn thinning_keeps_the_spike() {
    let (api, job) = with_series().await;
    let thin = api
        .get(&format!("/v1/jobs/{job}/metrics?points=4"))
        .await
        .json();
    assert!(
        thin["steps"].as_array().unwrap().contains(&json!(4)),
        "{thin}"
    );
    assert!(
        thin["series"]["loss"]
            .as_array()
            .unwrap()
            .contains(&json!(9.0))
    );
}

#[tokio::test]
async fn an_unchanged_series_is_not_sent_again() {
    let (api, job) = with_series().await;
    let path = format!("/v1/jobs/{job}/metrics");
    let tag = api.get(&path).await.header("etag").to_owned();
    assert!(tag.starts_with("W/\""));
    let again = api.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    api.execute(&format!(
        "insert into metrics values ('{job}', 7, 1, 1, 1, 1)"
    ))
    .await;
    assert_eq!(
        api.get_with(&path, &[("if-none-match", &tag)]).await.status,
        200
    );
}

#[tokio::test]
async fn norms_belong_to_their_modules_and_nan_is_null() {
    let (api, job) = with_series().await;
    let path = format!("/v1/jobs/{job}/lora-norms?modules=layers.1.mlp.down_proj&from=1&to=2");
    let norms = api.get(&path).await.json();
    assert_eq!(norms["steps"], json!([1, 2]));
    assert_eq!(norms["modules"][0]["name"], "layers.1.mlp.down_proj");
    assert_eq!(norms["modules"][0]["projection"], "down_proj");
    assert_eq!(norms["series"]["b_norm"], json!([[0.2, 0.4]]));
    assert_eq!(norms["series"]["b_grad_norm"], json!([[1.0, 1.0]]));
    assert_eq!(norms["series"]["b_cosine_previous"], json!([[null, null]]));
    assert_eq!(norms["series"]["stable_rank"], json!([[1.5, 1.5]]));
    let both = api.get(&format!("/v1/jobs/{job}/lora-norms")).await.json();
    // the row is older than the series
    assert_eq!(both["series"]["stable_rank"][1][0], Value::Null);
    assert_eq!(both["series"]["ba_norm"].as_array().unwrap().len(), 2);
    assert_eq!(both["series"]["a_grad_norm"][0][0], Value::Null);
    let csv = api.get(&format!("{path}&format=csv")).await.text();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next().unwrap(),
        "step,module,layer,projection,a_norm,b_norm,ba_norm,a_grad_norm,b_grad_norm,b_cosine_previous,stable_rank"
    );
    assert_eq!(
        lines.next().unwrap(),
        "1,layers.1.mlp.down_proj,1,down_proj,0.25,0.2,2,1,1,NaN,1.5"
    );
    assert_eq!(lines.count(), 1);
}

#[tokio::test]
async fn a_model_that_is_trained_whole_has_norms_of_its_change() {
    let api = api().await;
    let job = api.finished_job(1, "finetune", &json!({})).await;
    let modules = json!([
        {"name": "embed_tokens", "layer": null, "projection": null, "rank": null, "scaling": null},
        {"name": "layers.0.self_attn.q_proj", "layer": 0, "projection": "q_proj", "rank": null, "scaling": null},
    ]);
    api.execute(&format!(
        "insert into norm_modules values ('{job}', '{modules}');
         insert into changes select '{job}', s, array[s, s * 0.5], array['NaN', 3]::float8[], array['NaN', 0.5]::float8[]
           from generate_series(0, 2) s"
    ))
    .await;
    let path = format!("/v1/jobs/{job}/lora-norms");
    let norms = api.get(&path).await.json();
    assert_eq!(norms["steps"], json!([0, 1, 2]));
    let expected = json!({
        "change_norm": [[0.0, 1.0, 2.0], [0.0, 0.5, 1.0]],
        "grad_norm": [[null, null, null], [3.0, 3.0, 3.0]],
        "change_cosine_previous": [[null, null, null], [0.5, 0.5, 0.5]],
    });
    assert_eq!(norms["series"], expected);
    let csv = api.get(&format!("{path}?from=2&format=csv")).await.text();
    let expected = "step,module,layer,projection,change_norm,grad_norm,change_cosine_previous\n\
        2,embed_tokens,,,2,NaN,NaN\n2,layers.0.self_attn.q_proj,0,q_proj,1,3,0.5\n";
    assert_eq!(csv, expected);
}

#[tokio::test]
async fn wrong_questions_about_series_are_refused() {
    let (api, job) = with_series().await;
    let unknown = api
        .get(&format!(
            "/v1/jobs/{job}/lora-norms?modules=layers.9.mlp.down_proj"
        ))
        .await
        .problem(400);
    assert!(
        unknown["detail"]
            .as_str()
            .unwrap()
            .contains("layers.0.mlp.down_proj"),
        "{unknown}"
    );
    for query in [
        "from=5&to=4",
        "points=3",
        "points=x",
        "format=xml",
        "colour=red",
        "from=-1",
    ] {
        for resource in ["metrics", "lora-norms"] {
            api.get(&format!("/v1/jobs/{job}/{resource}?{query}"))
                .await
                .problem(400);
        }
    }
    api.get(&format!("/v1/jobs/job_{:026}/metrics", 9))
        .await
        .problem(404);
    let empty = api.finished_job(2, "evaluate", &json!({})).await;
    let none = api
        .get(&format!("/v1/jobs/{empty}/lora-norms"))
        .await
        .json();
    assert_eq!(
        (&none["steps"], &none["series"]["a_norm"]),
        (&json!([]), &json!([]))
    );
}
