//! A figure: a chart with its name, title and caption.

use super::Theme;

/// A chart with its words, ready to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    name: String,
    title: String,
}

impl Figure {
    pub(super) fn new(name: &str, title: String) -> Self {
        let name = name.to_owned();
        Self { name, title }
    }

    /// The same figure under another name; names within a page differ.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// What files and links call it: `norms_lines`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its title, which also says what it is about.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Sample sizes and notes, as sentences.
    pub fn caption(&self) -> String {
        String::new()
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        true
    }

    /// The drawing; equal figures give equal text.
    pub fn svg(&self, _theme: Theme) -> String {
        String::new()
    }

    /// The drawn numbers, a row for each.
    pub fn csv(&self) -> String {
        String::new()
    }
}
