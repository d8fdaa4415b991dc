//! What a base model can be made from: the body of `POST /v1/base-models`, read tag first.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::assets::check_name;
use super::canonical::hash;
use super::decode::{decode_at, object_at};
use super::ids::JobId;
use super::invalid::{Checked, FieldError, Findings};

const SOURCES: [&str; 4] = ["path", "job", "random", "hub"];

/// Architectures that the engine builds.
const ARCHITECTURES: [&str; 6] = [
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
];

/// Sizes that every config must have.
const SIZES: [&str; 6] = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
];

/// A base model as asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewBaseModel {
    /// Its unique name.
    pub name: String,
    /// What it is made from.
    pub source: Source,
    /// The same as posted, defaults filled in.
    pub stored: Value,
}

/// What a base model is made from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A folder of the server's machine in the Hugging Face layout.
    Path(String),
    /// A full fine-tune's last checkpoint.
    Job(JobId),
    /// A model on a hub.
    Hub(HubSpec),
    /// Nothing but a config and a seed.
    Random(Box<RandomSpec>),
}

/// A model on a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HubSpec {
    /// Such as `org/name`.
    pub hub: String,
    /// A branch, a tag or a commit.
    #[serde(default = "main_branch")]
    pub revision: String,
    /// The commit that the revision named when it was posted; filled in by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

fn main_branch() -> String {
    "main".into()
}

/// A model from nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomSpec {
    /// The text of config.json.
    #[schema(value_type = Object)]
    pub config: Value,
    /// Where its tokenizer comes from.
    #[schema(value_type = Object)]
    pub tokenizer: Value,
    /// How weights are drawn.
    #[serde(default)]
    pub init: InitSpec,
    /// Key of the draws.
    #[serde(default)]
    pub seed: u64,
}

/// How the weights of a new model are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InitSpec {
    /// Standard deviation.
    pub std: f64,
    /// Whether `o_proj` and `down_proj` are divided by √(2·layers).
    pub scale_residual: bool,
}

impl Default for InitSpec {
    fn default() -> Self {
        Self {
            std: 0.02,
            scale_residual: true,
        }
    }
}

/// A tokenizer, given in full or taken from another model.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenizerSource {
    /// The texts of tokenizer.json and tokenizer_config.json.
    Given {
        /// tokenizer.json.
        json: Value,
        /// tokenizer_config.json.
        config: Value,
    },
    /// Id or name of a base model whose tokenizer it is.
    BaseModel(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    source: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenTokenizer {
    json: Value,
    config: Value,
}

/// Reads the body of `POST /v1/base-models`.
pub fn base_model_request(body: Value) -> Checked<NewBaseModel> {
    let body: Body = decode_at("", body)?;
    check_name("/name", &body.name)?;
    let source = source("/source", body.source)?;
    let stored = stored(&source);
    Ok(NewBaseModel {
        name: body.name,
        source,
        stored,
    })
}

/// Reads a source that was stored.
pub fn source(pointer: &str, value: Value) -> Checked<Source> {
    let mut object = object_at(pointer, value)?;
    if object.contains_key("hub") {
        only_tag(pointer, &object)?;
        return hub(pointer, Value::Object(object)).map(Source::Hub);
    }
    let tag = only_tag(pointer, &object)?;
    let place = format!("{pointer}/{tag}");
    let value = object.remove(tag).unwrap_or(Value::Null);
    match tag {
        "path" => folder(&place, decode_at(&place, value)?),
        "job" => decode_at(&place, value).map(Source::Job),
        _ => random(&place, value).map(|spec| Source::Random(Box::new(spec))),
    }
}

fn only_tag(pointer: &str, object: &Map<String, Value>) -> Checked<&'static str> {
    let list = SOURCES.join(", ");
    let wrong = |detail: String| {
        Err(FieldError::at(pointer, detail)
            .hint(format!("give exactly one of {list}"))
            .into())
    };
    // these belong to the hub
    let beside = |key: &str| object.contains_key("hub") && ["revision", "commit"].contains(&key);
    let mut keys = object.keys().filter(|key| !beside(key));
    match (keys.next(), keys.next()) {
        (Some(key), None) => match SOURCES.into_iter().find(|tag| tag == key) {
            Some(tag) => Ok(tag),
            None => wrong(format!("unknown source \"{}\"", key.escape_debug())),
        },
        (None, _) => wrong("the source is empty".into()),
        (Some(first), Some(second)) => wrong(format!(
            "both \"{}\" and \"{}\"",
            first.escape_debug(),
            second.escape_debug()
        )),
    }
}

fn folder(pointer: &str, path: String) -> Checked<Source> {
    if path.starts_with('/') && !path.contains('\0') {
        return Ok(Source::Path(path));
    }
    Err(FieldError::at(
        pointer,
        format!("\"{}\" is not an absolute path", path.escape_debug()),
    )
    .hint("give the folder's path on the server's machine, from /")
    .into())
}

fn hub(pointer: &str, value: Value) -> Checked<HubSpec> {
    let spec: HubSpec = decode_at(pointer, value)?;
    let mut findings = Findings::default();
    findings.require(is_hub_name(&spec.hub), || {
        let detail = format!("\"{}\" is not a model's name", spec.hub.escape_debug());
        FieldError::at(format!("{pointer}/hub"), detail)
            .hint("give it as the hub shows it, org/name; the revision has a field of its own")
    });
    findings.require(is_revision(&spec.revision), || {
        let detail = format!("\"{}\" is not a revision", spec.revision.escape_debug());
        FieldError::at(format!("{pointer}/revision"), detail)
            .hint("a branch, a tag or a commit of 40 hexadecimal digits")
    });
    let commit = spec.commit.as_deref();
    findings.require(commit.is_none_or(is_commit), || {
        FieldError::at(
            format!("{pointer}/commit"),
            "not 40 small hexadecimal digits",
        )
        .hint("leave it out; the server fills it in")
    });
    findings.finish()?;
    Ok(spec)
}

/// `name` or `org/name`, each part a plain name, so that no other text becomes part of an address or of a path.
fn is_hub_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let part = |part: &str| {
        let first = part.bytes().next();
        first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && part.bytes().all(letter)
            && !part.ends_with(['.', '-'])
    };
    text.len() <= 96
        && text.split('/').count() <= 2
        && text.split('/').all(part)
        && !text.contains("--")
        && !text.contains("..")
}

fn is_revision(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/+".contains(&byte);
    let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']);
    text.len() <= 200
        && text.bytes().all(letter)
        && text.split('/').all(part)
        && !text.contains("..")
        && !text.ends_with(".lock")
}

/// Whether this is a full commit.
pub fn is_commit(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 40 && text.bytes().all(digit)
}

fn random(pointer: &str, value: Value) -> Checked<RandomSpec> {
    let spec: RandomSpec = decode_at(pointer, value)?;
    tokenizer_source(&format!("{pointer}/tokenizer"), &spec.tokenizer)?;
    let mut findings = Findings::default();
    check_config(&format!("{pointer}/config"), &spec.config, &mut findings);
    findings.require(
        spec.init.std.is_finite() && spec.init.std > 0.0 && spec.init.std <= 1.0,
        || {
            let detail = format!("{} is not a number above 0 and up to 1", spec.init.std);
            FieldError::at(format!("{pointer}/init/std"), detail)
                .hint("0.02 is usual, 0.05 for very small models")
        },
    );
    findings.require(spec.seed <= i64::MAX.unsigned_abs(), || {
        FieldError::at(format!("{pointer}/seed"), "larger than 2^63 - 1")
    });
    findings.finish()?;
    Ok(spec)
}

/// Where the tokenizer of a random model comes from.
pub fn tokenizer_source(pointer: &str, value: &Value) -> Checked<TokenizerSource> {
    let object = object_at(pointer, value.clone())?;
    if object.contains_key("base_model") && object.len() == 1 {
        let place = format!("{pointer}/base_model");
        return decode_at(&place, object["base_model"].clone()).map(TokenizerSource::BaseModel);
    }
    let given: GivenTokenizer = decode_at(pointer, Value::Object(object))?;
    for (name, text) in [("json", &given.json), ("config", &given.config)] {
        object_at(&format!("{pointer}/{name}"), text.clone())?;
    }
    Ok(TokenizerSource::Given {
        json: given.json,
        config: given.config,
    })
}

fn check_config(pointer: &str, config: &Value, findings: &mut Findings) {
    let architecture = &config["architectures"][0];
    let known = architecture
        .as_str()
        .is_some_and(|name| ARCHITECTURES.contains(&name));
    findings.require(known, || {
        FieldError::at(
            format!("{pointer}/architectures"),
            format!("{architecture} is not supported"),
        )
        .hint(format!("one of {}", ARCHITECTURES.join(", ")))
    });
    for size in SIZES {
        let value = &config[size];
        findings.require(
            value
                .as_u64()
                .is_some_and(|size| (1..=1 << 24).contains(&size)),
            || {
                FieldError::at(
                    format!("{pointer}/{size}"),
                    format!("{value} is not a whole number from 1 to 16777216"),
                )
            },
        );
    }
    check_heads(pointer, config, findings);
}

fn check_heads(pointer: &str, config: &Value, findings: &mut Findings) {
    let size = |name: &str| config[name].as_u64().filter(|size| *size > 0);
    let sizes = (
        size("hidden_size"),
        size("num_attention_heads"),
        size("num_key_value_heads"),
    );
    if let (Some(hidden), Some(heads), Some(kv_heads)) = sizes {
        findings.require(hidden % heads == 0, || {
            let detail = format!("{heads} heads do not divide a hidden size of {hidden}");
            FieldError::at(format!("{pointer}/num_attention_heads"), detail)
        });
        findings.require(heads % kv_heads == 0, || {
            let detail = format!("{kv_heads} key/value heads do not divide {heads} heads");
            FieldError::at(format!("{pointer}/num_key_value_heads"), detail)
        });
    }
}

/// A source as it is stored and shown, and may be posted again.
pub fn stored(source: &Source) -> Value {
    match source {
        Source::Hub(spec) => json!(spec),
        Source::Path(path) => json!({"path": path}),
        Source::Job(job) => json!({"job": job}),
        Source::Random(spec) => json!({"random": spec}),
    }
}

/// What stands for the thing that a source refers to, in the source's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referred {
    /// The source refers to nothing else.
    Nothing,
    /// A fine-tune: its `numerics_hash`, and the salt of one that was forced.
    Job {
        /// Of all that changes its numbers.
        numerics_hash: String,
        /// Empty unless it was made in spite of an equal job.
        salt: String,
    },
    /// The `source_hash` of the base model whose tokenizer is used.
    Tokenizer(String),
    /// What a hub's revision names.
    Commit(String),
}

/// The identity of a source; equal sources make equal models.
pub fn source_hash(source: &Source, referred: &Referred) -> String {
    let mut value = stored(source);
    match referred {
        Referred::Nothing => {}
        Referred::Job {
            numerics_hash,
            salt,
        } => {
            value["job"] = json!({"numerics_hash": numerics_hash, "salt": salt});
        }
        Referred::Commit(commit) => {
            // however it was asked for, the commit says what it is
            if let Value::Object(fields) = &mut value {
                fields.remove("revision");
                fields.insert("commit".into(), commit.as_str().into());
            }
        }
        Referred::Tokenizer(identity) => {
            value["random"]["tokenizer"]["base_model"] = Value::from(identity.as_str());
        }
    }
    hash(&value)
}

#[cfg(test)]
mod tests;
