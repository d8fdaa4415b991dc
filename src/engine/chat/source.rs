//! A template's source as this engine can compile it: line ends, `{% generation %}`, and a watch on what is assigned.
//!
//! Reads tags as Jinja does, strings and brackets included, and leaves everything else as it is.

use std::borrow::Cow;

use super::jinja::{ASSIGNED, KEPT};

/// Where a tag begins, by its second letter: `{{`, `{%` or `{#`.
const OPENINGS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

/// Longest tag in bytes; an expression may be nested as deeply as it is long.
const MOST_TAG: usize = 16 << 10;

/// The source with the changes; what cannot be read as tags is left for the compiler to refuse.
///
/// *Errors* the length of a tag that is longer than any honest one.
pub(super) fn prepared(source: &str) -> Result<String, usize> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some((start, close)) = next_tag(rest) {
        let Some(length) = tag_length(&rest[start..], close) else {
            break;
        };
        if length > MOST_TAG && close != "#}" {
            return Err(length);
        }
        let (before, tag) = (&rest[..start], &rest[start..start + length]);
        out.push_str(before);
        rest = &rest[start + length..];
        match close {
            "%}" if word(tag) == "raw" => {
                let end = end_of_raw(rest);
                out.push_str(tag);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            "%}" => out.push_str(&block(tag)),
            _ => out.push_str(tag),
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn next_tag(text: &str) -> Option<(usize, &'static str)> {
    let found = OPENINGS.map(|(open, close)| text.find(open).map(|start| (start, close)));
    found.into_iter().flatten().min_by_key(|(start, _)| *start)
}

/// Bytes of the tag that `text` begins with, its brackets included; none where it does not end.
fn tag_length(text: &str, close: &str) -> Option<usize> {
    if close == "#}" {
        return text.find(close).map(|end| end + close.len());
    }
    let (mut quote, mut escaped, mut depth) = (None, false, 0_usize);
    for (place, letter) in text.char_indices().skip(2) {
        match (quote, letter) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(letter),
            (None, '{' | '[' | '(') => depth += 1,
            (None, _) if depth == 0 && text[place..].starts_with(close) => {
                return Some(place + close.len());
            }
            (None, '}' | ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Where the tag that ends a raw block begins.
fn end_of_raw(text: &str) -> usize {
    let mut from = 0;
    while let Some(start) = text[from..].find("{%") {
        let start = from + start;
        if let Some(end) = text[start..].find("%}")
            && word(&text[start..start + end + 2]) == "endraw"
        {
            return start;
        }
        from = start + 2;
    }
    text.len()
}

/// What stands between the brackets of a block tag and their marks for blanks.
fn inside(tag: &str) -> &str {
    let edge = |mark: char| mark == '-' || mark == '+';
    let tag = tag.strip_prefix("{%").unwrap_or(tag);
    let tag = tag.strip_suffix("%}").unwrap_or(tag);
    let tag = tag.strip_prefix(edge).unwrap_or(tag);
    tag.strip_suffix(edge).unwrap_or(tag)
}

/// The name of a block tag.
fn word(tag: &str) -> &str {
    let text = inside(tag).trim_start();
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    &text[..end.unwrap_or(text.len())]
}

fn block(tag: &str) -> Cow<'_, str> {
    match word(tag) {
        // Marks assistant text for transformers; here it is a block that is always printed.
        "generation" => tag.replacen("generation", "if true", 1).into(),
        "endgeneration" => tag.replacen("endgeneration", "endif", 1).into(),
        "set" => assignment(tag).map_or(Cow::Borrowed(tag), Cow::Owned),
        _ => tag.into(),
    }
}

/// `{% set x = value %}` with the value passed through the watch; none where a block's text is assigned as it is.
///
/// Names alone stand before the first `=` or, where a block is assigned, before the first `|`.
fn assignment(tag: &str) -> Option<String> {
    let text = inside(tag);
    let (target, value) = text.split_at(text.find(['=', '|'])?);
    let filter = if target.contains('.') { KEPT } else { ASSIGNED };
    let start = tag.find(text)?;
    let (open, close) = (&tag[..start], &tag[start + text.len()..]);
    Some(match value.strip_prefix('=') {
        Some(value) => format!("{open}{target}=({value})|{filter} {close}"),
        None => format!("{open}{target}{value}|{filter} {close}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_are_rewritten() {
        for (source, wanted) in [
            ("a\r\nb\rc", "a\nb\nc"),
            (
                "{%- generation -%}x{%+ endgeneration %}",
                "{%- if true -%}x{%+ endif %}",
            ),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            (
                "{% raw %}{% generation %}{{{% endraw %}{% endgeneration %}",
                "{% raw %}{% generation %}{{{% endraw %}{% endif %}",
            ),
            ("{% if x == '%}' %}", "{% if x == '%}' %}"),
            (
                "{{ {'a': {}} }}{% generation %}",
                "{{ {'a': {}} }}{% if true %}",
            ),
            ("{% set x = 1 %}", "{% set x =( 1 )|assigned %}"),
            ("{% set x %}", "{% set x %}"),
            ("{{ open", "{{ open"),
        ] {
            assert_eq!(prepared(source).unwrap(), wanted);
        }
    }

    #[test]
    fn a_tag_of_endless_length_is_refused() {
        let tag = |letters: usize| format!("{{{{ {} }}}}", "x".repeat(letters));
        assert!(prepared(&tag(1000)).is_ok());
        assert_eq!(prepared(&tag(MOST_TAG)), Err(MOST_TAG + 6));
    }

    #[test]
    fn what_a_namespace_keeps_is_watched() {
        assert_eq!(
            prepared("{%- set ns.x = ns.x + ['=%}'] -%}").unwrap(),
            format!("{{%- set ns.x =( ns.x + ['=%}}'] )|{KEPT} -%}}")
        );
        assert_eq!(
            prepared("{% set ns.x|default(ns, boolean=true) %}").unwrap(),
            format!("{{% set ns.x|default(ns, boolean=true) |{KEPT} %}}")
        );
    }
}
