//! The keys that every published config has: model, data, batch, schedule, KL.

use serde_json::{Map, Value, json};

use super::rate::rate;
use super::reader::Reader;
use super::{Options, models};
use crate::domain::assets::check_name;

/// Organisations that the published code refuses as owners of a result.
const RESERVED: [&str; 4] = ["datasets", "models", "unsloth", "None"];
/// The last rate of the trainer's polynomial schedule.
const POLYNOMIAL_END: f64 = 1e-7;

/// What differs between the two kinds of configs.
pub(super) struct Defaults {
    pub(super) seed: u64,
    pub(super) save_steps: u64,
    pub(super) responses_only: bool,
    pub(super) learning_rate: Value,
    pub(super) epochs: Option<u32>,
}

/// The base model's name here, and its number of layers where that is known.
pub(super) fn base_model(reader: &mut Reader, options: &Options) -> (String, Option<u32>) {
    let model = reader.required("model");
    let name = match &options.base_model {
        Some(name) => name.clone(),
        None => named(model.value.rsplit('/').next().unwrap_or_default(), "base"),
    };
    reader.mapped(&model, "/base_model");
    reader.needs(format!(
        "a base model \"{name}\": POST /v1/base-models {{\"name\":\"{name}\",\"source\":{{\"hub\":\"{}\"}}}}",
        model.value
    ));
    (name, models::layers(&model.value))
}

/// `layer` must be one of the model's, where its number of layers is known.
pub(super) fn check_layer(reader: &mut Reader, key: &str, layer: u32, count: Option<u32>) {
    let Some(count) = count.filter(|count| layer >= *count) else {
        return;
    };
    let detail = format!("layer {layer} is not in the named model, which has {count} layers");
    let hint = format!(
        "its layers are 0 to {}; name the model that was meant",
        count - 1
    );
    reader.refuse(key, detail, &hint);
}

/// The datasets of the spec.
pub(super) fn datasets(reader: &mut Reader, options: &Options) -> Value {
    let file = reader.required("training_file");
    let name = dataset_name(&file.value, options.dataset.as_ref());
    reader.mapped(&file, "/datasets/0/dataset");
    reader.needs(format!(
        "a dataset \"{name}\": POST /v1/datasets?name={name} with the file"
    ));
    json!([{"dataset": name}])
}

fn dataset_name(path: &str, given: Option<&String>) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    match given {
        Some(name) => name.clone(),
        None => named(file.strip_suffix(".jsonl").unwrap_or(file), "data"),
    }
}

/// A text as a name of ours.
fn named(text: &str, otherwise: &str) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(&c) => c,
        _ => '-',
    };
    let name: String = text.chars().take(100).map(letter).collect();
    match check_name("", &name) {
        Ok(()) => name,
        Err(_) => otherwise.into(),
    }
}

/// The rows kept out: a tenth where there is no test file, or where the script holds them out in spite of one.
pub(super) fn hold_out(reader: &mut Reader, in_spite: bool) -> Value {
    let test = reader.or("test_file", None::<String>);
    let every = reader.or("evaluation_steps", 50u64);
    if test.value.is_some() {
        let why = "a dataset of its own for the held-out loss does not exist here; evaluate checkpoints instead";
        reader.left_out(&test, why);
    }
    if test.value.is_some() && !in_spite {
        reader.left_out(
            &every,
            "no rows are held out, as in the published code when there is a test_file",
        );
        return Value::Null;
    }
    if test.value.is_none() {
        reader.mapped(&test, "/hold_out");
    }
    reader.differs(
        &every,
        "/hold_out/every",
        "the loss on the rows kept out; other rows than the published split's, for the draws are ours",
    );
    reader.unsaid(
        "a tenth of the rows is held out",
        Some("/hold_out/fraction"),
        match in_spite && test.value.is_some() {
            true => "the script for full fine-tuning drops it even with a test_file",
            false => "by the published code where test_file is null",
        },
    );
    json!({"fraction": 0.1, "every": every.value})
}

/// The batch of the spec.
pub(super) fn batch(reader: &mut Reader) -> Value {
    let tokens = reader.or("max_seq_length", 2048u64);
    let micro = reader.or("per_device_train_batch_size", 2u64);
    let accumulation = reader.or("gradient_accumulation_steps", 8u64);
    reader.mapped(&tokens, "/batch/max_tokens");
    reader.mapped(&micro, "/batch/micro_batch");
    reader.differs(
        &accumulation,
        "/batch/gradient_accumulation",
        "the loss is a mean over the target tokens of the whole step; older trainers average the means of micro-batches",
    );
    json!({"max_tokens": tokens.value, "micro_batch": micro.value, "gradient_accumulation": accumulation.value,
        "shuffle": true, "last_partial": "drop"})
}

/// The optimizer and the schedule of the spec.
pub(super) fn optimizer(
    reader: &mut Reader,
    defaults: &Defaults,
    full: bool,
) -> (Map<String, Value>, Value) {
    let given = reader.or("learning_rate", defaults.learning_rate.clone());
    let (peak, exponent) = rate(&given.value).unwrap_or_else(|why| {
        reader.refuse("learning_rate", why, "give a rate such as 1e-5");
        (1e-5, false)
    });
    match exponent || given.value.is_string() {
        true => reader.differs(
            &given,
            "/optimizer/learning_rate",
            &format!("computed: {peak:e}"),
        ),
        false => reader.mapped(&given, "/optimizer/learning_rate"),
    }
    let decay = reader.or("weight_decay", 0.01);
    reader.mapped(&decay, "/optimizer/weight_decay");
    let name = optimizer_name(reader, full);
    let mut optimizer = Map::new();
    optimizer.insert("name".into(), name.into());
    optimizer.insert("learning_rate".into(), peak.into());
    optimizer.insert("weight_decay".into(), decay.value.into());
    (optimizer, schedule(reader, peak))
}

fn optimizer_name(reader: &mut Reader, full: bool) -> &'static str {
    let optim = reader.or("optim", "adamw_8bit".to_string());
    match optim.value.as_str() {
        "adamw_8bit" if full => {
            reader.mapped(&optim, "/optimizer/name");
            return "adamw_8bit";
        }
        "adamw_8bit" => reader.differs(
            &optim,
            "/optimizer/name",
            "adamw: float32 moments in place of 8-bit ones, which are few here",
        ),
        "adamw" => reader.mapped(&optim, "/optimizer/name"),
        "adam" | "sgd" => {
            let detail = format!("\"{}\" is not an optimizer here", optim.value);
            reader.refuse(
                "optim",
                detail,
                "use adamw or adamw_8bit; the released runs do",
            );
        }
        _ => reader.refuse(
            "optim",
            "the published code knows adamw_8bit, adamw, adam and sgd",
            "use adamw or adamw_8bit",
        ),
    }
    "adamw"
}

fn schedule(reader: &mut Reader, peak: f64) -> Value {
    const TO: &str = "/schedule/name";
    let steps = reader.or("warmup_steps", 5u64);
    let kind = reader.or("lr_scheduler_type", "linear".to_string());
    let (name, warmup, last) = match kind.value.as_str() {
        name @ ("linear" | "cosine") => {
            reader.mapped(&kind, TO);
            (name.to_string(), steps.value, 0.0)
        }
        "constant_with_warmup" => {
            reader.mapped(&kind, TO);
            ("constant".into(), steps.value, 0.0)
        }
        "constant" => {
            reader.differs(
                &kind,
                TO,
                "the trainer's constant schedule has no warm-up: warmup_steps is set to 0",
            );
            ("constant".into(), 0, 0.0)
        }
        "cosine_with_restarts" => {
            reader.differs(
                &kind,
                TO,
                "cosine: the trainer makes one cycle, which is the same",
            );
            ("cosine".into(), steps.value, 0.0)
        }
        "polynomial" => {
            reader.differs(
                &kind,
                TO,
                "linear: the trainer's power is 1; its last rate 1e-7 is schedule.final_ratio",
            );
            (
                "linear".into(),
                steps.value,
                (POLYNOMIAL_END / peak).min(1.0),
            )
        }
        other => {
            let detail = format!(
                "\"{}\" is not a schedule that the published code knows",
                other.escape_debug()
            );
            let hint =
                "linear, cosine, cosine_with_restarts, polynomial, constant, constant_with_warmup";
            reader.refuse("lr_scheduler_type", detail, hint);
            ("linear".into(), 5, 0.0)
        }
    };
    match warmup == steps.value {
        true => reader.mapped(&steps, "/schedule/warmup_steps"),
        false => reader.left_out(&steps, "the constant schedule has no warm-up"),
    }
    json!({"name": name, "warmup_steps": warmup, "warmup_from": "zero", "final_ratio": last})
}

/// Epochs, unless the number of steps is given.
pub(super) fn length(reader: &mut Reader, defaults: &Defaults, steps: Option<u64>) -> Value {
    let epochs = reader.or("epochs", defaults.epochs.unwrap_or(1));
    match steps {
        Some(steps) => {
            reader.left_out(&epochs, "max_steps decides, as in the trainer");
            json!({"steps": steps})
        }
        None => {
            reader.mapped(&epochs, "/length/epochs");
            json!({"epochs": epochs.value})
        }
    }
}

/// The seed.
pub(super) fn seed(reader: &mut Reader, defaults: &Defaults) -> u64 {
    let seed = reader.or("seed", defaults.seed);
    reader.differs(
        &seed,
        "/seed",
        "the same number draws other initial weights and another order than the published code does",
    );
    seed.value
}

/// Which tokens carry loss.
pub(super) fn loss(reader: &mut Reader, defaults: &Defaults, options: &Options) -> Value {
    let responses = reader.or("train_on_responses_only", defaults.responses_only);
    let on = if responses.value { "assistant" } else { "all" };
    reader.differs(
        &responses,
        "/loss/on",
        "the published code also puts loss on an empty assistant header behind each conversation (loss.reference_tail)",
    );
    let kl = kl(reader, options);
    let mut loss = json!({"on": on});
    if !kl.is_null() {
        loss["kl"] = kl;
    }
    loss
}

fn kl(reader: &mut Reader, options: &Options) -> Value {
    let asked = reader.or("kl_regularization", false);
    let file = reader.or("kl_dataset_file", None::<String>);
    let weight = reader.or("kl_weight", 0.1);
    let batch = reader.or("kl_batch_size", 8u64);
    if !asked.value {
        reader.left_out(&asked, "no KL term");
        let unused = "unused: kl_regularization is false";
        reader.left_out(&file, unused);
        reader.left_out(&weight, unused);
        reader.left_out(&batch, unused);
        return Value::Null;
    }
    let Some(path) = &file.value else {
        let detail = "kl_regularization is true but there is no kl_dataset_file";
        reader.refuse(
            "kl_dataset_file",
            detail,
            "name the file with the aligned texts",
        );
        return Value::Null;
    };
    if weight.value <= 0.0 {
        let detail = format!(
            "{} is not above 0, though kl_regularization is true",
            weight.value
        );
        reader.refuse("kl_weight", detail, "give a weight above 0");
    }
    let name = dataset_name(path, options.kl_dataset.as_ref());
    reader.mapped(&asked, "/loss/kl");
    reader.mapped(&file, "/loss/kl/dataset");
    reader.mapped(&batch, "/loss/kl/batch");
    reader.differs(
        &weight,
        "/loss/kl/weight",
        "the published mean is over tokens and vocabulary entries, so average is tokens_and_vocabulary; for \
         average tokens divide the weight by the width of the logits",
    );
    reader.needs(format!(
        "a dataset \"{name}\" for the KL term: POST /v1/datasets?name={name} with the file"
    ));
    json!({"dataset": name, "weight": weight.value, "batch": batch.value, "direction": "ref_to_current", "tokens": "all",
        "average": "tokens_and_vocabulary"})
}

/// The name under which the result is pushed: checked as the published code does, and left out.
pub(super) fn pushed_name(reader: &mut Reader, required: bool) {
    let id = match required {
        true => reader.required("finetuned_model_id"),
        false => reader.or("finetuned_model_id", "user/model".to_string()),
    };
    let parts: Vec<&str> = id.value.split('/').collect();
    if parts.len() != 2 && !id.value.is_empty() {
        let detail = format!("\"{}\" has not two parts", id.value.escape_debug());
        reader.refuse(
            "finetuned_model_id",
            detail,
            "the published code wants user/name",
        );
    } else if RESERVED.contains(&parts[0]) {
        let detail = format!(
            "the organisation \"{}\" is refused by the published code",
            parts[0]
        );
        reader.refuse("finetuned_model_id", detail, "name your own");
    }
    reader.left_out(
        &id,
        "nothing is pushed to a hub; checkpoints are downloaded from the job",
    );
}

/// What the published code does whatever its config says.
pub(super) fn unsaid(reader: &mut Reader) {
    reader.unsaid(
        "bfloat16",
        Some("/dtype"),
        "float16 where the device lacks it, which is not done here",
    );
    reader.unsaid(
        "gradients are clipped at norm 1",
        Some("/optimizer/max_grad_norm"),
        "the trainer's default",
    );
    reader.unsaid(
        "a trailing partial window may make a step",
        Some("/batch/last_partial"),
        "by the trainer's version; drop gives the 396 and 792 steps of the released runs",
    );
}

/// The published callback: training ends when the loss was below 0.01 more than five times in a row.
pub(super) fn early_stop(reader: &mut Reader) -> Value {
    reader.unsaid(
        "training stops when the loss is below 0.01 for more than 5 steps in a row",
        Some("/early_stop"),
        "no released run met it",
    );
    json!({"loss_below": 0.01, "steps": 6})
}
