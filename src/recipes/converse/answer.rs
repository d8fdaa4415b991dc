//! What one inquiry's listener is told, in order for each answer. Lives on the generator's thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::super::failure;
use super::super::generators::{Heard, Sink, Verdict};
use super::text::Teller;
use super::{Permit, echoed};
use crate::domain::evaluation::FinishReason;
use crate::domain::job::ErrorClass;
use crate::engine::chat::Chat;
use crate::engine::generate::Spoken;
use crate::engine::sample::Chance;
use crate::execution::Failure;
use crate::execution::converse::{Ending, Event, Listen, Said};

/// The listener of an inquiry, who is told of its end whatever happens.
pub(super) struct Talk {
    listener: Box<dyn Listen>,
    answers: u32,
    /// Answers that have not ended.
    open: u32,
    over: bool,
    _permit: Permit,
}

impl Talk {
    pub(super) fn new(listener: Box<dyn Listen>, permit: Permit, answers: u32) -> Self {
        Self {
            listener,
            answers,
            open: answers,
            over: false,
            _permit: permit,
        }
    }

    /// False when nobody listens any more.
    pub(super) fn tell(&mut self, event: Event) -> bool {
        self.over = self.over || !self.listener.hear(event);
        !self.over
    }

    fn end(&mut self, event: Event) -> bool {
        let listens = self.tell(event);
        self.open = self.open.saturating_sub(1);
        self.over |= self.open == 0;
        listens
    }

    /// Ends every answer before its first token.
    pub(super) fn end_all(&mut self) {
        for answer in 0..self.answers {
            self.end(Event::Ended {
                answer,
                ending: Ending::Length,
                text: String::new(),
                tokens: 0,
                end: None,
            });
        }
        self.over = true;
    }

    /// The last that is told.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.tell(Event::Failed(failure));
        self.over = true;
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if !self.over {
            let text = "the answer was lost by a fault of the server; its log says more";
            self.fail(failure(ErrorClass::Internal, "generator", text));
        }
    }
}

/// A token as it is told, its text still empty.
pub(super) fn said(chat: &Chat, id: u32, chance: Option<&Chance>) -> Said {
    let tokenizer = chat.tokenizer();
    let top = chance.map_or(&[][..], |chance| &chance.top);
    let top = top
        .iter()
        .map(|(id, logprob)| (*id, tokenizer.bytes(*id), *logprob));
    Said {
        id,
        bytes: tokenizer.bytes(id),
        text: String::new(),
        logprob: chance.map(|chance| chance.logprob),
        top: top.collect(),
    }
}

/// Hears of one answer's row.
pub(super) struct Answer {
    number: u32,
    teller: Teller,
    chat: Arc<Chat>,
    talk: Rc<RefCell<Talk>>,
    tokens: u32,
}

impl Answer {
    pub(super) fn new(
        number: u32,
        teller: Teller,
        chat: Arc<Chat>,
        talk: Rc<RefCell<Talk>>,
    ) -> Self {
        Self {
            number,
            teller,
            chat,
            talk,
            tokens: 0,
        }
    }

    fn take(&mut self, spoken: &Spoken) -> Result<Verdict, Failure> {
        self.tokens += 1;
        let token = said(&self.chat, spoken.token, spoken.chance.as_ref());
        if spoken.finish == Some(FinishReason::Stop) {
            let rest = self.teller.finish()?;
            return Ok(self.end(rest, Ending::Stop, Some(token)));
        }
        let certain = self.teller.push(token)?;
        if certain.stopped {
            return Ok(self.end(certain.said, Ending::Stop, None));
        }
        let mut told = certain.said;
        if spoken.finish.is_some() {
            told.extend(self.teller.finish()?);
            return Ok(self.end(told, Ending::Length, None));
        }
        Ok(self.tell(told))
    }

    fn tell(&self, told: Vec<Said>) -> Verdict {
        let mut talk = self.talk.borrow_mut();
        for said in told {
            let answer = self.number;
            if !talk.tell(Event::Token { answer, said }) {
                return Verdict::Gone;
            }
        }
        Verdict::On
    }

    fn end(&self, told: Vec<Said>, ending: Ending, end: Option<Said>) -> Verdict {
        if let Verdict::Gone = self.tell(told) {
            return Verdict::Gone;
        }
        let ended = Event::Ended {
            answer: self.number,
            ending,
            text: String::new(),
            tokens: self.tokens,
            end,
        };
        match self.talk.borrow_mut().end(ended) {
            true => Verdict::Enough,
            false => Verdict::Gone,
        }
    }
}

impl Sink for Answer {
    fn hear(&mut self, heard: Heard) -> Verdict {
        let taken = match heard {
            Heard::Said(spoken) => self.take(&spoken),
            Heard::Read(_) => Ok(Verdict::On),
            Heard::Lost(failure) => Err(failure.clone()),
        };
        or_fail(taken, &self.talk)
    }
}

fn or_fail(taken: Result<Verdict, Failure>, talk: &Rc<RefCell<Talk>>) -> Verdict {
    taken.unwrap_or_else(|failure| {
        talk.borrow_mut().fail(failure);
        Verdict::Gone
    })
}

/// Hears of an opening's own probabilities.
pub(super) struct Reading {
    chat: Arc<Chat>,
    prompt: Arc<[u32]>,
    talk: Rc<RefCell<Talk>>,
    /// Whether answers follow.
    drawn: bool,
}

impl Reading {
    pub(super) fn new(
        chat: Arc<Chat>,
        prompt: Arc<[u32]>,
        talk: Rc<RefCell<Talk>>,
        drawn: bool,
    ) -> Self {
        Self {
            chat,
            prompt,
            talk,
            drawn,
        }
    }

    /// The first token follows nothing, so it has no probability.
    fn take(&self, chances: &[Chance]) -> Result<Verdict, Failure> {
        let chances = std::iter::once(None).chain(chances.iter().map(Some));
        let tokens = self.prompt.iter().zip(chances);
        let tokens = tokens.map(|(id, chance)| said(&self.chat, *id, chance));
        let echo = echoed(&self.chat, tokens.collect())?;
        let mut talk = self.talk.borrow_mut();
        let listens = talk.tell(Event::Began {
            opening_tokens: self.prompt.len() as u32,
            echo,
        });
        if !self.drawn {
            talk.end_all();
        }
        Ok(if listens {
            Verdict::Enough
        } else {
            Verdict::Gone
        })
    }
}

impl Sink for Reading {
    fn hear(&mut self, heard: Heard) -> Verdict {
        let taken = match heard {
            Heard::Read(chances) => self.take(&chances),
            Heard::Said(_) => Ok(Verdict::On),
            Heard::Lost(failure) => Err(failure.clone()),
        };
        or_fail(taken, &self.talk)
    }
}
