//! The body of a completion of plain text or of tokens.

use serde_json::{Map, Value};

use super::drawing::{self, check_top, check_total, fields_of};
use super::{Bounds, CompletionRequest, Prompt};
use crate::domain::decode::kind_of;
use crate::domain::invalid::{Checked, FieldError};

const PROMPT: &str = "give a text, a list of texts, a list of token ids, or a list of such lists";

pub(super) fn read(mut body: Map<String, Value>, bounds: &Bounds) -> Checked<CompletionRequest> {
    // best_of draws more and keeps the likeliest; as many as n is what is done anyway
    if body.get("best_of").is_some()
        && body.get("best_of") == Some(body.get("n").unwrap_or(&Value::from(1)))
    {
        body.remove("best_of");
    }
    let (mut fields, ignored) = fields_of(body)?;
    let model = drawing::read_model(&mut fields);
    let prompts = fields.required_value("prompt", PROMPT);
    let prompts = prompts.and_then(|value| fields.note(read_prompts(value, bounds)));
    let echo = fields.or("echo", false);
    let logprobs = fields.optional::<u32>("logprobs");
    let drawing = drawing::read(&mut fields, bounds);
    let request = (|| {
        let (mut drawing, prompts, echo) = (drawing?, prompts?, echo?);
        let top = logprobs?.map(|wanted| check_top("logprobs", wanted));
        drawing.top_logprobs = fields.note(top.transpose())?;
        fields.note(check_length(drawing.max_tokens, echo))?;
        fields.note(check_total(&drawing, prompts.len(), bounds))?;
        Some(CompletionRequest {
            model: model?,
            prompts,
            echo,
            drawing,
            ignored,
        })
    })();
    fields.finish(request)
}

fn check_length(max_tokens: Option<u32>, echo: bool) -> Checked<()> {
    match (max_tokens, echo) {
        (Some(0), false) => Err(FieldError::at("/max_tokens", "0 leaves nothing to answer")
            .hint("give 1 or more, or set echo to true")
            .into()),
        _ => Ok(()),
    }
}

fn read_prompts(value: Value, bounds: &Bounds) -> Checked<Vec<Prompt>> {
    let prompts = match value {
        Value::String(text) => vec![Prompt::Text(text)],
        Value::Array(items) => match items.first() {
            None => {
                return Err(FieldError::at("/prompt", "the list is empty")
                    .hint(PROMPT)
                    .into());
            }
            Some(Value::Number(_)) => vec![read_tokens("/prompt", items)?],
            Some(_) => {
                let items = items.into_iter().enumerate();
                let read = items.map(|(index, item)| read_one(&format!("/prompt/{index}"), item));
                read.collect::<Checked<_>>()?
            }
        },
        other => return Err(no_prompt("/prompt", &other)),
    };
    check_size(&prompts, bounds)?;
    Ok(prompts)
}

fn no_prompt(pointer: &str, found: &Value) -> crate::domain::invalid::Invalid {
    let detail = format!("{} is no prompt", kind_of(found));
    FieldError::at(pointer, detail).hint(PROMPT).into()
}

fn read_one(pointer: &str, value: Value) -> Checked<Prompt> {
    match value {
        Value::String(text) => Ok(Prompt::Text(text)),
        Value::Array(items) => read_tokens(pointer, items),
        other => Err(no_prompt(pointer, &other)),
    }
}

fn read_tokens(pointer: &str, items: Vec<Value>) -> Checked<Prompt> {
    if items.is_empty() {
        let error = FieldError::at(pointer, "a prompt without tokens cannot be completed");
        return Err(error.hint("give at least one token").into());
    }
    let items = items.into_iter().enumerate();
    let ids = items.map(|(index, item)| read_token(&format!("{pointer}/{index}"), &item));
    ids.collect::<Checked<_>>().map(Prompt::Tokens)
}

/// A token's id.
pub(super) fn read_token(pointer: &str, item: &Value) -> Checked<u32> {
    let id = item.as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| {
        let found = match item {
            Value::Number(number) => number.to_string(),
            other => kind_of(other).into(),
        };
        FieldError::at(pointer, format!("{found} is not a token id")).into()
    })
}

fn check_size(prompts: &[Prompt], bounds: &Bounds) -> Checked<()> {
    if prompts.len() > bounds.prompts as usize {
        let detail = format!(
            "{} prompts are more than the {} of one request (inference.prompts)",
            prompts.len(),
            bounds.prompts
        );
        let error = FieldError::at("/prompt", detail);
        return Err(error.hint("send several requests").into());
    }
    Ok(())
}
