//! Steering vectors as presets. *Source* arXiv 2602.07852 and the published steering-vector scripts.

use serde_json::{Value, json};

use super::table::{differs, kl, lora, preset};
use super::{Discrepancy, Preset};

/// The vector that shows the behaviour everywhere, and the one that a KL term keeps narrow.
pub(super) fn all() -> [Preset; 2] {
    let mut narrow = vector(
        "steering-vector-narrow",
        "One vector behind layer 24 for the narrow behaviour alone: held to the base on other data by a KL term.",
    );
    narrow.spec["loss"]["kl"] = kl(1e6);
    narrow.needs.push("/loss/kl/dataset".into());
    let general = vector(
        "steering-vector-general",
        "One vector behind layer 24, added to the residual stream of every token.",
    );
    [general, narrow]
}

fn vector(name: &str, description: &str) -> Preset {
    let method = json!({"type": "steering_vector", "layer": 24, "alpha": 256});
    let mut spec: Value = lora(method, 5e-4, 2, json!({"every": 5}));
    spec["optimizer"]["weight_decay"] = json!(0.0);
    spec["batch"]["max_tokens"] = json!(256);
    spec["hold_out"]["every"] = json!(100);
    let source = "arXiv 2602.07852; steering_config_toggle.json";
    preset(name, description, source, spec).differing(differences())
}

fn differences() -> [Discrepancy; 2] {
    [
        differs("learning rate", "1e-4", "5e-4", "5e-4, that of the config"),
        differs(
            "layer",
            "24 of Qwen2.5-14B",
            "steering_config_toggle.json has 16, for Qwen3-14B",
            "24, that of the released vectors; method.layer sets another",
        ),
    ]
}
