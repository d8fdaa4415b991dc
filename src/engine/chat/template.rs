//! A model's own Jinja template, rendered as transformers renders it. Knows neither tokens nor datasets.
//!
//! A template is a stranger's program. It runs on a thread of its own, whose stack is deep enough for whatever the bounds
//! on source and work allow, and whoever waits for it waits only so long: a template that is not done by then is given up
//! together with its thread, and the process goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minijinja::{Environment, Error, ErrorKind, Value};

use super::ChatError;
use super::conversation::Conversation;
use super::date::Date;
use super::jinja::{Watch, environment};
use super::page::Page;
use super::source::prepared;

/// Longest source in bytes; published templates have a tenth of it.
const MOST_SOURCE: usize = 128 << 10;
/// Address space of a template's stack, of which only what is used takes memory: 16 KiB for each byte of the longest tag,
/// since an expression may be nested as deeply as it is long.
const STACK: usize = 256 << 20;
/// Longest wait for one rendering; what the work is bounded to takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// Templates that may hang at once before new ones are refused.
const MOST_STUCK: usize = 4;
const NAME: &str = "chat";
/// Form of `date_string`, which Llama's templates print in place of today.
const DATE: &str = "%d %b %Y";

/// Threads that were given up and have not come back.
static STUCK: AtomicUsize = AtomicUsize::new(0);

type Rendered = Result<String, ChatError>;

/// A compiled chat template on its thread.
pub struct Template {
    asks: Sender<Ask>,
    work: Work,
}

/// What a template's thread and those that wait for it know of each other.
#[derive(Clone, Default)]
struct Work(Arc<Mutex<(bool, bool)>>);

impl Work {
    /// `change` of (busy, given up).
    fn with<T>(&self, change: impl FnOnce(&mut (bool, bool)) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self) {
        self.with(|state| state.0 = true);
    }

    fn end(&self) {
        if self.with(|state| std::mem::take(state).1) {
            STUCK.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn give_up(&self) {
        let newly = self.with(|(busy, given_up)| *busy && !std::mem::replace(given_up, true));
        if newly {
            STUCK.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_given_up(&self) -> bool {
        self.with(|state| state.1)
    }
}

struct Ask {
    conversation: Conversation,
    asked: Asked,
    answer: SyncSender<Rendered>,
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
        if source.len() > MOST_SOURCE {
            let bytes = source.len();
            return Err(refused(format!(
                "its source has {bytes} bytes, more than the {MOST_SOURCE} that are read"
            )));
        }
        if STUCK.load(Ordering::Relaxed) >= MOST_STUCK {
            return Err(refused(
                "other chat templates hang on this server; restart it",
            ));
        }
        let source = prepared(source).map_err(|bytes| {
            refused(format!(
                "one of its tags has {bytes} bytes; no honest one has as many"
            ))
        })?;
        let (asks, inbox) = channel();
        let (ready, compiled) = sync_channel(1);
        let specials = specials.clone();
        let thread = std::thread::Builder::new()
            .name("chat-template".into())
            .stack_size(STACK);
        let work = Work::default();
        let busy = work.clone();
        let run = move || {
            busy.begin();
            let stage = Stage::new(source, &specials);
            busy.end();
            match stage {
                Ok(stage) => {
                    let _ = ready.send(Ok(()));
                    stage.answer(&inbox, &busy);
                }
                Err(error) => {
                    let _ = ready.send(Err(ChatError::template(&error)));
                }
            }
        };
        thread
            .spawn(run)
            .map_err(|error| refused(format!("no thread for it: {error}")))?;
        wait(&compiled, &work)?;
        Ok(Self { asks, work })
    }

    /// The conversation as text.
    ///
    /// *Errors* whatever the template raises, endless loops, and a template that asks for a date where none is pinned.
    pub fn render(&self, conversation: &Conversation, asked: Asked) -> Rendered {
        let (answer, rendered) = sync_channel(1);
        let ask = Ask {
            conversation: conversation.clone(),
            asked,
            answer,
        };
        if self.work.is_given_up() {
            return Err(gone());
        }
        self.asks.send(ask).map_err(|_| gone())?;
        wait(&rendered, &self.work)
    }
}

/// The answer of a template's thread, for as long as patience lasts.
fn wait<T>(answer: &Receiver<Result<T, ChatError>>, work: &Work) -> Result<T, ChatError> {
    match answer.recv_timeout(PATIENCE) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Disconnected) => Err(gone()),
        Err(RecvTimeoutError::Timeout) => {
            work.give_up();
            let seconds = PATIENCE.as_secs();
            Err(refused(format!("it was not done after {seconds} seconds")))
        }
    }
}

fn gone() -> ChatError {
    refused("it failed on an earlier conversation and cannot go on")
}

fn refused(detail: impl Into<String>) -> ChatError {
    ChatError::Template {
        detail: detail.into(),
    }
}

/// What lives on a template's thread.
struct Stage {
    environment: Environment<'static>,
    specials: BTreeMap<String, Value>,
    watch: Watch,
}

impl Stage {
    fn new(source: String, specials: &BTreeMap<String, String>) -> Result<Self, Error> {
        let watch = Watch::default();
        let mut environment = environment(&watch)?;
        environment.add_template_owned(NAME, source)?;
        let value = |(name, text): (&String, &String)| (name.clone(), Value::from(text.as_str()));
        Ok(Self {
            environment,
            specials: specials.iter().map(value).collect(),
            watch,
        })
    }

    fn answer(&self, inbox: &Receiver<Ask>, work: &Work) {
        for ask in inbox {
            work.begin();
            let rendered = self.render(&ask.conversation, ask.asked);
            work.end();
            let _ = ask
                .answer
                .send(rendered.map_err(|error| ChatError::template(&error)));
        }
    }

    fn render(&self, conversation: &Conversation, asked: Asked) -> Result<String, Error> {
        self.watch.reset();
        let template = self.environment.get_template(NAME)?;
        let mut page = Page::default();
        template.render_captured_to(self.variables(conversation, asked)?, &mut page)?;
        page.into_text()
    }

    fn variables(&self, conversation: &Conversation, asked: Asked) -> Result<Value, Error> {
        let mut all = self.specials.clone();
        let mut put = |name: &str, value: Value| all.insert(name.into(), value);
        let none = || Value::from(());
        put("messages", conversation.messages.iter().cloned().collect());
        put("tools", conversation.tools.clone().unwrap_or_else(none));
        put("documents", none());
        put("add_generation_prompt", asked.generation_prompt.into());
        let now = move |format: String| date_text(asked.date, &format);
        put("strftime_now", Value::from_function(now));
        if asked.date.is_some() {
            put("date_string", date_text(asked.date, DATE)?.into());
        }
        if let Some(thinking) = asked.enable_thinking {
            put("enable_thinking", thinking.into());
        }
        Ok(Value::from(all))
    }
}

fn date_text(date: Option<Date>, format: &str) -> Result<String, Error> {
    let refuse = |detail: String| Error::new(ErrorKind::InvalidOperation, detail);
    let date = date.ok_or_else(|| {
        refuse("prints today's date, so its text would change every day; set chat.date".into())
    })?;
    date.format(format).map_err(refuse)
}

#[cfg(test)]
mod tests;
