//! Models from a hub, asked of a server that speaks as the real one does, into a cache as Python lays it out.

mod registered;
mod runs;
pub mod server;

use std::path::{Path, PathBuf};

use serde_json::Value;
use vivarium::execution::fetch::{Fetch, FetchedFile, Wanted, Watch};
use vivarium::execution::{Failure, Interrupted, Stop};
use vivarium::hub::{Given, Hub, Settings};

use server::{COMMIT, FakeHub, Seen, sha256, tag};

const SHARDS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

/// A small model with what else a repository holds.
fn files() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("config.json", b"{\"model_type\":\"qwen2\"}"),
        ("tokenizer.json", b"{\"version\":\"1.0\"}"),
        ("tokenizer_config.json", b"{}"),
        ("model.safetensors", &[7; 100_000]),
        ("additional_chat_templates/tool_use.jinja", b"{{ 1 }}"),
        ("README.md", b"# hello"),
        ("pytorch_model.bin", b"pickle"),
        ("modeling_custom.py", b"import os"),
        ("consolidated.safetensors", b"the same again"),
    ]
}

struct Cache(tempfile::TempDir);

impl Cache {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join("models--org--model").join(path)
    }

    fn hub(&self, url: &str, variables: &[(&str, &str)]) -> Hub {
        self.hub_with(url, variables, u64::MAX, 0)
    }

    fn hub_with(
        &self,
        url: &str,
        variables: &[(&str, &str)],
        model_bytes: u64,
        spare_bytes: u64,
    ) -> Hub {
        let given = Given {
            cache: Some(self.0.path().to_owned()),
            endpoint: Some(url.to_owned()),
            offline: false,
            model_bytes,
            spare_bytes,
        };
        let look = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let runtime = tokio::runtime::Handle::current();
        Hub::new(Settings::new(given, &look), runtime).unwrap()
    }
}

/// What was told; ends the download once so many bytes are there.
#[derive(Default)]
struct Told {
    progress: Vec<(u64, u64)>,
    events: Vec<(&'static str, Value)>,
    stop_at: Option<u64>,
}

impl Watch for Told {
    fn progress(&mut self, done: u64, total: u64) -> Result<(), Stop> {
        self.progress.push((done, total));
        match self.stop_at {
            Some(enough) if done >= enough => Err(Interrupted::Cancelled.into()),
            _ => Ok(()),
        }
    }

    fn event(&mut self, r#type: &'static str, data: Value) -> Result<(), Stop> {
        self.events.push((r#type, data));
        Ok(())
    }
}

fn wanted() -> Wanted {
    Wanted {
        model: "org/model".into(),
        revision: "main".into(),
        commit: COMMIT.into(),
    }
}

/// Calls a hub from a thread that may wait, as attempts do.
async fn fetch(hub: Hub, stop_at: Option<u64>) -> (Result<Vec<FetchedFile>, Stop>, Told) {
    let call = move || {
        let mut told = Told {
            stop_at,
            ..Told::default()
        };
        let files = hub.fetch(&wanted(), &mut told);
        (files, told)
    };
    tokio::task::spawn_blocking(call).await.unwrap()
}

async fn commit(hub: Hub, model: &str, revision: &str) -> Result<String, Failure> {
    let (model, revision) = (model.to_owned(), revision.to_owned());
    let call = move || hub.commit(&model, &revision);
    tokio::task::spawn_blocking(call).await.unwrap()
}

fn failure(stop: Stop) -> Failure {
    match stop {
        Stop::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn names(files: &[FetchedFile]) -> Vec<&str> {
    let mut names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn with_bytes(seen: &[Seen]) -> Vec<&Seen> {
    let bytes = seen.iter().filter(|it| it.path.starts_with("/cdn/"));
    bytes.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_becomes_a_commit_and_its_files_lie_in_pythons_layout() {
    let fake = FakeHub::with(&files()).await;
    let cache = Cache::new();
    let resolved = commit(cache.hub(&fake.url, &[]), "org/model", "main").await;
    assert_eq!(resolved.unwrap(), COMMIT);
    let pull = commit(cache.hub(&fake.url, &[]), "org/model", "refs/pr/1").await;
    assert_eq!(pull.unwrap(), COMMIT);
    let renamed = commit(cache.hub(&fake.url, &[]), "org/old-name", "main").await;
    assert_eq!(renamed.unwrap(), COMMIT);

    let (fetched, told) = fetch(cache.hub(&fake.url, &[]), None).await;
    let fetched = fetched.unwrap();
    let expected = [
        "additional_chat_templates/tool_use.jinja",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names(&fetched), expected);
    for file in &fetched {
        let content = std::fs::read(&file.path).unwrap();
        let target = std::fs::read_link(&file.path).unwrap();
        let up = if file.name.contains('/') {
            "../../../blobs"
        } else {
            "../../blobs"
        };
        assert_eq!(target, Path::new(up).join(tag(&file.name, &content)));
    }
    let weights = fetched.iter().find(|it| it.name == "model.safetensors");
    let weights = weights.unwrap();
    assert_eq!(
        weights.path,
        cache.at(&format!("snapshots/{COMMIT}/model.safetensors"))
    );
    assert_eq!(weights.sha256, Some(sha256(&[7; 100_000])));
    assert!(weights.checked, "the bytes were hashed on their way");
    assert_eq!(
        std::fs::read_to_string(cache.at("refs/main")).unwrap(),
        COMMIT
    );
    assert!(cache.0.path().join("CACHEDIR.TAG").exists());
    let total: u64 = fetched
        .iter()
        .map(|file| std::fs::metadata(&file.path).unwrap().len())
        .sum();
    assert_eq!(told.progress.last(), Some(&(total, total)));
    assert_eq!(told.events[0].1["bytes"], total);
    let asked = fake.seen();
    for name in ["README", "pytorch_model", "modeling", "consolidated"] {
        assert!(!asked.iter().any(|it| it.path.contains(name)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cache_has_is_not_brought_again_and_serves_offline() {
    let fake = FakeHub::with(&files()).await;
    let cache = Cache::new();
    fetch(cache.hub(&fake.url, &[]), None).await.0.unwrap();
    fake.seen();
    let (again, _) = fetch(cache.hub(&fake.url, &[]), None).await;
    assert_eq!(again.unwrap().len(), 5);
    assert!(with_bytes(&fake.seen()).is_empty());

    let offline = [("HF_HUB_OFFLINE", "yes")];
    let hub = || cache.hub(&fake.url, &offline);
    assert_eq!(commit(hub(), "org/model", "main").await.unwrap(), COMMIT);
    assert_eq!(commit(hub(), "org/model", COMMIT).await.unwrap(), COMMIT);
    let (files, _) = fetch(hub(), None).await;
    let files = files.unwrap();
    assert_eq!(names(&files).len(), 5);
    let weights = files
        .iter()
        .find(|it| it.name == "model.safetensors")
        .unwrap();
    assert_eq!(
        (&weights.sha256, weights.checked),
        (&Some(sha256(&[7; 100_000])), false)
    );
    let unknown = commit(hub(), "org/model", "v2").await.unwrap_err();
    assert_eq!(unknown.code, "hub_offline");
    assert!(unknown.message.contains("\"v2\"") && unknown.message.contains("HF_HUB_OFFLINE"));
    assert!(fake.seen().is_empty(), "offline means no request");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_snapshot_is_refused_offline_with_what_it_lacks() {
    let fake = FakeHub::with(&files()).await;
    let cache = Cache::new();
    fetch(cache.hub(&fake.url, &[]), None).await.0.unwrap();
    let snapshot = |name: &str| cache.at(&format!("snapshots/{COMMIT}/{name}"));
    let lacks = async || {
        let offline = cache.hub(&fake.url, &[("HF_HUB_OFFLINE", "1")]);
        let lacks = failure(fetch(offline, None).await.0.unwrap_err());
        assert_eq!(lacks.code, "hub_snapshot_incomplete");
        lacks.message
    };
    // a link whose bytes are gone
    let blob = snapshot("tokenizer.json").canonicalize().unwrap();
    std::fs::rename(&blob, cache.at("away")).unwrap();
    assert!(lacks().await.contains("lacks tokenizer.json of org/model"));
    std::fs::rename(cache.at("away"), &blob).unwrap();
    // what Python noted that the commit holds
    std::fs::create_dir_all(cache.at("trees")).unwrap();
    let tree = r#"{"format_version":1,"files":{"chat_template.jinja":{"size":1,"blob_id":"a"},"README.md":{"size":1,"blob_id":"b"}}}"#;
    std::fs::write(cache.at(&format!("trees/{COMMIT}.json")), tree).unwrap();
    assert!(lacks().await.contains("lacks chat_template.jinja of"));
    std::fs::remove_dir_all(cache.at("trees")).unwrap();
    std::fs::remove_file(snapshot("model.safetensors")).unwrap();
    assert!(lacks().await.contains("model.safetensors"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_goes_on_where_it_broke() {
    let fake = FakeHub::with(&files()).await;
    fake.change(|shelf| shelf.breaks = Some(("model.safetensors".into(), 30_000, 2)));
    let cache = Cache::new();
    let (fetched, _) = fetch(cache.hub(&fake.url, &[]), None).await;
    let fetched = fetched.unwrap();
    let weights = fetched.iter().find(|it| it.name == "model.safetensors");
    let bytes = std::fs::read(&weights.unwrap().path).unwrap();
    assert_eq!(bytes, [7; 100_000]);
    let seen = fake.seen();
    let ranges: Vec<_> = with_bytes(&seen)
        .into_iter()
        .filter(|it| it.path.ends_with("model.safetensors"))
        .map(|it| it.range.as_deref())
        .collect();
    assert_eq!(ranges, [None, Some("bytes=30000-"), Some("bytes=60000-")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_download_goes_on_from_its_partial_file_in_another_process() {
    let fake = FakeHub::with(&files()).await;
    fake.change(|shelf| shelf.breaks = Some(("model.safetensors".into(), 40_000, 1)));
    let cache = Cache::new();
    let (stopped, _) = fetch(cache.hub(&fake.url, &[]), Some(40_000)).await;
    assert_eq!(stopped, Err(Stop::Interrupted(Interrupted::Cancelled)));
    let partial = cache.at(&format!("blobs/{}.incomplete", sha256(&[7; 100_000])));
    let here = std::fs::metadata(&partial).unwrap().len();
    assert!(here > 0 && here <= 40_000, "{here}");
    fake.seen();
    let (fetched, told) = fetch(cache.hub(&fake.url, &[]), None).await;
    fetched.unwrap();
    assert!(!partial.exists());
    let seen = fake.seen();
    let range = with_bytes(&seen)[0].range.clone();
    assert_eq!(range, Some(format!("bytes={here}-")));
    let (done, total) = *told.progress.last().unwrap();
    assert_eq!(done, total);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_is_asked_for_all_of_it() {
    let fake = FakeHub::with(&files()).await;
    fake.change(|shelf| {
        shelf.breaks = Some(("model.safetensors".into(), 40_000, 1));
        shelf.no_ranges = true;
    });
    let cache = Cache::new();
    let (fetched, told) = fetch(cache.hub(&fake.url, &[]), None).await;
    let fetched = fetched.unwrap();
    let weights = fetched.iter().find(|it| it.name == "model.safetensors");
    let bytes = std::fs::read(&weights.unwrap().path).unwrap();
    assert_eq!(bytes, [7; 100_000]);
    let (done, total) = *told.progress.last().unwrap();
    assert_eq!(done, total, "bytes thrown away are not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_the_hub_says_are_thrown_away() {
    let fake = FakeHub::with(&files()).await;
    fake.change(|shelf| shelf.damaged = true);
    let cache = Cache::new();
    let (fetched, _) = fetch(cache.hub(&fake.url, &[]), None).await;
    let wrong = failure(fetched.unwrap_err());
    assert_eq!((wrong.code, wrong.retryable), ("hub_wrong_bytes", true));
    assert!(wrong.message.contains("tokenizer.json"), "{wrong}");
    let large = sha256(b"{\"version\":\"1.0\"}");
    assert!(!cache.at(&format!("blobs/{large}")).exists());
    assert!(!cache.at(&format!("blobs/{large}.incomplete")).exists());
    fake.change(|shelf| shelf.damaged = false);
    fetch(cache.hub(&fake.url, &[]), None).await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let fake = FakeHub::with(&files()).await;
    let cache = Cache::new();
    let hub = cache.hub(&fake.url, &[("HF_TOKEN", "hf_secret")]);
    fetch(hub, None).await.0.unwrap();
    for seen in fake.seen() {
        let expected = match seen.path.starts_with("/cdn/") {
            true => None,
            false => Some("Bearer hf_secret".to_owned()),
        };
        assert_eq!(seen.token, expected, "{}", seen.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_says_what_to_do() {
    let fake = FakeHub::with(&[("config.json", b"{}")]).await;
    let cache = Cache::new();
    let token = [("HF_TOKEN", "hf_x")];
    let page = format!("{}/org/model", fake.url);
    for (refusal, variables, code, words) in [
        (
            (401, "GatedRepo", "restricted"),
            &[][..],
            "hub_gated",
            [page.as_str(), "HF_TOKEN"],
        ),
        (
            (403, "GatedRepo", "restricted"),
            &token[..],
            "hub_gated",
            [page.as_str(), "account"],
        ),
        (
            (401, "RepoNotFound", ""),
            &[],
            "hub_model_not_found",
            ["org/model", "HF_TOKEN"],
        ),
        (
            (404, "RevisionNotFound", ""),
            &[],
            "hub_revision_not_found",
            ["main", page.as_str()],
        ),
        (
            (404, "EntryNotFound", ""),
            &[],
            "hub_file_not_found",
            ["config.json", "main"],
        ),
        (
            (401, "", "Invalid credentials in Authorization header"),
            &token,
            "hub_token",
            ["HF_TOKEN", "check"],
        ),
        (
            (403, "", "Access to this resource is disabled."),
            &[],
            "hub_refused",
            ["disabled", "org/model"],
        ),
        ((429, "", ""), &[], "hub_busy", ["429", "again"]),
        ((503, "", ""), &[], "hub_busy", ["503", "again"]),
    ] {
        fake.change(|shelf| shelf.refusal = Some(refusal));
        let hub = cache.hub(&fake.url, variables);
        let refused = commit(hub, "org/model", "main").await.unwrap_err();
        assert_eq!(refused.code, code);
        assert_eq!(refused.retryable, code == "hub_busy", "{refused}");
        for word in words {
            assert!(refused.message.contains(word), "{word}: {refused}");
        }
        assert!(!refused.message.contains("hf_x"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_cannot_be_reached_is_named_with_the_way_out() {
    let fake = FakeHub::with(&[]).await;
    fake.change(|shelf| shelf.silent = true);
    let cache = Cache::new();
    let slow = cache.hub(&fake.url, &[("HF_HUB_ETAG_TIMEOUT", "1")]);
    let silent = commit(slow, "org/model", "main").await.unwrap_err();
    assert!(silent.message.contains("for 1 seconds"), "{silent}");
    let nowhere = cache.hub("http://127.0.0.1:1", &[]);
    let nowhere = commit(nowhere, "org/model", "main").await.unwrap_err();
    for failure in [silent, nowhere] {
        assert_eq!((failure.code, failure.retryable), ("hub_unreachable", true));
        assert!(failure.message.contains("HF_HUB_OFFLINE=1"), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_those_that_the_index_names() {
    let index = format!(
        r#"{{"weight_map":{{"a":"{}","b":"{}"}}}}"#,
        SHARDS[0], SHARDS[1]
    );
    let mut whole = files();
    whole.retain(|(name, _)| *name != "model.safetensors");
    whole.push(("model.safetensors.index.json", index.as_bytes()));
    whole.push((SHARDS[0], b"first"));
    whole.push((SHARDS[1], b"second"));
    let fake = FakeHub::with(&whole).await;
    let cache = Cache::new();
    let (fetched, _) = fetch(cache.hub(&fake.url, &[]), None).await;
    let fetched = fetched.unwrap();
    assert!(SHARDS.iter().all(|shard| names(&fetched).contains(shard)));
    assert!(!names(&fetched).contains(&"consolidated.safetensors"));

    fake.change(|shelf| drop(shelf.files.remove(SHARDS[1])));
    let (lost, _) = fetch(Cache::new().hub(&fake.url, &[]), None).await;
    let lost = failure(lost.unwrap_err());
    assert!(lost.message.contains(SHARDS[1]), "{lost}");
    let bad = br#"{"weight_map":{"a":"../../secret.safetensors"}}"#;
    fake.change(|shelf| {
        let name = "model.safetensors.index.json".to_owned();
        shelf.files.insert(name, bad.to_vec());
    });
    let (bad, _) = fetch(Cache::new().hub(&fake.url, &[]), None).await;
    assert_eq!(failure(bad.unwrap_err()).code, "hub_index");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pickles_too_many_bytes_and_a_full_disk_are_refused_before_a_byte_comes() {
    let pickled = [
        ("config.json", &b"{}"[..]),
        ("pytorch_model.bin", b"pickle"),
    ];
    let fake = FakeHub::with(&pickled).await;
    let (refused, _) = fetch(Cache::new().hub(&fake.url, &[]), None).await;
    let refused = failure(refused.unwrap_err());
    assert_eq!(refused.code, "hub_only_pickles");
    assert!(refused.message.contains("pytorch_model.bin"), "{refused}");

    let fake = FakeHub::with(&files()).await;
    let small = Cache::new().hub_with(&fake.url, &[], 50_000, 0);
    let (large, _) = fetch(small, None).await;
    let large = failure(large.unwrap_err());
    assert_eq!(large.code, "hub_too_large");
    assert!(large.message.contains("hub.model_bytes"), "{large}");

    let full = Cache::new().hub_with(&fake.url, &[], u64::MAX, u64::MAX / 2);
    let (full, _) = fetch(full, None).await;
    let full = failure(full.unwrap_err());
    assert_eq!(full.code, "hub_disk_full");
    assert!(full.message.contains("hub.spare_bytes"), "{full}");
    let weights = fake.seen();
    assert!(!weights.iter().any(|it| it.path == "/cdn/model.safetensors"));
}
