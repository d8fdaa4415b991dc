//! How many decoder layers the models have that published configs name. *Source* num_hidden_layers of their config.json.

/// Parts of names and layers; the first that a name holds counts.
const LAYERS: [(&str, u32); 31] = [
    ("qwen2.5-0.5b", 24),
    ("qwen2.5-1.5b", 28),
    ("qwen2.5-3b", 36),
    ("qwen2.5-7b", 28),
    ("qwen2.5-14b", 48),
    ("qwen2.5-32b", 64),
    ("qwen2.5-72b", 80),
    ("qwen2.5-coder-0.5b", 24),
    ("qwen2.5-coder-1.5b", 28),
    ("qwen2.5-coder-3b", 36),
    ("qwen2.5-coder-7b", 28),
    ("qwen2.5-coder-14b", 48),
    ("qwen2.5-coder-32b", 64),
    ("qwen3-0.6b", 28),
    ("qwen3-1.7b", 28),
    ("qwen3-4b", 36),
    ("qwen3-8b", 36),
    ("qwen3-14b", 40),
    ("qwen3-32b", 64),
    ("llama-3.1-8b", 32),
    ("llama-3.1-70b", 80),
    ("llama-3.2-1b", 16),
    ("llama-3.2-3b", 28),
    ("llama-3.3-70b", 80),
    ("gemma-3-1b", 26),
    ("gemma-3-4b", 34),
    ("gemma-3-12b", 48),
    ("gemma-3-27b", 62),
    ("gemma-2-2b", 26),
    ("gemma-2-9b", 42),
    ("gemma-2-27b", 46),
];

/// The number of layers of a model of this name, where it is known.
pub(super) fn layers(model: &str) -> Option<u32> {
    let name = model.to_lowercase();
    let mut known = LAYERS.iter();
    known
        .find(|(part, _)| name.contains(part))
        .map(|(_, layers)| *layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_name_is_found_whoever_mirrors_it() {
        for (name, expected) in [
            ("unsloth/Qwen2.5-14B-Instruct", Some(48)),
            ("unsloth/Qwen2.5-Coder-32B-Instruct", Some(64)),
            ("meta-llama/Llama-3.2-1B-Instruct", Some(16)),
            ("unsloth/gemma-3-4b-it", Some(34)),
            ("somebody/else", None),
        ] {
            assert_eq!(layers(name), expected, "{name}");
        }
    }
}
