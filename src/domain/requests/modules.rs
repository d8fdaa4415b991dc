//! The names of modules in the method of a fine-tune: what is none is refused with the nearest that are.

use serde_json::{Map, Value};

use super::bounds::Check;
use crate::domain::finetune::Projection;
use crate::domain::invalid::{Checked, FieldError, Findings};
use crate::domain::nearest::did_you_mean;

/// What may stand before `layers` in the name of a module.
const ROOTS: [&str; 3] = ["", "model", "model.language_model"];

/// Refuses every entry of `target_modules` that is text but no projection; what is no text is the decoder's to refuse.
pub fn check_targets(method: &Map<String, Value>) -> Checked<()> {
    let mut findings = Findings::default();
    let Some(Value::Array(targets)) = method.get("target_modules") else {
        return Ok(());
    };
    // A longer list is refused for its length.
    for (index, target) in targets.iter().enumerate().take(100) {
        let Some(name) = target.as_str() else {
            continue;
        };
        findings.require(names().any(|known| known == name), || {
            let place = format!("/method/target_modules/{index}");
            let detail = format!("there is no projection \"{}\"", shown(name));
            FieldError::at(place, detail).hint(did_you_mean(name, names(), "the projections"))
        });
    }
    findings.finish()
}

/// Refuses a pattern that is neither the name of a module nor the end of one behind a dot; regular expressions are not
/// read. Whether the model has the layer is asked later.
pub fn check_pattern(method: &mut Check<'_>, key: &str, pattern: &str) {
    if is_end_of_a_module(pattern) {
        return;
    }
    let last = pattern.rsplit('.').next().unwrap_or_default();
    let near = match Projection::ALL.iter().find(|one| one.name() == last) {
        Some(known) => format!("did you mean {}.{last}?", known.parent()),
        None => did_you_mean(last, names(), "the projections"),
    };
    let wanted = format!(
        "{near} Name a module or the end of its name, such as layers.21.mlp.down_proj or down_proj"
    );
    method.refuse(key, format!("\"{}\"", shown(pattern)), &wanted);
}

/// Whether some layer of some model has a module whose name ends so.
fn is_end_of_a_module(pattern: &str) -> bool {
    let mut parts = pattern.split('.').rev();
    let last = parts.next().unwrap_or_default();
    let Some(projection) = Projection::ALL.iter().find(|one| one.name() == last) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts
        .next()
        .is_none_or(|parent| parent == projection.parent())
        && parts.next().is_none_or(digits)
        && parts.next().is_none_or(|layers| layers == "layers")
        && {
            let before: Vec<&str> = parts.collect();
            let before: Vec<&str> = before.into_iter().rev().collect();
            let before = before.join(".");
            ROOTS
                .iter()
                .any(|root| before == *root || root.ends_with(&format!(".{before}")))
        }
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    Projection::ALL.into_iter().map(Projection::name)
}

fn shown(name: &str) -> String {
    let start: String = name.chars().take(100).collect();
    start.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_end_of_a_modules_name_behind_a_dot() {
        for (pattern, holds) in [
            ("down_proj", true),
            ("mlp.down_proj", true),
            ("21.mlp.down_proj", true),
            ("layers.21.mlp.down_proj", true),
            ("model.layers.21.mlp.down_proj", true),
            ("model.language_model.layers.0.self_attn.q_proj", true),
            ("language_model.layers.0.self_attn.q_proj", true),
            ("self_attn.down_proj", false),
            ("layer.21.mlp.down_proj", false),
            ("layers.x.mlp.down_proj", false),
            ("base_model.model.model.layers.1.mlp.down_proj", false),
            ("own_proj", false),
            (".*down_proj", false),
            ("", false),
        ] {
            assert_eq!(is_end_of_a_module(pattern), holds, "{pattern}");
        }
    }
}
