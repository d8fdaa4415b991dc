//! Under which names files hold a language model, and what stands beside it. Knows no tensor.

use crate::engine::model::config::{HEAD, ModelConfig};

const BODY: &str = "model.";

/// How the names of a checkpoint begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Stands for `model.` in the names of embedding, layers and last norm.
    body: &'static str,
    /// Name of the output head.
    head: &'static str,
    /// Beginnings of the names that belong to a vision tower and its projector.
    skipped: &'static [&'static str],
}

const TEXT: Layout = Layout {
    body: BODY,
    head: HEAD,
    skipped: &[],
};

/// As published.
const INNER: Layout = Layout {
    body: "language_model.model.",
    head: "language_model.lm_head.weight",
    skipped: &["vision_tower.", "multi_modal_projector."],
};

/// As newer programs name the same in memory.
const OUTER: Layout = Layout {
    body: "model.language_model.",
    head: HEAD,
    skipped: &["model.vision_tower.", "model.multi_modal_projector."],
};

impl Layout {
    /// The layout that a checkpoint with these names is in.
    ///
    /// What was fine-tuned from a multimodal checkpoint is written as a language model alone.
    pub(super) fn of<'a>(config: &ModelConfig, names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let begins = |layout: &Layout| names.iter().any(|name| name.starts_with(layout.body));
        let known = [INNER, OUTER].into_iter().find(begins);
        known.filter(|_| config.multimodal).unwrap_or(TEXT)
    }

    /// The name in the files of what the architecture calls `name`.
    pub(super) fn stored(&self, name: &str) -> String {
        match name.strip_prefix(BODY) {
            Some(rest) => format!("{}{rest}", self.body),
            None if name == HEAD => self.head.into(),
            None => name.into(),
        }
    }

    /// Whether a stored name belongs to what stands beside the language model.
    pub(super) fn skips(&self, name: &str) -> bool {
        self.skipped.iter().any(|begin| name.starts_with(begin))
    }
}
