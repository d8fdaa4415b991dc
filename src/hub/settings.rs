//! Where the hub and its cache are: the variables that Python's huggingface_hub reads, with the same meaning. Pure but for the
//! token's file.

use std::path::{Path, PathBuf};
use std::time::Duration;

const ENDPOINT: &str = "https://huggingface.co";

/// What the server's own configuration says; empty and false leave it to the variables.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Folder of the cache.
    pub cache: Option<PathBuf>,
    /// Address of the hub.
    pub endpoint: Option<String>,
    /// Never ask the hub.
    pub offline: bool,
    /// Bytes of one model at most.
    pub model_bytes: u64,
    /// Bytes of disk that stay free.
    pub spare_bytes: u64,
}

/// Where the hub and its cache are.
#[derive(Clone)]
pub struct Settings {
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Address of the hub, without a slash at its end.
    pub endpoint: String,
    /// Whether the hub is never asked.
    pub offline: bool,
    /// For an answer without a file.
    pub metadata: Duration,
    /// For the next bytes of a file.
    pub download: Duration,
    /// Bytes of one model at most.
    pub model_bytes: u64,
    /// Bytes of disk that stay free.
    pub spare_bytes: u64,
    token: Token,
}

#[derive(Clone)]
enum Token {
    None,
    Text(String),
    File(PathBuf),
}

impl std::fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Settings from `given` and, where it is silent, from the environment, whose variables `variable` looks up.
    pub fn new(given: Given, variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let filled = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let home = home(&filled);
        let cache = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
        let cache = cache.iter().find_map(|name| filled(name));
        let cache = cache.map(|text| expanded(&text, &filled));
        let endpoint = given.endpoint.or_else(|| filled("HF_ENDPOINT"));
        let endpoint = endpoint.unwrap_or_else(|| ENDPOINT.into());
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
        Self {
            cache: given.cache.or(cache).unwrap_or_else(|| home.join("hub")),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            offline: given.offline || offline.iter().any(|name| truth(filled(name))),
            metadata: seconds(filled("HF_HUB_ETAG_TIMEOUT")),
            download: seconds(filled("HF_HUB_DOWNLOAD_TIMEOUT")),
            model_bytes: given.model_bytes,
            spare_bytes: given.spare_bytes,
            token: token(&filled, &home),
        }
    }

    /// The token to be sent; read anew each time, so that a login is noticed.
    pub fn token(&self) -> Option<String> {
        let text = match &self.token {
            Token::None => None,
            Token::Text(text) => Some(text.clone()),
            Token::File(path) => std::fs::read_to_string(path).ok(),
        };
        let text = text.map(|text| text.trim().replace(['\r', '\n'], ""));
        text.filter(|text| !text.is_empty())
    }
}

type Look<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn home(filled: &Look<'_>) -> PathBuf {
    let user = || filled("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    match (filled("HF_HOME"), filled("XDG_CACHE_HOME")) {
        (Some(home), _) => expanded(&home, filled),
        (None, Some(cache)) => expanded(&cache, filled).join("huggingface"),
        (None, None) => user().join(".cache/huggingface"),
    }
}

/// A path that may begin with `~`.
fn expanded(text: &str, filled: &Look<'_>) -> PathBuf {
    match (text.strip_prefix("~/"), filled("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(text),
    }
}

fn token(filled: &Look<'_>, home: &Path) -> Token {
    if truth(filled("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
        return Token::None;
    }
    let text = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];
    match text.iter().find_map(|name| filled(name)) {
        Some(text) => Token::Text(text),
        None => Token::File(match filled("HF_TOKEN_PATH") {
            Some(path) => expanded(&path, filled),
            None => home.join("token"),
        }),
    }
}

fn truth(text: Option<String>) -> bool {
    text.is_some_and(|text| {
        let text = text.to_uppercase();
        ["1", "ON", "YES", "TRUE"].contains(&text.as_str())
    })
}

fn seconds(text: Option<String>) -> Duration {
    let seconds = text.and_then(|text| text.trim().parse::<u64>().ok());
    Duration::from_secs(seconds.filter(|it| *it > 0).unwrap_or(10).min(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let found = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::new(Given::default(), &found)
    }

    #[test]
    fn the_cache_is_where_python_looks_for_it() {
        let home = ("HOME", "/h");
        for (variables, expected) in [
            (vec![home], "/h/.cache/huggingface/hub"),
            (vec![home, ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (
                vec![home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/f")],
                "/h/f/hub",
            ),
            (
                vec![("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/old",
            ),
            (
                vec![("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")],
                "/new",
            ),
        ] {
            assert_eq!(
                settings(&variables).cache,
                Path::new(expected),
                "{variables:?}"
            );
        }
    }

    #[test]
    fn booleans_are_true_for_four_words_in_any_case_only() {
        for (text, expected) in [
            ("1", true),
            ("on", true),
            ("Yes", true),
            ("TRUE", true),
            ("0", false),
            ("2", false),
            ("y", false),
            ("", false),
        ] {
            assert_eq!(
                settings(&[("HF_HUB_OFFLINE", text)]).offline,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_token_comes_from_the_variable_then_the_named_file_then_home() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let other = folder.path().join("other");
        std::fs::write(folder.path().join("token"), "hf_home\n").unwrap();
        std::fs::write(&other, "hf_other").unwrap();
        let at_home = [("HF_HOME", home)];
        assert_eq!(settings(&at_home).token().as_deref(), Some("hf_home"));
        let named = [
            ("HF_HOME", home),
            ("HF_TOKEN_PATH", other.to_str().unwrap()),
        ];
        assert_eq!(settings(&named).token().as_deref(), Some("hf_other"));
        let text = [("HF_HOME", home), ("HUGGING_FACE_HUB_TOKEN", "hf_old")];
        assert_eq!(settings(&text).token().as_deref(), Some("hf_old"));
        let both = [("HF_TOKEN", "hf_new"), ("HUGGING_FACE_HUB_TOKEN", "hf_old")];
        let both = settings(&both);
        assert_eq!(both.token().as_deref(), Some("hf_new"));
        assert!(!format!("{both:?}").contains("hf_new"));
        let never = [
            ("HF_TOKEN", "hf_new"),
            ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        ];
        assert_eq!(settings(&never).token(), None);
    }

    #[test]
    fn timeouts_and_the_endpoint_are_read() {
        let read = settings(&[
            ("HF_ENDPOINT", "http://mirror/"),
            ("HF_HUB_ETAG_TIMEOUT", "3"),
            ("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        ]);
        assert_eq!(read.endpoint, "http://mirror");
        assert_eq!(read.metadata, Duration::from_secs(3));
        assert_eq!(read.download, Duration::from_secs(10));
        assert_eq!(settings(&[]).endpoint, ENDPOINT);
    }
}
