//! Which files a model is loaded from, by the names of the Hugging Face layout. Knows names, not what is in them.

use std::collections::BTreeSet;

/// Weights in one file.
pub const WEIGHTS: &str = "model.safetensors";
/// Which shard holds which tensor.
pub const INDEX: &str = "model.safetensors.index.json";
/// The shape of the model.
pub const CONFIG: &str = "config.json";
/// The tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// What stands beside the weights and is taken where it is there; nothing else of a folder or a repository is.
pub const BESIDE: [&str; 8] = [
    CONFIG,
    "generation_config.json",
    TOKENIZER,
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    INDEX,
];

/// The folder of further chat templates.
pub const TEMPLATES: &str = "additional_chat_templates";

/// Whether a file of this name may be part of a model: one of [`BESIDE`], a further template, weights with a plain name.
pub fn is_wanted(name: &str) -> bool {
    BESIDE.contains(&name) || is_template(name) || is_shard(name)
}

/// Whether `name` is that of a further chat template, one folder down.
pub fn is_template(name: &str) -> bool {
    let inside = name.strip_prefix(TEMPLATES);
    let inside = inside.and_then(|rest| rest.strip_prefix('/'));
    inside.is_some_and(|name| is_plain(name, ".jinja"))
}

/// Whether `name` is a plain name of a safetensors file, so that it is no path and no trick.
pub fn is_shard(name: &str) -> bool {
    is_plain(name, ".safetensors")
}

fn is_plain(name: &str, ending: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.ends_with(ending)
        && name.len() <= 200
        && !name.starts_with('.')
        && name.bytes().all(letter)
}

/// Whether the file holds pickled weights, which can run code when they are read.
pub fn is_pickle(name: &str) -> bool {
    [".bin", ".pt", ".pth", ".pkl", ".ckpt"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// How a model's weights lie among `names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// [`WEIGHTS`].
    Single,
    /// Shards that [`INDEX`] names.
    Sharded,
    /// Only these, which are refused.
    Pickles(Vec<String>),
    /// None at all.
    Nothing,
}

/// How the weights lie.
pub fn layout<'a>(names: impl Iterator<Item = &'a str>) -> Layout {
    let names: BTreeSet<&str> = names.collect();
    if names.contains(WEIGHTS) {
        return Layout::Single;
    }
    if names.contains(INDEX) {
        return Layout::Sharded;
    }
    let pickles = names.into_iter().filter(|name| is_pickle(name));
    let pickles: Vec<String> = pickles.map(str::to_owned).collect();
    match pickles.is_empty() {
        true => Layout::Nothing,
        false => Layout::Pickles(pickles),
    }
}

/// The shards that the text of an index names, sorted.
///
/// *Errors* in words: no index, no shard, a name that is none.
pub fn shards(index: &[u8]) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(index).map_err(|error| format!("{INDEX}: {error}"))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    if let Some(odd) = shards.iter().find(|name| !is_shard(name)) {
        let odd = odd.escape_debug();
        return Err(format!(
            "{INDEX} names \"{odd}\", which is no name of a safetensors file"
        ));
    }
    match shards.is_empty() {
        true => Err(format!("{INDEX} names no shard")),
        false => Ok(shards.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_of_model_files_are_wanted() {
        for name in [
            "config.json",
            "chat_template.jinja",
            "additional_chat_templates/tool_use.jinja",
            "model-00001-of-00002.safetensors",
        ] {
            assert!(is_wanted(name), "{name}");
        }
        for name in [
            "README.md",
            "pytorch_model.bin",
            "../model.safetensors",
            "sub/model.safetensors",
            ".hidden.safetensors",
            "modeling_x.py",
            "additional_chat_templates/../x.jinja",
            "additional_chat_templates/deep/x.jinja",
        ] {
            assert!(!is_wanted(name), "{name}");
        }
    }

    #[test]
    fn one_file_goes_before_shards_and_shards_before_pickles() {
        let of = |names: &[&str]| layout(names.iter().copied());
        assert_eq!(of(&["model.safetensors", INDEX]), Layout::Single);
        assert_eq!(of(&[INDEX, "pytorch_model.bin"]), Layout::Sharded);
        assert_eq!(of(&["a.bin", "x"]), Layout::Pickles(vec!["a.bin".into()]));
        assert_eq!(of(&["config.json"]), Layout::Nothing);
    }

    #[test]
    fn an_index_that_names_a_path_or_nothing_is_refused() {
        let named =
            |shard: &str| shards(format!(r#"{{"weight_map":{{"a":"{shard}"}}}}"#).as_bytes());
        assert_eq!(named("m.safetensors").unwrap(), ["m.safetensors"]);
        assert!(named("../m.safetensors").unwrap_err().contains("../m"));
        assert!(named("m.bin").is_err());
        assert!(shards(br#"{"weight_map":{}}"#).is_err());
        assert!(shards(b"[]").is_err());
    }
}
