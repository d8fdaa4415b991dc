//! Asks inquiries and puts what is heard into pieces of answers. Knows neither form of an answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::refusal::of_failure;
use crate::api::ApiState;
use crate::api::error::{Answer, Problem, UNAVAILABLE};
use crate::domain::openai::answers::{FinishReason, Usage};
use crate::execution::Failure;
use crate::execution::converse::{Converse, Ending, Event, Inquiry, Listen, Said};

/// Inquiries of one request that wait in the device's queue at once.
const AT_ONCE: usize = 32;
/// Pause before a queue that was full in the middle of a request is asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// What became known about one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Piece {
    /// Which answer of the request: the prompt's place times the answers to each, and its place among them.
    pub choice: u32,
    /// More text.
    pub text: String,
    /// More tokens.
    pub tokens: Vec<Said>,
    /// The end token, in the last piece.
    pub end: Option<Said>,
    /// In the last piece.
    pub finish: Option<FinishReason>,
}

impl Piece {
    /// This piece with the next one of the same answer behind it.
    pub fn join(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.tokens.extend(next.tokens);
        self.end = next.end.or(self.end.take());
        self.finish = next.finish.or(self.finish);
    }
}

/// What one inquiry's listener passes on.
enum Heard {
    Event(Event),
    /// The listener was let go.
    Gone,
}

/// Passes events on without waiting. What lies unread is bounded by what the request may draw.
struct Ear {
    prompt: usize,
    sender: mpsc::UnboundedSender<(usize, Heard)>,
}

impl Listen for Ear {
    fn hear(&mut self, event: Event) -> bool {
        self.sender.send((self.prompt, Heard::Event(event))).is_ok()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.sender.send((self.prompt, Heard::Gone));
    }
}

/// A request under way; dropping it ends its rows.
pub(super) struct Telling {
    converse: Arc<dyn Converse>,
    waiting: VecDeque<(usize, Inquiry)>,
    sender: mpsc::UnboundedSender<(usize, Heard)>,
    receiver: mpsc::UnboundedReceiver<(usize, Heard)>,
    /// Answers that have not ended, by prompt.
    open: Vec<u32>,
    asked: usize,
    answers: u32,
    ready: VecDeque<Piece>,
    prompt_tokens: u64,
    drawn_tokens: u64,
}

impl Telling {
    /// Asks the first of `inquiries`; the others follow as these end.
    ///
    /// *Errors*: 503 where this process answers nobody, 429 where the queue is full.
    pub fn start(state: &ApiState, inquiries: Vec<Inquiry>) -> Answer<Self> {
        let Some(converse) = state.converse.clone() else {
            let detail = "this process runs no models (worker.slots is 0), so it cannot answer";
            return Err(Problem::new(&UNAVAILABLE, detail));
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        let answers = inquiries.first().map_or(0, |inquiry| inquiry.answers);
        let mut telling = Self {
            converse,
            open: vec![answers; inquiries.len()],
            waiting: inquiries.into_iter().enumerate().collect(),
            sender,
            receiver,
            asked: 0,
            answers,
            ready: VecDeque::new(),
            prompt_tokens: 0,
            drawn_tokens: 0,
        };
        telling.ask_more().map_err(of_failure)?;
        Ok(telling)
    }

    /// Asks what may be asked now. A full queue matters only to a request that nobody has taken in yet.
    fn ask_more(&mut self) -> Result<(), Failure> {
        while self.asked < AT_ONCE {
            let Some((prompt, inquiry)) = self.waiting.pop_front() else {
                return Ok(());
            };
            let ear = Ear {
                prompt,
                sender: self.sender.clone(),
            };
            match self.converse.ask(inquiry.clone(), Box::new(ear)) {
                Ok(()) => self.asked += 1,
                Err(failure) if failure.code == "busy" && prompt > 0 => {
                    self.waiting.push_front((prompt, inquiry));
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// The next piece; none when every answer has ended.
    pub async fn next(&mut self) -> Answer<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            if self.open.iter().all(|open| *open == 0) {
                return Ok(None);
            }
            // This side holds a sender, too, so the channel never closes.
            match tokio::time::timeout(self.patience(), self.receiver.recv()).await {
                Ok(Some((prompt, heard))) => self.take(prompt, heard)?,
                Ok(None) => return Err(lost()),
                Err(_) => self.ask_more().map_err(of_failure)?,
            }
        }
    }

    /// How long to listen before what waits is asked again: for ever while something is asked, whose end asks more.
    fn patience(&self) -> Duration {
        if self.asked == 0 && !self.waiting.is_empty() {
            PAUSE
        } else {
            Duration::MAX
        }
    }

    /// Counts of tokens so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.prompt_tokens, self.drawn_tokens)
    }

    fn take(&mut self, prompt: usize, heard: Heard) -> Answer<()> {
        match heard {
            Heard::Event(Event::Began {
                opening_tokens,
                echo,
            }) => self.begin(prompt, opening_tokens, &echo),
            Heard::Event(Event::Token { answer, said }) => self.ready.push_back(Piece {
                choice: self.choice(prompt, answer),
                text: said.text.clone(),
                tokens: vec![said],
                ..Piece::default()
            }),
            Heard::Event(Event::Ended {
                answer,
                ending,
                text,
                tokens,
                end,
            }) => {
                self.drawn_tokens += u64::from(tokens);
                self.ready.push_back(Piece {
                    choice: self.choice(prompt, answer),
                    text,
                    tokens: Vec::new(),
                    end,
                    finish: Some(reason(ending)),
                });
                return self.end(prompt);
            }
            Heard::Event(Event::Failed(failure)) => return Err(of_failure(failure)),
            Heard::Gone if self.open[prompt] > 0 => return Err(lost()),
            Heard::Gone => {}
        }
        Ok(())
    }

    fn begin(&mut self, prompt: usize, opening_tokens: u32, echo: &[Said]) {
        self.prompt_tokens += u64::from(opening_tokens);
        if echo.is_empty() {
            return;
        }
        let text: String = echo.iter().map(|said| said.text.as_str()).collect();
        for answer in 0..self.answers {
            self.ready.push_back(Piece {
                choice: self.choice(prompt, answer),
                text: text.clone(),
                tokens: echo.to_vec(),
                ..Piece::default()
            });
        }
    }

    fn end(&mut self, prompt: usize) -> Answer<()> {
        self.open[prompt] = self.open[prompt].saturating_sub(1);
        if self.open[prompt] > 0 {
            return Ok(());
        }
        self.asked = self.asked.saturating_sub(1);
        self.ask_more().map_err(of_failure)
    }

    fn choice(&self, prompt: usize, answer: u32) -> u32 {
        u32::try_from(prompt).unwrap_or(u32::MAX) * self.answers + answer
    }

    /// Every answer whole, in order.
    pub async fn whole(&mut self) -> Answer<Vec<Piece>> {
        let count = self.open.len() * self.answers as usize;
        let mut answers: Vec<Piece> = (0..count)
            .map(|choice| Piece {
                choice: u32::try_from(choice).unwrap_or(u32::MAX),
                ..Piece::default()
            })
            .collect();
        while let Some(piece) = self.next().await? {
            if let Some(answer) = answers.get_mut(piece.choice as usize) {
                answer.join(piece);
            }
        }
        Ok(answers)
    }
}

fn reason(ending: Ending) -> FinishReason {
    match ending {
        Ending::Stop => FinishReason::Stop,
        Ending::Length => FinishReason::Length,
    }
}

/// The other side went away without a word, as a panic there would make it.
fn lost() -> Problem {
    Problem::from(Failure {
        class: crate::domain::job::ErrorClass::Internal,
        code: "answer_lost",
        message: "the generator let an inquiry go without ending it".into(),
        retryable: false,
    })
}
