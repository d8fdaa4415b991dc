//! A folder of the parity check: a tiny checkpoint with what transformers and PEFT computed with it. Knows no tolerance.
//!
//! *Source* scripts/parity/fixtures.py makes the folders; `VIVARIUM_PARITY` names a folder of freshly made ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tch::{Kind, Tensor};
use vivarium::engine::adapter::Adapter;
use vivarium::engine::device::{Device, set_threads};
use vivarium::engine::files::Files;
use vivarium::engine::model::Model;
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::tensors::Archive;
use vivarium::engine::weights::Weights;

/// Positions that every fixture has and that its texts need.
pub const POSITIONS: i64 = 128;
/// Families whose folders are checked.
pub const FAMILIES: [&str; 12] = [
    "qwen2_tied",
    "qwen2_untied",
    "qwen3_tied",
    "qwen3_untied",
    "llama_tied",
    "llama_untied",
    "llama_biased",
    "mistral",
    "gemma2",
    "gemma3",
    "gemma3_linear",
    "gemma3_multimodal",
];

pub struct Fixture {
    pub name: String,
    pub folder: PathBuf,
    pub config: ModelConfig,
    pub cases: Cases,
}

#[derive(Deserialize)]
pub struct Cases {
    /// Token ids of three texts, the longest first.
    pub rows: Vec<Vec<u32>>,
    pub prompts: Vec<Vec<u32>>,
    /// transformers' greedy text after each prompt.
    pub greedy: Vec<Vec<u32>>,
    pub measured: BTreeMap<String, f64>,
}

/// An adapter with what PEFT computed on the first row's beginning.
pub struct Adapted {
    pub kind: String,
    pub adapter: Rc<Adapter>,
    pub row: Vec<u32>,
    pub prompt: usize,
    pub greedy: Vec<u32>,
    pub logits: Tensor,
}

#[derive(Deserialize)]
struct AdapterCases {
    row: Vec<u32>,
    prompt: usize,
    greedy: Vec<u32>,
}

/// Where freshly made folders are, if they are to be checked instead of the repository's.
pub fn live() -> Option<PathBuf> {
    std::env::var_os("VIVARIUM_PARITY").map(PathBuf::from)
}

pub fn all() -> Vec<Fixture> {
    set_threads(1);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families");
    let folder = live().unwrap_or(kept);
    FAMILIES
        .iter()
        .map(|name| Fixture::open(&folder.join(name), name))
        .collect()
}

impl Fixture {
    fn open(folder: &Path, name: &str) -> Self {
        Self {
            name: name.into(),
            config: read_config(folder, "config.json"),
            cases: json(&folder.join("cases.json")),
            folder: folder.into(),
        }
    }

    /// The same shape as the words of older files say it, where there are such.
    pub fn older_config(&self) -> Option<ModelConfig> {
        let name = "config.older.json";
        self.folder
            .join(name)
            .exists()
            .then(|| read_config(&self.folder, name))
    }

    pub fn weights(&self, kind: Kind) -> Weights {
        let files = Files::in_folder(&self.folder).unwrap();
        Weights::load(&files, &self.config, Some(kind), Device::Cpu)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    pub fn model(&self, kind: Kind) -> Model {
        Model::new(self.weights(kind), POSITIONS).unwrap()
    }

    /// What transformers computed: `logits` of all rows one after another, `bfloat16` of the first row.
    pub fn expected(&self, name: &str) -> Tensor {
        let lengths = self.cases.rows.iter().map(Vec::len);
        let tokens = match name {
            "logits" => lengths.sum(),
            _ => self.cases.rows[0].len(),
        };
        expected(&self.folder, name, tokens, &self.config)
    }

    pub fn adapters(&self) -> Vec<Adapted> {
        let Ok(entries) = std::fs::read_dir(self.folder.join("adapters")) else {
            return Vec::new();
        };
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders.iter().map(|folder| self.adapted(folder)).collect()
    }

    fn adapted(&self, folder: &Path) -> Adapted {
        let files = Files::in_folder(folder).unwrap();
        let kind = folder.file_name().unwrap().to_string_lossy().into_owned();
        let cases: AdapterCases = json(&folder.join("cases.json"));
        Adapted {
            adapter: Adapter::load(&files, &self.config, Device::Cpu)
                .unwrap_or_else(|error| panic!("{} {kind}: {error}", self.name))
                .into(),
            logits: expected(folder, "logits", cases.row.len(), &self.config),
            row: cases.row,
            prompt: cases.prompt,
            greedy: cases.greedy,
            kind,
        }
    }
}

fn read_config(folder: &Path, name: &str) -> ModelConfig {
    let value = json(&folder.join(name));
    ModelConfig::from_json(&value)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.join(name).display()))
}

fn expected(folder: &Path, name: &str, tokens: usize, config: &ModelConfig) -> Tensor {
    let path = folder.join("expected.safetensors");
    let archive = Archive::open([("expected.safetensors", path.as_path())]).unwrap();
    let shape = [tokens as i64, config.vocab_size];
    archive.read(name, &shape, None, Device::Cpu).unwrap()
}

pub fn json<T: DeserializeOwned>(path: &Path) -> T {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap()
}
