//! The body of `POST /v1/runs/import`, which is that of a fine-tune whose steps were made elsewhere.

use serde_json::{Map, Value};

use super::bounds::Check;
use super::fields::Fields;
use crate::domain::base_model::{self, Source};
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::published_run::{ImportSpec, OnBroken, Origin};

/// Whether the body of a fine-tune is that of an import.
pub fn is_import(body: &Map<String, Value>) -> bool {
    body.contains_key("origin")
}

/// The spec that `body` describes, without its kind and its envelope.
pub fn read(body: Map<String, Value>) -> Checked<ImportSpec> {
    let mut fields = Fields::new("", body);
    let base_model = fields.required::<String>("base_model", "give the id or name of a base model");
    let source =
        fields.required_value("source", "give {\"path\":\"/…\"} or {\"hub\":\"org/name\"}");
    let source = source.and_then(|value| fields.note(read_source(value)));
    let origin = fields.or("origin", Origin::Imported);
    let on_broken = fields.or("on_broken", OnBroken::Fail);
    let spec = (|| {
        Some(ImportSpec {
            origin: origin?,
            base_model: base_model?,
            source: source?,
            on_broken: on_broken?,
        })
    })();
    let spec = fields.finish(spec)?;
    let mut findings = Findings::default();
    Check::below(&mut findings, "").reference("base_model", &spec.base_model, "bm_");
    findings.finish()?;
    Ok(spec)
}

fn read_source(value: Value) -> Checked<Value> {
    let source = base_model::source("/source", value)?;
    match source {
        Source::Path(_) | Source::Hub(_) => Ok(base_model::stored(&source)),
        Source::Job(_) | Source::Random(_) => {
            let error = FieldError::at("/source", "a run is not imported from there");
            Err(error
                .hint("give {\"path\":\"/…\"} or {\"hub\":\"org/name\"}")
                .into())
        }
    }
}
