//! The OpenAPI document and the defaults, against what is committed and what the parts assume.

use vivarium::{api, app, config, storage};

#[test]
fn the_committed_openapi_document_is_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    let text = api::openapi::text();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    // Without assert_eq, which would print both documents whole.
    assert!(
        committed == text,
        "openapi/openapi.json is not what the code says; run this test with UPDATE_OPENAPI=1"
    );
}

#[test]
fn every_operation_of_the_document_has_a_summary_and_a_tag() {
    let document: serde_json::Value = serde_json::from_str(&api::openapi::text()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                operation["summary"].is_string(),
                "{method} {path} has no summary"
            );
            assert!(
                operation["tags"][0].is_string(),
                "{method} {path} has no tag"
            );
        }
    }
}

#[test]
fn the_defaults_of_the_parts_are_those_of_config_toml() {
    let config = config::load(None, &[]).unwrap().config;
    assert_eq!(app::api_settings(&config), api::Settings::default());
    assert_eq!(app::storage_limits(&config), storage::Limits::default());
    let settings = vivarium::execution::Settings {
        device: "cpu".into(),
        threads_per_attempt: 1,
        decode_slots: 32,
    };
    let worker = app::worker_config(&config, settings.clone());
    let design = vivarium::worker::WorkerConfig::new(worker.name.clone(), worker.slots, settings);
    assert_eq!(format!("{worker:?}"), format!("{design:?}"));
}

#[test]
fn every_key_of_config_toml_has_a_line_of_meaning_above_it() {
    let lines: Vec<&str> = config::DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].contains(" = ") && !pair[1].starts_with('#');
        assert!(
            !is_key || pair[0].starts_with("# "),
            "no comment above `{}`",
            pair[1]
        );
    }
}
