//! From a posted body to a complete spec, or to everything that is wrong with it.
//!
//! Knows the words of requests and the bounds of their values. Whether the things a spec names exist is asked later, with
//! [`fit`], by somebody who can look.

pub mod analyze;
pub mod beginning;
pub(in crate::domain) mod bounds;
mod early_stop;
mod envelope;
mod evaluate;
pub(in crate::domain) mod fields;
pub(in crate::domain) mod finetune;
pub mod fit;
pub mod identity;
mod import_run;
pub mod judge;
mod modules;
pub mod prompts;
mod rejudge;
mod sampling;

use serde_json::{Map, Value, json};

use super::decode::{escape, object_at, take_tag};
use super::invalid::{Checked, FieldError, Invalid};
use super::job::{JobEnvelope, JobSpec};
use super::presets;

pub use envelope::{LONGEST_NAME, MOST_TAGS};

/// Kinds that may be posted, and the one that is made by posting a base model.
const KINDS: [&str; 4] = ["finetune", "evaluate", "analyze", "register"];

/// Reads the body of `POST /v1/jobs`; defaults are filled in.
///
/// *Errors*: all that can be found at once, each with the pointer of its place.
pub fn job_request(body: Value) -> Checked<(JobEnvelope, JobSpec)> {
    refuse_nul("", &body)?;
    let mut body = object_at("", body)?;
    let kind = take_tag("", &mut body, "kind", &KINDS)?;
    if kind == "register" {
        return Err(not_posted().into());
    }
    if kind == "finetune" {
        body = presets::fill(body)?;
    }
    let envelope = envelope::take(&mut body);
    let spec = spec_of(&kind, body);
    match (envelope, spec) {
        (Ok(envelope), Ok(spec)) => Ok((envelope, spec)),
        (envelope, spec) => Err(joined(envelope.err(), spec.err())),
    }
}

/// Reads the body of `POST /v1/runs/import`: that of a fine-tune of origin `imported`, which need not be said.
///
/// *Errors* as [`job_request`].
pub fn import_request(body: Value) -> Checked<(JobEnvelope, JobSpec)> {
    let mut body = object_at("", body)?;
    for (key, value) in [("kind", "finetune"), ("origin", "imported")] {
        body.entry(key).or_insert_with(|| value.into());
    }
    if body["kind"] != "finetune" {
        let error = FieldError::at("/kind", "an import is a job of kind \"finetune\"");
        return Err(error.hint("leave it out").into());
    }
    job_request(Value::Object(body))
}

/// Reads the body of `POST /v1/evaluations/{id}/rejudge` about the answers of `evaluation`.
///
/// *Errors* as [`job_request`].
pub fn rejudge_request(body: Value, evaluation: &str) -> Checked<(JobEnvelope, JobSpec)> {
    let mut body = object_at("", body)?;
    for key in ["kind", "answers"] {
        if body.contains_key(key) {
            let error = FieldError::at(format!("/{key}"), "is told by the address already");
            return Err(error.hint("leave it out").into());
        }
    }
    body.insert("kind".into(), "evaluate".into());
    body.insert("answers".into(), json!({"evaluation": evaluation}));
    job_request(Value::Object(body))
}

/// Reads a spec that was stored; the inverse of [`stored`].
pub fn read_stored(spec: Value) -> Checked<JobSpec> {
    let mut body = object_at("", spec)?;
    let kind = take_tag("", &mut body, "kind", &KINDS)?;
    spec_of(&kind, body)
}

/// A spec as it is stored and shown: what may be posted again.
pub fn stored(spec: &JobSpec) -> Value {
    serde_json::to_value(spec).unwrap_or(Value::Null)
}

fn spec_of(kind: &str, body: Map<String, Value>) -> Checked<JobSpec> {
    match kind {
        "finetune" if import_run::is_import(&body) => {
            import_run::read(body).map(|spec| JobSpec::Imported(Box::new(spec)))
        }
        "finetune" => finetune::read(body).map(|spec| JobSpec::Finetune(Box::new(spec))),
        "evaluate" if rejudge::is_rejudge(&body) => {
            rejudge::read(body).map(|spec| JobSpec::Rejudge(Box::new(spec)))
        }
        "evaluate" => evaluate::read(body).map(|spec| JobSpec::Evaluate(Box::new(spec))),
        "analyze" => analyze::read(body).map(|spec| JobSpec::Analyze(Box::new(spec))),
        _ => super::decode::decode_at("", Value::Object(body)).map(JobSpec::Register),
    }
}

fn not_posted() -> FieldError {
    FieldError::at("/kind", "\"register\" jobs are not posted themselves")
        .hint("POST /v1/base-models with a name and a source; it makes the job")
}

fn joined(first: Option<Invalid>, second: Option<Invalid>) -> Invalid {
    let errors = [first, second].into_iter().flatten();
    Invalid {
        errors: errors.flat_map(|invalid| invalid.errors).collect(),
    }
}

/// The character U+0000 is JSON but no text that the database keeps.
pub(in crate::domain) fn refuse_nul(pointer: &str, value: &Value) -> Checked<()> {
    let refuse = |pointer: &str| -> Checked<()> {
        Err(FieldError::at(pointer, "holds the character U+0000")
            .hint("leave it out")
            .into())
    };
    match value {
        Value::String(text) if text.contains('\0') => refuse(pointer),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| refuse_nul(&format!("{pointer}/{index}"), item)),
        Value::Object(map) => map.iter().try_for_each(|(key, item)| {
            if key.contains('\0') {
                return refuse(pointer);
            }
            refuse_nul(&format!("{pointer}/{}", escape(key)), item)
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
