//! Bodies of base models: what is read, and what is refused with its place.

use super::*;

fn config() -> Value {
    json!({"architectures": ["Qwen2ForCausalLM"], "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2})
}

fn random_body() -> Value {
    json!({"name": "toy", "source": {"random": {"config": config(),
        "tokenizer": {"json": {}, "config": {}}, "seed": 3}}})
}

fn refused_at(body: Value) -> Vec<String> {
    let errors = base_model_request(body).unwrap_err().errors;
    errors
        .into_iter()
        .filter_map(|error| error.pointer)
        .collect()
}

#[test]
fn defaults_are_filled_into_what_is_stored_and_it_reads_back() {
    let made = base_model_request(random_body()).unwrap();
    assert_eq!(
        made.stored["random"]["init"],
        json!({"std": 0.02, "scale_residual": true})
    );
    assert_eq!(source("", made.stored.clone()).unwrap(), made.source);
}

#[test]
fn every_wrong_place_is_named() {
    let mut rows: Vec<(&str, Value)> = vec![
        ("/source", json!({"name": "a", "source": {}})),
        (
            "/source",
            json!({"name": "a", "source": {"path": "/a", "job": "b"}}),
        ),
        ("/source", json!({"name": "a", "source": {"file": "/a"}})),
        (
            "/source/path",
            json!({"name": "a", "source": {"path": "models"}}),
        ),
        ("/source/path", json!({"name": "a", "source": {"path": 3}})),
        (
            "/source/job",
            json!({"name": "a", "source": {"job": "ds_x"}}),
        ),
        (
            "/source/hub",
            json!({"name": "a", "source": {"hub": "../etc/passwd"}}),
        ),
        (
            "/source/hub",
            json!({"name": "a", "source": {"hub": "org/name@main"}}),
        ),
        (
            "/source/revision",
            json!({"name": "a", "source": {"hub": "org/name", "revision": "../../x"}}),
        ),
        (
            "/source/commit",
            json!({"name": "a", "source": {"hub": "org/name", "commit": "main"}}),
        ),
        (
            "/source",
            json!({"name": "a", "source": {"hub": "org/name", "path": "/a"}}),
        ),
        ("/name", json!({"name": "job_a", "source": {"path": "/a"}})),
    ];
    for (pointer, at, value) in [
        ("/source/random/init/std", "init", json!({"std": 0})),
        (
            "/source/random/tokenizer/json",
            "tokenizer",
            json!({"json": [], "config": {}}),
        ),
        (
            "/source/random/tokenizer/base_model",
            "tokenizer",
            json!({"base_model": 3}),
        ),
        ("/source/random/config/architectures", "config", {
            let mut config = config();
            config["architectures"] = json!(["MambaForCausalLM"]);
            config
        }),
        ("/source/random/config/num_attention_heads", "config", {
            let mut config = config();
            config["num_attention_heads"] = json!(6);
            config
        }),
        ("/source/random/config/hidden_size", "config", {
            let mut config = config();
            config["hidden_size"] = json!("32");
            config
        }),
    ] {
        let mut body = random_body();
        body["source"]["random"][at] = value;
        rows.push((pointer, body));
    }
    for (pointer, body) in rows {
        assert!(
            refused_at(body.clone()).contains(&pointer.to_owned()),
            "{body}: {:?}",
            refused_at(body.clone())
        );
    }
}

#[test]
fn a_job_counts_by_its_numbers_not_by_its_id() {
    let job = |n: u128| Source::Job(JobId::from_uuid(uuid::Uuid::from_u128(n)));
    let referred = |salt: &str| Referred::Job {
        numerics_hash: "n".into(),
        salt: salt.into(),
    };
    assert_eq!(
        source_hash(&job(1), &referred("")),
        source_hash(&job(2), &referred(""))
    );
    assert_ne!(
        source_hash(&job(1), &referred("")),
        source_hash(&job(1), &referred("x"))
    );
}

#[test]
fn a_hub_model_counts_by_its_commit_and_may_be_posted_as_it_is_shown() {
    let of = |source: Value| {
        let body = json!({"name": "m", "source": source});
        base_model_request(body).unwrap()
    };
    let made = of(json!({"hub": "org/name"}));
    assert_eq!(made.stored, json!({"hub": "org/name", "revision": "main"}));
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let shown = json!({"hub": "org/name", "revision": "refs/pr/1", "commit": commit});
    assert_eq!(of(shown.clone()).stored, shown);
    let named = Referred::Commit(commit.into());
    let hash = |source| source_hash(&of(source).source, &named);
    let branch = hash(json!({"hub": "org/name", "revision": "main"}));
    assert_eq!(branch, hash(json!({"hub": "org/name", "revision": commit})));
    assert_eq!(branch, hash(shown));
    assert_ne!(branch, hash(json!({"hub": "org/other"})));
    let later = Referred::Commit("f".repeat(40));
    let source = of(json!({"hub": "org/name"})).source;
    assert_ne!(branch, source_hash(&source, &later));
}

#[test]
fn defaults_written_out_are_the_same_source() {
    let mut long = random_body();
    long["source"]["random"]["init"] = json!({"scale_residual": true, "std": 2e-2});
    let hash_of = |body| {
        let made = base_model_request(body).unwrap();
        source_hash(&made.source, &Referred::Nothing)
    };
    assert_eq!(hash_of(long), hash_of(random_body()));
}
