//! JSON as Python's `json.dumps` prints it for chat templates. Knows no template.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;

use super::page::Page;

/// The filter `tojson` of transformers: `ensure_ascii`, `indent`, `separators` and `sort_keys`, by place or by name.
///
/// *Errors* values that are no JSON, and text beyond the bound of a page.
pub(super) fn to_json(value: Value, places: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let asked = |place: usize, name: &str| -> Result<Value, Error> {
        let by_name = named.get::<Option<Value>>(name)?;
        Ok(by_name
            .or_else(|| places.get(place).cloned())
            .unwrap_or_default())
    };
    let (ascii, sorted) = (asked(0, "ensure_ascii")?, asked(3, "sort_keys")?);
    let indent = usize::try_from(asked(1, "indent")?).ok();
    let separators = separators(&asked(2, "separators")?, indent.is_some())?;
    named.assert_all_used()?;
    let style = Style {
        indent: indent.map(|width| width.min(64)),
        between: separators.0,
        behind_key: separators.1,
        depth: 0,
        filled: false,
    };
    let value = if sorted.is_true() {
        sort(value, 0)?
    } else {
        value
    };
    let mut page = Page::default();
    let mut out = serde_json::Serializer::with_formatter(&mut page, style);
    let printed = value.serialize(&mut out);
    printed.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let text = page.into_text()?;
    Ok(Value::from(if ascii.is_true() {
        escaped(&text)
    } else {
        text
    }))
}

/// What stands between values and behind keys; with an indent nothing follows the comma but the line's end.
fn separators(given: &Value, indented: bool) -> Result<(String, String), Error> {
    if given.is_undefined() || given.is_none() {
        let between = if indented { "," } else { ", " };
        return Ok((between.into(), ": ".into()));
    }
    let pair: Vec<Value> = given.try_iter()?.take(3).collect();
    match pair.iter().map(Value::as_str).collect::<Vec<_>>()[..] {
        [Some(between), Some(behind)] => Ok((between.into(), behind.into())),
        _ => Err(Error::new(
            ErrorKind::InvalidOperation,
            "separators are two strings",
        )),
    }
}

/// The same value with the keys of every object in order.
fn sort(value: Value, depth: usize) -> Result<Value, Error> {
    if depth > 64 {
        let detail = "the value is nested deeper than 64 levels";
        return Err(Error::new(ErrorKind::BadSerialization, detail));
    }
    match value.kind() {
        ValueKind::Map => {
            let mut keys: Vec<Value> = value.try_iter()?.collect();
            keys.sort();
            let entry = |key: Value| Ok((key.clone(), sort(value.get_item(&key)?, depth + 1)?));
            let entries = keys.into_iter().map(entry);
            Ok(Value::from_pairs(
                entries.collect::<Result<Vec<_>, Error>>()?,
            ))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter()?.map(|item| sort(item, depth + 1));
            Ok(Value::from(items.collect::<Result<Vec<_>, Error>>()?))
        }
        _ => Ok(value),
    }
}

/// Characters beyond ASCII stand in strings only, so they may be escaped wherever they are.
fn escaped(text: &str) -> String {
    let unit = |unit: u16| format!("\\u{unit:04x}");
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        // Python escapes DEL as well as JSON's own; it is ASCII and stands as it is.
        if letter.is_ascii() {
            out.push(letter);
        } else {
            out.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|&u| unit(u)));
        }
    }
    out
}

/// As Python's `repr`: the fewest digits that tell the number, with an exponent of two digits below 1e-4 and from 1e16 on.
fn float(value: f64) -> String {
    let short = format!("{value:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}

/// Python's layout.
struct Style {
    indent: Option<usize>,
    between: String,
    behind_key: String,
    depth: usize,
    filled: bool,
}

impl Style {
    fn line<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        let Some(width) = self.indent else {
            return Ok(());
        };
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(&b" ".repeat(width)))
    }

    fn open<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.line(out)?;
        }
        self.filled = true;
        out.write_all(bracket)
    }

    fn next<W: ?Sized + Write>(&self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(self.between.as_bytes())?;
        }
        self.line(out)
    }
}

impl serde_json::ser::Formatter for Style {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.behind_key.as_bytes())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(float(value).as_bytes())
    }
}
