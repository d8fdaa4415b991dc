//! From a request that was read to inquiries: the model's files, the prompts' tokens, room in the context, a seed.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::resolve::{self, Found};
use crate::api::ApiState;
use crate::api::error::{Answer, INVALID, Problem};
use crate::api::model_files::{inspected, of_base_without_weights};
use crate::domain::address::Address;
use crate::domain::finetune::ChatSpec;
use crate::domain::invalid::FieldError;
use crate::domain::openai::{Bounds, Drawing, Message, Prompt};
use crate::execution::ModelFiles;
use crate::execution::converse::{Inquiry, Opening};
use crate::execution::inspect::{TokenizeAsk, TokenizeInput};

/// Everything about a request that its answer repeats.
#[derive(Debug, Clone)]
pub(super) struct Head {
    /// Unique.
    pub id: String,
    /// Unix seconds.
    pub created: i64,
    /// The address that answers.
    pub model: String,
    /// The files that answer.
    pub fingerprint: String,
    /// Key of the draws.
    pub seed: u64,
}

/// A request that can be asked: one inquiry a prompt, all of the same number of answers.
pub(super) struct Prepared {
    /// What the answer begins with.
    pub head: Head,
    /// In the order of the prompts.
    pub inquiries: Vec<Inquiry>,
}

/// What is asked, whatever its form.
pub(super) struct Wanted<'a> {
    /// Beginning of the answer's id.
    pub prefix: &'static str,
    /// Who is asked.
    pub model: &'a Address,
    /// What is gone on from.
    pub openings: Vec<(Opening, String)>,
    /// How answers are drawn.
    pub drawing: &'a Drawing,
    /// Whether the openings' tokens are told.
    pub echo: bool,
    /// Whether answers are the rest of the openings' texts.
    pub continues: bool,
}

/// The inquiries of a request.
///
/// *Errors*: 404 for an unknown model, 400 for prompts that do not fit.
pub(super) async fn prepare(state: &ApiState, wanted: Wanted<'_>) -> Answer<Prepared> {
    let found = resolve::find(state, wanted.model).await?;
    let reader = of_base_without_weights(state, found.base.id.as_str()).await?;
    let openings = tokenized(state, reader.clone(), wanted.openings).await?;
    check_vocabulary(&openings, &found)?;
    let bounds = &state.settings.inference.bounds;
    check_prompts(&openings, bounds)?;
    let context = context(state, reader).await?;
    let speaker = found.speaker(state).await?;
    let seed = wanted.drawing.seed.unwrap_or_else(random_seed);
    let room = Room {
        context,
        shared: bounds.drawn_tokens
            / (u64::from(wanted.drawing.answers) * openings.len().max(1) as u64),
        bounds,
    };
    let mut inquiries = Vec::with_capacity(openings.len());
    for (index, (tokens, pointer)) in openings.iter().enumerate() {
        let most = room.most(wanted.drawing, tokens.len(), pointer)?;
        let twins = openings[..index].iter().filter(|one| one.0 == *tokens);
        inquiries.push(Inquiry {
            speaker: speaker.clone(),
            opening: Opening::Tokens(tokens.clone()),
            answers: wanted.drawing.answers,
            sampling: wanted.drawing.sampling(most),
            stop: wanted.drawing.stop.clone(),
            seed: seed.wrapping_add(twins.count() as u64),
            top_logprobs: wanted.drawing.top_logprobs,
            echo: wanted.echo,
            continues: wanted.continues,
        });
    }
    Ok(Prepared {
        head: Head {
            id: format!("{}-{}", wanted.prefix, Uuid::now_v7().simple()),
            created: state.clock.now().unix_timestamp(),
            model: found.address.to_string(),
            fingerprint: found.fingerprint(),
            seed,
        },
        inquiries,
    })
}

/// A key that every reader of JSON holds exactly.
fn random_seed() -> u64 {
    (Uuid::new_v4().as_u128() as u64) & ((1 << 53) - 1)
}

/// A conversation as an opening; templates that print a date get today's where the request has none.
pub(super) fn of_messages(state: &ApiState, messages: &[Message], chat: &ChatSpec) -> Opening {
    let turns = messages
        .iter()
        .map(|message| crate::execution::converse::Turn {
            role: message.role.clone(),
            content: message.content.clone(),
        });
    Opening::Conversation(turns.collect(), dated(state, chat))
}

/// `chat` with a date.
pub(super) fn dated(state: &ApiState, chat: &ChatSpec) -> ChatSpec {
    let today = || state.clock.now().date();
    ChatSpec {
        date: chat.date.clone().or_else(|| Some(today().to_string())),
        ..chat.clone()
    }
}

/// A prompt as an opening.
pub(super) fn of_prompt(prompt: Prompt) -> Opening {
    match prompt {
        Prompt::Text(text) => Opening::Text(text),
        Prompt::Tokens(ids) => Opening::Tokens(ids),
    }
}

/// The tokens of each opening, with the place of its request that it stands for.
async fn tokenized(
    state: &ApiState,
    model: ModelFiles,
    openings: Vec<(Opening, String)>,
) -> Answer<Vec<(Vec<u32>, String)>> {
    if openings
        .iter()
        .all(|one| matches!(one.0, Opening::Tokens(_)))
    {
        let tokens = openings
            .into_iter()
            .filter_map(|(opening, pointer)| match opening {
                Opening::Tokens(ids) => Some((ids, pointer)),
                _ => None,
            });
        return Ok(tokens.collect());
    }
    let model = Arc::new(model);
    inspected(state, move |inspect| {
        let read = openings.into_iter().map(|(opening, pointer)| {
            let ids = match ask_of(opening) {
                Err(ids) => ids,
                Ok(ask) => match inspect.tokenize(&model, &ask) {
                    Ok(tokens) => tokens.ids,
                    Err(failure) => return Err((failure, pointer)),
                },
            };
            Ok((ids, pointer))
        });
        Ok(read.collect::<Result<Vec<_>, _>>())
    })
    .await?
    .map_err(|(failure, pointer)| at(Problem::from(failure), pointer))
}

/// What to ask of the tokenizer; or the tokens, where they are there.
fn ask_of(opening: Opening) -> Result<TokenizeAsk, Vec<u32>> {
    Ok(match opening {
        Opening::Tokens(ids) => return Err(ids),
        Opening::Text(text) => TokenizeAsk {
            input: TokenizeInput::Text(text),
            chat: ChatSpec::default(),
            add_special_tokens: true,
        },
        Opening::Conversation(turns, chat) => TokenizeAsk {
            input: TokenizeInput::Messages {
                messages: turns
                    .iter()
                    .map(|turn| json!({"role": turn.role, "content": turn.content}))
                    .collect(),
                generation_prompt: true,
            },
            chat,
            add_special_tokens: false,
        },
    })
}

/// The same refusal at a place, where it is the request's fault.
fn at(problem: Problem, pointer: String) -> Problem {
    if !problem.status().is_client_error() {
        return problem;
    }
    let error = FieldError::at(pointer, problem.detail());
    problem.with_errors(vec![error])
}

fn check_vocabulary(openings: &[(Vec<u32>, String)], found: &Found) -> Answer<()> {
    let Some(size) = found.base.vocab_size else {
        return Ok(());
    };
    for (tokens, pointer) in openings {
        if let Some(place) = tokens.iter().position(|id| *id >= size) {
            let detail = format!(
                "token {} is beyond the vocabulary of \"{}\", whose largest id is {}",
                tokens[place],
                found.base.name,
                size.saturating_sub(1)
            );
            return Err(Problem::invalid(format!("{pointer}/{place}"), detail));
        }
        if tokens.is_empty() {
            let detail = "the prompt has no tokens; a model needs at least one";
            return Err(Problem::invalid(pointer, detail));
        }
    }
    Ok(())
}

fn check_prompts(openings: &[(Vec<u32>, String)], bounds: &Bounds) -> Answer<()> {
    let total: u64 = openings.iter().map(|one| one.0.len() as u64).sum();
    if total <= bounds.prompt_tokens {
        return Ok(());
    }
    let detail = format!(
        "prompts of {total} tokens together are more than the {} of one request (inference.prompt_tokens); send several requests",
        bounds.prompt_tokens
    );
    let pointer = openings.first().map_or("", |one| one.1.as_str());
    Err(Problem::invalid(pointer, detail))
}

async fn context(state: &ApiState, model: ModelFiles) -> Answer<Option<u64>> {
    let info = inspected(state, move |inspect| inspect.tokenizer_info(&model));
    Ok(info.await?.context_length)
}

/// Room for answers.
struct Room<'a> {
    context: Option<u64>,
    /// Of the request's bound, for one answer.
    shared: u64,
    bounds: &'a Bounds,
}

impl Room<'_> {
    /// Most tokens of an answer to a prompt of `length` tokens.
    fn most(&self, drawing: &Drawing, length: usize, pointer: &str) -> Answer<u32> {
        let (length, wanted) = (length as u64, drawing.max_tokens);
        if let Some(context) = self.context
            && length + wanted.map_or(1, u64::from) > context
        {
            return Err(too_long(context, length, wanted, pointer));
        }
        let left = self.context.map_or(u64::MAX, |context| context - length);
        let most = wanted.map_or_else(
            || {
                left.min(self.shared)
                    .min(self.bounds.new_tokens.into())
                    .max(1)
            },
            u64::from,
        );
        Ok(u32::try_from(most).unwrap_or(u32::MAX))
    }
}

fn too_long(context: u64, length: u64, wanted: Option<u32>, pointer: &str) -> Problem {
    let detail = match wanted {
        Some(wanted) if length < context => format!(
            "a prompt of {length} tokens and max_tokens {wanted} are {} tokens, more than the model's context of {context} tokens",
            length + u64::from(wanted)
        ),
        _ => format!(
            "a prompt of {length} tokens leaves no room in the model's context of {context} tokens"
        ),
    };
    let error = FieldError::at(pointer, detail.clone()).code("context_length_exceeded");
    Problem::new(&INVALID, detail).with_errors(vec![error])
}
