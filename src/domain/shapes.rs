//! Shapes of a model's projections: what a rank is held against before a job is queued. Knows no tensor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::finetune::Projection;

/// Architectures whose heads share the width of the residual stream where config.json does not say how wide they are.
const SHARED: [&str; 3] = ["Qwen2ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM"];

/// The widths that a layer's projections lead between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// D.
    pub hidden: u64,
    /// F.
    pub inner: u64,
    /// H·E.
    pub queries: u64,
    /// K·E.
    pub keys: u64,
}

impl Widths {
    /// Shape of a projection's weight: (out, in).
    pub fn projection(&self, projection: Projection) -> (u64, u64) {
        match projection {
            Projection::QProj => (self.queries, self.hidden),
            Projection::KProj | Projection::VProj => (self.keys, self.hidden),
            Projection::OProj => (self.hidden, self.queries),
            Projection::GateProj | Projection::UpProj => (self.inner, self.hidden),
            Projection::DownProj => (self.hidden, self.inner),
        }
    }
}

/// The projections of a layer, each with (out, in); the same in every layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectionShapes(pub BTreeMap<Projection, (u64, u64)>);

impl ProjectionShapes {
    /// What `shape` gives for each projection.
    pub fn of(shape: impl Fn(Projection) -> (u64, u64)) -> Self {
        let all = Projection::ALL.into_iter();
        Self(
            all.map(|projection| (projection, shape(projection)))
                .collect(),
        )
    }

    /// As a config.json tells them; none where it leaves something to a family's own defaults.
    pub fn of_config(config: &Value) -> Option<Self> {
        let size = |key: &str| {
            config
                .get(key)
                .and_then(Value::as_u64)
                .filter(|size| *size > 0)
        };
        let (hidden, inner) = (size("hidden_size")?, size("intermediate_size")?);
        let (heads, groups) = (size("num_attention_heads")?, size("num_key_value_heads")?);
        let architecture = config.pointer("/architectures/0").and_then(Value::as_str);
        let shared = architecture.is_some_and(|name| SHARED.contains(&name));
        let width = size("head_dim").or_else(|| shared.then(|| hidden / heads))?;
        let (queries, keys) = (heads.checked_mul(width)?, groups.checked_mul(width)?);
        let widths = Widths {
            hidden,
            inner,
            queries,
            keys,
        };
        Some(Self::of(|projection| widths.projection(projection)))
    }

    /// The smaller side of a projection, which no rank passes.
    pub fn smaller_side(&self, projection: Projection) -> Option<u64> {
        self.0.get(&projection).map(|(out, inner)| *out.min(inner))
    }

    /// Such as `k_proj (128 × 896)`.
    pub fn shown(&self, projection: Projection) -> String {
        match self.0.get(&projection) {
            Some((out, inner)) => format!("{} ({out} × {inner})", projection.name()),
            None => projection.name().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes_are_those_of_the_published_configs() {
        // Qwen2.5-0.5B: 24 layers, 14 heads and 2 groups of width 64
        let config = json!({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 896, "intermediate_size": 4864,
            "num_attention_heads": 14, "num_key_value_heads": 2});
        let shapes = ProjectionShapes::of_config(&config).unwrap();
        assert_eq!(shapes.0[&Projection::KProj], (128, 896));
        assert_eq!(shapes.0[&Projection::DownProj], (896, 4864));
        assert_eq!(shapes.smaller_side(Projection::VProj), Some(128));
        assert_eq!(shapes.shown(Projection::KProj), "k_proj (128 × 896)");
        let text = serde_json::to_value(&shapes).unwrap();
        assert_eq!(text["down_proj"], json!([896, 4864]));
        assert_eq!(
            serde_json::from_value::<ProjectionShapes>(text).unwrap(),
            shapes
        );
    }

    #[test]
    fn a_width_of_heads_that_the_family_decides_is_not_guessed() {
        let mut config = json!({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
            "num_attention_heads": 4, "num_key_value_heads": 2});
        assert_eq!(ProjectionShapes::of_config(&config), None);
        config["head_dim"] = json!(32);
        let shapes = ProjectionShapes::of_config(&config).unwrap();
        assert_eq!(shapes.0[&Projection::OProj], (64, 128));
    }
}
