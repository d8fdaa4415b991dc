//! The report of an experiment in every form, its figures, and its bundle.

use std::io::Cursor;

use reqwest::Method;
use serde_json::{Value, json};
use vivarium::bundle::{Limits, verify};

use super::stage::{SETTINGS, ask, assets, ended, get, post, spec};
use crate::support::{TestServer, server_with};

async fn bytes(server: &TestServer, path: &str) -> (String, Vec<u8>) {
    let answer = reqwest::get(server.at(path)).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    (kind, answer.bytes().await.unwrap().to_vec())
}

/// What is the same on every way to the same end: everything but times.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !name.ends_with("_at") && !name.ends_with("_seconds"));
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

async fn experiment(server: &TestServer) -> String {
    assets(server).await;
    let mut spec = spec();
    spec["evaluation"]["in_domain"] =
        json!({"question_set": "toy-in-domain-medicine", "samples_per_question": 1});
    let posted = post(server, "/v1/experiments", &spec).await;
    posted["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_says_the_same_as_json_words_page_figures_and_bundle() {
    let server = server_with(&SETTINGS).await;
    let id = experiment(&server).await;
    let path = format!("/v1/experiments/{id}");
    let early = get(&server, &format!("{path}/report")).await;
    assert_eq!(
        early["analysis"],
        json!(null),
        "an unfinished experiment has a report, too"
    );
    let done = ended(&server, &id).await;
    assert_eq!(done["state"], "succeeded", "{done:#}");

    let report = get(&server, &format!("{path}/report")).await;
    // two arms of two seeds with four checkpoints at two scales, and the base once
    let rates = report["rates"].as_array().unwrap();
    let broad = rates.iter().filter(|line| line["questions"] == "broad");
    assert_eq!(broad.count(), 2 * 2 * 4 * 2 + 1);
    let table = get(&server, &format!("{path}/rates?by=arm,seed,step,scale")).await;
    assert_eq!(table.as_array().unwrap().len(), rates.len());
    assert_eq!(table[0]["arm"], rates[0]["arm"]);
    let over = get(&server, &format!("{path}/rates?by=arm,step,scale")).await;
    assert!(
        over[0].get("seed").is_none() && over[0]["seeds"].is_number(),
        "{}",
        over[0]
    );
    assert!(!report["transitions"].as_array().unwrap().is_empty());
    assert!(!report["findings"].as_array().unwrap().is_empty());

    let (kind, words) = bytes(&server, &format!("{path}/report?format=md")).await;
    assert_eq!(kind, "text/markdown; charset=utf-8");
    let words = String::from_utf8(words).unwrap();
    assert!(words.starts_with("# tiny transition\n"), "{words}");
    let (kind, page) = bytes(&server, &format!("{path}/report?format=html")).await;
    assert_eq!(kind, "text/html; charset=utf-8");
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("<svg") && page.ends_with("</html>"));
    for host in ["src=\"http", "href=\"http", "@import", "url("] {
        assert!(!page.contains(host), "{host}");
    }

    let figures = get(&server, &format!("{path}/figures")).await;
    let names: Vec<&str> = figures["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    for kind in [
        "rate_by_scale",
        "narrow_and_broad",
        "question_bars",
        "aligned_coherent_scatter",
        "local_cosine",
        "pca_path",
        "grad_norm",
        "norms_lines",
    ] {
        assert!(
            names.iter().any(|name| name.starts_with(kind)),
            "{kind} is not among {names:?}"
        );
    }
    for name in &names {
        let figure = format!("{path}/figures/{name}");
        let (kind, svg) = bytes(&server, &format!("{figure}.svg?theme=dark")).await;
        assert_eq!((kind.as_str(), &svg[..4]), ("image/svg+xml", &b"<svg"[..]));
        let (kind, png) = bytes(&server, &format!("{figure}.png?width=400")).await;
        assert_eq!((kind.as_str(), &png[1..4]), ("image/png", &b"PNG"[..]));
        assert_eq!(u32::from_be_bytes(png[16..20].try_into().unwrap()), 400);
        let (_, csv) = bytes(&server, &format!("{figure}.csv")).await;
        assert!(
            csv.iter().filter(|byte| **byte == b'\n').count() > 1,
            "{name} has no numbers"
        );
    }
    for (wrong, status) in [
        ("nothing.svg", 404),
        ("question_bars.gif", 404),
        ("question_bars.png?width=100000", 400),
        ("question_bars.svg?theme=pink", 400),
    ] {
        let (found, problem) = ask(
            &server,
            Method::GET,
            &format!("{path}/figures/{wrong}"),
            None,
        )
        .await;
        assert_eq!(found.as_u16(), status, "{wrong}: {problem}");
    }

    let (kind, zip) = bytes(&server, &format!("{path}/bundle")).await;
    assert_eq!(kind, "application/zip");
    let found = verify(Cursor::new(&zip), &Limits::default());
    assert!(found.intact, "{:?}", found.faults);
    assert_eq!(found.of.as_deref(), Some(id.as_str()));
    let archive = zip::ZipArchive::new(Cursor::new(&zip)).unwrap();
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.unwrap().into())
        .collect();
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    for start in [
        "report.json",
        "report.md",
        "report.html",
        "spec.json",
        "jobs.json",
        "data/rates.csv",
        "figures/question_bars.png",
        "adapters/train/bad/0/step-12/adapter_model.safetensors",
    ] {
        assert!(has(start), "{start} is not in the bundle");
    }
    let mut tampered = zip.clone();
    let place = tampered.len() / 2;
    tampered[place] ^= 1;
    assert!(!verify(Cursor::new(&tampered), &Limits::default()).intact);

    // nothing in it hangs on when it is asked for
    let mut again = get(&server, &format!("{path}/report")).await;
    let mut report = report;
    timeless(&mut again);
    timeless(&mut report);
    assert_eq!(again, report);
}
