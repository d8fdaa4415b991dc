//! Configs of supervised fine-tuning: low-rank pairs or all weights.

use serde_json::{Map, Value, json};

use super::Options;
use super::reader::Reader;
use super::shared::{self, Defaults};
use crate::domain::finetune::Projection;
use crate::domain::nearest::did_you_mean;

/// Keys that speak of pairs.
const OF_PAIRS: [&str; 8] = [
    "r",
    "lora_alpha",
    "lora_dropout",
    "use_rslora",
    "target_modules",
    "layers_to_transform",
    "adapter_to_load",
    "lora_bias",
];

/// The spec, complete unless the reader refused something.
pub(super) fn read(reader: &mut Reader, options: &Options) -> Value {
    let defaults = Defaults {
        seed: 3407,
        save_steps: 5000,
        responses_only: false,
        learning_rate: json!(1e-4),
        epochs: None,
    };
    let (base_model, layers) = shared::base_model(reader, options);
    refuse_other_losses(reader);
    let full = is_full(reader, options);
    let method = match full {
        true => all_weights(reader, options),
        false => pairs(reader, layers),
    };
    pushing(reader, full);
    let (optimizer, schedule) = shared::optimizer(reader, &defaults, full);
    let steps = steps(reader);
    let thinking = reader.or("enable_thinking", None::<bool>);
    reader.mapped(&thinking, "/chat/enable_thinking");
    let spec = json!({
        "kind": "finetune",
        "base_model": base_model,
        "datasets": shared::datasets(reader, options),
        "method": method,
        "chat": {"system": "template_default", "enable_thinking": thinking.value},
        "loss": shared::loss(reader, &defaults, options),
        "optimizer": optimizer,
        "schedule": schedule,
        "batch": shared::batch(reader),
        "length": shared::length(reader, &defaults, steps),
        "hold_out": shared::hold_out(reader, full),
        "checkpoints": checkpoints(reader, &defaults, full),
        "early_stop": shared::early_stop(reader),
        "dtype": "bfloat16",
        "seed": shared::seed(reader, &defaults),
    });
    reader.leave_out(&[
        ("output_dir", "checkpoints lie in the server's store"),
        (
            "logging_steps",
            "every step is recorded, as the published trainer does whatever the key says",
        ),
        ("beta", "of preference losses only"),
    ]);
    shared::unsaid(reader);
    spec
}

fn refuse_other_losses(reader: &mut Reader) {
    let loss = reader.required("loss");
    match loss.value.as_str() {
        "sft" => reader.mapped(&loss, "/loss"),
        "" => {}
        name @ ("dpo" | "orpo") => {
            let detail = format!("the preference loss \"{name}\" is not trained here");
            reader.refuse("loss", detail, "only \"sft\" is");
        }
        other => {
            let detail = format!(
                "\"{}\" is no loss of the published code",
                other.escape_debug()
            );
            reader.refuse(
                "loss",
                detail,
                "sft, dpo or orpo; only \"sft\" is trained here",
            );
        }
    }
    let four = reader.or("load_in_4bit", false);
    if four.value {
        let hint = "set it to false; the released runs do";
        reader.refuse("load_in_4bit", "a base in 4 bits is not supported", hint);
    }
    reader.left_out(&four, "the base is always in its own number type");
}

/// Whether all weights are trained: by option, by `is_peft`, or because nothing speaks of pairs.
fn is_full(reader: &mut Reader, options: &Options) -> bool {
    let said = reader.has("is_peft");
    let peft = reader.or("is_peft", true);
    let speaks = OF_PAIRS.iter().any(|key| reader.has(key));
    if options.full {
        reader.left_out(&peft, "the script for full fine-tuning sets it to false");
        return true;
    }
    if said {
        reader.mapped(&peft, "/method/type");
        return !peft.value;
    }
    let full = !speaks;
    let detail = match full {
        true => {
            "no key speaks of pairs, so the file is read as the script for full fine-tuning reads it"
        }
        false => "pairs: the published code's default",
    };
    reader.differs(&peft, "/method/type", detail);
    full
}

fn all_weights(reader: &mut Reader, options: &Options) -> Value {
    for key in OF_PAIRS {
        if !reader.has(key) {
            continue;
        }
        let read = reader.or(key, Value::Null);
        let at_rest = read.value.is_null() || (key == "lora_bias" && read.value == "none");
        if options.full || at_rest {
            reader.left_out(&read, "all weights are trained; there are no pairs");
        } else {
            let detail = format!(
                "{key} is given, but is_peft is false: all weights are trained and there are no pairs"
            );
            reader.refuse(
                key,
                detail,
                "leave it out, or set is_peft to true; --full reads the file for full training",
            );
        }
    }
    json!({"type": "full"})
}

fn pairs(reader: &mut Reader, layers: Option<u32>) -> Value {
    let mut method = Map::new();
    method.insert("type".into(), "lora".into());
    let rank = reader.or("r", 16u64);
    let alpha = reader.or("lora_alpha", 16.0);
    let dropout = reader.or("lora_dropout", 0.0);
    let stable = reader.or("use_rslora", true);
    reader.mapped(&rank, "/method/rank");
    reader.mapped(&alpha, "/method/alpha");
    reader.mapped(&dropout, "/method/dropout");
    reader.mapped(&stable, "/method/rslora");
    if alpha.value == 0.0 {
        reader.refuse(
            "lora_alpha",
            "alpha 0 makes every pair nothing",
            "give a number above 0",
        );
    }
    method.insert("rank".into(), rank.value.into());
    method.insert("alpha".into(), alpha.value.into());
    method.insert("dropout".into(), dropout.value.into());
    method.insert("rslora".into(), stable.value.into());
    method.insert("target_modules".into(), targets(reader));
    method.insert("layers".into(), chosen_layers(reader, layers));
    bias(reader);
    if let Some(start) = start(reader) {
        method.insert("init_adapter".into(), start.into());
    }
    Value::Object(method)
}

fn targets(reader: &mut Reader) -> Value {
    let names = || Projection::ALL.into_iter().map(Projection::name);
    let read = reader.or(
        "target_modules",
        Some(names().map(str::to_string).collect::<Vec<_>>()),
    );
    let given: Vec<String> = match &read.value {
        Some(given) => {
            reader.mapped(&read, "/method/target_modules");
            given.clone()
        }
        None => {
            reader.differs(
                &read,
                "/method/target_modules",
                "null: all seven projections",
            );
            names().map(str::to_string).collect()
        }
    };
    for name in given
        .iter()
        .filter(|name| !names().any(|known| known == name.as_str()))
    {
        let detail = format!("there is no projection \"{}\"", name.escape_debug());
        let near = did_you_mean(name, names(), "the projections");
        reader.refuse("target_modules", detail, &near);
    }
    json!(given)
}

fn chosen_layers(reader: &mut Reader, count: Option<u32>) -> Value {
    let read = reader.or("layers_to_transform", None::<Vec<u32>>);
    for layer in read.value.iter().flatten() {
        shared::check_layer(reader, "layers_to_transform", *layer, count);
    }
    reader.mapped(&read, "/method/layers");
    json!(read.value)
}

fn bias(reader: &mut Reader) {
    let bias = reader.or("lora_bias", "none".to_string());
    if bias.value != "none" {
        let detail = format!(
            "\"{}\": biases are not trained here",
            bias.value.escape_debug()
        );
        reader.refuse("lora_bias", detail, "use \"none\"; the released runs do");
    }
    reader.left_out(&bias, "no bias is trained");
}

fn start(reader: &mut Reader) -> Option<String> {
    let read = reader.or("adapter_to_load", None::<String>);
    let Some(path) = read.value.clone() else {
        reader.left_out(&read, "training begins with fresh pairs");
        return None;
    };
    let name = path.rsplit('/').next().unwrap_or_default().to_string();
    reader.differs(
        &read,
        "/method/init_adapter",
        "the published code takes rank, alpha and targets from the adapter; here the method must have the adapter's own",
    );
    reader.needs(format!(
        "an adapter \"{name}\": POST /v1/adapters with the files of {path}"
    ));
    Some(name)
}

/// Merging and pushing have no equal, but must not contradict each other.
fn pushing(reader: &mut Reader, full: bool) {
    let merge = reader.or("merge_before_push", true);
    let only = reader.or("push_only_adapters", false);
    if merge.value && only.value && !full {
        let detail = "contradicts merge_before_push, which is true: behind the merge there are no pairs to push";
        let hint = "set one of the two to false; merge_before_push is true where it is not given";
        reader.refuse("push_only_adapters", detail, hint);
    }
    reader.left_out(
        &merge,
        "nothing is merged; a checkpoint is asked as base@job_…:step",
    );
    reader.left_out(&only, "nothing is pushed to a hub");
    shared::pushed_name(reader, true);
    reader.leave_out(&[("push_to_private", "nothing is pushed to a hub")]);
}

fn steps(reader: &mut Reader) -> Option<u64> {
    let read = reader.or("max_steps", None::<u64>);
    let steps = read.value.filter(|steps| *steps > 0);
    match steps {
        Some(_) => reader.mapped(&read, "/length/steps"),
        None => reader.left_out(&read, "epochs decide"),
    }
    steps
}

fn checkpoints(reader: &mut Reader, defaults: &Defaults, full: bool) -> Value {
    let every = reader.or("save_steps", defaults.save_steps);
    if full {
        reader.left_out(
            &every,
            "all weights are kept at listed steps only (checkpoints.at), and always at the last",
        );
        return json!({});
    }
    reader.differs(
        &every,
        "/checkpoints/every",
        "the last step is kept as well",
    );
    json!({"every": every.value})
}
