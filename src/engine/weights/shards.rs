//! Opening a model's weight files: one file or shards with their index, with no tensor that has no place.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::layout::Layout;
use crate::engine::files::Files;
use crate::engine::model::config::{HEAD, ModelConfig};
use crate::engine::tensors::Archive;
use crate::engine::{Error, Result};

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files' tensors, none of which is strange to the architecture, and how they are named.
pub(super) fn open(files: &Files, config: &ModelConfig) -> Result<(Archive, Layout)> {
    let archive = archive(files)?;
    let layout = Layout::of(config, archive.names());
    let parameters = config.parameters().into_iter();
    let mut known: HashSet<String> = parameters.map(|p| layout.stored(&p.name)).collect();
    known.insert(layout.stored(HEAD));
    archive.only(|name| known.contains(name) || layout.skips(name))?;
    Ok((archive, layout))
}

fn archive(files: &Files) -> Result<Archive> {
    if let Some(path) = files.get(SINGLE) {
        return Archive::open([(SINGLE, path)]);
    }
    if files.get(INDEX).is_some() {
        return shards(files);
    }
    let names = files.names();
    match names.iter().find(|name| is_pickle(name)) {
        Some(name) => Err(Error::bad_file(
            *name,
            "pickled weights can run code and are refused; convert them to safetensors",
        )),
        None => {
            files.require(SINGLE)?;
            Archive::open([])
        }
    }
}

fn is_pickle(name: &str) -> bool {
    [".bin", ".pt", ".pth", ".pkl"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Shards hold exactly what the index says, each tensor in the shard it is said to be in.
fn shards(files: &Files) -> Result<Archive> {
    let index: Index = files.json(INDEX)?;
    let shards: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    check_names(files, &shards)?;
    let paths = shards
        .into_iter()
        .map(|shard| Ok((shard, files.require(shard)?)))
        .collect::<Result<Vec<_>>>()?;
    let archive = Archive::open(paths)?;
    archive.only(|name| index.weight_map.contains_key(name))?;
    for (name, shard) in &index.weight_map {
        if archive.file_of(name) != Some(shard) {
            return Err(Error::MissingTensor {
                name: format!("{name}, which {INDEX} places in {shard},"),
            });
        }
    }
    Ok(archive)
}

fn check_names(files: &Files, shards: &BTreeSet<&str>) -> Result<()> {
    let outside = |name: &&&str| name.contains(['/', '\\']) || name.starts_with("..");
    if let Some(shard) = shards.iter().find(outside) {
        let detail = format!("names {shard:?}, which is not a file of the model's own folder");
        return Err(Error::bad_file(INDEX, detail));
    }
    let left_out = |name: &&str| is_shard(name) && !shards.contains(name);
    match files.names().into_iter().find(left_out) {
        Some(name) => Err(Error::bad_file(
            INDEX,
            format!("does not name {name}, which lies beside it"),
        )),
        None => Ok(()),
    }
}

/// Such as `model-00002-of-00003.safetensors`.
fn is_shard(name: &str) -> bool {
    let middle = name.strip_prefix("model-");
    let middle = middle.and_then(|rest| rest.strip_suffix(".safetensors"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    middle
        .and_then(|middle| middle.split_once("-of-"))
        .is_some_and(|(this, all)| number(this) && number(all))
}
