//! Regular expressions of adapter_config.json, with the meaning that Python's `re` gives them, in bounded time.
//!
//! Most run on an engine whose time is linear. One that looks around or back needs an engine that may try again and
//! again; it gets so many tries and no more. What neither compiles, or what Python reads otherwise, is refused by name.
//!
//! The names of modules are ASCII, so classes such as `\w` need no more than that: their programs stay small.

use crate::engine::{Error, Result};

/// Longest expression, in bytes.
const LONGEST: usize = 16 << 10;
/// Largest compiled expression for whole names, in bytes; there are few of them.
const COMPILED: usize = 256 << 10;
/// Largest compiled key, in bytes; there may be a thousand.
const COMPILED_KEY: usize = 32 << 10;
/// Tries of one expression at one name.
const TRIES: usize = 10_000;

/// A compiled expression.
pub(super) struct Expression {
    field: &'static str,
    text: String,
    compiled: Compiled,
}

enum Compiled {
    Linear(regex::bytes::Regex),
    Trying(fancy_regex::Regex),
}

impl Expression {
    /// `re.fullmatch(text, …)`.
    pub(super) fn whole(field: &'static str, text: &str) -> Result<Self> {
        check(field, text)?;
        // alone first, so that no bracket of its own closes the one that is put around it
        Self::compile(field, text, text, COMPILED)?;
        Self::compile(field, text, &format!(r"\A(?:{text})\z"), COMPILED)
    }

    /// `re.match(rf"(.*\.)?({key})$", …)`: the end of a name behind a dot.
    pub(super) fn end(field: &'static str, key: &str) -> Result<Self> {
        check(field, key)?;
        refuse_flags(field, key)?;
        Self::compile(field, key, &format!(r"\A(.*\.)?({key})\z"), COMPILED_KEY)
    }

    /// `re.match(rf"(?:^|.*?\.){list}\.(?P<idx>\d+)\.", …)`: the number behind the name of a list of layers.
    pub(super) fn index(field: &'static str, list: &str) -> Result<Self> {
        check(field, list)?;
        refuse_flags(field, list)?;
        let whole = format!(r"\A(?:\A|.*?\.){list}\.(?P<idx>[0-9]+)\.");
        Self::compile(field, list, &whole, COMPILED_KEY)
    }

    fn compile(field: &'static str, text: &str, whole: &str, limit: usize) -> Result<Self> {
        let linear = regex::bytes::RegexBuilder::new(whole)
            .unicode(false)
            .size_limit(limit)
            .dfa_size_limit(2 * limit)
            .build();
        let compiled = match linear {
            Ok(linear) => Compiled::Linear(linear),
            Err(regex::Error::CompiledTooBig(_)) => {
                return Err(refusal(field, text, "is too large an expression"));
            }
            Err(_) => Compiled::Trying(trying(whole).map_err(|error| {
                refusal(
                    field,
                    text,
                    &format!("is no expression that is read here: {error}"),
                )
            })?),
        };
        Ok(Self {
            field,
            text: text.into(),
            compiled,
        })
    }

    /// Whether matching may need more than one try.
    pub(super) fn is_costly(&self) -> bool {
        matches!(self.compiled, Compiled::Trying(_))
    }

    /// *Errors* an expression that used up its tries.
    pub(super) fn matches(&self, name: &str) -> Result<bool> {
        match &self.compiled {
            Compiled::Linear(linear) => Ok(linear.is_match(name.as_bytes())),
            Compiled::Trying(trying) => trying.is_match(name).map_err(|_| self.too_costly(name)),
        }
    }

    /// The number that the group `idx` found.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let found = match &self.compiled {
            Compiled::Linear(linear) => linear
                .captures(name.as_bytes())
                .and_then(|groups| String::from_utf8(groups.name("idx")?.as_bytes().into()).ok()),
            Compiled::Trying(trying) => trying
                .captures(name)
                .map_err(|_| self.too_costly(name))?
                .and_then(|groups| Some(groups.name("idx")?.as_str().to_string())),
        };
        Ok(found.and_then(|digits| digits.parse().ok()))
    }

    fn too_costly(&self, name: &str) -> Error {
        let what = format!("takes more than {TRIES} tries at {name}");
        refusal(self.field, &self.text, &what)
    }
}

fn trying(whole: &str) -> std::result::Result<fancy_regex::Regex, String> {
    fancy_regex::RegexBuilder::new(whole)
        .backtrack_limit(TRIES)
        .delegate_size_limit(COMPILED)
        .delegate_dfa_size_limit(COMPILED)
        .build()
        .map_err(|error| {
            error
                .to_string()
                .lines()
                .last()
                .unwrap_or_default()
                .to_string()
        })
}

pub(super) fn refusal(field: &'static str, text: &str, what: &str) -> Error {
    let shown: String = text.chars().take(120).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    Error::adapter(field, format!("\"{}{dots}\" {what}", shown.escape_debug()))
}

/// Refuses what is too long, and what both readers take but understand differently.
fn check(field: &'static str, text: &str) -> Result<()> {
    if text.len() > LONGEST {
        let what = format!("has {} bytes; at most {LONGEST} are read", text.len());
        return Err(refusal(field, text, &what));
    }
    match foreign(text) {
        None => Ok(()),
        Some(part) => {
            let what = format!("holds {part}, which Python reads otherwise");
            Err(refusal(field, text, &what))
        }
    }
}

/// The first part whose meaning differs: escapes that Python lacks, sets within sets, operations on sets.
fn foreign(text: &str) -> Option<String> {
    let characters: Vec<char> = text.chars().collect();
    let (mut place, mut opened) = (0, None);
    while place < characters.len() {
        let (one, next) = (characters[place], characters.get(place + 1).copied());
        match (one, opened) {
            ('\\', _) => {
                let letter = next.filter(|next| !is_escape_of_python(*next));
                if let Some(letter) = letter {
                    return Some(format!("\\{letter}"));
                }
                place += 1;
            }
            ('[', None) => {
                // behind the bracket or its ^, a closing bracket is a member
                let skip = usize::from(next == Some('^'));
                place += skip + usize::from(characters.get(place + 1 + skip) == Some(&']'));
                opened = Some(place);
            }
            (']', Some(_)) => opened = None,
            ('[', Some(_)) => return Some("a [ within [ ]".into()),
            ('&' | '-' | '~' | '|', Some(_)) if next == Some(one) => {
                return Some(format!("{one}{one} within [ ]"));
            }
            _ => {}
        }
        place += 1;
    }
    None
}

fn is_escape_of_python(letter: char) -> bool {
    match letter {
        '<' | '>' => false,
        letter if letter.is_ascii_alphabetic() => "AbBdDsSwWZafnrtvxuU".contains(letter),
        _ => true,
    }
}

/// Flags for the whole stand at the beginning; a key never does, for something is put before it.
fn refuse_flags(field: &'static str, text: &str) -> Result<()> {
    let global = text.match_indices("(?").any(|(place, _)| {
        let rest = &text[place + 2..];
        let flags = rest.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        flags.len() < rest.len() && flags.starts_with(')')
    });
    match global {
        false => Ok(()),
        true => Err(refusal(
            field,
            text,
            "has flags for the whole, which Python refuses here",
        )),
    }
}
