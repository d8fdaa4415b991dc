//! Handing in adapters: what is stored, what is refused at which place, and that refusals leave nothing.

use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::Request;
use serde_json::{Value, json};
use vivarium::api::{ApiState, Settings, router};
use vivarium::domain::time::SystemClock;
use vivarium::execution::Blobs;
use vivarium::recipes::inspect::Inspector;

use super::{Api, Reply, api};

const BASE: &str = "bm_00000000000000000000000001";
const SOON: &str = "bm_00000000000000000000000002";
const CONFIG: &str = "adapter_config.json";
const MODEL: &str = "adapter_model.safetensors";

/// An API that can check adapters, with the base model `tiny` of the engine's fixtures.
async fn with_base(settings: Settings) -> Api {
    let mut api = api().await;
    let clock = Arc::new(SystemClock::start());
    let state = ApiState::new(api.storage.clone(), api.files.clone(), settings, clock);
    api.router = router(state.with_inspector(Arc::new(Inspector::default())));
    let path = api.files.scratch().unwrap().join("config");
    std::fs::copy(fixture("untied", "config.json"), &path).unwrap();
    let config = api.files.keep("config.json", &path).unwrap().entry;
    let files = serde_json::to_string(&[config]).unwrap();
    api.execute(&format!(
        "insert into base_models (id, name, state, source, source_hash, files) values
         ('{BASE}', 'tiny', 'ready', '{{}}', 'h1', '{files}'), ('{SOON}', 'soon', 'registering', '{{}}', 'h2', '[]')"
    ))
    .await;
    api
}

fn fixture(adapter: &str, name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engine");
    folder.join(adapter).join(name)
}

fn bytes(adapter: &str, name: &str) -> Vec<u8> {
    std::fs::read(fixture(adapter, name)).unwrap()
}

/// The form that PEFT's two files and the base make.
fn parts(adapter: &str) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (CONFIG, bytes(adapter, CONFIG)),
        (MODEL, bytes(adapter, MODEL)),
        ("base_model", b"tiny".to_vec()),
    ]
}

fn form(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in parts {
        let head = format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xyz--\r\n");
    body
}

async fn hand_in(api: &Api, path: &str, parts: &[(&str, Vec<u8>)]) -> Reply {
    api.post(path, "multipart/form-data; boundary=xyz", form(parts))
        .await
}

/// Settings of PEFT's plain adapter with one field changed.
fn changed(field: &str, value: Value) -> Vec<u8> {
    let mut config: Value = serde_json::from_slice(&bytes("plain", CONFIG)).unwrap();
    config[field] = value;
    config.to_string().into_bytes()
}

/// A safetensors file with this header and so many bytes of numbers.
fn tensors(header: &Value, numbers: usize) -> Vec<u8> {
    let header = header.to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + numbers, 0);
    file
}

/// PEFT's plain tensors with their header and their numbers changed.
fn edited(header: impl Fn(&mut Value), numbers: impl Fn(&mut [u8])) -> Vec<u8> {
    let file = bytes("plain", MODEL);
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut json: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    header(&mut json);
    let mut rest = file[8 + length..].to_vec();
    numbers(&mut rest);
    let mut file = tensors(&json, 0);
    file.extend(rest);
    file
}

const FIRST: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

/// Where the config's scratch and blob lie: the base's own file is all that is there before.
async fn assert_untouched(api: &Api) {
    assert_eq!(api.left().await, (1, 2));
}

#[tokio::test]
async fn an_adapter_is_stored_once_and_found_by_id_and_by_name() {
    let api = with_base(Settings::default()).await;
    let made = hand_in(&api, "/v1/adapters?name=organism", &parts("stabilised")).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let adapter = made.json();
    let id = adapter["id"].as_str().unwrap();
    assert!(id.starts_with("ad_"));
    assert_eq!(made.header("location"), format!("/v1/adapters/{id}"));
    assert_eq!(adapter["base_model"], BASE);
    let facts = &adapter["facts"];
    assert_eq!((&facts["rank"], &facts["alpha"]), (&json!(3), &json!(5.0)));
    assert_eq!(facts["modules"].as_array().unwrap().len(), 6);
    assert_eq!(facts["modules"][2]["name"], "layers.0.mlp.down_proj");
    // q_proj 16→32, v_proj 16→16 at rank 3, down_proj 24→16 at rank 2, in two layers
    assert_eq!(facts["parameters"], 2 * (3 * 48 + 3 * 32 + 2 * 40));
    assert_eq!(facts["warnings"], json!([]));

    let again = hand_in(&api, "/v1/adapters?name=organism", &parts("stabilised")).await;
    assert_eq!(
        (again.status.as_u16(), again.json()),
        (200, adapter.clone())
    );
    for key in [id, "organism"] {
        assert_eq!(
            api.get(&format!("/v1/adapters/{key}")).await.json(),
            adapter
        );
    }
    let list = api.get("/v1/adapters").await.json();
    assert_eq!(list["data"], json!([adapter]));
    for name in [CONFIG, MODEL] {
        let file = api
            .get(&format!("/v1/adapters/organism/files/{name}"))
            .await;
        assert_eq!(file.bytes, bytes("stabilised", name), "{name}");
    }
    let missing = api.get("/v1/adapters/organism/files/README.md").await;
    assert!(
        missing.problem(404)["detail"]
            .as_str()
            .unwrap()
            .contains(MODEL)
    );
    let archive = api.get("/v1/adapters/organism/archive").await;
    assert_eq!(archive.header("content-type"), "application/x-tar");
    assert!(archive.bytes.len() > bytes("stabilised", MODEL).len());
    api.get("/v1/adapters/nobody").await.problem(404);
    // the base's config, the two files; two bases, one adapter
    assert_eq!(api.left().await, (3, 3));
}

#[tokio::test]
async fn every_shape_that_peft_saves_is_taken_and_a_form_may_name_the_files() {
    let api = with_base(Settings::default()).await;
    for shape in [
        "plain",
        "stabilised",
        "regex",
        "single",
        "excluded",
        "listed",
    ] {
        let reply = hand_in(&api, &format!("/v1/adapters?name={shape}"), &parts(shape)).await;
        assert_eq!(reply.status, 201, "{shape}: {}", reply.text());
    }
    let unnamed = hand_in(&api, "/v1/adapters", &parts("plain")).await.json();
    let name = unnamed["name"].as_str().unwrap();
    assert!(name.starts_with("adapter-") && name.len() == 20, "{name}");
    let mut body = form(&[
        ("base_model", b"tiny".to_vec()),
        ("name", b"by-file".to_vec()),
    ]);
    body.truncate(body.len() - "--xyz--\r\n".len());
    for name in [MODEL, CONFIG] {
        let head = format!(
            "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&bytes("plain", name));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xyz--\r\n");
    let reply = api
        .post("/v1/adapters", "multipart/form-data; boundary=xyz", body)
        .await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["name"]),
        (201, &json!("by-file"))
    );
}

#[tokio::test]
async fn a_name_with_other_files_is_a_conflict_that_leaves_nothing() {
    let api = with_base(Settings::default()).await;
    hand_in(&api, "/v1/adapters?name=one", &parts("plain")).await;
    let left = api.left().await;
    let problem = hand_in(&api, "/v1/adapters?name=one", &parts("regex"))
        .await
        .problem(409);
    assert!(
        problem["detail"].as_str().unwrap().contains("\"one\""),
        "{problem}"
    );
    assert_eq!(api.left().await, left);
}

#[tokio::test]
async fn an_unknown_field_at_rest_is_kept_with_a_warning() {
    let api = with_base(Settings::default()).await;
    let mut parts = parts("plain");
    parts[0].1 = changed("some_future_switch", Value::Null);
    let facts = &hand_in(&api, "/v1/adapters", &parts).await.json()["facts"];
    assert_eq!(
        facts["warnings"],
        json!(["adapter_config.json has the unknown field \"some_future_switch\""])
    );
}

fn many_keys(count: usize) -> Value {
    (0..count)
        .map(|key| (format!("{key}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Asserts a 422 with an error at `place` whose text holds `words`, and a remedy.
fn assert_refused(reply: &Reply, place: &str, words: &str) {
    let problem = reply.problem(422);
    let errors = problem["errors"].as_array().unwrap();
    let error = errors.iter().find(|error| error["pointer"] == place);
    let error = error.unwrap_or_else(|| panic!("nothing at {place}: {problem}"));
    assert!(
        error["detail"].as_str().unwrap().contains(words),
        "{place}: {error}"
    );
    assert!(
        error["hint"].as_str().is_some_and(|hint| hint.len() > 10),
        "{error}"
    );
}

#[tokio::test]
async fn a_setting_that_cannot_be_honoured_is_refused_at_its_field() {
    let api = with_base(Settings::default()).await;
    for (field, value, words) in [
        ("peft_type", json!("IA3"), "IA3"),
        ("use_dora", json!(true), "true"),
        ("modules_to_save", json!(["embed_tokens"]), "embed_tokens"),
        ("bias", json!("lora_only"), "lora_only"),
        ("init_lora_weights", json!("pissa"), "pissa"),
        ("trainable_token_indices", json!([5]), "[5]"),
        ("target_modules", json!(["c_attn"]), "c_attn"),
        ("target_modules", json!("(.*"), "(.*"),
        (
            "target_modules",
            json!("(?:(?:a?){50}){50}".repeat(40)),
            "expression",
        ),
        ("target_modules", json!("(?:(?=.)(?:.|..))+!"), "tries"),
        ("exclude_modules", json!([7]), "7"),
        ("layers_to_transform", json!([0, 9]), "9"),
        ("layers_pattern", json!("layers"), "layers_to_transform"),
        ("rank_pattern", json!({"q_proj": 0}), "0 of"),
        ("rank_pattern", many_keys(2000), "at most 1024"),
        ("alpha_pattern", json!({"(?:a{50}){50}": 1}), "too large"),
        ("layers_pattern", json!(vec!["layers"; 17]), "at most 16"),
        ("alpha_pattern", json!({"q_proj": "x"}), "x"),
        ("lora_bias", json!(true), "true"),
        ("layer_replication", json!([[0, 1]]), "[[0,1]]"),
        ("an_unknown_switch", json!(3), "3"),
    ] {
        let mut parts = parts("plain");
        parts[0].1 = changed(field, value);
        let reply = hand_in(&api, "/v1/adapters", &parts).await;
        assert_refused(&reply, &format!("/{CONFIG}/{field}"), words);
    }
    for config in [&b"{"[..], b"[]", b"\xff", b"{\"peft_type\": NaN}"] {
        let mut parts = parts("plain");
        parts[0].1 = config.to_vec();
        assert_refused(
            &hand_in(&api, "/v1/adapters", &parts).await,
            &format!("/{CONFIG}"),
            CONFIG,
        );
    }
    assert_untouched(&api).await;
}

#[tokio::test]
async fn tensors_that_do_not_belong_are_refused_by_name() {
    let api = with_base(Settings::default()).await;
    let none = |_: &mut [u8]| {};
    let rename = |to: &'static str| {
        move |json: &mut Value| {
            let tensor = json.as_object_mut().unwrap().remove(FIRST).unwrap();
            json[to] = tensor;
        }
    };
    let extra = |json: &mut Value| {
        json["more"] = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]})
    };
    let missing = {
        let mut json = json!({"__metadata__": {"format": "pt"}});
        json["x"] = json!({"dtype": "F32", "shape": [1], "data_offsets": [0, 4]});
        tensors(&json, 4)
    };
    let nan = |bytes: &mut [u8]| bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let whole = bytes("plain", MODEL);
    let announced = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    for (file, words) in [
        (missing, "tensor x is unexpected"),
        (edited(extra, none), "tensor more is unexpected"),
        (
            edited(
                rename("base_model.model.model.embed_tokens.lora_embedding_A"),
                none,
            ),
            "adapters of embeddings",
        ),
        (
            edited(
                rename(
                    "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight",
                ),
                none,
            ),
            "DoRA",
        ),
        (
            edited(|json| json[FIRST]["dtype"] = json!("I32"), none),
            FIRST,
        ),
        (
            edited(|json| json[FIRST]["shape"] = json!([1, 32]), none),
            "[1, 32], expected [2, 16]",
        ),
        (edited(|_| {}, nan), "not finite"),
        (whole[..whole.len() - 7].to_vec(), "sound"),
        (whole[..5].to_vec(), "shorter"),
        (announced(200 << 20), "209715200 bytes"),
        (announced(u64::MAX), "bytes"),
        (
            edited(
                |json| json["__metadata__"]["x"] = json!("y".repeat(200_000)),
                none,
            ),
            "at most",
        ),
        (b"\x80\x02}q\x00.".to_vec(), "shorter"),
        (Vec::new(), "shorter"),
    ] {
        let mut parts = parts("plain");
        parts[1].1 = file;
        let reply = hand_in(&api, "/v1/adapters", &parts).await;
        assert_refused(&reply, &format!("/{MODEL}"), words);
    }
    let mut one_less = parts("plain");
    one_less[0].1 = changed("target_modules", json!(["q_proj"]));
    let reply = hand_in(&api, "/v1/adapters", &one_less).await;
    assert_refused(&reply, &format!("/{MODEL}"), "unexpected");
    let mut one_more = parts("single");
    one_more[0].1 = {
        let mut config: Value = serde_json::from_slice(&one_more[0].1).unwrap();
        config["target_modules"] = json!(["down_proj", "up_proj"]);
        config.to_string().into_bytes()
    };
    let reply = hand_in(&api, "/v1/adapters", &one_more).await;
    assert_refused(
        &reply,
        &format!("/{MODEL}"),
        "layers.1.mlp.up_proj.lora_A.weight is missing",
    );
    assert_untouched(&api).await;
}

#[tokio::test]
async fn forms_that_are_incomplete_or_too_much_are_refused_and_leave_nothing() {
    let settings = Settings {
        upload_bytes: 40_000,
        ..Settings::default()
    };
    let api = with_base(settings).await;
    for (left_out, place) in [
        (0, "/adapter_config.json"),
        (1, "/adapter_model.safetensors"),
        (2, "/base_model"),
    ] {
        let mut parts = parts("plain");
        parts.remove(left_out);
        let reply = hand_in(&api, "/v1/adapters", &parts).await;
        assert_refused(&reply, place, "no field");
    }
    for (name, place, words) in [
        ("adapter_model.bin", "/adapter_model.bin", "pickle"),
        ("weights", "/weights", "unexpected"),
        (CONFIG, "/adapter_config.json", "unexpected"),
    ] {
        let mut parts = parts("plain");
        parts.push((name, b"x".to_vec()));
        assert_refused(&hand_in(&api, "/v1/adapters", &parts).await, place, words);
    }
    for (base, words) in [
        ("nobody", "nobody"),
        ("bm_00000000000000000000000009", "bm_"),
    ] {
        let mut parts = parts("plain");
        parts[2].1 = base.into();
        assert_refused(
            &hand_in(&api, "/v1/adapters", &parts).await,
            "/base_model",
            words,
        );
    }
    let mut soon = parts("plain");
    soon[2].1 = b"soon".to_vec();
    hand_in(&api, "/v1/adapters", &soon).await.problem(409);
    let mut large = parts("plain");
    large[1].1 = vec![0; 50_000];
    hand_in(&api, "/v1/adapters", &large).await.problem(413);
    let named = hand_in(&api, "/v1/adapters?name=ds_x", &parts("plain")).await;
    named.problem(422);
    api.post("/v1/adapters", "application/json", "{}")
        .await
        .problem(415);
    api.post("/v1/adapters", "multipart/form-data", "x")
        .await
        .problem(400);
    assert_untouched(&api).await;
}

#[tokio::test]
async fn a_form_that_breaks_off_leaves_nothing() {
    let api = with_base(Settings::default()).await;
    let whole = form(&parts("plain"));
    let half = Bytes::from(whole[..whole.len() / 2].to_vec());
    let cut = futures::stream::iter([Ok(half), Err(std::io::Error::other("connection reset"))]);
    let request =
        Request::post("/v1/adapters").header("content-type", "multipart/form-data; boundary=xyz");
    let reply = api
        .send(request.body(Body::from_stream(cut)).unwrap())
        .await;
    reply.problem(400);
    assert_untouched(&api).await;
}

#[tokio::test]
async fn as_many_costly_patterns_as_may_be_are_answered_soon() {
    let api = with_base(Settings::default()).await;
    let keys = (0..1024).map(|key| (format!("(?:.*[a-z]*[._]*){{1,40}}x{key}"), json!(3)));
    let mut parts = parts("plain");
    parts[0].1 = changed(
        "rank_pattern",
        keys.collect::<serde_json::Map<_, _>>().into(),
    );
    let start = std::time::Instant::now();
    let reply = hand_in(&api, "/v1/adapters", &parts).await;
    assert!(
        [201, 422].contains(&reply.status.as_u16()),
        "{}",
        reply.text()
    );
    // a debug build on a busy machine; an unbounded one would not end
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
