//! A model's own Jinja template, rendered as transformers renders it. Knows neither tokens nor datasets.

use std::collections::BTreeMap;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;

use super::ChatError;
use super::date::Date;
use crate::domain::dataset::Turn;

/// Instructions that one rendering may use up.
const FUEL: u64 = 5_000_000;
/// Bytes that one rendering may print.
const MOST_OUTPUT: usize = 4 << 20;
const NAME: &str = "chat";

/// A compiled chat template.
pub struct Template {
    environment: Environment<'static>,
    specials: BTreeMap<String, Value>,
}

/// What a rendering is told besides the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Asked {
    /// Whether the text ends with the opening of an assistant turn.
    pub generation_prompt: bool,
    /// The only date that the template can see.
    pub date: Option<Date>,
    /// Passed on where it is set.
    pub enable_thinking: Option<bool>,
}

impl Template {
    /// Compiles a template; `specials` are the names that templates know special tokens by, such as `bos_token`.
    pub fn compile(source: &str, specials: &BTreeMap<String, String>) -> Result<Self, ChatError> {
        let mut environment = environment()?;
        let source = without_generation_tags(&source.replace("\r\n", "\n"));
        environment
            .add_template_owned(NAME, source)
            .map_err(|error| ChatError::template(&error))?;
        Ok(Self {
            environment,
            specials: specials
                .iter()
                .map(|(name, text)| (name.clone(), Value::from(text.as_str())))
                .collect(),
        })
    }

    /// The conversation as text.
    ///
    /// *Errors* whatever the template raises, endless loops, and a template that asks for a date where none is pinned.
    pub fn render(&self, conversation: &Conversation, asked: Asked) -> Result<String, ChatError> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| ChatError::template(&error))?;
        let mut page = Page(Vec::new());
        template
            .render_captured_to(self.variables(conversation, asked), &mut page)
            .map_err(|error| ChatError::template(&error))?;
        String::from_utf8(page.0).map_err(|error| ChatError::template(&error))
    }

    fn variables(&self, conversation: &Conversation, asked: Asked) -> Value {
        let mut all = self.specials.clone();
        let now = move |format: String| date_text(asked.date, &format);
        all.insert(
            "messages".into(),
            conversation.messages.iter().cloned().collect(),
        );
        all.insert(
            "tools".into(),
            conversation.tools.clone().unwrap_or(Value::from(())),
        );
        all.insert("documents".into(), Value::from(()));
        all.insert(
            "add_generation_prompt".into(),
            asked.generation_prompt.into(),
        );
        all.insert("strftime_now".into(), Value::from_function(now));
        if let Some(thinking) = asked.enable_thinking {
            all.insert("enable_thinking".into(), thinking.into());
        }
        Value::from(all)
    }
}

/// The turns of a conversation, each an object with `role`, `content` and whatever else templates read.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    /// In order.
    pub messages: Vec<Value>,
    /// Descriptions of tools.
    pub tools: Option<Value>,
}

impl Conversation {
    /// The turns of a dataset's row.
    pub fn of_turns(turns: &[Turn]) -> Self {
        let message = |turn: &Turn| minijinja::context! { role => turn.role.name(), content => turn.content.as_str() };
        Self {
            messages: turns.iter().map(message).collect(),
            tools: None,
        }
    }

    /// Messages as clients send them; a content that is a list of text parts is put together.
    ///
    /// *Errors* in words, the place first: what is no object, a missing role, a content that is null or of another form.
    pub fn of_json(messages: &[serde_json::Value]) -> Result<Self, String> {
        let mut read = Vec::with_capacity(messages.len());
        for (place, message) in messages.iter().enumerate() {
            let told = |detail: &str| format!("messages[{place}] {detail}");
            let mut message = message
                .as_object()
                .cloned()
                .ok_or_else(|| told("is not an object with role and content"))?;
            if !message
                .get("role")
                .is_some_and(serde_json::Value::is_string)
            {
                return Err(told("has no role"));
            }
            let content = message.get("content").and_then(joined);
            let content = content.ok_or_else(|| {
                told("has a content that is neither a string nor a list of text parts")
            })?;
            message.insert("content".into(), content.into());
            read.push(minijinja::value::Serde(&message).into());
        }
        Ok(Self {
            messages: read,
            tools: None,
        })
    }
}

/// A string, or the strings of `{"type":"text","text":…}` one behind the other.
fn joined(content: &serde_json::Value) -> Option<String> {
    match content {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(parts) => {
            let part = |part: &serde_json::Value| match part["type"].as_str() {
                Some("text") => part["text"].as_str().map(str::to_string),
                _ => None,
            };
            parts.iter().map(part).collect()
        }
        _ => None,
    }
}

fn environment() -> Result<Environment<'static>, ChatError> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .map_err(|error| ChatError::template(&error))?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    environment.add_filter("tojson", to_json);
    environment.add_test("iterable", |value: &Value| {
        value.kind() != ValueKind::None && value.try_iter().is_ok()
    });
    environment.add_function("raise_exception", |text: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, text))
    });
    Ok(environment)
}

fn date_text(date: Option<Date>, format: &str) -> Result<String, Error> {
    let refuse = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    let date = date.ok_or_else(|| {
        refuse("prints today's date, so its text would change every day; set chat.date".into())
    })?;
    date.format(format).map_err(refuse)
}

/// `json.dumps` with transformers' defaults: nothing escaped that JSON does not ask for, blanks behind `,` and `:`.
fn to_json(value: Value, _positional: Rest<Value>, options: Kwargs) -> Result<Value, Error> {
    let fail =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let mut bytes = Vec::new();
    match options.get::<Option<usize>>("indent")? {
        Some(width) => {
            let indent = vec![b' '; width.min(64)];
            let pretty = serde_json::ser::PrettyFormatter::with_indent(&indent);
            let mut out = serde_json::Serializer::with_formatter(&mut bytes, pretty);
            value.serialize(&mut out).map_err(fail)?;
        }
        None => {
            let mut out = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
            value.serialize(&mut out).map_err(fail)?;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let ascii = options
        .get::<Option<bool>>("ensure_ascii")?
        .unwrap_or(false);
    Ok(Value::from(if ascii { escaped(&text) } else { text }))
}

/// Characters beyond ASCII stand in strings only, so they may be escaped wherever they are.
fn escaped(text: &str) -> String {
    let unit = |unit: u16| format!("\\u{unit:04x}");
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            out.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|&u| unit(u)));
        }
    }
    out
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// What was printed so far, up to the bound.
struct Page(Vec<u8>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_OUTPUT {
            return Err(io::Error::other(format!(
                "prints more than {MOST_OUTPUT} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `{% generation %}` marks assistant text for transformers; here it is a block that is always printed.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else {
            break;
        };
        let (tag, behind) = (&rest[start + 2..start + length], &rest[start + length..]);
        out.push_str(&rest[..start + 2]);
        out.push_str(&replaced_tag(tag));
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn replaced_tag(tag: &str) -> String {
    let edge = |mark: char| mark == '-' || mark == '+';
    match tag.trim_matches(edge).trim() {
        "generation" => tag.replace("generation", "if true"),
        "endgeneration" => tag.replace("endgeneration", "endif"),
        _ => tag.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(json: &str) -> Conversation {
        let messages: Vec<Value> = serde_json::from_str(json).unwrap();
        Conversation {
            messages,
            tools: None,
        }
    }

    fn render(source: &str, json: &str, asked: Asked) -> Result<String, ChatError> {
        Template::compile(source, &BTreeMap::new())?.render(&conversation(json), asked)
    }

    #[test]
    fn json_is_printed_as_python_prints_it() {
        // Source: json.dumps of Python 3.11 with ensure_ascii=False, with ensure_ascii=True, with indent=2.
        let messages = r#"[{"b":1,"a":["é<&>","x'y"],"c":{}}]"#;
        let plain = render("{{ messages[0]|tojson }}", messages, Asked::default());
        assert_eq!(plain.unwrap(), r#"{"b": 1, "a": ["é<&>", "x'y"], "c": {}}"#);
        let ascii = render(
            "{{ messages[0].a|tojson(ensure_ascii=true) }}",
            messages,
            Asked::default(),
        );
        assert_eq!(ascii.unwrap(), r#"["\u00e9<&>", "x'y"]"#);
        let pretty = render(
            "{{ messages[0].a|tojson(indent=2) }}",
            messages,
            Asked::default(),
        );
        assert_eq!(pretty.unwrap(), "[\n  \"é<&>\",\n  \"x'y\"\n]");
    }

    #[test]
    fn blocks_leave_no_blank_lines_and_generation_marks_nothing() {
        let source = "{% for m in messages %}\n  {% if true %}\n{{ m.role }}:\n  {%- generation %}\n{{ m.content }}|\n  {% endgeneration %}\n{% endfor %}\nend\n";
        let text = render(
            source,
            r#"[{"role":"user","content":"hi"}]"#,
            Asked::default(),
        );
        assert!(text.is_err(), "an unclosed block is refused");
        let source = source.replace(
            "{% endgeneration %}\n",
            "{% endgeneration %}\n{% endif %}\n",
        );
        let text = render(
            &source,
            r#"[{"role":"user","content":"hi"}]"#,
            Asked::default(),
        );
        // Source: Jinja2 3.1.6 with trim_blocks and lstrip_blocks, the tag replaced by {% if true %}.
        assert_eq!(text.unwrap(), "user:hi|\nend");
    }

    #[test]
    fn a_date_is_printed_only_when_it_is_pinned() {
        let source = "{{ strftime_now('%d %b %Y') }}";
        let error = render(source, "[]", Asked::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("chat.date"), "{error}");
        let date = Some("2025-06-03".parse().unwrap());
        let asked = Asked {
            date,
            ..Asked::default()
        };
        assert_eq!(render(source, "[]", asked).unwrap(), "03 Jun 2025");
    }

    #[test]
    fn endless_work_and_endless_text_are_stopped() {
        let work = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
        assert!(render(work, "[]", Asked::default()).is_err());
        let text = "{% for i in range(9999) %}{{ 'xxxxxxxxxx' * 100 }}{% endfor %}";
        let error = render(text, "[]", Asked::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("4194304"), "{error}");
    }

    #[test]
    fn what_the_template_raises_is_told() {
        let source = "{{ raise_exception('roles must alternate') }}";
        let error = render(source, "[]", Asked::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("roles must alternate"), "{error}");
    }

    #[test]
    fn methods_of_python_strings_work_and_none_is_not_iterable() {
        let source = "{{ messages[0].content.strip().split(' ')[-1] }} {{ none is iterable }} {{ none }} {{ true }}";
        let text = render(source, r#"[{"content":" a bc "}]"#, Asked::default());
        assert_eq!(text.unwrap(), "bc False None True");
    }

    #[test]
    fn conversations_are_rendered_as_transformers_renders_them() {
        // Source: scripts/oracles/generate.py.
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/generate/rendered.json"
        );
        #[derive(serde::Deserialize)]
        struct Oracle {
            messages: Vec<Value>,
            cases: Vec<serde_json::Value>,
        }
        let oracle: Oracle = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let conversation = Conversation {
            messages: oracle.messages,
            tools: None,
        };
        for case in oracle.cases {
            let source = case["template"].as_str().unwrap();
            let asked = Asked {
                generation_prompt: case["add_generation_prompt"] == true,
                ..Asked::default()
            };
            let template = Template::compile(source, &BTreeMap::new()).unwrap();
            assert_eq!(
                template.render(&conversation, asked).unwrap(),
                case["text"],
                "{source}"
            );
        }
    }
}
