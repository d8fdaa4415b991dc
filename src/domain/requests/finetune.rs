//! The body of a fine-tune: decoding section by section, then the bounds of every value.

use serde_json::{Map, Value};

use super::bounds::{Check, LARGEST_SEED};
use super::early_stop;
use super::fields::{Fields, decode_object};
use super::modules::{check_pattern, check_targets};
use crate::domain::address::Trained;
use crate::domain::decode::{decode_at, escape, object_at, take_tag};
use crate::domain::finetune::{
    BatchSpec, ChatSpec, CheckpointSpec, Dtype, FinetuneSpec, HoldOut, KlSpec, Length, LoraMethod,
    LossSpec, Method, OptimizerSpec, ScheduleSpec,
};
use crate::domain::invalid::{Checked, FieldError, Findings};

/// Most datasets of one fine-tune.
const MOST_DATASETS: usize = 16;
/// Largest rank of an adapter.
const LARGEST_RANK: u64 = 4096;
/// Most passes over the data.
const MOST_EPOCHS: u64 = 100_000;
/// Most optimizer steps.
pub(super) const MOST_STEPS: u64 = 100_000_000;
/// Most examples of one step.
const MOST_EXAMPLES: u64 = 65_536;
/// Longest example.
const MOST_TOKENS: u64 = 1 << 20;
/// Longest system text, in bytes.
const LONGEST_SYSTEM: usize = 64 << 10;
/// Most resumable states of one run.
const MOST_STATES: u64 = 16;
/// Most steps that `checkpoints.at` may list.
const MOST_LISTED: usize = 10_000;

/// The spec that `body` describes, without its kind and its envelope.
pub fn read(body: Map<String, Value>) -> Checked<FinetuneSpec> {
    let mut fields = Fields::new("", body);
    let base_model = fields.required("base_model", "give the id or name of a base model");
    let datasets = fields.list(
        "datasets",
        "give a list such as [{\"dataset\":\"my-data\"}]",
        decode_object,
    );
    let method = fields.required_value(
        "method",
        "give {\"type\":\"lora\",…}, {\"type\":\"full\"} or {\"type\":\"steering_vector\",…}",
    );
    let method = method.and_then(|value| fields.note(read_method(value)));
    let chat = fields.section::<ChatSpec>("chat");
    let loss = fields.section::<LossSpec>("loss");
    let optimizer = fields.section::<OptimizerSpec>("optimizer");
    let schedule = fields.section::<ScheduleSpec>("schedule");
    let batch = fields.section::<BatchSpec>("batch");
    let length = fields.required_section("length", "give {\"epochs\":n} or {\"steps\":n}");
    let hold_out = fields.optional_section("hold_out");
    let early_stop = fields.optional_section("early_stop");
    let checkpoints = fields.section::<CheckpointSpec>("checkpoints");
    let dtype = fields.optional("dtype");
    let seed = fields.or("seed", 0);
    let spec = (|| {
        Some(FinetuneSpec {
            base_model: base_model?,
            datasets: datasets?,
            method: method?,
            chat: chat?,
            loss: loss?,
            optimizer: optimizer?,
            schedule: schedule?,
            batch: batch?,
            length: length?,
            hold_out: hold_out?,
            early_stop: early_stop?,
            checkpoints: checkpoints?,
            dtype: dtype?,
            seed: seed?,
        })
    })();
    let spec = fields.finish(spec)?;
    check(&spec)?;
    Ok(spec)
}

fn read_method(value: Value) -> Checked<Method> {
    let mut object = object_at("/method", value)?;
    let tags = ["lora", "full", "steering_vector"];
    let tag = take_tag("/method", &mut object, "type", &tags)?;
    match tag.as_str() {
        "lora" => {
            check_targets(&object)?;
            decode_at("/method", Value::Object(object)).map(Method::Lora)
        }
        "full" => decode_at("/method", Value::Object(object)).map(Method::Full),
        _ => decode_at("/method", Value::Object(object)).map(Method::SteeringVector),
    }
}

fn check(spec: &FinetuneSpec) -> Checked<()> {
    let mut findings = Findings::default();
    let mut top = Check::below(&mut findings, "");
    top.reference("base_model", &spec.base_model, "bm_");
    top.length("datasets", spec.datasets.len(), 1..=MOST_DATASETS);
    top.whole("seed", spec.seed, 0..=LARGEST_SEED);
    check_datasets(&mut findings, spec);
    match &spec.method {
        Method::Lora(lora) => check_lora(&mut findings, lora),
        Method::SteeringVector(steering) => {
            Check::below(&mut findings, "/method").positive("alpha", steering.alpha);
        }
        Method::Full(_) => {}
    }
    if let Some(start) = spec.method.init_adapter() {
        check_start(&mut findings, start);
    }
    check_chat(&mut findings, &spec.chat);
    check_loss(&mut findings, &spec.loss);
    check_optimizer(&mut findings, &spec.optimizer);
    check_gradients(&mut findings, spec);
    check_batch(&mut findings, &spec.batch);
    check_length(&mut findings, &spec.length);
    check_schedule(&mut findings, &spec.schedule, spec.length.steps);
    check_checkpoints(&mut findings, &spec.checkpoints, spec.length.steps);
    if matches!(spec.method, Method::Full(_)) {
        check_full_checkpoints(&mut findings, &spec.checkpoints);
    }
    if let Some(hold_out) = &spec.hold_out {
        check_hold_out(&mut findings, hold_out);
    }
    if let Some(rule) = &spec.early_stop {
        early_stop::check(&mut findings, rule, spec.hold_out.is_some());
    }
    findings.finish()
}

fn check_datasets(findings: &mut Findings, spec: &FinetuneSpec) {
    for (index, dataset) in spec.datasets.iter().enumerate() {
        let mut one = Check::below(findings, format!("/datasets/{index}"));
        one.reference("dataset", &dataset.dataset, "ds_");
        one.positive("weight", dataset.weight);
        one.positive("loss_weight", dataset.loss_weight);
    }
}

fn check_lora(findings: &mut Findings, lora: &LoraMethod) {
    let mut method = Check::below(findings, "/method");
    method.whole("rank", lora.rank, 1..=LARGEST_RANK);
    method.positive("alpha", lora.alpha);
    let share = |x: f64| (0.0..1.0).contains(&x);
    method.number("dropout", lora.dropout, share, "give 0 or more, below 1");
    method.length("target_modules", lora.target_modules.len(), 1..=7);
    method.unique("target_modules", &lora.target_modules, |projection| {
        format!("\"{}\"", projection.name())
    });
    if let Some(layers) = &lora.layers {
        method.length("layers", layers.len(), 1..=1024);
        method.unique("layers", layers, ToString::to_string);
    }
    check_patterns(&mut method, lora);
}

fn check_start(findings: &mut Findings, start: &str) {
    if start.parse::<Trained>().is_err() {
        let wanted =
            "give an adapter (ad_… or its name), a fine-tune's checkpoint (job_…:step400), or null";
        let found = format!("\"{}\"", start.escape_debug());
        Check::below(findings, "/method").refuse("init_adapter", found, wanted);
    }
}

fn check_patterns(method: &mut Check<'_>, lora: &LoraMethod) {
    method.length("rank_pattern", lora.rank_pattern.len(), 0..=1024);
    method.length("alpha_pattern", lora.alpha_pattern.len(), 0..=1024);
    for (name, rank) in &lora.rank_pattern {
        let key = format!("rank_pattern/{}", escape(name));
        method.whole(&key, *rank, 1..=LARGEST_RANK);
        check_pattern(method, &key, name);
    }
    for (name, alpha) in &lora.alpha_pattern {
        let key = format!("alpha_pattern/{}", escape(name));
        method.positive(&key, *alpha);
        check_pattern(method, &key, name);
    }
}

/// Checks how conversations become text; evaluations have the same settings.
pub fn check_chat(findings: &mut Findings, chat: &ChatSpec) {
    check_chat_at(findings, "/chat", chat);
}

/// The same with the pointer of the values.
pub fn check_chat_at(findings: &mut Findings, pointer: &str, chat: &ChatSpec) {
    let mut place = Check::below(findings, pointer);
    let named = matches!(chat.system.as_str(), "template_default" | "none");
    if !named && !chat.system.starts_with("text:") {
        let found = format!("\"{}\"", chat.system.escape_debug());
        let wanted = "give \"template_default\", \"none\", or \"text:\" with the text behind it";
        place.refuse("system", found, wanted);
    }
    if chat.system.len() > LONGEST_SYSTEM {
        let found = format!("a text of {} bytes", chat.system.len());
        let wanted = format!("give at most {LONGEST_SYSTEM} bytes");
        place.refuse("system", found, &wanted);
    }
    if let Some(date) = chat.date.as_deref().filter(|date| !is_date(date)) {
        let found = format!("\"{}\"", date.escape_debug());
        place.refuse("date", found, "give a day as YYYY-MM-DD, or null");
    }
}

fn is_date(text: &str) -> bool {
    let form = time::macros::format_description!("[year]-[month]-[day]");
    time::Date::parse(text, &form).is_ok()
}

fn check_loss(findings: &mut Findings, loss: &LossSpec) {
    let mut place = Check::below(findings, "/loss");
    if loss.reference_tail && !loss.end_of_turn {
        let wanted =
            "the reference code counts the end of every turn; give true, or no reference_tail";
        place.refuse("end_of_turn", "false beside reference_tail", wanted);
    }
    if let Some(kl) = &loss.kl {
        check_kl(findings, kl);
    }
}

fn check_kl(findings: &mut Findings, kl: &KlSpec) {
    findings.require(!kl.dataset.is_empty(), || {
        let hint = "name the dataset on which the model is held to its base, or leave loss.kl out";
        FieldError::at("/loss/kl/dataset", "a KL term without data").hint(hint)
    });
    let mut place = Check::below(findings, "/loss/kl");
    if !kl.dataset.is_empty() {
        place.reference("dataset", &kl.dataset, "ds_");
    }
    place.positive("weight", kl.weight);
    place.whole("batch", kl.batch, 1..=MOST_EXAMPLES);
}

fn check_optimizer(findings: &mut Findings, optimizer: &OptimizerSpec) {
    let mut place = Check::below(findings, "/optimizer");
    place.positive("learning_rate", optimizer.learning_rate);
    let decay = |x: f64| x >= 0.0;
    place.number(
        "weight_decay",
        optimizer.weight_decay,
        decay,
        "give 0 or more",
    );
    let below_one = |x: f64| (0.0..1.0).contains(&x);
    for (key, beta) in [("beta1", optimizer.beta1), ("beta2", optimizer.beta2)] {
        place.number(key, beta, below_one, "give 0 or more, below 1");
    }
    place.positive("epsilon", optimizer.epsilon);
    if let Some(norm) = optimizer.max_grad_norm {
        let wanted = "give a number above 0, or null for no clipping";
        place.number("max_grad_norm", norm, |x| x > 0.0, wanted);
    }
}

/// Only bfloat16 weights may have bfloat16 gradients; where the spec names no type, the base's own decides.
fn check_gradients(findings: &mut Findings, spec: &FinetuneSpec) {
    let asked = spec.optimizer.gradient_dtype == Some(Dtype::Bfloat16);
    let full = matches!(spec.method, Method::Full(_));
    if asked && (!full || spec.dtype != Some(Dtype::Bfloat16)) {
        let mut place = Check::below(findings, "/optimizer");
        let wanted =
            "leave it out, or train all weights (method.type \"full\") with dtype \"bfloat16\"";
        place.refuse("gradient_dtype", "\"bfloat16\"", wanted);
    }
}

fn check_schedule(findings: &mut Findings, schedule: &ScheduleSpec, steps: Option<u64>) {
    let mut place = Check::below(findings, "/schedule");
    let share = |x: f64| (0.0..=1.0).contains(&x);
    place.number(
        "final_ratio",
        schedule.final_ratio,
        share,
        "give a share from 0 to 1",
    );
    let most = steps.unwrap_or(MOST_STEPS);
    if schedule.warmup_steps > most {
        let wanted = format!("give at most {most}, the number of steps in all");
        place.refuse("warmup_steps", schedule.warmup_steps, &wanted);
    }
}

fn check_batch(findings: &mut Findings, batch: &BatchSpec) {
    let mut place = Check::below(findings, "/batch");
    place.whole("micro_batch", batch.micro_batch, 1..=1024);
    place.whole(
        "gradient_accumulation",
        batch.gradient_accumulation,
        1..=MOST_EXAMPLES,
    );
    if batch.examples_per_step() > MOST_EXAMPLES && batch.micro_batch <= 1024 {
        let found = format!("{} examples a step", batch.examples_per_step());
        let wanted = format!("micro_batch × gradient_accumulation is at most {MOST_EXAMPLES}");
        place.refuse("gradient_accumulation", found, &wanted);
    }
    place.whole("max_tokens", batch.max_tokens, 2..=MOST_TOKENS);
}

fn check_length(findings: &mut Findings, length: &Length) {
    let mut place = Check::below(findings, "/length");
    match (length.epochs, length.steps) {
        (Some(epochs), None) => place.whole("epochs", epochs, 1..=MOST_EPOCHS),
        (None, Some(steps)) => place.whole("steps", steps, 1..=MOST_STEPS),
        (both, _) => {
            let detail = match both {
                Some(_) => "both epochs and steps are given",
                None => "neither epochs nor steps is given",
            };
            let hint = "give exactly one: {\"epochs\":n} or {\"steps\":n}";
            findings.push(FieldError::at("/length", detail).hint(hint));
        }
    }
}

fn check_checkpoints(findings: &mut Findings, checkpoints: &CheckpointSpec, steps: Option<u64>) {
    let mut place = Check::below(findings, "/checkpoints");
    if let Some(every) = checkpoints.every {
        place.whole("every", every, 1..=MOST_STEPS);
    }
    place.length("at", checkpoints.at.len(), 0..=MOST_LISTED);
    let last = steps.unwrap_or(MOST_STEPS);
    for (index, step) in checkpoints.at.iter().enumerate() {
        place.whole(format_args!("at/{index}"), *step, 1..=last);
    }
    place.whole("states", checkpoints.states, 1..=MOST_STATES);
    if let Some(keep) = &checkpoints.keep {
        let mut place = Check::below(findings, "/checkpoints/keep");
        if let Some(last) = keep.last {
            place.whole("last", last, 1..=10_000);
        }
        if let Some(every) = keep.every {
            place.whole("every", every, 1..=MOST_STEPS);
        }
    }
}

/// Each checkpoint of a full fine-tune is a whole model, so their number must be told.
fn check_full_checkpoints(findings: &mut Findings, checkpoints: &CheckpointSpec) {
    let bounded = checkpoints
        .keep
        .as_ref()
        .is_some_and(|keep| keep.every.is_none());
    if let Some(every) = checkpoints.every.filter(|_| !bounded) {
        let detail = format!("{every} would keep a whole model every {every} steps");
        let hint = "list steps in checkpoints.at, or bound their number with checkpoints.keep such as {\"last\":2}";
        findings.push(FieldError::at("/checkpoints/every", detail).hint(hint));
    }
}

fn check_hold_out(findings: &mut Findings, hold_out: &HoldOut) {
    let mut place = Check::below(findings, "/hold_out");
    let share = |x: f64| x > 0.0 && x < 1.0;
    place.number(
        "fraction",
        hold_out.fraction,
        share,
        "give a share above 0 and below 1",
    );
    place.whole("every", hold_out.every, 1..=MOST_STEPS);
}
