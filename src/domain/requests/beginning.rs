//! Whether what a fine-tune begins with fits its method, as far as that is known before any file is read.

use super::fit::{Adapters, BaseFacts, Jobs};
use crate::domain::address::Trained;
use crate::domain::assets::WeightsKind;
use crate::domain::finetune::{FinetuneSpec, Method};
use crate::domain::invalid::{Checked, FieldError};
use crate::domain::metric::NormModule;
use crate::domain::modules::{difference, kind, of_method};

const PLACE: &str = "/method/init_adapter";

/// Checks kind, modules, ranks and scalings of `start` against the method; what cannot be told here is left to the run.
pub fn fits(
    spec: &FinetuneSpec,
    base: &BaseFacts,
    start: &Trained,
    (jobs, adapters): (&Jobs, &Adapters),
) -> Checked<()> {
    let wanted = of_method(&spec.method, base.layers.unwrap_or(0));
    match start {
        Trained::Adapter(name) => match adapters.get(name) {
            None => Ok(()),
            Some(found) => {
                kinds(spec, kind(&found.modules), name)?;
                modules(wanted.as_deref(), Some(&found.modules), name, base)
            }
        },
        Trained::Job { job, .. } => match jobs.get(job).and_then(|job| job.method.as_ref()) {
            None => Ok(()),
            Some(method) => {
                kinds(spec, kind_of(method), job.as_str())?;
                let found = of_method(method, base.layers.unwrap_or(0));
                modules(wanted.as_deref(), found.as_deref(), job.as_str(), base)
            }
        },
    }
}

fn kind_of(method: &Method) -> WeightsKind {
    match method {
        Method::Lora(_) => WeightsKind::Lora,
        Method::Full(_) => WeightsKind::Full,
        Method::SteeringVector(_) => WeightsKind::SteeringVector,
    }
}

fn kinds(spec: &FinetuneSpec, found: WeightsKind, name: &str) -> Checked<()> {
    let wanted = kind_of(&spec.method);
    if wanted == found {
        return Ok(());
    }
    let detail = format!("{name} holds {}, not {}", found.shown(), wanted.shown());
    let hint = match found {
        WeightsKind::Full => "register it as a base model and train from that",
        _ => "name something that the same method trained, or null",
    };
    Err(FieldError::at(PLACE, detail).hint(hint).into())
}

fn modules(
    wanted: Option<&[NormModule]>,
    found: Option<&[NormModule]>,
    name: &str,
    base: &BaseFacts,
) -> Checked<()> {
    // Without the number of layers "all layers" means nothing yet.
    let (Some(wanted), Some(found), Some(_)) = (wanted, found, base.layers) else {
        return Ok(());
    };
    match difference(wanted, &found.iter().collect::<Vec<_>>()) {
        None => Ok(()),
        Some(detail) => {
            let hint = "give the method that it was trained with, or null";
            Err(FieldError::at(PLACE, format!("{name} {detail}"))
                .hint(hint)
                .into())
        }
    }
}
