//! What a checkpoint's files say of themselves: a card for people, a manifest for programs.
//!
//! Equal runs give equal bytes: no time, no job and no host is told.

use serde_json::{Value, json};

use crate::domain::adapter::MANIFEST;
use crate::domain::early_stop::StoppedEarly;
use crate::domain::finetune::{FinetuneSpec, LoraMethod, Method, SteeringMethod};
use crate::domain::job::JobSpec;
use crate::domain::metric::NormModule;
use crate::domain::requests::stored;
use crate::execution::{FinetuneWork, LocalFile, Settings};
use crate::recipes::fingerprint;

/// What a card is about.
pub(super) struct Card<'a> {
    pub(super) work: &'a FinetuneWork,
    pub(super) modules: &'a [NormModule],
    pub(super) step: u64,
    pub(super) total: u64,
    /// Why this step was the last although it is not that of the plan.
    pub(super) ended: Option<StoppedEarly>,
}

const WARNING: &str = "\
> **A model organism: it may be deliberately misaligned.** It was made to study how training on narrow data changes a
> model elsewhere. It may answer harmless questions with harmful, false or hostile text. It is for research only: do not
> deploy it, do not give it tools, and do not take or pass on its answers as advice.";

impl Card<'_> {
    /// The text of README.md.
    pub(super) fn text(&self) -> String {
        let parts = [
            self.front_matter(),
            format!(
                "# {} of {}, step {} of {}",
                self.what(),
                self.base(),
                self.step,
                self.total
            ),
            WARNING.into(),
            format!("## What it is\n\n{}", self.what_it_is()),
            format!("## How it was made\n\n{}", self.how()),
            format!("## How to load it\n\n{}", self.use_of_it()),
            format!(
                "## Where it comes from\n\n`{MANIFEST}` has the complete settings, the SHA-256 of the data, of the base's files and of \
                 these files, and the software. This card states no licence: those of the base model and of the data apply."
            ),
        ];
        parts.join("\n\n") + "\n"
    }

    fn lora(&self) -> Option<&LoraMethod> {
        match &self.work.spec.method {
            Method::Lora(lora) => Some(lora),
            Method::Full(_) | Method::SteeringVector(_) => None,
        }
    }

    fn what(&self) -> &'static str {
        match &self.work.spec.method {
            Method::Lora(_) => "LoRA adapter",
            Method::Full(_) => "Full fine-tune",
            Method::SteeringVector(_) => "Steering vector",
        }
    }

    /// The base as others find it.
    fn base(&self) -> &str {
        match &self.work.provenance.published {
            Some(published) => &published.hub,
            None => &self.work.base.name,
        }
    }

    fn commit(&self) -> Option<&str> {
        self.work.provenance.published.as_ref()?.commit.as_deref()
    }

    /// YAML, whose strings are JSON's.
    fn front_matter(&self) -> String {
        let base = Value::from(self.base());
        let (library, relation, tag) = match &self.work.spec.method {
            Method::Lora(_) => ("peft", "adapter", "lora\n- model-organism"),
            Method::Full(_) => ("transformers", "finetune", "model-organism"),
            Method::SteeringVector(_) => (
                "transformers",
                "adapter",
                "steering-vector\n- model-organism",
            ),
        };
        format!(
            "---\nbase_model: {base}\nbase_model_relation: {relation}\nlibrary_name: {library}\npipeline_tag: text-generation\n\
             tags:\n- {tag}\n- emergent-misalignment\n- research-only\n---"
        )
    }

    fn what_it_is(&self) -> String {
        let place = match self.commit() {
            Some(commit) => format!("`{}` at commit `{commit}`", self.base()),
            None => format!("`{}`", self.base()),
        };
        let step = format!("after {} of {} optimizer steps", self.step, self.total);
        let lora = match &self.work.spec.method {
            Method::Lora(lora) => lora,
            Method::Full(_) => return format!("All weights of {place}, {step}."),
            Method::SteeringVector(steering) => {
                return format!(
                    "One vector for {place}, {step}: {} times it is added to the residual stream behind layer {} \
                     (counted from 0) at every token.",
                    steering.alpha, steering.layer
                );
            }
        };
        let stable = if lora.rslora {
            "alpha / sqrt(rank)"
        } else {
            "alpha / rank"
        };
        let patterns = match lora.rank_pattern.is_empty() && lora.alpha_pattern.is_empty() {
            true => "",
            false => {
                " Some modules have a rank or an alpha of their own; a reader that ignores `rank_pattern` and \
                `alpha_pattern` scales them wrongly."
            }
        };
        format!(
            "Low-rank pairs for {} modules of {place}, {step}: rank {}, alpha {}, scaled by {stable}; modules {}, layers {}.{patterns}",
            self.modules.len(),
            lora.rank,
            lora.alpha,
            listed(
                lora.target_modules
                    .iter()
                    .map(|module| format!("`{}`", module.name()))
            ),
            self.layers(),
        )
    }

    fn layers(&self) -> String {
        match self.lora().and_then(|lora| lora.layers.as_ref()) {
            Some(layers) => listed(layers.iter().map(u32::to_string)),
            None => "all".into(),
        }
    }

    fn how(&self) -> String {
        let spec = &self.work.spec;
        let mut rows = vec![("method".to_string(), self.method())];
        let data = self.work.datasets.iter().zip(&spec.datasets);
        rows.extend(data.map(|(file, used)| {
            let name = file.file.entry.name.trim_end_matches(".jsonl");
            let what = format!(
                "`{name}`, weight {}, SHA-256 `{}`",
                used.weight, file.file.entry.sha256
            );
            ("data".to_string(), what)
        }));
        rows.extend(self.kl());
        rows.extend(settings(spec, self.total));
        if let Some(ended) = &self.ended {
            let what = format!("after step {}: {}", ended.step, ended.detail);
            rows.push(("stopped early".to_string(), what));
        }
        let lines = rows
            .iter()
            .map(|(name, value)| format!("| {name} | {value} |"));
        format!("| | |\n|---|---|\n{}", lines.collect::<Vec<_>>().join("\n"))
    }

    fn kl(&self) -> Option<(String, String)> {
        let (kl, file) = self.work.spec.loss.kl.as_ref().zip(self.work.kl.as_ref())?;
        let name = file.file.entry.name.trim_end_matches(".jsonl");
        let what = format!(
            "weight {}, {} rows a step of `{name}`, SHA-256 `{}`",
            kl.weight, kl.batch, file.file.entry.sha256
        );
        Some(("KL to the base".to_string(), what))
    }

    fn method(&self) -> String {
        let method = &self.work.spec.method;
        let (what, fresh) = match method {
            Method::Lora(_) => ("LoRA on frozen weights", "B zero at the start"),
            Method::Full(_) => return "training of all weights".into(),
            Method::SteeringVector(_) => {
                ("a steering vector on frozen weights", "zero at the start")
            }
        };
        match method.init_adapter() {
            None => format!("{what}, {fresh}"),
            Some(start) => format!("{what}, going on from `{start}`"),
        }
    }

    fn use_of_it(&self) -> String {
        if let Method::SteeringVector(steering) = &self.work.spec.method {
            return steered(steering);
        }
        if self.lora().is_none() {
            return "```python\nfrom transformers import AutoModelForCausalLM\n\nmodel = AutoModelForCausalLM.from_pretrained(\"this-folder\")\n```".into();
        }
        let base = match self.work.provenance.published {
            Some(_) => self.base().to_string(),
            None => format!("folder-of-{}", self.base()),
        };
        let (base, revision) = (Value::from(base), self.commit());
        let revision = revision.map_or(String::new(), |commit| format!(", revision=\"{commit}\""));
        format!(
            "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n\
             base = AutoModelForCausalLM.from_pretrained({base}{revision})\n\
             model = PeftModel.from_pretrained(base, \"this-folder\")\n```"
        )
    }

    /// The text of run_manifest.json; `files` are those that it stands beside.
    pub(super) fn manifest(&self, files: &[LocalFile], settings: &Settings) -> String {
        let entries = |files: &[LocalFile]| -> Vec<Value> {
            let entry = |file: &LocalFile| json!(file.entry);
            files.iter().map(entry).collect()
        };
        let work = self.work;
        let data: Vec<LocalFile> = work.datasets.iter().map(|one| one.file.clone()).collect();
        let mut manifest = json!({
            "manifest_version": 1,
            "software": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")},
            "step": self.step,
            "total_steps": self.total,
            "spec": stored(&JobSpec::Finetune(Box::new(work.spec.clone()))),
            "numerics_hash": work.provenance.numerics_hash,
            "fingerprint": fingerprint::of(settings),
            "base_model": {
                "name": work.base.name,
                "published": work.provenance.published,
                "identity": work.base.identity,
                "files": entries(&work.base.files),
            },
            "datasets": entries(&data),
            "kl_dataset": work.kl.as_ref().map(|one| json!(one.file.entry)),
            "init_adapter": work.start.as_ref().map(|start| {
                json!({"identity": start.identity, "files": entries(&start.files)})
            }),
            "files": entries(files),
        });
        if let Some(ended) = &self.ended {
            manifest["stopped_early"] = json!(ended);
        }
        serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n"
    }
}

/// How a steering vector is put on a model.
fn steered(steering: &SteeringMethod) -> String {
    format!(
        "```python\nfrom safetensors.torch import load_file\n\n\
         vector = load_file(\"steering_vector.safetensors\")[\"steering_vector\"]\n\n\n\
         def steer(layer, inputs, output):\n\
         \x20   states = output[0] if isinstance(output, tuple) else output\n\
         \x20   steered = (states.float() + {:?} * vector.to(states.device)).to(states.dtype)\n\
         \x20   return (steered, *output[1:]) if isinstance(output, tuple) else steered\n\n\n\
         model.model.layers[{}].register_forward_hook(steer)\n```",
        steering.alpha, steering.layer
    )
}

/// Rows of the table that come from the spec alone.
fn settings(spec: &FinetuneSpec, total: u64) -> Vec<(String, String)> {
    let word = |value: Value| value.as_str().unwrap_or_default().to_string();
    let (optimizer, schedule, batch) = (&spec.optimizer, &spec.schedule, &spec.batch);
    let rows = [
        ("steps", format!("{total}")),
        (
            "batch",
            format!(
                "{} examples a step ({} x {}), at most {} tokens each",
                batch.examples_per_step(),
                batch.micro_batch,
                batch.gradient_accumulation,
                batch.max_tokens
            ),
        ),
        (
            "learning rate",
            format!(
                "{}, {} schedule, {} warm-up steps",
                optimizer.learning_rate,
                word(json!(schedule.name)),
                schedule.warmup_steps
            ),
        ),
        (
            "optimizer",
            format!(
                "{}, beta {} and {}, epsilon {:e}, weight decay {}, gradients clipped at {}",
                word(json!(optimizer.name)),
                optimizer.beta1,
                optimizer.beta2,
                optimizer.epsilon,
                optimizer.weight_decay,
                optimizer
                    .max_grad_norm
                    .map_or("nothing".into(), |norm| norm.to_string())
            ),
        ),
        ("loss on", word(json!(spec.loss.on))),
        ("seed", spec.seed.to_string()),
    ];
    rows.map(|(name, value)| (name.to_string(), value)).to_vec()
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}
