//! A body as text, YAML or JSON, that errors can be told with lines of.

use serde_json::Value;

use crate::domain::invalid::{Checked, FieldError, Invalid};
use crate::domain::question_set::tree::{self, Node, Tree};

/// A body whose lines are known where it came as YAML.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    root: Option<Node>,
}

impl Document {
    /// A body without lines.
    pub fn of(value: Value) -> Self {
        Self { value, root: None }
    }

    /// Reads YAML with anchors and aliases, within the bounds of files of questions.
    ///
    /// *Errors*: one, with its line.
    pub fn yaml(bytes: &[u8]) -> Checked<Self> {
        let root = tree::parse(bytes)?;
        Ok(Self {
            value: root.to_json(),
            root: Some(root),
        })
    }

    /// The same errors with the lines of their places.
    pub fn located(&self, mut invalid: Invalid) -> Invalid {
        invalid
            .errors
            .iter_mut()
            .for_each(|error| self.locate(error));
        invalid
    }

    /// Gives `error` the line of its place, where lines are known and it has none.
    pub fn locate(&self, error: &mut FieldError) {
        if let (Some(root), None, Some(pointer)) = (&self.root, error.line, &error.pointer) {
            error.line = Some(line_of(root, pointer));
        }
    }
}

/// The line of what is at `pointer`, or of the innermost value around it that is there.
fn line_of(root: &Node, pointer: &str) -> u64 {
    let mut node = root;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let inner = match &node.tree {
            Tree::List(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
            Tree::Map(entries) => entries
                .iter()
                .find(|(key, _)| *key == part)
                .map(|(_, node)| node),
            _ => None,
        };
        match inner {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node.line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_line_of_their_place_or_of_what_is_around_it() {
        let text = b"name: x\narms:\n  - name: bad\n    base_model: toy\n";
        let document = Document::yaml(text).unwrap();
        let line = |pointer: &str| {
            let mut error = FieldError::at(pointer, "wrong");
            document.locate(&mut error);
            error.line
        };
        assert_eq!(line("/arms/0/base_model"), Some(4));
        assert_eq!(line("/arms/0/seeds/3"), Some(3));
        assert_eq!(line("/nowhere"), Some(1));
        assert_eq!(document.value["arms"][0]["name"], "bad");
    }
}
