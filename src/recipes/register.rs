//! Making a base model ready: from a folder, from a hub, from nothing, or from what a full fine-tune left.

pub(super) mod pace;
mod take;

use std::path::Path;

use serde_json::{Value, json};

use super::{broken_file, failure, verified};
use crate::domain::adapter::{CARD, MANIFEST};
use crate::domain::assets::{FileEntry, ModelFacts};
use crate::domain::job::{ErrorClass, JobResult, Phase};
use crate::domain::model_files::{CONFIG, INDEX, WEIGHTS};
use crate::domain::shapes::ProjectionShapes;
use crate::engine::chat::{Chat, GENERATION, SETTINGS, TOKENIZER};
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::model::config::{Family, ModelConfig};
use crate::engine::weights::{Init, Weights};
use crate::execution::fetch::Fetch;
use crate::execution::{
    Commit, Context, LocalFile, RandomSource, RegisterSource, RegisterWork, Report, Stop,
};

/// The place of an image in a prompt. The smallest Gemma 3 has no embedding for it, though its tokenizer is that of the
/// others; a text that spells it is refused.
const IMAGE: &str = "<image_soft_token>";

/// Checks a model strictly, takes its files into the store and says what it is.
pub(super) fn run(
    work: &RegisterWork,
    context: &dyn Context,
    hub: &dyn Fetch,
) -> Result<JobResult, Stop> {
    context.report(Report::Phase(Phase::Load))?;
    let facts = match &work.source {
        RegisterSource::Folder(files) => take::from_files(files, context)?,
        RegisterSource::Hub(wanted) => take::from_hub(wanted, hub, context)?,
        RegisterSource::Random(source) => from_nothing(source, context)?,
        RegisterSource::Checkpoint(model) => {
            let facts = checked(&verified(model, context)?)?;
            // the card and the manifest are about the run that made the model
            let of_the_model = |name: &str| name != CARD && name != MANIFEST;
            let files = model.files.iter().map(|file| file.entry.clone());
            facts.with(files.filter(|entry| of_the_model(&entry.name)).collect())
        }
    };
    context.commit(Commit::Model(facts))?;
    Ok(JobResult {
        base_model: Some(work.base_model.clone()),
        ..JobResult::default()
    })
}

/// A shape that was read and whose files fit it.
struct Shape(ModelConfig);

impl Shape {
    fn with(self, files: Vec<FileEntry>) -> ModelFacts {
        let config = self.0;
        ModelFacts {
            family: config.family.name().into(),
            parameters: config.parameter_count(),
            layers: config.num_hidden_layers as u32,
            hidden_size: config.hidden_size as u32,
            vocab_size: config.vocab_size as u32,
            projections: ProjectionShapes::of(|projection| {
                let (out, inner) = config.projection_shape(projection);
                (out as u64, inner as u64)
            }),
            files,
        }
    }
}

/// Reads config, tokenizer and template, and every tensor's header.
fn checked(files: &Files) -> Result<Shape, Stop> {
    let config = ModelConfig::from_json(&files.json(CONFIG)?)?;
    Weights::check(files, &config)?;
    check_tokens(&Chat::load(files)?, &config)?;
    Ok(Shape(config))
}

/// *Errors* the first token that the model has no embedding for.
fn check_tokens(chat: &Chat, config: &ModelConfig) -> Result<(), Stop> {
    match chat.tokenizer().first_beyond(config.vocab_size as u64) {
        Some((id, token)) if !(config.family == Family::Gemma3 && token == IMAGE) => {
            let message = format!(
                "tokenizer.json has token {token:?} with id {id}, but vocab_size is {}; \
                 take the tokenizer that belongs to the model",
                config.vocab_size
            );
            Err(failure(ErrorClass::Data, "vocabulary_too_small", message).into())
        }
        _ => Ok(()),
    }
}

fn from_nothing(source: &RandomSource, context: &dyn Context) -> Result<ModelFacts, Stop> {
    let config = ModelConfig::from_json(&source.config)?;
    let scratch = scratch(context)?;
    for (name, content) in [
        (CONFIG, source.config.clone()),
        (GENERATION, generation_config(&source.config)),
        (TOKENIZER, source.tokenizer.clone()),
        (SETTINGS, source.tokenizer_config.clone()),
    ] {
        write(&scratch.join(name), name, &content)?;
    }
    check_tokens(&Chat::load(&Files::in_folder(&scratch)?)?, &config)?;
    context.turn()?;
    let init = Init {
        std: source.std,
        scale_residual: source.scale_residual,
        seed: source.seed,
    };
    Weights::random(&config, init, Device::Cpu)?.save(&scratch.join(WEIGHTS))?;
    context.report(Report::Phase(Phase::Save))?;
    let names = [CONFIG, GENERATION, TOKENIZER, SETTINGS, WEIGHTS];
    let mut entries = Vec::new();
    for (index, name) in names.iter().enumerate() {
        entries.push(keep(name, &scratch, context)?);
        progress(index + 1, names.len(), context)?;
    }
    Ok(Shape(config).with(entries))
}

/// What transformers derives from a config that has no generation_config.json beside it.
fn generation_config(config: &Value) -> Value {
    let mut fields = serde_json::Map::new();
    fields.insert("_from_model_config".into(), json!(true));
    for name in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if !config[name].is_null() {
            fields.insert(name.into(), config[name].clone());
        }
    }
    Value::Object(fields)
}

/// A folder for unfinished files that is gone when the recipe ends, however it ends.
struct Scratch(std::path::PathBuf);

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is removed by age.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn scratch(context: &dyn Context) -> Result<Scratch, Stop> {
    let folder = context.blobs().scratch();
    folder
        .map(Scratch)
        .map_err(|error| broken_file("a folder for unfinished files", &error))
}

pub(super) fn write(path: &Path, name: &str, content: &Value) -> Result<(), Stop> {
    let text = serde_json::to_string_pretty(content)
        .map_err(|error| failure(ErrorClass::Internal, "json", format!("{name}: {error}")))?;
    std::fs::write(path, text + "\n").map_err(|error| broken_file(name, &error))
}

/// Where a file lies until it is kept; names with a folder in them have none here.
fn unfinished(name: &str, scratch: &Path) -> std::path::PathBuf {
    scratch.join(name.replace('/', "--"))
}

fn keep(name: &str, scratch: &Path, context: &dyn Context) -> Result<FileEntry, Stop> {
    let kept = context.blobs().keep(name, &unfinished(name, scratch));
    kept.map(|file| file.entry)
        .map_err(|error| broken_file(name, &error))
}

/// A file of somebody else's into the store: a small one as a copy, a large one where it lies.
pub(super) fn keep_or_refer(
    name: &str,
    path: &Path,
    context: &dyn Context,
) -> Result<LocalFile, Stop> {
    const SMALL: u64 = 16 << 20;
    let broken = |error: std::io::Error| broken_file(name, &error);
    let bytes = std::fs::metadata(path).map_err(broken)?.len();
    if bytes > SMALL {
        let referred = context.blobs().refer(name, path, None, &mut |_| Ok(()));
        return referred.map_err(broken);
    }
    let scratch = scratch(context)?;
    let copy = unfinished(name, &scratch);
    std::fs::copy(path, &copy).map_err(broken)?;
    context.blobs().keep(name, &copy).map_err(broken)
}

fn progress(done: usize, total: usize, context: &dyn Context) -> Result<(), Stop> {
    context.report(Report::Progress {
        done: done as u64,
        total: total as u64,
        unit: "file",
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::testing::Stage;
    use super::*;
    use crate::domain::ids::BaseModelId;
    use crate::execution::fetch::{FetchedFile, NoHub, Wanted, Watch};
    use crate::execution::{Interrupted, folder};
    use crate::toyworld::vocabulary;

    fn register(source: RegisterSource, stage: &Stage) -> Result<JobResult, Stop> {
        let base_model = BaseModelId::from_uuid(uuid::Uuid::from_u128(1));
        run(&RegisterWork { base_model, source }, stage, &NoHub)
    }

    fn in_folder(path: &Path) -> RegisterSource {
        RegisterSource::Folder(folder::files(path, &[path.into()]).unwrap())
    }

    fn random(seed: u64) -> RegisterSource {
        RegisterSource::Random(Box::new(RandomSource {
            config: vocabulary::config_json(),
            tokenizer: vocabulary::tokenizer_json(),
            tokenizer_config: vocabulary::tokenizer_config_json(),
            std: 0.05,
            scale_residual: true,
            seed,
        }))
    }

    fn made(seed: u64) -> (Stage, ModelFacts) {
        let stage = Stage::new();
        register(random(seed), &stage).unwrap();
        let facts = stage.model();
        (stage, facts)
    }

    /// The files of a model under their own names.
    fn folder(stage: &Stage, facts: &ModelFacts) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in stage.files(&facts.files).files {
            std::fs::copy(&file.path, folder.path().join(&file.entry.name)).unwrap();
        }
        folder
    }

    fn message(source: RegisterSource) -> String {
        register(source, &Stage::new()).unwrap_err().to_string()
    }

    #[test]
    fn a_model_from_a_seed_has_the_same_files_every_time() {
        let (stage, facts) = made(0);
        assert_eq!(
            (facts.family.as_str(), facts.parameters),
            ("qwen2", 931_968)
        );
        assert_eq!(
            (facts.layers, facts.hidden_size, facts.vocab_size),
            (4, 128, 1120)
        );
        let names: Vec<&str> = facts.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, [CONFIG, GENERATION, TOKENIZER, SETTINGS, WEIGHTS]);
        assert_eq!(made(0).1, facts);
        assert_ne!(made(1).1.files[4].sha256, facts.files[4].sha256);
        let left = std::fs::read_dir(stage.folder.0.path()).unwrap().count();
        assert_eq!(left, 5, "nothing but the five files is left behind");
    }

    #[test]
    fn a_folder_and_a_checkpoint_give_the_model_that_they_hold() {
        let (stage, facts) = made(0);
        let folder = folder(&stage, &facts);
        std::fs::write(folder.path().join("README.md"), "not part of the model").unwrap();
        let other = Stage::new();
        register(in_folder(folder.path()), &other).unwrap();
        let sorted = |facts: &ModelFacts| {
            let mut files = facts.files.clone();
            files.sort_by(|left, right| left.name.cmp(&right.name));
            files
        };
        assert_eq!(sorted(&other.model()), sorted(&facts));
        assert!(
            folder.path().join(WEIGHTS).exists(),
            "the folder is left as it was"
        );
        stage.commits.borrow_mut().clear();
        register(
            RegisterSource::Checkpoint(stage.files(&facts.files)),
            &stage,
        )
        .unwrap();
        assert_eq!(stage.model(), facts);
    }

    /// A hub that has these files on this machine already.
    struct Shelf(Vec<FetchedFile>);

    impl Fetch for Shelf {
        fn commit(&self, _: &str, _: &str) -> Result<String, crate::execution::Failure> {
            Ok("c".repeat(40))
        }

        fn fetch(&self, _: &Wanted, watch: &mut dyn Watch) -> Result<Vec<FetchedFile>, Stop> {
            watch.progress(0, 10)?;
            watch.progress(10, 10)?;
            Ok(self.0.clone())
        }
    }

    fn from_hub(files: Vec<FetchedFile>, stage: &Stage) -> Result<JobResult, Stop> {
        let source = RegisterSource::Hub(Wanted {
            model: "org/name".into(),
            revision: "main".into(),
            commit: "c".repeat(40),
        });
        let base_model = BaseModelId::from_uuid(uuid::Uuid::from_u128(1));
        run(&RegisterWork { base_model, source }, stage, &Shelf(files))
    }

    #[test]
    fn a_model_of_a_hub_is_what_its_files_are_and_a_damaged_cache_is_named() {
        let (stage, facts) = made(0);
        let folder = folder(&stage, &facts);
        let mut files = folder::files(folder.path(), &[folder.path().into()]).unwrap();
        let other = Stage::new();
        from_hub(files.clone(), &other).unwrap();
        assert_eq!(other.model().files.len(), facts.files.len());
        let reports = other.reports.borrow();
        let told = reports
            .iter()
            .any(|it| matches!(it, Report::Event { r#type, .. } if *r#type == "hub_fetched"));
        assert!(told);
        for file in &mut files {
            file.sha256 = Some("0".repeat(64));
        }
        let damaged = from_hub(files, &Stage::new()).unwrap_err();
        assert!(matches!(&damaged, Stop::Failed(it) if it.code == "hub_cache_damaged"));
    }

    #[test]
    fn a_registration_is_ended_between_two_pieces_of_a_file() {
        let (stage, facts) = made(0);
        let folder = folder(&stage, &facts);
        let other = Stage::new();
        other.turns.set(Some((3, Interrupted::Cancelled)));
        let ended = register(in_folder(folder.path()), &other).unwrap_err();
        assert_eq!(ended, Stop::Interrupted(Interrupted::Cancelled));
        assert!(other.commits.borrow().is_empty());
    }

    #[test]
    fn what_a_folder_lacks_or_has_too_much_is_named() {
        let (stage, facts) = made(0);
        let changed = |change: &dyn Fn(PathBuf)| {
            let folder = folder(&stage, &facts);
            change(folder.path().into());
            message(in_folder(folder.path()))
        };
        let pickled = changed(&|path| {
            std::fs::rename(path.join(WEIGHTS), path.join("pytorch_model.bin")).unwrap();
        });
        assert!(
            pickled.contains("pytorch_model.bin") && pickled.contains("safetensors"),
            "{pickled}"
        );
        let missing = changed(&|path| std::fs::remove_file(path.join(TOKENIZER)).unwrap());
        assert!(missing.contains(TOKENIZER), "{missing}");
        let wide = changed(&|path| {
            let text = std::fs::read_to_string(path.join(CONFIG)).unwrap();
            let text = text.replace("\"intermediate_size\": 384", "\"intermediate_size\": 385");
            std::fs::write(path.join(CONFIG), text).unwrap();
        });
        assert!(wide.contains("gate_proj") && wide.contains("385"), "{wide}");
        let small = changed(&|path| {
            let text = std::fs::read_to_string(path.join(TOKENIZER)).unwrap();
            let mut tokens: Value = serde_json::from_str(&text).unwrap();
            tokens["model"]["vocab"]["<more>"] = json!(1120);
            std::fs::write(path.join(TOKENIZER), tokens.to_string()).unwrap();
        });
        assert!(
            small.contains("\"<more>\"") && small.contains("vocab_size is 1120"),
            "{small}"
        );
    }
}
