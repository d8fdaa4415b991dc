//! The environment that templates run in: transformers' filters and functions, and bounds on everything a stranger's template can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{DynObject, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::json::to_json;

/// Instructions that one rendering may use up; 64 bytes of text made on the way count as one.
const FUEL: u64 = 1_000_000;
/// Filter that every value passes before a namespace keeps it.
pub(super) const KEPT: &str = "kept_in_namespace";
/// Filter that every other assigned value passes.
pub(super) const ASSIGNED: &str = "assigned";
/// Deepest nesting of assigned values.
const DEEPEST: usize = 64;
/// Items of one assigned value, those of its parts included and counted as often as they appear.
const MOST_ITEMS: u64 = 1 << 16;
/// Items of assigned values that one rendering may have looked at.
const MOST_LOOKS: u64 = 4_000_000;

/// Bounds the values that variables hold: what is nested or shared without end takes stack or time without end to print,
/// to compare or even to forget.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<AtomicU64>);

/// One look at a value.
struct Look<'a> {
    spent: &'a AtomicU64,
    items: u64,
    namespaces: bool,
}

impl Watch {
    /// A new rendering begins.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The value, unless it breaks a bound. `namespaces` says whether it may hold one: a namespace could come to hold itself.
    fn pass(&self, value: Value, namespaces: bool) -> Result<Value, Error> {
        let mut look = Look {
            spent: &self.0,
            items: 0,
            namespaces,
        };
        look.at(&value, 0)?;
        Ok(value)
    }
}

impl Look<'_> {
    fn at(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.items += 1;
        let looks = self.spent.fetch_add(1, Ordering::Relaxed);
        if depth > DEEPEST {
            return Err(refused("a value is nested deeper than 64 levels"));
        }
        if self.items > MOST_ITEMS || looks > MOST_LOOKS {
            return Err(refused("values hold more items than a conversation needs"));
        }
        if !self.namespaces && value.as_object().is_some_and(changes) {
            return Err(refused("a namespace may not hold a namespace or a loop"));
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                let mut items = value.try_iter()?;
                items.try_for_each(|item| self.at(&item, depth + 1))
            }
            ValueKind::Map => {
                let mut keys = value.try_iter()?;
                keys.try_for_each(|key| self.at(&value.get_item(&key)?, depth + 1))
            }
            _ => Ok(()),
        }
    }
}

fn refused(detail: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

/// Whether an object's content can change after it was looked at. The engine does not show these types but by their names.
fn changes(object: &DynObject) -> bool {
    let name = object.type_name();
    name.ends_with("::Namespace") || name.ends_with("::Loop")
}

/// An environment that treats templates as transformers' does.
pub(super) fn environment(watch: &Watch) -> Result<Environment<'static>, Error> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    environment.add_filter("tojson", to_json);
    for (name, namespaces) in [(KEPT, false), (ASSIGNED, true)] {
        let watch = watch.clone();
        environment.add_filter(name, move |value: Value| watch.pass(value, namespaces));
    }
    environment.add_test("iterable", |value: &Value| {
        value.kind() != ValueKind::None && value.try_iter().is_ok()
    });
    environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, text))
    });
    Ok(environment)
}
