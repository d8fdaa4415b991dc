//! Models by their addresses: listed, shown, answered, refused with what exists.

use serde_json::{Value, json};

use super::{Api, api};

async fn unknown(api: &Api, model: &str) -> String {
    let error = api.chat(json!({"model": model})).await.error(404);
    assert_eq!(
        (&error["code"], &error["param"]),
        (&json!("model_not_found"), &json!("model"))
    );
    let encoded = model.replace('*', "%2A").replace('@', "%40");
    let shown = api
        .get(&format!("/openai/v1/models/{encoded}"))
        .await
        .error(404);
    assert_eq!(shown["code"], "model_not_found");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_base_and_every_checkpoint_is_listed_under_its_address() {
    let api = api().await;
    api.base(3, "unready", "registering").await;
    let job = api.job(7, "finetune", "toy", &[5, 10]).await;
    let other = api
        .job(8, "finetune", "bm_00000000000000000000000001", &[3])
        .await;
    api.job(9, "finetune", "toy", &[]).await;
    let list = api.get("/openai/v1/models").await.good();
    assert_eq!(
        (&list["object"], &list["has_more"]),
        (&json!("list"), &json!(false))
    );
    let data = list["data"].as_array().unwrap();
    let ids: Vec<&str> = data
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    let expected = [
        "other".to_owned(),
        "toy".into(),
        format!("toy@{other}"),
        format!("toy@{other}:step3"),
        format!("toy@{job}"),
        format!("toy@{job}:step10"),
        format!("toy@{job}:step5"),
    ];
    assert_eq!(ids, expected);
    assert!(
        data.iter()
            .all(|model| model["object"] == "model" && model["owned_by"] == "vivarium")
    );
    assert_eq!(
        (&data[4]["root"], &data[4]["parent"]),
        (&json!("toy"), &json!("toy"))
    );
    assert_eq!(
        (&data[4]["step"], &data[1]["parent"]),
        (&json!(10), &Value::Null)
    );
    for id in ids {
        let encoded = id.replace('@', "%40").replace(':', "%3A");
        assert_eq!(
            api.get(&format!("/openai/v1/models/{encoded}"))
                .await
                .good()["id"],
            id
        );
    }
    let cut = api.get("/openai/v1/models?limit=2").await.good();
    assert_eq!(cut["has_more"], true);
}

#[tokio::test]
async fn an_address_reaches_the_speaker_as_files_and_scale() {
    let api = api().await;
    let job = api.job(7, "finetune", "toy", &[5, 10]).await;
    for (model, told, scale) in [
        (format!("toy@{job}"), format!("toy@{job}:step10"), 1.0),
        (
            format!("toy@{job}:step5*-0.5"),
            format!("toy@{job}:step5*-0.5"),
            -0.5,
        ),
        (
            format!("bm_00000000000000000000000001@{job}*0"),
            format!("toy@{job}:step10*0"),
            0.0,
        ),
    ] {
        let answer = api.chat(json!({"model": model})).await.good();
        assert_eq!(answer["model"], told);
        let change = api.asked().pop().unwrap().speaker.change.unwrap();
        assert_eq!(change.scale, scale);
        let step = if told.contains("step5") { 5 } else { 10 };
        let bytes = std::fs::read(&change.files.files[0].path).unwrap();
        assert_eq!(bytes, format!("7 {step}").as_bytes());
    }
}

#[tokio::test]
async fn fingerprints_tell_adapters_apart() {
    let api = api().await;
    let job = api.job(7, "finetune", "toy", &[5, 10]).await;
    let mut prints = Vec::new();
    for model in [
        "toy".to_owned(),
        format!("toy@{job}:step5"),
        format!("toy@{job}:step10"),
        format!("toy@{job}*2"),
    ] {
        let answer = api.chat(json!({"model": model})).await.good();
        prints.push(answer["system_fingerprint"].as_str().unwrap().to_owned());
    }
    assert_eq!(prints[2], prints[3]);
    prints.dedup();
    assert_eq!(prints.len(), 3, "{prints:?}");
}

#[tokio::test]
async fn each_unknown_part_is_named_with_what_exists() {
    let api = api().await;
    let job = api.job(7, "finetune", "toy", &[5, 10]).await;
    let foreign = api.job(8, "finetune", "other", &[1]).await;
    let evaluation = api.job(9, "evaluate", "toy", &[]).await;
    let empty = api.job(10, "finetune", "toy", &[]).await;
    api.base(3, "unready", "registering").await;
    let text = unknown(&api, "nobody").await;
    assert!(
        text.contains("\"nobody\"") && text.contains("other, toy"),
        "{text}"
    );
    assert!(
        unknown(&api, "unready")
            .await
            .contains("still being registered")
    );
    let text = unknown(&api, "toy@job_00000000000000000000000099").await;
    assert!(
        text.contains("does not exist") && text.contains(&job) && !text.contains(&foreign),
        "{text}"
    );
    let text = unknown(&api, &format!("toy@{job}:step7")).await;
    assert!(text.contains("step 7; it keeps 5, 10"), "{text}");
    let text = unknown(&api, &format!("toy@{evaluation}")).await;
    assert!(
        text.contains("no fine-tune but a job of kind evaluate"),
        "{text}"
    );
    let text = unknown(&api, &format!("toy@{foreign}")).await;
    assert!(
        text.contains(&format!(
            "was trained on \"other\", not on \"toy\"; write other@{foreign}"
        )),
        "{text}"
    );
    assert!(
        unknown(&api, &format!("toy@{empty}"))
            .await
            .contains("no checkpoint yet")
    );
    let text = unknown(&api, "toy@ad_00000000000000000000000099").await;
    assert!(text.contains("ad_00000000000000000000000099"), "{text}");
    assert!(text.contains("\"toy\" has none"), "{text}");
    let error = api.chat(json!({"model": "toy@x*nan"})).await.error(400);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("not a finite number"),
        "{error}"
    );
}

#[tokio::test]
async fn a_handed_in_adapter_is_listed_and_answers_by_id_and_by_name() {
    let api = api().await;
    let file = api.file("adapter_config.json", b"{}");
    let id = "ad_00000000000000000000000005";
    api.execute(&format!(
        "insert into adapters (id, name, base_model, sha256, facts, files)
         values ('{id}', 'mine', 'bm_00000000000000000000000001', 'x', '{{}}', '[{file}]')"
    ))
    .await;
    let list = api.get("/openai/v1/models").await.good();
    let last = list["data"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["id"], format!("toy@{id}"));
    assert_eq!(last["adapter"], id);
    for model in [format!("toy@{id}*3"), "toy@mine*3".into()] {
        let answer = api.chat(json!({"model": model})).await.good();
        assert_eq!(answer["model"], format!("toy@{id}*3"));
        assert_eq!(
            api.asked().pop().unwrap().speaker.change.unwrap().scale,
            3.0
        );
    }
    let text = unknown(&api, "other@mine").await;
    assert!(text.contains("stands on \"toy\""), "{text}");
    assert!(unknown(&api, "toy@yours").await.contains(id));
}
