//! Ranks against the matrices that they belong to: a pair wider than the smaller side of its matrix is a mistake.

use std::collections::BTreeSet;

use crate::domain::decode::escape;
use crate::domain::finetune::{LoraMethod, Projection};
use crate::domain::invalid::{FieldError, Findings};
use crate::domain::shapes::ProjectionShapes;

/// Notes every rank that is above the smaller side of a module that it is given to, each once for a projection.
pub(super) fn check(
    findings: &mut Findings,
    lora: &LoraMethod,
    layers: u32,
    shapes: &ProjectionShapes,
) {
    let mut told = BTreeSet::new();
    for projection in &lora.target_modules {
        let Some(most) = shapes.smaller_side(*projection) else {
            continue;
        };
        for layer in (0..layers).filter(|layer| is_adapted(lora, *layer)) {
            let (pattern, rank) = rank_of(lora, layer, *projection);
            if u64::from(rank) > most && told.insert((pattern, *projection)) {
                findings.push(above(pattern, rank, *projection, shapes));
            }
        }
    }
}

fn is_adapted(lora: &LoraMethod, layer: u32) -> bool {
    let listed = lora.layers.as_ref();
    listed.is_none_or(|layers| layers.contains(&layer))
}

/// The rank of a module and the pattern that gives it.
fn rank_of(lora: &LoraMethod, layer: u32, projection: Projection) -> (Option<&str>, u32) {
    if lora.rank_pattern.is_empty() {
        return (None, lora.rank);
    }
    let parent = projection.parent();
    let name = format!(
        "model.language_model.layers.{layer}.{parent}.{}",
        projection.name()
    );
    let short = format!("model.layers.{layer}.{parent}.{}", projection.name());
    let mut patterns = lora.rank_pattern.iter();
    let found = patterns.find(|(key, _)| ends(&name, key) || ends(&short, key));
    found.map_or((None, lora.rank), |(key, rank)| (Some(key), *rank))
}

fn ends(name: &str, end: &str) -> bool {
    let rest = name.strip_suffix(end);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn above(
    pattern: Option<&str>,
    rank: u32,
    projection: Projection,
    shapes: &ProjectionShapes,
) -> FieldError {
    let place = match pattern {
        Some(key) => format!("/method/rank_pattern/{}", escape(key)),
        None => "/method/rank".into(),
    };
    let most = shapes.smaller_side(projection).unwrap_or(0);
    let detail = format!(
        "rank {rank} is above the smaller side of {}",
        shapes.shown(projection)
    );
    let hint = match pattern {
        Some(_) => format!("give at most {most}"),
        None => format!(
            "give at most {most}, leave {name} out of target_modules, or give it a rank of its own with \
             rank_pattern {{\"{name}\": {most}}}",
            name = projection.name()
        ),
    };
    FieldError::at(place, detail).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// What is refused of a method on Qwen2.5-0.5B, whose k_proj is 128 × 896.
    fn refused(method: Value) -> Vec<(String, String)> {
        let method: LoraMethod = serde_json::from_value(method).unwrap();
        let config = json!({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "intermediate_size": 4864,
            "num_attention_heads": 14, "num_key_value_heads": 2});
        let mut findings = Findings::default();
        let shapes = ProjectionShapes::of_config(&config).unwrap();
        check(&mut findings, &method, 24, &shapes);
        let errors = findings
            .finish()
            .err()
            .map_or(Vec::new(), |invalid| invalid.errors);
        let text = |error: FieldError| (error.pointer.unwrap(), error.detail);
        errors.into_iter().map(text).collect()
    }

    #[test]
    fn a_rank_is_held_against_the_smaller_side_of_each_matrix() {
        assert_eq!(refused(json!({"rank": 128, "alpha": 1})), []);
        let found = refused(json!({"rank": 129, "alpha": 1}));
        let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["/method/rank", "/method/rank"]);
        assert!(found[0].1.contains("k_proj (128 × 896)") && found[1].1.contains("v_proj"));
        assert_eq!(
            refused(json!({"rank": 896, "alpha": 1, "target_modules": ["down_proj"]})),
            []
        );
    }

    #[test]
    fn a_pattern_gives_a_module_a_rank_of_its_own() {
        let own = json!({"k_proj": 128, "v_proj": 4});
        assert_eq!(
            refused(json!({"rank": 500, "alpha": 1, "rank_pattern": own})),
            []
        );
        let one = json!({"layers.3.self_attn.k_proj": 129});
        let found = refused(json!({"rank": 8, "alpha": 1, "rank_pattern": one}));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "/method/rank_pattern/layers.3.self_attn.k_proj");
        let elsewhere = json!({"rank": 8, "alpha": 1, "rank_pattern": one, "layers": [4]});
        assert_eq!(refused(elsewhere), []);
    }
}
